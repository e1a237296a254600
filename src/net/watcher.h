// Watches a descriptor that somebody else owns and reads: libpq's sockets, and nothing on the hot path.
#pragma once
#include <cstdint>
#include <functional>

namespace pgweir::net {

class Loop;

enum class Interest : std::uint8_t { none, readable, writable, both };

/// One owner, one thread. Must be destroyed before the descriptor is closed.
class Watcher {
 public:
  Watcher(Loop& loop, int fd, std::function<void()> on_ready);
  ~Watcher();
  Watcher(const Watcher&) = delete;
  Watcher& operator=(const Watcher&) = delete;

  void watch(Interest interest);

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace pgweir::net
