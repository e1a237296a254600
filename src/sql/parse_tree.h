// Owns a parse tree of libpg_query, and visits every message of it without recursion.
// Only files of this folder may include this header: it is the one that includes pg_query.h.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "pg_query.h"
#include "pg_query/pg_query.pb-c.h"

namespace pgweir::sql {

struct FreeParseResult {
  void operator()(PgQuery__ParseResult* tree) const noexcept { pg_query__parse_result__free_unpacked(tree, nullptr); }
};

struct ParsedText {
  std::unique_ptr<PgQuery__ParseResult, FreeParseResult> tree;  ///< null when it could not be parsed
  std::string problem;                                          ///< why not
};

/// Recurses as deep as the text nests: bound the text first (ClassifierLimits) and have kParserStackBytes of stack.
[[nodiscard]] ParsedText parse(std::string_view text);

/// What a Node wraps; null when it is empty.
[[nodiscard]] const ProtobufCMessage* unwrap(const PgQuery__Node* node) noexcept;

/// Calls `visit(child)` for each message directly below `message`, Nodes unwrapped.
template <class Visit>
void for_each_child(const ProtobufCMessage& message, Visit&& visit);

/// The message as a T if it is one, else null. `Descriptor` is T's, as generated.
template <class T>
[[nodiscard]] const T* as(const ProtobufCMessage* message, const ProtobufCMessageDescriptor& descriptor) noexcept {
  return message != nullptr && message->descriptor == &descriptor ? reinterpret_cast<const T*>(message) : nullptr;
}

template <class Visit>
void for_each_child(const ProtobufCMessage& message, Visit&& visit) {
  const auto give = [&](const void* child) {
    if (child == nullptr) return;
    const auto* below = static_cast<const ProtobufCMessage*>(child);
    if (below->descriptor == &pg_query__node__descriptor) below = unwrap(reinterpret_cast<const PgQuery__Node*>(below));
    if (below != nullptr) visit(*below);
  };
  const auto* bytes = reinterpret_cast<const char*>(&message);
  const ProtobufCMessageDescriptor& descriptor = *message.descriptor;
  for (unsigned i = 0; i < descriptor.n_fields; ++i) {
    const ProtobufCFieldDescriptor& field = descriptor.fields[i];
    if (field.type != PROTOBUF_C_TYPE_MESSAGE) continue;
    const void* place = bytes + field.offset;
    if (field.label == PROTOBUF_C_LABEL_REPEATED) {
      const std::size_t count = *reinterpret_cast<const std::size_t*>(bytes + field.quantifier_offset);
      const void* const* children = *static_cast<const void* const* const*>(place);
      for (std::size_t j = 0; j < count; ++j) give(children[j]);
    } else if ((field.flags & PROTOBUF_C_FIELD_FLAG_ONEOF) == 0 ||
               *reinterpret_cast<const std::uint32_t*>(bytes + field.quantifier_offset) == field.id) {
      give(*static_cast<const void* const*>(place));
    }
  }
}

}  // namespace pgweir::sql
