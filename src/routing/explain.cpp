// What EXPLAIN ROUTE prints.
#include "routing/route.h"

namespace pgweir::routing {
namespace {

std::string written(const sql::QualifiedName& name) {
  return name.schema.empty() ? name.name : name.schema + "." + name.name;
}
const std::string& written(const std::string& name) { return name; }

template <class Names>
void list(std::string& out, std::string_view title, const Names& names) {
  if (names.empty()) return;
  out.append("; ").append(title).append(": ");
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) out += ", ";
    out += written(names[i]);
  }
}

std::string describe(const sql::StatementFacts& statement) {
  std::string out(sql::name_of(statement.kind));
  if (statement.explain) out.insert(0, "explain of ");
  if (statement.reads_only) out += "; only reads";
  if (statement.row_lock_or_into) out += "; row lock or INTO";
  if (statement.creates_temporary) out += "; makes a temporary object";
  if (!statement.name.empty()) out.append("; name: ").append(statement.name);
  list(out, "functions", statement.functions);
  list(out, "relations", statement.relations);
  list(out, "types", statement.types);
  list(out, "operators", statement.operators);
  list(out, "attributes", statement.attributes);
  return out;
}

}  // namespace

Explanation explain(const Route& route, const sql::QueryFacts& facts) {
  Explanation result;
  result.node_class = name_of(route.node_class);
  if (route.node_class == NodeClass::node) result.node_class.append(" ").append(route.node);
  result.reason = name_of(route.reason);
  if (!route.subject.empty()) result.reason.append(" (").append(route.subject).append(")");
  result.reason.append(": ").append(reasons()[static_cast<std::size_t>(route.reason)].text);
  for (const sql::StatementFacts& statement : facts.statements) {
    if (!result.facts.empty()) result.facts += "\n";
    result.facts += describe(statement);
  }
  if (!facts.problem.empty()) result.facts.append("; problem: ").append(facts.problem);
  return result;
}

}  // namespace pgweir::routing
