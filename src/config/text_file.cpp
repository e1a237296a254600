// Opens first and asks the open file what it is, so that it cannot be exchanged in between.
#include "config/text_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <system_error>

#include "base/secret_text.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

class Descriptor {
 public:
  explicit Descriptor(int fd) : fd_(fd) {}
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  [[nodiscard]] int get() const { return fd_; }

 private:
  int fd_;
};

base::Failure system_failure(std::string_view what) {
  return base::fail(base::sqlstate::config_file_error,
                    fmt::format("{}: {}", what, std::generic_category().message(errno)));
}

// The files may hold secrets: no copy is left behind.
void append(std::string& bytes, std::string_view more) {
  if (bytes.capacity() - bytes.size() < more.size()) {
    std::string larger;
    larger.reserve(2 * (bytes.size() + more.size()));
    larger = bytes;
    base::wipe(bytes);
    bytes.swap(larger);
  }
  bytes.append(more);
}

base::Result<std::string> read_all(int fd) {
  std::string bytes;
  std::array<char, 65536> chunk;
  while (true) {
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return system_failure("cannot be read");
    if (got == 0) return bytes;
    append(bytes, {chunk.data(), static_cast<std::size_t>(got)});
    base::wipe(chunk.data(), static_cast<std::size_t>(got));
    if (bytes.size() > kLargestTextFile) return base::fail(base::sqlstate::config_file_error, "is larger than 64MB");
  }
}

}  // namespace

base::Result<std::string> read_text_file(const std::string& path, FileAccess access) {
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (file.get() < 0) return system_failure("cannot be opened");
  struct stat info {};
  if (::fstat(file.get(), &info) != 0) return system_failure("cannot be examined");
  if (!S_ISREG(info.st_mode) && !S_ISFIFO(info.st_mode))
    return base::fail(base::sqlstate::config_file_error, "is not a regular file");
  if (access == FileAccess::owner_and_group && S_ISREG(info.st_mode) && (info.st_mode & 0037) != 0)
    return base::fail(
        base::sqlstate::config_file_error,
        fmt::format("has mode {:04o}; allowed is access for its owner and reading for its group (chmod 0600)",
                    info.st_mode & 07777));
  return read_all(file.get());
}

}  // namespace pgweir::config
