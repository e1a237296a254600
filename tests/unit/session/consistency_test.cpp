// The words of pgweir.consistency, in whatever way they come to be among a session's settings.
#include "session/consistency.h"

#include <memory>
#include <string>
#include <vector>

#include "doctest/doctest.h"
#include "session/carried_state.h"
#include "session/last_write.h"
#include "session/settings_text.h"
#include "unit/sql/on_parser_stack.h"

using namespace pgweir;
using namespace std::chrono_literals;
using config::Consistency;
using namespace pgweir::session;

namespace {

pool::SettingsPtr settings(std::vector<pool::SettingText> list) {
  return std::make_shared<const std::vector<pool::SettingText>>(std::move(list));
}

std::string key() { return std::string(kConsistencySetting); }

/// A session that says these statements, each of which succeeds.
std::optional<Consistency> after(const std::vector<std::string>& statements, const pool::SettingsPtr& beginning = {}) {
  CarriedState state;
  state.begin_with(beginning);
  bool open = false;
  for (const std::string& text : statements) {
    EffectsPtr effects;
    test::on_parser_stack(
        [&] { effects = effects_of_query(sql::facts_of(text, sql::ClassifierLimits{}), text, false); });
    REQUIRE(effects);
    open = text == "BEGIN" || (open && text != "COMMIT" && text != "ROLLBACK");
    for (const Effect& effect : *effects) state.completed(effect, text == "COMMIT" ? "COMMIT" : "ROLLBACK");
    state.ready(open ? wire::TransactionStatus::in_transaction : wire::TransactionStatus::idle, false);
  }
  return state.consistency();
}

}  // namespace

TEST_CASE("words") {
  CHECK(consistency_named("eventual") == Consistency::eventual);
  CHECK(consistency_named("Session") == Consistency::session);
  CHECK(consistency_named("STRICT") == Consistency::strict);
  for (const char* word : {"", "stric", "stricter", "on"}) CHECK_FALSE(consistency_named(word));
  const base::Error error = bad_consistency("fresh");
  CHECK(error.sqlstate == base::Sqlstate("22023"));
  CHECK(error.message == "invalid value for parameter \"pgweir.consistency\": \"fresh\"");
  CHECK(error.hint == "Available values: eventual, session, strict.");
}

TEST_CASE("what settings say") {
  CHECK_FALSE(consistency_said(nullptr));
  CHECK_FALSE(consistency_said(settings({{"work_mem", "SET work_mem = 1"}})));
  CHECK_FALSE(consistency_said(settings({{key(), reset_text(key())}})));
  CHECK_FALSE(consistency_said(settings({{key(), set_config_text(key(), "")}})));
  CHECK(consistency_said(settings({{"a", "b"}, {key(), set_config_text(key(), "Eventual")}})) == Consistency::eventual);
  // Nobody could be told that it is wrong.
  CHECK(consistency_said(settings({{key(), set_config_text(key(), "nonsense")}})) == Consistency::strict);
}

TEST_CASE("it follows the statements of a session") {
  CHECK(after({"SET pgweir.consistency = strict"}) == Consistency::strict);
  CHECK(after({"SET pgweir.consistency TO /* eventual */ 'Session'"}) == Consistency::session);
  CHECK(after({"set session \"pgweir\".consistency = \"eventual\" -- strict"}) == Consistency::eventual);
  CHECK(after({"SET pgweir.consistency = strict", "SET pgweir.consistency = eventual"}) == Consistency::eventual);
  CHECK_FALSE(after({"SET pgweir.consistency = strict", "RESET pgweir.consistency"}));
  CHECK_FALSE(after({"SET pgweir.consistency = strict", "SET pgweir.consistency TO DEFAULT"}));
  CHECK_FALSE(after({"SET pgweir.consistency = strict", "DISCARD ALL"}));
  const auto strict = settings({{key(), set_config_text(key(), "strict")}});
  CHECK(after({"SET pgweir.consistency = eventual", "RESET ALL"}, strict) == Consistency::strict);
}

TEST_CASE("it follows the transactions of a session") {
  CHECK(after({"BEGIN", "SET LOCAL pgweir.consistency = strict"}) == Consistency::strict);
  CHECK_FALSE(after({"BEGIN", "SET LOCAL pgweir.consistency = strict", "COMMIT"}));
  CHECK(after({"SET pgweir.consistency = eventual", "BEGIN", "SET pgweir.consistency = strict", "ROLLBACK"}) ==
        Consistency::eventual);
}

TEST_CASE("the last write is the latest one") {
  LastWrite last;
  CHECK(last.when() == base::Time{});
  const base::Time when = base::Time{} + 1h;
  last.note(when);
  last.note(when - 1s);
  CHECK(last.when() == when);
}
