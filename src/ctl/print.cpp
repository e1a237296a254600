// Tables, CSV and JSON; see print.h.
#include "ctl/print.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>

namespace pgweir::ctl {

namespace {

/// Characters of UTF-8, not bytes: names may be in any language.
std::size_t width_of(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

std::string table(const Answer& answer) {
  std::vector<std::size_t> shown, widths;
  for (std::size_t i = 0; i < answer.columns.size(); ++i) {
    std::size_t width = 0;
    for (const auto& row : answer.rows) width = std::max(width, width_of(row[i]));
    if (width == 0 && !answer.rows.empty()) continue;
    shown.push_back(i);
    widths.push_back(std::max(width, width_of(answer.columns[i])));
  }
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    std::string line;
    for (std::size_t n = 0; n < shown.size(); ++n) {
      const std::string& value = row[shown[n]];
      line += (n > 0 ? "  " : "") + value + std::string(widths[n] - width_of(value), ' ');
    }
    line.erase(line.find_last_not_of(' ') + 1);
    out += line + "\n";
  };
  add(answer.columns);
  for (const auto& row : answer.rows) add(row);
  return out;
}

std::string csv(const Answer& answer) {
  std::string out;
  const auto add = [&](const std::vector<std::string>& row) {
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (i > 0) out += ',';
      if (row[i].find_first_of(",\"\r\n") == std::string::npos) {
        out += row[i];
        continue;
      }
      out += '"';
      for (const char c : row[i]) out.append(c == '"' ? 2 : 1, c);
      out += '"';
    }
    out += "\r\n";
  };
  add(answer.columns);
  for (const auto& row : answer.rows) add(row);
  return out;
}

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += std::string("\\") + c;
    else if (static_cast<unsigned char>(c) < 0x20)
      out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
    else
      out += c;
  }
  return out + "\"";
}

std::string json(const Answer& answer) {
  std::string out = "[";
  for (std::size_t r = 0; r < answer.rows.size(); ++r) {
    out += r > 0 ? ",\n {" : "\n {";
    for (std::size_t i = 0; i < answer.columns.size(); ++i)
      out += (i > 0 ? ", " : "") + quoted(answer.columns[i]) + ": " + quoted(answer.rows[r][i]);
    out += "}";
  }
  return out + "\n]\n";
}

}  // namespace

std::string print(const Answer& answer, Format format) {
  switch (format) {
    case Format::table: return table(answer);
    case Format::csv: return csv(answer);
    case Format::json: return json(answer);
  }
  return {};
}

}  // namespace pgweir::ctl
