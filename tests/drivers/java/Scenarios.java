// What the JDBC driver is made to do: `java Scenarios <scenario> <host> <port> <clients>`.
// Ends with status 1 and a message at the first wrong thing.

import java.io.StringReader;
import java.io.StringWriter;
import java.sql.BatchUpdateException;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.CyclicBarrier;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;
import org.postgresql.copy.CopyManager;

public final class Scenarios {
  private static final int ROUNDS = 5;
  private static final int ACCOUNTS = 50;

  private static String host;
  private static int port;
  private static int clients;
  private static CyclicBarrier everyone;

  private interface Work {
    void run(Connection connection, int number) throws Exception;
  }

  private interface Attempt {
    void run() throws SQLException;
  }

  private static void check(boolean holds, String what) {
    if (!holds) throw new AssertionError(what);
  }

  private static void checkEqual(Object found, Object expected, String what) {
    if (!expected.equals(found)) throw new AssertionError(what + ": found " + found + ", expected " + expected);
  }

  private static void expectError(String sqlstate, Attempt attempt) throws SQLException {
    try {
      attempt.run();
    } catch (SQLException error) {
      if (!sqlstate.equals(error.getSQLState())) throw error;
      return;
    }
    throw new AssertionError("no error " + sqlstate);
  }

  /** The time zone stays out: the driver sets the virtual machine's on its own. */
  private static Connection connect(int number, Map<String, String> more) throws SQLException {
    Properties properties = new Properties();
    properties.setProperty("user", "driver");
    properties.setProperty("ApplicationName", "jdbc-" + number);
    properties.setProperty("currentSchema", "c" + number);
    properties.setProperty("prepareThreshold", "1");
    properties.setProperty("options", "-c work_mem=" + (1001 + number) + "kB");
    properties.setProperty("connectTimeout", "30");
    more.forEach(properties::setProperty);
    return DriverManager.getConnection("jdbc:postgresql://" + host + ":" + port + "/test", properties);
  }

