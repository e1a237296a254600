// Log lines by spdlog; see log.h. The only file that includes it.
#include "base/log.h"

#include <atomic>
#include <cstdio>
#include <memory>
#include <string>

#include "spdlog/sinks/basic_file_sink.h"
#include "spdlog/sinks/stdout_sinks.h"
#include "spdlog/spdlog.h"

namespace pgweir::base::log {

namespace {

std::atomic<Level> g_level{Level::info};
std::shared_ptr<spdlog::logger> g_logger;

spdlog::level::level_enum to_spdlog(Level level) {
  switch (level) {
    case Level::debug: return spdlog::level::debug;
    case Level::info: return spdlog::level::info;
    case Level::warning: return spdlog::level::warn;
    case Level::error: return spdlog::level::err;
  }
  return spdlog::level::err;
}

bool needs_quotes(std::string_view text) {
  if (text.empty()) return true;
  for (const char c : text)
    if (static_cast<unsigned char>(c) <= ' ' || c == '"' || c == '=' || c == '\\' || c == 0x7f) return true;
  return false;
}

void append_quoted(std::string& line, std::string_view text) {
  line += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c == '\n') {
      line += "\\n";
    } else if (static_cast<unsigned char>(c) < ' ' || c == 0x7f) {
      fmt::format_to(std::back_inserter(line), "\\x{:02x}", static_cast<unsigned char>(c));
    } else {
      line += c;
    }
  }
  line += '"';
}

void append_field(std::string& line, const Field& field) {
  line += ' ';
  line += field.key;
  line += '=';
  if (const auto* number = std::get_if<std::int64_t>(&field.value)) {
    line += std::to_string(*number);
    return;
  }
  const auto text = std::get<std::string_view>(field.value);
  if (needs_quotes(text))
    append_quoted(line, text);
  else
    line += text;
}

}  // namespace

void open(Level level, std::string_view path) {
  if (path.empty())
    g_logger = std::make_shared<spdlog::logger>("pgweir", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  else
    g_logger = std::make_shared<spdlog::logger>("pgweir",
                                                std::make_shared<spdlog::sinks::basic_file_sink_mt>(std::string(path)));
  g_logger->set_pattern("%Y-%m-%dT%H:%M:%S.%e%z %l %v");
  g_logger->set_level(spdlog::level::debug);
  g_logger->flush_on(spdlog::level::debug);
  set_level(level);
}

void set_level(Level level) { g_level.store(level, std::memory_order_relaxed); }

bool enabled(Level level) noexcept { return level >= g_level.load(std::memory_order_relaxed); }

void write(Level level, std::string_view event, std::initializer_list<Field> fields) {
  if (!g_logger) return;
  std::string line(event);
  for (const Field& field : fields) append_field(line, field);
  g_logger->log(to_spdlog(level), line);
}

}  // namespace pgweir::base::log
