// How pgweirctl prints an answer: for people, for spreadsheets, for programs. Pure.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace pgweir::ctl {

struct Answer {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;
};

enum class Format : std::uint8_t { table, csv, json };

/// `table`: columns side by side, without what is empty in every row. `csv`: RFC 4180, with a header. `json`: a list of
/// objects; every value is a string. Ends with a new line.
[[nodiscard]] std::string print(const Answer& answer, Format format);

}  // namespace pgweir::ctl
