// libpq's pipeline mode, one thread per connection: pipeline <scenario> <host> <port> <clients>.
// Ends with status 1 and a message at the first wrong thing.
#include <inttypes.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { kRounds = 5, kAccounts = 50 };

static const char* scenario_name;
static const char* host;
static const char* port;
static int client_count;
static pthread_barrier_t everyone;

static void fail(int number, const char* format, ...) __attribute__((format(printf, 2, 3), noreturn));
static void fail(int number, const char* format, ...) {
  va_list arguments;
  fprintf(stderr, "%s: connection %d: ", scenario_name, number);
  va_start(arguments, format);
  vfprintf(stderr, format, arguments);
  va_end(arguments);
  fprintf(stderr, "\n");
  _exit(1);
}

typedef struct {
  PGconn* conn;
  int number;
} Peer;

// What the column `label` of c<number>.me holds, as text.
static const char* label_of(int number) {
  static __thread char label[16];
  snprintf(label, sizeof label, number % 2 ? "%d" : "c%d", number);
  return label;
}

static PGconn* connect_as(int number) {
  char count[16], name[32], options[64];
  snprintf(count, sizeof count, "%d", number);
  snprintf(name, sizeof name, "libpq-%d", number);
  snprintf(options, sizeof options, "-c search_path=c%d -c work_mem=%dkB", number, 1001 + number);
  const char* keys[] = {"host", "port", "user", "dbname", "application_name", "options", "connect_timeout", NULL};
  const char* values[] = {host, port, "driver", "test", name, options, "30", NULL};
  PGconn* conn = PQconnectdbParams(keys, values, 0);
  if (PQstatus(conn) != CONNECTION_OK) fail(number, "cannot connect: %s", PQerrorMessage(conn));
  return conn;
}

static void must(Peer peer, int succeeded, const char* what) {
  if (!succeeded) fail(peer.number, "%s: %s", what, PQerrorMessage(peer.conn));
}

// The next result, which has to have this status; the caller clears it.
static PGresult* next(Peer peer, ExecStatusType status, const char* what) {
  PGresult* result = PQgetResult(peer.conn);
  if (!result) fail(peer.number, "%s: no result, expected %s", what, PQresStatus(status));
  if (PQresultStatus(result) != status)
    fail(peer.number, "%s: %s instead of %s: %s", what, PQresStatus(PQresultStatus(result)), PQresStatus(status),
         PQresultErrorMessage(result));
  return result;
}

static void end_of_results(Peer peer, const char* what) {
  PGresult* result = PQgetResult(peer.conn);
  if (result) fail(peer.number, "%s: an unexpected %s", what, PQresStatus(PQresultStatus(result)));
}

// One statement's result of this status, and nothing after it.
static void expect(Peer peer, ExecStatusType status, const char* what) {
  PQclear(next(peer, status, what));
  end_of_results(peer, what);
}

static void expect_error(Peer peer, const char* sqlstate, const char* what) {
  PGresult* result = next(peer, PGRES_FATAL_ERROR, what);
  if (strcmp(PQresultErrorField(result, PG_DIAG_SQLSTATE), sqlstate) != 0)
    fail(peer.number, "%s: %s instead of %s", what, PQresultErrorMessage(result), sqlstate);
  PQclear(result);
  end_of_results(peer, what);
}

static void expect_sync(Peer peer, const char* what) { PQclear(next(peer, PGRES_PIPELINE_SYNC, what)); }

static void check_field(Peer peer, PGresult* result, int column, const char* expected, const char* what) {
  if (PQntuples(result) != 1 || strcmp(PQgetvalue(result, 0, column), expected) != 0)
    fail(peer.number, "%s: got %d rows, '%s', expected '%s'", what, PQntuples(result),
         PQntuples(result) ? PQgetvalue(result, 0, column) : "", expected);
}