  /** Runs the work on all connections at once, each begun when all stand. */
  private static void together(Map<String, String> properties, Work work) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(clients, task -> {
      Thread thread = new Thread(task);
      thread.setDaemon(true);
      return thread;
    });
    List<Future<?>> results = new ArrayList<>();
    for (int i = 0; i < clients; ++i) {
      final int number = i;
      results.add(threads.submit(() -> {
        try (Connection connection = connect(number, properties)) {
          everyone.await();
          work.run(connection, number);
        } catch (Throwable error) {
          System.out.println("connection " + number + ":");
          error.printStackTrace(System.out);
          System.out.flush();
          Runtime.getRuntime().halt(1);
        }
        return null;
      }));
    }
    for (Future<?> result : results) result.get();
  }

  private static String one(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement(); ResultSet rows = statement.executeQuery(text)) {
      check(rows.next(), "no row from " + text);
      String value = rows.getString(1);
      check(!rows.next(), "two rows from " + text);
      return value;
    }
  }

  private static void execute(Connection connection, String text) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(text);
    }
  }

  private static String labelOf(int number) { return number % 2 == 1 ? "" + number : "c" + number; }

  private static void checkIdentity(Connection connection, int number) throws SQLException {
    String found = one(connection,
        "SELECT concat_ws(' ', number, label, who(), current_setting('application_name'), "
            + "current_setting('work_mem')) FROM me");
    checkEqual(found, number + " " + labelOf(number) + " " + number + " jdbc-" + number + " " + (1001 + number) + "kB",
        "identity");
  }

  /** S_1, S_2, ... on every connection, and binary results as soon as the driver knows the types. */
  private static void prepared() throws Exception {
    together(Map.of(), (connection, number) -> {
      try (PreparedStatement own = connection.prepareStatement("SELECT " + number + " * 1000 + ?::int, label FROM me");
           PreparedStatement shared = connection.prepareStatement("SELECT label, ?::bigint FROM me")) {
        for (int step = 0; step < ROUNDS * 4; ++step) {
          own.setInt(1, step);
          try (ResultSet rows = own.executeQuery()) {
            check(rows.next(), "no row");
            checkEqual(rows.getInt(1), number * 1000 + step, "its own statement");
            checkEqual(rows.getString(2), labelOf(number), "its own statement");
          }
          shared.setLong(1, step);
          try (ResultSet rows = shared.executeQuery()) {
            check(rows.next(), "no row");
            checkEqual(rows.getObject(1), number % 2 == 1 ? (Object) number : "c" + number, "the same text");
            checkEqual(rows.getLong(2), (long) step, "the same text");
          }
          expectError("22012", () -> one(connection, "SELECT 1 / 0"));
          checkIdentity(connection, number);
        }
      }
    });
  }

  /** More statements than the driver keeps: it closes the oldest ones, along with whatever it sends next. */
  private static void manyStatements() throws Exception {
    together(Map.of("preparedStatementCacheQueries", "4"), (connection, number) -> {
      for (int step = 0; step < 100; ++step) {
        int kind = (step * 7 + number) % 11;
        try (PreparedStatement statement =
                 connection.prepareStatement("SELECT " + kind + " + ?::int + number FROM me")) {
          statement.setInt(1, step);
          try (ResultSet rows = statement.executeQuery()) {
            check(rows.next(), "no row");
            checkEqual(rows.getInt(1), kind + step + number, "statement " + kind);
          }
        }
      }
      checkIdentity(connection, number);
    });
  }

  private static void batches(String rewrite) throws Exception {
    together(Map.of("reWriteBatchedInserts", rewrite), (connection, number) -> {
      connection.setAutoCommit(false);
      for (int step = 0; step < 3; ++step) {
        try (PreparedStatement insert =
                 connection.prepareStatement("INSERT INTO items (id, name, price) VALUES (?, ?, ?)")) {
          for (int i = 0; i < 300; ++i) {
            insert.setInt(1, i);
            insert.setString(2, "c" + number + "-" + i);
            insert.setBigDecimal(3, new java.math.BigDecimal(number + ".5"));
            insert.addBatch();
          }
          checkEqual(insert.executeBatch().length, 300, "batch");
        }
        connection.commit();
        try (
            PreparedStatement update = connection.prepareStatement("UPDATE items SET price = price + ? WHERE id < ?")) {
          for (int i = 1; i <= 10; ++i) {
            update.setInt(1, number);
            update.setInt(2, i);
            update.addBatch();
          }
          int[] counts = update.executeBatch();
          for (int i = 0; i < 10; ++i) checkEqual(counts[i], i + 1, "updated rows");
        }
        connection.commit();
        expectError("23505", () -> {
          try (PreparedStatement insert =
                   connection.prepareStatement("INSERT INTO items (id, name) VALUES (?, 'twice')")) {
            for (int i = 0; i < 50; ++i) {
              insert.setInt(1, 500 - i * 10);
              insert.addBatch();
            }
            try {
              insert.executeBatch();
            } catch (BatchUpdateException error) {
              checkEqual(error.getUpdateCounts().length, 50, "counts of a failed batch");
              throw error;
            }
          }
        });
        connection.rollback();
        checkEqual(one(connection, "SELECT count(*) || ' ' || sum(price) FROM items"),
            "300 " + (300 * number + 150 + 55 * number) + ".00", "the sum of the batches");
        execute(connection, "DELETE FROM items");
        connection.commit();
        checkIdentity(connection, number);
        connection.commit();
      }
    });
  }

  /** With a fetch size, the driver keeps a portal over several syncs of a transaction. */
  private static void cursors() throws Exception {
    together(Map.of(), (connection, number) -> {
      connection.setAutoCommit(false);
      for (int step = 0; step < ROUNDS; ++step) {
        try (PreparedStatement first =
                 connection.prepareStatement("SELECT number * 1000 + n FROM me, generate_series(1, ?) n ORDER BY n");
             PreparedStatement second =
                 connection.prepareStatement("SELECT number * 2000 + n FROM me, generate_series(1, ?) n ORDER BY n")) {
          first.setFetchSize(7);
          second.setFetchSize(11);
          first.setInt(1, 100);
          second.setInt(1, 100);
          try (ResultSet left = first.executeQuery(); ResultSet right = second.executeQuery()) {
            for (int n = 1; n <= 100; ++n) {
              check(left.next() && right.next(), "too few rows");
              checkEqual(left.getInt(1), number * 1000 + n, "the left cursor");
              checkEqual(right.getInt(1), number * 2000 + n, "the right cursor");
              if (n == 50) checkIdentity(connection, number);
            }
            check(!left.next() && !right.next(), "too many rows");
          }
          try (ResultSet early = first.executeQuery()) {
            check(early.next(), "no row");
          }
        }
        if (step % 2 == 0) connection.commit();
        else connection.rollback();
      }
    });
  }

  private static void savepoints(String autosave) throws Exception {
    together(Map.of("autosave", autosave), (connection, number) -> {
      connection.setAutoCommit(false);
      connection.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      for (int step = 0; step < ROUNDS; ++step) {
        final int id = step;
        execute(connection, "INSERT INTO items (id, name) VALUES (" + id + ", 'kept')");
        Savepoint point = connection.setSavepoint("same");
        execute(connection, "INSERT INTO items (id, name) VALUES (" + (100 + id) + ", 'undone')");
        expectError("23505", () -> execute(connection, "INSERT INTO items (id, name) VALUES (" + id + ", 'twice')"));
        if (autosave.equals("always")) checkIdentity(connection, number); // the driver went back to its own savepoint
        else expectError("25P02", () -> one(connection, "SELECT 1"));
        connection.rollback(point);
        connection.releaseSavepoint(point);
        checkEqual(one(connection, "SHOW transaction_isolation"), "repeatable read", "isolation");
        connection.commit();
        checkEqual(one(connection, "SELECT count(*) || max(name) FROM items"), (step + 1) + "kept", "items");
        connection.rollback();
        connection.setReadOnly(true);
        expectError("25006", () -> execute(connection, "DELETE FROM items"));
        connection.rollback();
        connection.setReadOnly(false);
      }
    });
  }

  private static void transfers() throws Exception {
    together(Map.of(), (connection, number) -> {
      Random dice = new Random(number);
      connection.setAutoCommit(false);
      try (PreparedStatement look =
               connection.prepareStatement("SELECT balance FROM bank.accounts WHERE id = ? FOR UPDATE");
           PreparedStatement move = connection.prepareStatement(
               "UPDATE bank.accounts SET balance = balance + ? WHERE id = ? RETURNING balance");
           PreparedStatement note = connection.prepareStatement("INSERT INTO bank.transfers VALUES (?, ?, ?, 11)")) {
        for (int step = 1; step <= 20; ++step) {
          int source = dice.nextInt(ACCOUNTS) + 1;
          int target = (source + dice.nextInt(ACCOUNTS - 1)) % ACCOUNTS + 1;
          for (int account : new int[] {Math.min(source, target), Math.max(source, target)}) {
            long change = account == source ? -11 : 11;
            look.setInt(1, account);
            move.setLong(1, change);
            move.setInt(2, account);
            try (ResultSet before = look.executeQuery(); ResultSet after = move.executeQuery()) {
              check(before.next() && after.next(), "no account " + account);
              checkEqual(after.getLong(1), before.getLong(1) + change, "balance");
            }
          }
          note.setInt(1, number);
          note.setInt(2, source);
          note.setInt(3, target);
          checkEqual(note.executeUpdate(), 1, "inserted");
          if (step % 4 == 0) connection.rollback();
          else connection.commit();
        }
      }
    });
  }

  private static void copies() throws Exception {
    together(Map.of(), (connection, number) -> {
      CopyManager copies = connection.unwrap(PGConnection.class).getCopyAPI();
      StringBuilder lines = new StringBuilder();
      for (int i = 0; i < 500; ++i) lines.append(i).append("\tc").append(number).append('-').append(i).append('\n');
      for (int step = 0; step < 3; ++step) {
        checkEqual(
            copies.copyIn("COPY items (id, name) FROM STDIN", new StringReader(lines.toString())), 500L, "copied in");
        StringWriter out = new StringWriter();
        checkEqual(copies.copyOut("COPY (SELECT id, name FROM items ORDER BY id) TO STDOUT", out), 500L, "copied out");
        checkEqual(out.toString(), lines.toString(), "what was copied");
        expectError("23505", () -> {
          try {
            copies.copyIn("COPY items (id, name) FROM STDIN", new StringReader("1\ttwice\n"));
          } catch (java.io.IOException error) {
            throw new AssertionError(error);
          }
        });
        execute(connection, "DELETE FROM items");
        checkIdentity(connection, number);
      }
    });
  }

  /** autocommit, settings through the driver's own methods, and what it reads from the catalogs. */
  private static void settings() throws Exception {
    together(Map.of(), (connection, number) -> {
      for (int step = 0; step < ROUNDS; ++step) {
        int other = (number + step) % clients;
        connection.setClientInfo("ApplicationName", "changed-" + number + "-" + step);
        connection.setSchema("c" + other);
        checkEqual(connection.getSchema(), "c" + other, "schema");
        checkEqual(one(connection, "SELECT number FROM me"), "" + other, "number");
        try (PreparedStatement shared = connection.prepareStatement("SELECT label FROM me")) {
          for (int i = 0; i < 3; ++i) {
            try (ResultSet rows = shared.executeQuery()) {
              check(rows.next(), "no row");
              checkEqual(rows.getString(1), labelOf(other), "label");
            }
          }
        }
        checkEqual(one(connection, "SHOW application_name"), "changed-" + number + "-" + step, "application_name");
        connection.setAutoCommit(false);
        execute(connection, "SET LOCAL work_mem = '9999kB'");
        execute(connection, "SET search_path = pg_catalog");
        connection.rollback();
        connection.setAutoCommit(true);
        checkEqual(connection.getSchema(), "c" + other, "schema after a rollback");
        try (ResultSet columns = connection.getMetaData().getColumns(null, "c" + number, "items", "%")) {
          StringBuilder names = new StringBuilder();
          while (columns.next()) names.append(columns.getString("COLUMN_NAME")).append(' ');
          checkEqual(names.toString(), "id name price tags photo ", "columns");
        }
        connection.setClientInfo("ApplicationName", "jdbc-" + number);
        connection.setSchema("c" + number);
        checkIdentity(connection, number);
      }
    });
  }

  /** The simple protocol, as some set it for poolers. */
  private static void simple() throws Exception {
    together(Map.of("preferQueryMode", "simple"), (connection, number) -> {
      try (PreparedStatement statement = connection.prepareStatement("SELECT ?::int + number FROM me")) {
        for (int step = 0; step < ROUNDS * 4; ++step) {
          statement.setInt(1, step);
          try (ResultSet rows = statement.executeQuery()) {
            check(rows.next(), "no row");
            checkEqual(rows.getInt(1), step + number, "value");
          }
          checkIdentity(connection, number);
        }
      }
    });
  }

  private static void notifications() throws Exception {
    CountDownLatch listening = new CountDownLatch(1);
    together(Map.of(), (connection, number) -> {
      if (number != 0) {
        listening.await();
        for (int step = 0; step < ROUNDS; ++step)
          one(connection, "SELECT pg_notify('jdbc', '" + number + " " + step + "')");
        return;
      }
      execute(connection, "LISTEN jdbc");
      listening.countDown();
      int[] expected = new int[clients];
      for (int heard = 0; heard < (clients - 1) * ROUNDS;) {
        PGNotification[] notes = connection.unwrap(PGConnection.class).getNotifications(30000);
        check(notes != null && notes.length > 0, "heard only " + heard);
        for (PGNotification note : notes) {
          String[] words = note.getParameter().split(" ");
          int sender = Integer.parseInt(words[0]);
          checkEqual(Integer.parseInt(words[1]), expected[sender]++, "the next from " + sender);
          ++heard;
        }
      }
      execute(connection, "UNLISTEN jdbc");
      checkIdentity(connection, number);
    });
  }

  private static void run(String scenario) throws Exception {
    switch (scenario) {
      case "prepared" -> prepared();
      case "many_statements" -> manyStatements();
      case "batches" -> batches("false");
      case "rewritten_batches" -> batches("true");
      case "cursors" -> cursors();
      case "savepoints" -> savepoints("never");
      case "autosave" -> savepoints("always");
      case "transfers" -> transfers();
      case "copies" -> copies();
      case "settings" -> settings();
      case "simple" -> simple();
      case "notifications" -> notifications();
      default -> throw new IllegalArgumentException("no such scenario");
    }
  }

  public static void main(String[] arguments) throws Exception {
    host = arguments[1];
    port = Integer.parseInt(arguments[2]);
    clients = Integer.parseInt(arguments[3]);
    everyone = new CyclicBarrier(clients);
    run(arguments[0]);
    System.out.println(arguments[0] + ": ok");
  }
}
