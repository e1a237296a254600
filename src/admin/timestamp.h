// How commands write times.
#pragma once
#include <array>
#include <ctime>
#include <string>

#include "base/clock.h"

namespace pgweir::admin {

/// To the second, in the process's time zone.
[[nodiscard]] inline std::string timestamp(base::WallTime when) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(when);
  std::tm local{};
  localtime_r(&seconds, &local);
  std::array<char, 32> text{};
  const std::size_t size = std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M:%S", &local);
  return {text.data(), size};
}

}  // namespace pgweir::admin
