// Structured log lines: an event name, then key=value fields. The sink is spdlog; this header does not include it.
#pragma once
#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string_view>
#include <variant>

namespace pgweir::base::log {

enum class Level : std::uint8_t { debug, info, warning, error };

struct Field {
  std::string_view key;
  std::variant<std::string_view, std::int64_t> value;

  Field(std::string_view k, std::string_view v) : key(k), value(v) {}
  Field(std::string_view k, const char* v) : key(k), value(std::string_view(v)) {}
  template <std::integral I>
  Field(std::string_view k, I v) : key(k), value(static_cast<std::int64_t>(v)) {}
};

/// Sends lines to `path`, or to stderr when it is empty. Not thread-safe against running writers: call it at start-up.
void open(Level level, std::string_view path);
/// Drops lines below `level` from now on. Any thread.
void set_level(Level level);
[[nodiscard]] bool enabled(Level level) noexcept;
/// One line; values with spaces, quotes or control characters are quoted and escaped. Any thread.
void write(Level level, std::string_view event, std::initializer_list<Field> fields = {});

inline void debug(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::debug)) write(Level::debug, event, fields);
}
inline void info(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::info)) write(Level::info, event, fields);
}
inline void warning(std::string_view event, std::initializer_list<Field> fields = {}) {
  if (enabled(Level::warning)) write(Level::warning, event, fields);
}
inline void error(std::string_view event, std::initializer_list<Field> fields = {}) {
  write(Level::error, event, fields);
}

}  // namespace pgweir::base::log
