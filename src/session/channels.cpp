// LISTEN and UNLISTEN under transactions; see channels.h.
#include "session/channels.h"

#include <algorithm>
#include <utility>

#include "session/settings_text.h"

namespace pgweir::session {

using sql::StatementKind;

void Channels::completed(const Effect& effect, std::string_view tag) {
  switch (effect.kind) {
    case StatementKind::listen:
    case StatementKind::unlisten:
      // Others mean something under a client_encoding that may be another one later: the audit tells.
      if (is_ascii(effect.name)) open_.push_back({effect.name, effect.kind == StatementKind::listen});
      break;
    case StatementKind::discard:
      // Committed at once, whatever follows it in a pipeline.
      if (effect.all) names_.clear();
      break;
    case StatementKind::commit: settle(tag != "COMMIT"); break;
    case StatementKind::rollback: settle(true); break;
    case StatementKind::rollback_to_savepoint:
      std::erase_if(open_, [](const Change& one) { return !one.listens; });
      break;
    default: break;
  }
}

void Channels::add(const std::vector<std::string>& names) {
  for (const std::string& name : names)
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) names_.push_back(name);
}

void Channels::settle(bool failed) {
  const auto changes = std::exchange(open_, {});
  if (failed) return;
  for (const Change& one : changes) {
    if (one.listens)
      add({one.name});
    else if (one.name.empty())
      names_.clear();
    else
      std::erase(names_, one.name);
  }
}

std::string listen_text(const std::vector<std::string>& channels) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  for (const std::string& channel : channels) {
    if (!text.empty()) text += ';';
    if (is_ascii(channel)) {
      text += "LISTEN " + to_identifier(channel);
      continue;
    }
    std::string hex;
    for (const char c : channel) {
      hex += kDigits[static_cast<unsigned char>(c) >> 4U];
      hex += kDigits[static_cast<unsigned char>(c) & 15U];
    }
    text +=
        "DO LANGUAGE plpgsql 'BEGIN EXECUTE pg_catalog.format(''LISTEN %I'', pg_catalog.convert_from("
        "pg_catalog.decode(''" +
        hex + "'', ''hex''), pg_catalog.getdatabaseencoding())); END'";
  }
  return text;
}

}  // namespace pgweir::session
