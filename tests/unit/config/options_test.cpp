#include "config/options.h"

#include <algorithm>
#include <set>
#include <string>

#include "doctest/doctest.h"

using namespace pgweir::config;

namespace {

template <class Owner>
void check_rows(std::span<const Option<Owner>> rows) {
  std::set<std::string_view> keys;
  for (const Option<Owner>& option : rows) {
    CAPTURE(option.key);
    CHECK(keys.insert(option.key).second);
    CHECK(option.documentation.size() > 20);
    CHECK(option.documentation.ends_with('.'));
    CHECK_FALSE(option.codec.allowed.empty());
    if (option.presence == Presence::inherited || option.presence == Presence::absent) {
      // Nothing by default, and nothing is no text that could be read: who wants it leaves the key out.
      Owner owner;
      CHECK(option.codec.format(owner).empty());
      CHECK_FALSE(option.codec.parse(owner, "").empty());
      CHECK(owner == Owner{});
    }
    if (option.presence != Presence::optional) continue;
    // What the default is written as reads back as the default: it is in range and formats without loss.
    Owner owner;
    CHECK(option.codec.parse(owner, option.codec.format(Owner{})) == "");
    CHECK(owner == Owner{});
  }
}

}  // namespace

TEST_CASE("every row is documented, unique, and has a default that its own codec accepts") {
  check_rows(options());
  check_rows(node_options());
  check_rows(database_options());
  check_rows(user_options());
}

TEST_CASE("every option belongs to a section, and every section has options") {
  for (const Option<Settings>& option : options())
    CHECK(std::any_of(sections().begin(), sections().end(),
                      [&](const Section& s) { return s.name == section_of(option.key); }));
  for (const Section& section : sections()) {
    CAPTURE(section.name);
    const bool has = std::any_of(options().begin(), options().end(),
                                 [&](const auto& option) { return section_of(option.key) == section.name; });
    CHECK(has != is_list(section.name));
  }
}

TEST_CASE("a refused value leaves the settings alone") {
  Settings settings;
  for (const Option<Settings>& option : options()) {
    CAPTURE(option.key);
    // No kind of value allows a control character.
    CHECK(option.codec.parse(settings, "\x01") != "");
    CHECK(settings == Settings{});
  }
}