// One row whose first column is this number, and nothing after it.
static void expect_value(Peer peer, long expected, const char* what) {
  char text[24];
  PGresult* result = next(peer, PGRES_TUPLES_OK, what);
  snprintf(text, sizeof text, "%ld", expected);
  check_field(peer, result, 0, text, what);
  PQclear(result);
  end_of_results(peer, what);
}

static void send_params(Peer peer, const char* text, int value) {
  char digits[16];
  const char* values[] = {digits};
  snprintf(digits, sizeof digits, "%d", value);
  must(peer, PQsendQueryParams(peer.conn, text, 1, NULL, values, NULL, NULL, 0), text);
}

static void send_prepared(Peer peer, const char* name, int value) {
  char digits[16];
  const char* values[] = {digits};
  snprintf(digits, sizeof digits, "%d", value);
  must(peer, PQsendQueryPrepared(peer.conn, name, 1, values, NULL, NULL, 0), name);
}

static void send_plain(Peer peer, const char* text) {
  must(peer, PQsendQueryParams(peer.conn, text, 0, NULL, NULL, NULL, NULL, 0), text);
}

static void sync_pipeline(Peer peer) { must(peer, PQpipelineSync(peer.conn), "PQpipelineSync"); }

static void enter(Peer peer) { must(peer, PQenterPipelineMode(peer.conn), "PQenterPipelineMode"); }

static void leave(Peer peer) { must(peer, PQexitPipelineMode(peer.conn), "PQexitPipelineMode"); }

// Outside of a pipeline.
static void execute(Peer peer, const char* text) {
  PGresult* result = PQexec(peer.conn, text);
  if (PQresultStatus(result) != PGRES_COMMAND_OK && PQresultStatus(result) != PGRES_TUPLES_OK)
    fail(peer.number, "%s: %s", text, PQresultErrorMessage(result));
  PQclear(result);
}

static void check_identity(Peer peer) {
  char expected[128];
  PGresult* result = PQexec(peer.conn,
                            "SELECT concat_ws(' ', number, label, who(), current_setting('application_name'), "
                            "current_setting('work_mem')) FROM me");
  if (PQresultStatus(result) != PGRES_TUPLES_OK) fail(peer.number, "identity: %s", PQresultErrorMessage(result));
  snprintf(expected, sizeof expected, "%d %s %d libpq-%d %dkB", peer.number, label_of(peer.number), peer.number,
           peer.number, 1001 + peer.number);
  check_field(peer, result, 0, expected, "identity");
  PQclear(result);
}

// Each connection prepares another text under the same name, and executes it over several syncs.
static void prepared(Peer peer) {
  char text[96];
  snprintf(text, sizeof text, "SELECT %d * 1000 + $1::int, label FROM me", peer.number);
  enter(peer);
  must(peer, PQsendPrepare(peer.conn, "same", text, 0, NULL), "PQsendPrepare");
  must(peer, PQsendDescribePrepared(peer.conn, "same"), "PQsendDescribePrepared");
  sync_pipeline(peer);
  for (int round = 0; round < kRounds; ++round) {
    for (int value = 0; value < 10; ++value) {
      send_prepared(peer, "same", value);
      if (value % 3 == 0) sync_pipeline(peer);
    }
    sync_pipeline(peer);
  }
  expect(peer, PGRES_COMMAND_OK, "prepare");
  PGresult* description = next(peer, PGRES_COMMAND_OK, "describe");
  const Oid label_type = peer.number % 2 ? 23 : 25;
  if (PQnparams(description) != 1 || PQnfields(description) != 2 || PQftype(description, 1) != label_type)
    fail(peer.number, "another statement's description: type %u", PQftype(description, 1));
  PQclear(description);
  end_of_results(peer, "describe");
  expect_sync(peer, "after describe");
  for (int round = 0; round < kRounds; ++round) {
    for (int value = 0; value < 10; ++value) {
      char number[24];
      PGresult* result = next(peer, PGRES_TUPLES_OK, "execute");
      snprintf(number, sizeof number, "%d", peer.number * 1000 + value);
      check_field(peer, result, 0, number, "execute");
      check_field(peer, result, 1, label_of(peer.number), "execute");
      PQclear(result);
      end_of_results(peer, "execute");
      if (value % 3 == 0) expect_sync(peer, "in the middle");
    }
    expect_sync(peer, "at the end of a round");
  }
  leave(peer);
  check_identity(peer);
}

