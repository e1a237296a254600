// One run of the passphrase command; see passphrase.h. Only at start-up and reload: it blocks its thread.
#include "net/passphrase.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <string_view>
#include <thread>

extern char** environ;

namespace pgweir::net {

namespace {

using Clock = std::chrono::steady_clock;
/// OpenSSL's own limit (PEM_BUFSIZE).
constexpr std::size_t kLongest = 1024;

base::Failure failure(const std::string& command, std::string_view what) {
  return base::fail(base::sqlstate::config_file_error,
                    "the command \"" + command + "\" for the passphrase " + std::string(what));
}

std::string with_prompt(std::string_view command, std::string_view prompt) {
  std::string out;
  for (std::size_t i = 0; i < command.size(); ++i) {
    const char next = command[i] == '%' && i + 1 < command.size() ? command[i + 1] : '\0';
    if (next == 'p')
      out += prompt;
    else if (next == '%')
      out += '%';
    else
      out += command[i];
    if (next == 'p' || next == '%') ++i;
  }
  return out;
}

/// In a group of its own, so that all of it can be ended. Its output goes to `fd`.
int spawn(const std::string& command, int fd, pid_t& child) {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  posix_spawn_file_actions_init(&files);
  posix_spawnattr_init(&attributes);
  posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&files, fd, STDOUT_FILENO);
  sigset_t ours;
  sigemptyset(&ours);
  sigaddset(&ours, SIGPIPE);
  posix_spawnattr_setsigdefault(&attributes, &ours);
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
  std::array<char*, 4> words{const_cast<char*>("sh"), const_cast<char*>("-c"), const_cast<char*>(command.c_str()),
                             nullptr};
  const int error = posix_spawn(&child, "/bin/sh", &files, &attributes, words.data(), environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  return error;
}

/// Until the output ends; nothing when that takes too long.
std::optional<std::string> read_output(int fd, Clock::time_point deadline) {
  std::string out;
  out.reserve(2 * kLongest);  // so that no copy of it is left behind where it has grown
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd ready{fd, POLLIN, 0};
    if (left <= 0 || ::poll(&ready, 1, static_cast<int>(left)) == 0) return std::nullopt;
    std::array<char, kLongest> chunk;
    const ssize_t got = ::read(fd, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return out;
    if (out.size() <= kLongest) out.append(chunk.data(), static_cast<std::size_t>(got));
    OPENSSL_cleanse(chunk.data(), chunk.size());
  }
}

/// The exit status of a child, which has closed its output; nothing, and its end, when that takes too long.
std::optional<int> wait_for_end(pid_t child, Clock::time_point deadline) {
  constexpr std::chrono::milliseconds kPause{1};
  int status = 0;
  for (;;) {
    const pid_t ended = ::waitpid(child, &status, WNOHANG);
    if (ended == child) return status;
    if (ended < 0 && errno != EINTR) return std::nullopt;
    if (Clock::now() >= deadline) break;
    std::this_thread::sleep_for(kPause);
  }
  ::kill(-child, SIGKILL);
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return std::nullopt;
}

}  // namespace

base::Result<std::string> run_passphrase_command(const std::string& command, const std::string& prompt,
                                                 std::chrono::milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  std::array<int, 2> ends{};
  if (::pipe2(ends.data(), O_CLOEXEC) != 0)
    return failure(command, std::string("cannot be run: ") + std::strerror(errno));
  pid_t child = 0;
  const int error = spawn(with_prompt(command, prompt), ends[1], child);
  ::close(ends[1]);
  if (error != 0) {
    ::close(ends[0]);
    return failure(command, std::string("cannot be run: ") + std::strerror(error));
  }
  auto output = read_output(ends[0], deadline);
  ::close(ends[0]);
  if (!output) ::kill(-child, SIGKILL);
  const auto status = wait_for_end(child, deadline);
  if (!output || !status) return failure(command, "did not end within " + std::to_string(patience.count()) + " ms");
  if (WIFSIGNALED(*status)) return failure(command, "was ended by signal " + std::to_string(WTERMSIG(*status)));
  if (WEXITSTATUS(*status) != 0)
    return failure(command, "failed with exit status " + std::to_string(WEXITSTATUS(*status)));
  const std::size_t line = std::min(output->find('\n'), output->size());
  OPENSSL_cleanse(output->data() + line, output->size() - line);
  output->resize(line);
  if (!output->empty() && output->back() == '\r') output->pop_back();
  if (output->empty()) return failure(command, "said nothing");
  if (output->size() >= kLongest) return failure(command, "said too much: a passphrase has at most 1023 bytes");
  return std::move(*output);
}

}  // namespace pgweir::net
