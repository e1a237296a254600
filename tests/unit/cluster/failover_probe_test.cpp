// Reading what the machine's query answers, and what failures mean. That servers answer so is shown by the integration
// tests.
#include "cluster/failover_probe.h"

#include "doctest/doctest.h"

using namespace pgweir;
using namespace pgweir::cluster;
using namespace std::chrono_literals;

namespace {

using Row = Rows::value_type;

Row standby_row() {
  return {"t",   "7713395436848494056", "3", "50425568", "50425000", "streaming", "1168", "127.0.0.1", "5432", "t",
          "pg2", "ANY 1 (pg1, pg2)",    {},  {},         {}};
}

std::optional<base::NodeId> find(std::string_view host, std::string_view port) {
  if (host == "127.0.0.1" && port == "5432") return base::NodeId{0};
  return {};
}

base::Result<ProbeAnswer> read(const Row& row) { return probe_answer_from({row}, find); }

FailureKind kind_of(std::string_view text) { return probe_failure_from(connection_error_from(text)).kind; }

}  // namespace

TEST_CASE("a standby") {
  const auto answer = read(standby_row());
  REQUIRE(answer.has_value());
  CHECK(answer->in_recovery);
  CHECK(answer->system_identifier == 7713395436848494056ULL);
  CHECK(answer->timeline == 3);
  CHECK(answer->received == 50425568);
  CHECK(answer->replayed == 50425000);
  CHECK(answer->receiver == Receiver::streaming);
  CHECK(answer->heard_ago == 1168ms);
  CHECK(answer->sender == base::NodeId{0});
  CHECK(answer->has_upstream);
  CHECK(answer->application_name == "pg2");
  CHECK(answer->synchronous_standby_names == "ANY 1 (pg1, pg2)");
}

TEST_CASE("receivers that do not stream, or that nobody may see") {
  Row row = standby_row();
  row[5] = "starting";
  CHECK(read(row)->receiver == Receiver::connecting);
  row[5] = "hidden";
  CHECK(read(row)->receiver == Receiver::streaming);
  row[5] = row[6] = row[7] = row[8] = {};
  row[9] = "f";
  CHECK(read(row)->receiver == Receiver::none);
  CHECK_FALSE(read(row)->heard_ago);
  CHECK_FALSE(read(row)->sender);
  CHECK_FALSE(read(row)->has_upstream);
  row[9] = {};
  CHECK(read(row)->has_upstream);  // not known: not cut off
}

TEST_CASE("a primary and whom its commits may wait for") {
  Row row = standby_row();
  row[0] = "f";
  row[5] = row[6] = row[7] = row[8] = {};
  Row first(15), second(15), third(15);
  first[12] = "pg2", first[13] = "streaming", first[14] = "sync";
  second[14] = "potential";
  third[12] = "pg4", third[14] = "async";
  const Rows rows{row, first, second, third};
  const auto answer = probe_answer_from(rows, find);
  REQUIRE(answer.has_value());
  CHECK_FALSE(answer->in_recovery);
  CHECK(answer->peers == std::vector<std::string>{"pg2", ""});
  const auto walsenders = walsenders_from(rows);
  REQUIRE(walsenders.size() == 3);
  CHECK(walsenders[0].application_name == "pg2");
  CHECK(walsenders[0].state == "streaming");
  CHECK(walsenders[0].sync_state == "sync");
  CHECK(walsenders[2].state.empty());  // not a member of pg_monitor
  CHECK(walsenders_from({row, {}}).empty());
}

TEST_CASE("answers of another form") {
  CHECK_FALSE(probe_answer_from({}, find).has_value());
  CHECK_FALSE(probe_answer_from({{"t"}}, find).has_value());
  CHECK_FALSE(probe_answer_from({Row(15)}, find).has_value());
  for (const std::size_t column : {1, 2, 3, 4, 6})
    for (const char* wrong : {"", "x", "1x", "99999999999999999999999"}) {
      CAPTURE(column);
      Row row = standby_row();
      row[column] = wrong;
      CHECK_FALSE(read(row).has_value());
    }
}

TEST_CASE("the SQLSTATE in libpq's words") {
  const auto error = connection_error_from(
      "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  57P03: the database system is starting up\n"
      "LOCATION:  ProcessStartupPacket, postmaster.c:2422\n");
  CHECK(error.sqlstate == base::sqlstate::cannot_connect_now);
  CHECK(error.message ==
        "connection to server at \"10.0.0.1\", port 5432 failed: FATAL:  the database system is starting up");
  const auto plain = connection_error_from("timeout:  expired: now\n");
  CHECK(plain.sqlstate == base::sqlstate::connection_failure);
  CHECK(plain.message == "timeout:  expired: now");
}

TEST_CASE("what a failure says of the node") {
  CHECK(kind_of("x failed: FATAL:  57P03: the database system is shutting down\n") == FailureKind::starting);
  CHECK(kind_of("x failed: FATAL:  53300: sorry, too many clients already\n") == FailureKind::full);
  CHECK(kind_of("x failed: FATAL:  28P01: password authentication failed\n") == FailureKind::login);
  CHECK(kind_of("x failed: FATAL:  3D000: database \"x\" does not exist\n") == FailureKind::login);
  CHECK(kind_of("x failed: Connection refused\n\tIs the server running?\n") == FailureKind::refused);
  CHECK(kind_of("could not receive data from server: Connection reset by peer\n") == FailureKind::refused);
  CHECK(kind_of("x failed: server closed the connection unexpectedly\n") == FailureKind::refused);
  CHECK(kind_of("no answer in time") == FailureKind::silent);
  CHECK(kind_of("x failed: No route to host\n") == FailureKind::silent);
}