// A statement that was prepared in one pipeline serves in later ones; what a failed segment prepared does not exist.
static void prepared_across(Peer peer) {
  char text[96];
  snprintf(text, sizeof text, "SELECT %d + $1::int", peer.number * 7);
  for (int round = 0; round < kRounds; ++round) {
    char name[16];
    snprintf(name, sizeof name, "s%d", round);
    enter(peer);
    must(peer, PQsendPrepare(peer.conn, name, text, 0, NULL), "PQsendPrepare");
    sync_pipeline(peer);
    must(peer, PQsendPrepare(peer.conn, name, "SELECT 'twice', $1::int", 0, NULL), "PQsendPrepare");
    send_prepared(peer, name, 1);
    sync_pipeline(peer);
    send_plain(peer, "SELECT 1 / 0");
    must(peer, PQsendPrepare(peer.conn, "skipped", "SELECT $1::int", 0, NULL), "PQsendPrepare");
    sync_pipeline(peer);
    send_prepared(peer, "skipped", 1);
    sync_pipeline(peer);
    for (int old = 0; old <= round; ++old) {
      snprintf(name, sizeof name, "s%d", old);
      send_prepared(peer, name, old);
    }
    sync_pipeline(peer);
    expect(peer, PGRES_COMMAND_OK, "prepare");
    expect_sync(peer, "prepare");
    expect_error(peer, "42P05", "a name that is taken");
    expect(peer, PGRES_PIPELINE_ABORTED, "after a name that is taken");
    expect_sync(peer, "after a name that is taken");
    expect_error(peer, "22012", "division");
    expect(peer, PGRES_PIPELINE_ABORTED, "a skipped prepare");
    expect_sync(peer, "a skipped prepare");
    expect_error(peer, "26000", "a statement that was never prepared");
    expect_sync(peer, "a statement that was never prepared");
    for (int old = 0; old <= round; ++old) expect_value(peer, peer.number * 7 + old, "an older statement");
    expect_sync(peer, "older statements");
    leave(peer);
  }
  check_identity(peer);
}

// What follows an error is skipped up to the next sync, and what stood before it in its segment is undone.
static void errors(Peer peer) {
  enter(peer);
  for (int round = 0; round < kRounds; ++round) {
    send_params(peer, "INSERT INTO items (id, name) VALUES ($1, 'undone')", 1000 + round);
    send_params(peer, "SELECT 1 / $1::int", 0);
    send_params(peer, "INSERT INTO items (id, name) VALUES ($1, 'skipped')", 2000 + round);
    sync_pipeline(peer);
    send_params(peer, "INSERT INTO items (id, name) VALUES ($1, 'kept')", round);
    send_plain(peer, "SELECT count(*) FROM items");
    sync_pipeline(peer);
    send_plain(peer, "SELECT nothing");
    sync_pipeline(peer);
    sync_pipeline(peer);
    send_params(peer, "SELECT $1::int + number FROM me", round);
    sync_pipeline(peer);
  }
  for (int round = 0; round < kRounds; ++round) {
    expect(peer, PGRES_COMMAND_OK, "insert before the error");
    expect_error(peer, "22012", "division");
    expect(peer, PGRES_PIPELINE_ABORTED, "insert after the error");
    expect_sync(peer, "after the division");
    expect(peer, PGRES_COMMAND_OK, "insert");
    expect_value(peer, round + 1, "count");
    expect_sync(peer, "after the insert");
    expect_error(peer, "42703", "a column that does not exist");
    expect_sync(peer, "after the column");
    expect_sync(peer, "nothing between two syncs");
    expect_value(peer, round + peer.number, "number");
    expect_sync(peer, "after the number");
  }
  if (PQtransactionStatus(peer.conn) != PQTRANS_IDLE) fail(peer.number, "not idle at the end");
  leave(peer);
  check_identity(peer);
}

