// The queries, and the reading of their rows; see audit.h.
#include "session/audit.h"

#include <algorithm>
#include <charconv>

#include "routing/catalog_queries.h"
#include "session/settings_text.h"
#include "wire/crypto.h"
#include "wire/frame.h"

namespace pgweir::session {

namespace {

// 2615 is pg_namespace: what is in the schema of the temporary objects depends on it (catalog/namespace.c,
// RemoveTempRelations). Locks that are still held outside of a transaction are the session's.
constexpr std::string_view kPins =
    "SELECT 'pin', 'temporary_objects', NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_depend"
    " WHERE refclassid OPERATOR(pg_catalog.=) 2615::pg_catalog.oid"
    " AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema())"
    " UNION ALL SELECT 'pin', 'hold_cursor', NULL"
    " WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable)"
    " UNION ALL SELECT 'pin', 'listen', pg_catalog.encode(pg_catalog.convert_to(name,"
    " pg_catalog.getdatabaseencoding()), 'hex') FROM pg_catalog.pg_listening_channels() channels(name)"
    " UNION ALL SELECT 'pin', 'advisory_lock', NULL WHERE EXISTS (SELECT 1 FROM pg_catalog.pg_locks"
    " WHERE locktype OPERATOR(pg_catalog.=) 'advisory' AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid())";

// transaction_isolation and its kin belong to the audit's own transaction.
constexpr std::string_view kRest =
    " UNION ALL SELECT 'setting', name,"
    " pg_catalog.encode(pg_catalog.convert_to(pg_catalog.current_setting(name), 'UTF8'), 'hex')"
    " FROM pg_catalog.pg_settings"
    " WHERE source OPERATOR(pg_catalog.=) 'session'"
    " AND NOT (name OPERATOR(pg_catalog.~) '^transaction_(isolation|read_only|deferrable)$')"
    " UNION ALL SELECT 'role', pg_catalog.current_setting('role'), NULL"
    " UNION ALL SELECT 'authorization', SESSION_USER::pg_catalog.text, NULL"
    " UNION ALL SELECT 'prepared', pg_catalog.count(*)::pg_catalog.text,"
    " pg_catalog.encode(pg_catalog.sha256(pg_catalog.convert_to(COALESCE("
    "pg_catalog.string_agg(name, ',' ORDER BY name COLLATE pg_catalog.\"C\")"
    " FILTER (WHERE pg_catalog.octet_length(name) OPERATOR(pg_catalog.=) pg_catalog.length(name)), ''),"
    " 'UTF8')), 'hex')"
    " FROM pg_catalog.pg_prepared_statements";

std::string lower(std::string_view text) {
  std::string result(text);
  for (char& c : result)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return result;
}

/// A value as the audit gives it: in UTF-8, two hexadecimal digits a byte. So it comes through whatever the session's
/// client_encoding is.
std::string from_hex(std::string_view hex) {
  const auto digit = [](char c) { return static_cast<unsigned>(c <= '9' ? c - '0' : c - 'a' + 10); };
  std::string value;
  for (std::size_t i = 0; i + 1 < hex.size(); i += 2)
    value += static_cast<char>(digit(hex[i]) * 16 + digit(hex[i + 1]));
  return value;
}

/// In ASCII, and without a result, for the same reason.
std::string text_for(std::string_view name, std::string_view hex) {
  const std::string value = from_hex(hex);
  if (is_ascii(value)) return set_config_text(name, value);
  return "SELECT FROM pg_catalog.set_config(" + to_literal(name) + ",pg_catalog.convert_from(pg_catalog.decode('" +
         std::string(hex) + "','hex'),'UTF8'),false)";
}

/// An expression for it: in ASCII, so that bytes of a parameter that happen to look like a name are no error under
/// another client_encoding.
std::string text_of(const std::string& name) {
  if (is_ascii(name) || !is_utf8(name)) return to_literal(name);
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string hex;
  for (const char c : name) {
    hex += kDigits[static_cast<unsigned char>(c) >> 4U];
    hex += kDigits[static_cast<unsigned char>(c) & 15U];
  }
  return "pg_catalog.convert_from(pg_catalog.decode('" + hex + "','hex'),'UTF8')";
}

std::string within_parentheses(std::string_view query) { return "(" + std::string(query) + ")"; }

/// Null: absent.
std::optional<std::string_view> column(wire::BodyReader& reader) {
  const std::int32_t size = reader.int32();
  if (size < 0) return std::nullopt;
  return reader.bytes(static_cast<std::size_t>(size));
}

}  // namespace

std::string audit_query(Audit audit, const std::vector<std::string>& asked, FunctionNames functions) {
  std::string text(kPins);
  if (audit != Audit::all) return text;
  text += kRest;
  const bool looks = functions == FunctionNames::looked_for;
  std::string names, plain;
  for (const std::string& name : asked) {
    std::string& list = is_custom(name) ? names : plain;
    list += (list.empty() ? "" : ",") + text_of(name);
  }
  if (!plain.empty())
    text += " UNION ALL SELECT 'hidden', n, NULL FROM pg_catalog.unnest(ARRAY[" + plain +
            "]::pg_catalog.text[]) n WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_settings s"
            " WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) n)";
  if (names.empty() && !looks) return text;
  // One that a library has defined is in the view.
  text +=
      " UNION ALL SELECT 'custom', n,"
      " pg_catalog.encode(pg_catalog.convert_to(pg_catalog.current_setting(n, true), 'UTF8'), 'hex')"
      " FROM (SELECT pg_catalog.unnest(ARRAY[" +
      names + "]::pg_catalog.text[])" +
      (looks ? " UNION " + within_parentheses(routing::custom_settings_query()) : "") +
      ") names(n) WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_settings s"
      " WHERE pg_catalog.lower(s.name) OPERATOR(pg_catalog.=) n)";
  return text;
}

std::vector<std::string> names_to_ask_for(std::vector<std::string> own, const std::vector<std::string>& of_functions) {
  constexpr std::size_t kMost = 1000;
  std::sort(own.begin(), own.end());
  own.erase(std::unique(own.begin(), own.end()), own.end());
  const auto own_count = static_cast<std::ptrdiff_t>(own.size());
  for (const std::string& name : of_functions) {
    if (own.size() >= kMost) break;
    if (!std::binary_search(own.begin(), own.begin() + own_count, name)) own.push_back(name);
  }
  return own;
}

bool AuditReader::is_known(std::string_view key) const {
  if (std::find(mentioned_.begin(), mentioned_.end(), key) != mentioned_.end()) return true;
  return known_ && std::any_of(known_->begin(), known_->end(), [&](const auto& one) { return one.key == key; });
}

void AuditReader::take_row(std::string_view body) {
  wire::BodyReader reader(body);
  if (reader.uint16() != 3) return fail();
  const std::string_view kind = column(reader).value_or("");
  const std::string_view name = column(reader).value_or("");
  const auto hex = column(reader);
  if (!reader.ok()) return fail();
  if (kind == "pin") {
    for (const PinReasonRow& row : kPinReasons)
      if (row.name == name) pins_.add(row.reason);
    if (hex) channels_.push_back(from_hex(*hex));
  } else if (kind == "setting") {
    settings_.push_back({lower(name), text_for(name, hex.value_or(""))});
  } else if (kind == "custom") {
    // Null: nobody has made it here. Empty: another session may have.
    if (hex && (!hex->empty() || is_known(name))) settings_.push_back({std::string(name), text_for(name, *hex)});
  } else if (kind == "hidden") {
    // The view does not show it to the role of now.
    if (known_)
      for (const auto& one : *known_)
        if (one.key == name) settings_.push_back(one);
  } else if (kind == "role") {
    if (name != "none")
      settings_.push_back({"role", "SET ROLE " + to_identifier(name)});
    else if (is_known("role"))
      settings_.push_back({"role", "SET ROLE NONE"});  // not the one that the session began with
  } else if (kind == "authorization") {
    if (name != user_)
      settings_.push_back({"session_authorization", "SET SESSION AUTHORIZATION " + to_identifier(name)});
  } else if (kind == "prepared") {
    if (std::from_chars(name.data(), name.data() + name.size(), prepared_).ec != std::errc() || !hex) return fail();
    prepared_digest_ = *hex;
  } else {
    fail();
  }
}

std::string digest_of(std::vector<std::string> names) {
  constexpr std::size_t kLongest = 63;  // NAMEDATALEN - 1
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::erase_if(names, [](const std::string& name) { return !is_ascii(name); });
  for (std::string& name : names) name.resize(std::min(name.size(), kLongest));
  std::sort(names.begin(), names.end());
  std::string joined;
  for (const std::string& name : names) joined += (joined.empty() ? "" : ",") + name;
  std::string hex;
  for (const char c : wire::sha256(joined)) {
    const auto byte = static_cast<unsigned char>(c);
    hex += kDigits[byte >> 4U];
    hex += kDigits[byte & 0xfU];
  }
  return hex;
}

bool AuditReader::are_prepared(const std::vector<std::string>& names) const {
  return names.size() == prepared_ && digest_of(names) == prepared_digest_;
}

std::vector<std::string> AuditReader::take_channels() { return std::move(channels_); }

std::vector<pool::SettingText> AuditReader::take_settings() {
  std::sort(settings_.begin(), settings_.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
  const auto same_key = [](const auto& a, const auto& b) { return a.key == b.key; };
  settings_.erase(std::unique(settings_.begin(), settings_.end(), same_key), settings_.end());
  return std::move(settings_);
}

}  // namespace pgweir::session
