// Reading the small text files that an operator writes, whole. Never follows a file that is not a regular file or a
// pipe.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/result.h"

namespace pgweir::config {

inline constexpr std::size_t kLargestTextFile = std::size_t{64} * 1024 * 1024;

/// Who may have access to the file beside its owner.
enum class FileAccess : std::uint8_t { anyone, owner_and_group };

/// The bytes of the file at `path`, at most kLargestTextFile. The error's message names what the system said, not the
/// path.
[[nodiscard]] base::Result<std::string> read_text_file(const std::string& path, FileAccess access);

}  // namespace pgweir::config