// BEGIN and COMMIT with syncs between them, an error in one of two transactions.
static void transactions(Peer peer) {
  enter(peer);
  unsigned state = (unsigned)peer.number + 1;
  int committed = 0;
  for (int round = 0; round < 20; ++round) {
    state = state * 1103515245u + 12345u;
    const int source = (int)(state >> 16) % kAccounts + 1;
    const int target = source % kAccounts + 1;
    const int low = source < target ? source : target;
    const int fails = round % 4 == 3;
    char text[160];
    send_plain(peer, "BEGIN");
    sync_pipeline(peer);
    snprintf(text, sizeof text, "UPDATE bank.accounts SET balance = balance + %d WHERE id = $1",
             low == source ? -5 : 5);
    send_params(peer, text, low);
    sync_pipeline(peer);
    snprintf(text, sizeof text, "UPDATE bank.accounts SET balance = balance + %d WHERE id = $1",
             low == source ? 5 : -5);
    send_params(peer, text, low == source ? target : source);
    sync_pipeline(peer);
    snprintf(text, sizeof text, "INSERT INTO bank.transfers VALUES (%d, %d, %d, $1)", peer.number, source, target);
    send_params(peer, text, 5);
    if (fails) {
      sync_pipeline(peer);
      send_plain(peer, "SELECT 1 / 0");
      sync_pipeline(peer);
    }
    send_plain(peer, "COMMIT");
    sync_pipeline(peer);

    expect(peer, PGRES_COMMAND_OK, "begin");
    expect_sync(peer, "begin");
    expect(peer, PGRES_COMMAND_OK, "first account");
    expect_sync(peer, "first account");
    if (PQtransactionStatus(peer.conn) == PQTRANS_IDLE) fail(peer.number, "idle in the middle of a transaction");
    expect(peer, PGRES_COMMAND_OK, "second account");
    expect_sync(peer, "second account");
    expect(peer, PGRES_COMMAND_OK, "transfer");
    if (fails) {
      expect_sync(peer, "transfer");
      expect_error(peer, "22012", "division");
      expect_sync(peer, "division");
    }
    PGresult* end = next(peer, PGRES_COMMAND_OK, "commit");
    if (strcmp(PQcmdStatus(end), fails ? "ROLLBACK" : "COMMIT") != 0)
      fail(peer.number, "commit said %s", PQcmdStatus(end));
    PQclear(end);
    end_of_results(peer, "commit");
    expect_sync(peer, "commit");
    committed += !fails;
  }
  leave(peer);
  if (committed != 15) fail(peer.number, "%d transactions committed", committed);
  check_identity(peer);
}

// Reads `rows` single rows counting up from first, then the end of the result.
static void expect_single_rows(Peer peer, int first, int rows) {
  for (int row = 0; row < rows; ++row) {
    char text[24];
    PGresult* result = next(peer, PGRES_SINGLE_TUPLE, "a row");
    snprintf(text, sizeof text, "%d", first + row);
    check_field(peer, result, 0, text, "a row");
    PQclear(result);
  }
}

static const char series[] =
    "SELECT number * 10000 + n, repeat('x', 300) FROM me, generate_series(1, $1::int) n ORDER BY n";

