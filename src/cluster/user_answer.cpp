// Rows to facts about a user; see user_answer.h.
#include "cluster/user_answer.h"

#include <charconv>
#include <chrono>

namespace pgweir::cluster {

namespace {

namespace sqlstate = base::sqlstate;

// Takes a number of `digits` digits at least off the front of `rest`.
std::optional<int> take_number(std::string_view& rest, std::size_t digits) {
  int value = 0;
  const auto parsed = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  const auto length = static_cast<std::size_t>(parsed.ptr - rest.data());
  if (parsed.ec != std::errc() || length < digits || rest.front() == '-') return std::nullopt;
  rest.remove_prefix(length);
  return value;
}

bool take(std::string_view& rest, std::string_view text) {
  if (!rest.starts_with(text)) return false;
  rest.remove_prefix(text.size());
  return true;
}

// "+00", "-03:30", "+05:53:28".
std::optional<std::chrono::seconds> take_offset(std::string_view& rest) {
  const bool negative = rest.starts_with('-');
  if (!take(rest, "+") && !take(rest, "-")) return std::nullopt;
  std::chrono::seconds offset{0};
  for (int unit = 3600; unit > 0; unit /= 60) {
    if (unit < 3600 && !take(rest, ":")) break;
    const auto number = take_number(rest, 2);
    if (!number) return std::nullopt;
    offset += std::chrono::seconds{*number * unit};
  }
  return negative ? -offset : offset;
}

base::Failure bad_answer(std::string detail) {
  return base::fail(sqlstate::config_file_error, "auth.auth_query gives an answer that cannot be used",
                    std::move(detail));
}

}  // namespace

std::optional<base::WallTime> parse_timestamp(std::string_view text) {
  if (text == "infinity") return base::WallTime::max();
  if (text == "-infinity") return base::WallTime::min();
  const bool before_christ = text.ends_with(" BC");
  if (before_christ) text.remove_suffix(3);
  const auto year = take_number(text, 4);
  if (!year || !take(text, "-")) return std::nullopt;
  const auto month = take_number(text, 2);
  if (!month || !take(text, "-")) return std::nullopt;
  const auto day = take_number(text, 2);
  if (!day || !take(text, " ")) return std::nullopt;
  const auto hour = take_number(text, 2);
  if (!hour || !take(text, ":")) return std::nullopt;
  const auto minute = take_number(text, 2);
  if (!minute || !take(text, ":")) return std::nullopt;
  const auto second = take_number(text, 2);
  if (!second) return std::nullopt;
  if (take(text, ".")) text.remove_prefix(std::min(text.find_first_not_of("0123456789"), text.size()));
  const auto offset = take_offset(text);
  if (!offset || !text.empty()) return std::nullopt;
  // The clock counts nanoseconds in 64 bits: years beyond these are as good as for ever.
  constexpr int kFirstYear = 1700, kLastYear = 2250;
  if (before_christ || *year < kFirstYear) return base::WallTime::min();
  if (*year > kLastYear) return base::WallTime::max();
  const std::chrono::year_month_day date{std::chrono::year{*year}, std::chrono::month{static_cast<unsigned>(*month)},
                                         std::chrono::day{static_cast<unsigned>(*day)}};
  if (!date.ok()) return std::nullopt;
  return base::WallTime{std::chrono::sys_days{date}} + std::chrono::hours{*hour} + std::chrono::minutes{*minute} +
         std::chrono::seconds{*second} - *offset;
}

base::Result<KnownUser> user_from(const Rows& rows, std::string_view user) {
  if (rows.empty()) return KnownUser{};
  if (rows.size() > 1) return bad_answer("It gives more than one row for a user.");
  const auto& row = rows.front();
  constexpr std::size_t kFewest = 2, kMost = 3;
  if (row.size() < kFewest || row.size() > kMost)
    return bad_answer("It gives " + std::to_string(row.size()) + " columns; allowed are 2 or 3.");
  if (!row[0]) return KnownUser{};  // a function with OUT parameters gives a row of nulls when it finds nobody
  if (*row[0] != user) return bad_answer("It gives another user than the one that was asked for.");
  KnownUser known;
  if (row.size() == kMost && row[2]) {
    const auto until = parse_timestamp(*row[2]);
    if (!until) return bad_answer("The third column is no timestamp with time zone.");
    known.valid_until = *until;
  }
  if (!row[1] || row[1]->empty()) return known;
  auto secret = config::parse_secret(*row[1]);
  if (!secret) return bad_answer(secret.error().message);
  known.secret = std::move(*secret);
  return known;
}

}  // namespace pgweir::cluster
