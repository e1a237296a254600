// Time as a value. Everything that decides takes a `Time` as an argument; only `net` and the threads' loops read a
// clock.
#pragma once
#include <chrono>

namespace pgweir::base {

using Clock = std::chrono::steady_clock;
using Time = Clock::time_point;
using Duration = Clock::duration;
using WallTime = std::chrono::system_clock::time_point;

}  // namespace pgweir::base