static void single_rows(Peer peer) {
  const int base = peer.number * 10000 + 1;
  for (int round = 0; round < 3; ++round) {
    send_params(peer, series, 500);
    must(peer, PQsetSingleRowMode(peer.conn), "PQsetSingleRowMode");
    expect_single_rows(peer, base, 500);
    expect(peer, PGRES_TUPLES_OK, "the end of the rows");

    enter(peer);
    send_params(peer, series, 200);
    send_params(peer, "SELECT number + $1::int FROM me", 1);
    send_plain(peer, "SELECT 10 / (4 - n) FROM generate_series(1, 9) n");
    send_params(peer, series, 10);
    sync_pipeline(peer);
    send_params(peer, series, 100);
    sync_pipeline(peer);
    must(peer, PQsetSingleRowMode(peer.conn), "PQsetSingleRowMode");
    expect_single_rows(peer, base, 200);
    expect(peer, PGRES_TUPLES_OK, "the end of the rows");
    expect_value(peer, peer.number + 1, "not in single-row mode");
    must(peer, PQsetSingleRowMode(peer.conn), "PQsetSingleRowMode");
    for (int row = 0; row < 3; ++row) PQclear(next(peer, PGRES_SINGLE_TUPLE, "a row before the error"));
    expect_error(peer, "22012", "division");
    expect(peer, PGRES_PIPELINE_ABORTED, "rows after the error");
    expect_sync(peer, "after the error");
    must(peer, PQsetSingleRowMode(peer.conn), "PQsetSingleRowMode");
    expect_single_rows(peer, base, 100);
    expect(peer, PGRES_TUPLES_OK, "the end of the rows");
    expect_sync(peer, "the end");
    leave(peer);
  }
  check_identity(peer);
}

// Flush instead of sync: results come although the segment, and with it the transaction, goes on.
static void flushes(Peer peer) {
  enter(peer);
  for (int round = 0; round < kRounds; ++round) {
    for (int value = 0; value < 3; ++value) {
      send_params(peer, "INSERT INTO items (id, name) VALUES ($1, 'flushed')", round * 10 + value);
      send_params(peer, "SELECT number * 100 + $1::int FROM me", value);
      must(peer, PQsendFlushRequest(peer.conn), "PQsendFlushRequest");
      must(peer, PQflush(peer.conn) == 0, "PQflush");
      expect(peer, PGRES_COMMAND_OK, "insert");
      expect_value(peer, peer.number * 100 + value, "value before any sync");
    }
    const int fails = round % 2;
    if (fails) send_plain(peer, "SELECT 1 / 0");
    sync_pipeline(peer);
    if (fails) expect_error(peer, "22012", "division");
    expect_sync(peer, "the sync at last");
    send_plain(peer, "SELECT count(*) FROM items");
    sync_pipeline(peer);
    expect_value(peer, 3 * (round / 2 + 1), "what was committed");
    expect_sync(peer, "count");
  }
  leave(peer);
  check_identity(peer);
}

// A pipeline much longer than any buffer, written and read by turns.
static void long_pipelines(Peer peer) {
  enum { kQueries = 2000 };
  enter(peer);
  must(peer, PQsetnonblocking(peer.conn, 1) == 0, "PQsetnonblocking");
  int received = 0;
  for (int sent = 0; sent < kQueries; ++sent) {
    send_params(peer, "SELECT $1::int + number, repeat('y', 200) FROM me", sent);
    if (sent % 7 == 6 || sent == kQueries - 1) sync_pipeline(peer);
    must(peer, PQflush(peer.conn) >= 0 && PQconsumeInput(peer.conn), "input and output");
    while (received < sent && !PQisBusy(peer.conn)) {
      expect_value(peer, received + peer.number, "an early answer");
      if (received % 7 == 6) expect_sync(peer, "a sync");
      ++received;
    }
  }
  must(peer, PQsetnonblocking(peer.conn, 0) == 0, "PQsetnonblocking");
  for (; received < kQueries; ++received) {
    expect_value(peer, received + peer.number, "an answer");
    if (received % 7 == 6 || received == kQueries - 1) expect_sync(peer, "a sync");
  }
  leave(peer);
  check_identity(peer);
}

