// Asks an operator's command for the passphrase of a key.
#pragma once
#include <chrono>
#include <string>

#include "base/result.h"

namespace pgweir::net {

/// Runs `command` by /bin/sh and returns the first line of its output, with %p in it replaced by `prompt` and %% by %.
/// Blocks, for `patience` at most; then the command and its children are killed. Errors (F0000): it cannot be run,
/// fails, says nothing or too much, takes too long. The caller clears what it gets.
[[nodiscard]] base::Result<std::string> run_passphrase_command(const std::string& command, const std::string& prompt,
                                                               std::chrono::milliseconds patience);

}  // namespace pgweir::net
