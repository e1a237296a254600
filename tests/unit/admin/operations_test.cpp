// What the operator asks of the failover machine, and how it is told the end.
#include "admin/operations.h"

#include <optional>

#include "unit/cluster/conversation.h"

using namespace pgweir;
using namespace pgweir::test;

namespace {

struct Desk {
  explicit Desk(Conversation its, std::string_view mode = "promote")
      : talk(std::move(its)),
        operations(
            talk.machine, [this](const cluster::Event& event) { talk.tell(event); }, mode) {}

  admin::Operations::Answer answer() {
    return [this](base::Result<session::LocalTable> result) { last = std::move(result); };
  }
  [[nodiscard]] bool has_error(base::Sqlstate state) const { return last && !*last && last->error().sqlstate == state; }
  [[nodiscard]] std::string cell(std::size_t column) const {
    REQUIRE(last);
    REQUIRE(last->has_value());
    return (*last)->rows.at(0).at(column);
  }

  Conversation talk;
  admin::Operations operations;
  std::optional<base::Result<session::LocalTable>> last;
};

}  // namespace

TEST_CASE("a standby is taken out and back, by its name or number") {
  Desk desk(a_cluster());
  desk.operations.detach(desk.talk.machine.names()[1].name, desk.answer());
  CHECK(desk.cell(1) == "disabled");
  CHECK(desk.talk.state(1) == NodeState::disabled);
  desk.operations.attach("1", desk.answer());
  CHECK(desk.cell(1) != "disabled");
}

TEST_CASE("the primary cannot be taken out; there is no node of that name") {
  Desk desk(a_cluster());
  desk.operations.detach("0", desk.answer());
  CHECK(desk.has_error(base::sqlstate::object_not_in_prerequisite_state));
  CHECK(desk.talk.primary_is(0));
  desk.operations.detach("nobody", desk.answer());
  CHECK(desk.has_error(base::sqlstate::undefined_object));
  desk.operations.switchover("nobody", desk.answer());
  CHECK(desk.has_error(base::sqlstate::undefined_object));
  desk.operations.believe("1", desk.answer());
  CHECK(desk.has_error(base::sqlstate::object_not_in_prerequisite_state));
}

TEST_CASE("an older refusal does not count for a later request") {
  Desk desk(a_cluster());
  desk.operations.detach("0", desk.answer());
  desk.operations.detach("1", desk.answer());
  CHECK(desk.cell(1) == "disabled");
}

TEST_CASE("a switchover answers when it is over") {
  Desk desk(a_cluster());
  desk.operations.switchover("1", desk.answer());
  CHECK_FALSE(desk.last);
  desk.talk.tell(WritesQuiet{});
  REQUIRE(desk.talk.was_asked(ActionKind::demote, 0));
  desk.talk.says(0, a_primary(2000));
  desk.talk.says(1, a_standby(2000));
  REQUIRE(desk.talk.was_asked(ActionKind::promote, 1));
  desk.operations.check();
  CHECK_FALSE(desk.last);
  desk.talk.says(1, a_primary(2000, 2));
  desk.operations.check();
  CHECK(desk.cell(0) == desk.talk.machine.names()[1].name);
  CHECK(desk.cell(1) == "done");
}

TEST_CASE("a switchover that comes to nothing says why; a second one has to wait") {
  Desk desk(a_cluster());
  desk.operations.switchover("", desk.answer());
  CHECK_FALSE(desk.last);
  std::optional<base::Result<session::LocalTable>> second;
  desk.operations.switchover("", [&](base::Result<session::LocalTable> result) { second = std::move(result); });
  REQUIRE(second);
  CHECK(second->error().sqlstate == base::sqlstate::object_not_in_prerequisite_state);
  desk.talk.after(11s);
  desk.operations.check();
  CHECK(desk.has_error(base::sqlstate::object_not_in_prerequisite_state));
  CHECK(desk.last->error().message == "running transactions did not end in time");
}

TEST_CASE("who only observes does not switch over") {
  Desk desk(a_cluster(FailoverRules{}), "observe");
  desk.operations.switchover("", desk.answer());
  CHECK(desk.has_error(base::sqlstate::object_not_in_prerequisite_state));
}

TEST_CASE("events and the state of the failover") {
  Desk desk(a_cluster());
  desk.operations.failover(desk.answer());
  CHECK(desk.cell(0) == "promote");
  CHECK(desk.cell(1) == "following");
  CHECK(desk.cell(3) == desk.talk.machine.names()[0].name);
  CHECK(desk.cell(5) == "go on");
  desk.operations.events(desk.answer());
  REQUIRE(desk.last->has_value());
  CHECK((*desk.last)->rows.size() == desk.talk.machine.history().entries().size());
  for (const auto& row : (*desk.last)->rows) CHECK(row.size() == (*desk.last)->columns.size());
}