static void copies(Peer peer) {
  for (int round = 0; round < 3; ++round) {
    PGresult* result = PQexec(peer.conn, "COPY items (id, name) FROM STDIN");
    if (PQresultStatus(result) != PGRES_COPY_IN) fail(peer.number, "copy in: %s", PQresultErrorMessage(result));
    PQclear(result);
    for (int row = 0; row < 200; ++row) {
      char line[64];
      const int size = snprintf(line, sizeof line, "%d\tc%d-%d\n", row, peer.number, row);
      must(peer, PQputCopyData(peer.conn, line, size) == 1, "PQputCopyData");
    }
    must(peer, PQputCopyEnd(peer.conn, round == 1 ? "given up" : NULL) == 1, "PQputCopyEnd");
    if (round == 1) {
      expect_error(peer, "57014", "a copy that is given up");
      continue;
    }
    expect(peer, PGRES_COMMAND_OK, "copy in");
    result = PQexec(peer.conn, "COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT");
    if (PQresultStatus(result) != PGRES_COPY_OUT) fail(peer.number, "copy out: %s", PQresultErrorMessage(result));
    PQclear(result);
    char* line = NULL;
    int rows = 0;
    for (int size; (size = PQgetCopyData(peer.conn, &line, 0)) > 0; ++rows) {
      char expected[64];
      snprintf(expected, sizeof expected, "%d\tc%d-%d\n", rows, peer.number, rows);
      if (strcmp(line, expected) != 0) fail(peer.number, "copy out: %s instead of %s", line, expected);
      PQfreemem(line);
    }
    expect(peer, PGRES_COMMAND_OK, "copy out");
    if (rows != 200) fail(peer.number, "copy out: %d rows", rows);
    execute(peer, "DELETE FROM items");
    check_identity(peer);
  }
}

// Every fifth connection cancels what it runs itself; nobody else's statement may end by that.
static void cancels(Peer peer) {
  char message[256];
  for (int round = 0; round < 2; ++round) {
    if (peer.number % 5 != 0) {
      for (int value = 0; value < 10; ++value) {
        send_params(peer, "SELECT $1::int + number FROM me, pg_sleep(0.01)", value);
        expect_value(peer, value + peer.number, "a statement that nobody cancelled");
      }
      continue;
    }
    PGcancel* cancel = PQgetCancel(peer.conn);
    must(peer, PQsendQuery(peer.conn, "SELECT pg_sleep(300)"), "PQsendQuery");
    // A cancel request that comes before its statement does nothing, by design of the protocol: so ask until it ends.
    struct pollfd answer = {PQsocket(peer.conn), POLLIN, 0};
    while (poll(&answer, 1, 200) == 0)
      if (!PQcancel(cancel, message, sizeof message)) fail(peer.number, "PQcancel: %s", message);
    PQfreeCancel(cancel);
    expect_error(peer, "57014", "a cancelled statement");
    check_identity(peer);
  }
}

static const struct {
  const char* name;
  void (*run)(Peer);
} scenarios[] = {{"prepared", prepared},
                 {"prepared_across", prepared_across},
                 {"errors", errors},
                 {"transactions", transactions},
                 {"single_rows", single_rows},
                 {"flushes", flushes},
                 {"copies", copies},
                 {"cancels", cancels},
                 {"long_pipelines", long_pipelines}};

static void (*chosen)(Peer);

static void* run_one(void* argument) {
  const int number = (int)(intptr_t)argument;
  const Peer peer = {connect_as(number), number};
  pthread_barrier_wait(&everyone);
  check_identity(peer);
  chosen(peer);
  PQfinish(peer.conn);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc != 5) return 2;
  scenario_name = argv[1];
  host = argv[2];
  port = argv[3];
  client_count = atoi(argv[4]);
  for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; ++i)
    if (strcmp(scenarios[i].name, scenario_name) == 0) chosen = scenarios[i].run;
  if (!chosen || client_count < 1 || client_count > 100) fail(-1, "no such scenario, or no clients");
  pthread_t threads[100];
  pthread_barrier_init(&everyone, NULL, (unsigned)client_count);
  for (int i = 0; i < client_count; ++i)
    if (pthread_create(&threads[i], NULL, run_one, (void*)(intptr_t)i) != 0) fail(i, "no thread");
  for (int i = 0; i < client_count; ++i) pthread_join(threads[i], NULL);
  printf("%s: ok\n", scenario_name);
  return 0;
}
