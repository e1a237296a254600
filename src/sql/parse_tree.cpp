// The only calls of libpg_query. It wants zero-terminated text and gives memory that must be freed its own way.
#include "sql/parse_tree.h"

namespace pgweir::sql {

ParsedText parse(std::string_view text) {
  if (text.find('\0') != std::string_view::npos) return {nullptr, "the text has a zero byte"};
  const std::string terminated(text);
  PgQueryProtobufParseResult result = pg_query_parse_protobuf(terminated.c_str());
  ParsedText parsed;
  if (result.error != nullptr) {
    parsed.problem = result.error->message != nullptr ? result.error->message : "syntax error";
  } else {
    parsed.tree.reset(pg_query__parse_result__unpack(nullptr, result.parse_tree.len,
                                                     reinterpret_cast<const std::uint8_t*>(result.parse_tree.data)));
    if (parsed.tree == nullptr) parsed.problem = "the parse tree could not be read";
  }
  pg_query_free_protobuf_parse_result(result);
  return parsed;
}

const ProtobufCMessage* unwrap(const PgQuery__Node* node) noexcept {
  if (node == nullptr || node->node_case == PG_QUERY__NODE__NODE__NOT_SET) return nullptr;
  // All members of the union are pointers to messages.
  return reinterpret_cast<const ProtobufCMessage*>(node->alias);
}

}  // namespace pgweir::sql
