// A file of rules and of maps, whatever stands in it: it is read or refused with reasons, the same each time, and what
// was read decides.
#include "auth/hba_file.h"
#include "auth/ident_maps.h"
#include "fuzz/target.h"

using namespace pgweir;

namespace {

/// The first file is `text`; those that it names say little, so that nothing is read without end.
auth::Files files(std::string_view text) {
  return {[text](const std::string& path) -> base::Result<std::string> {
            if (path == "/hba") return std::string(text);
            if (path.size() % 2 == 0) return base::fail(base::sqlstate::config_file_error, "is not there");
            return std::string("local all @/even all trust\n\"x\" y,z\n");
          },
          [](const std::string& path) { return path.size() % 3 == 0; },
          [](const std::string& path) -> base::Result<std::vector<std::string>> {
            return std::vector<std::string>{path + "/1.conf", path + "/22.conf"};
          }};
}

void decide(const auth::Hba& rules) {
  const auth::Memberships roles{"alice", "staff"};
  const auth::Interfaces interfaces{{*auth::parse_address("127.0.0.1"), *auth::parse_address("255.0.0.0")}};
  for (const char* from : {"127.0.0.1", "::1", ""})
    for (const auto replication : {wire::Replication::no, wire::Replication::physical}) {
      auth::Asking asking;
      if (*from != 0) asking.from = *auth::parse_address(from);
      asking.user = "alice";
      asking.database = "db";
      asking.replication = replication;
      asking.memberships = &roles;
      asking.interfaces = &interfaces;
      const auto decision = auth::decide(rules, asking);
      FUZZ_CHECK(decision.what == auth::Decision::What::line || decision.what == auth::Decision::What::no_line);
      FUZZ_CHECK((decision.what == auth::Decision::What::line) == (decision.line != nullptr));
      if (decision.line) FUZZ_CHECK(decision.line->type != auth::HbaLine::Type::hostgssenc);
      if (decision.line) FUZZ_CHECK((decision.line->type == auth::HbaLine::Type::local) == (*from == 0));
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = fuzz::text(data, size);
  const auto rules = auth::parse_hba("/hba", files(text));
  FUZZ_CHECK(rules ? !rules->empty() : !rules.error().empty());
  FUZZ_CHECK(auth::parse_hba("/hba", files(text)).has_value() == rules.has_value());
  if (rules) decide(*rules);
  const auto maps = auth::parse_ident_maps("/hba", files(text));
  FUZZ_CHECK(maps || !maps.error().empty());
  if (maps)
    for (const auto& line : maps->lines) (void)maps->allows(line.map, "alice", "alice", nullptr);
  return 0;
}
