// Accepts connections on a TCP address or a Unix socket.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "base/result.h"
#include "net/address.h"

namespace pgweir::net {

class Loop;

/// A socket that clients can connect to, whether or not somebody accepts them yet. Closed with it, its file removed.
class ListeningSocket {
 public:
  /// Blocks. `unix_mode`: permissions of the Unix socket's file. Fails with the address and the reason.
  static base::Result<ListeningSocket> open(const Endpoint& endpoint, int backlog, unsigned unix_mode);
  ListeningSocket(ListeningSocket&& other) noexcept;
  ListeningSocket& operator=(ListeningSocket&& other) = delete;
  ~ListeningSocket();
  [[nodiscard]] int fd() const noexcept { return fd_; }
  /// The file of a Unix socket gets this owner and group; nothing for others. For root.
  [[nodiscard]] base::Result<bool> give_file_to(unsigned uid, unsigned gid) const;

 private:
  ListeningSocket(int fd, std::string path) : fd_(fd), path_(std::move(path)) {}
  int fd_;
  std::string path_;  ///< of a Unix socket
};

/// One owner, one thread. Destroying it stops accepting.
class Listener {
 public:
  /// Called with a connected, non-blocking descriptor that the callee owns.
  using OnAccept = std::function<void(int fd, const PeerAddress& peer)>;

  Listener(Loop& loop, ListeningSocket socket, OnAccept on_accept);
  /// Opens the socket too.
  static base::Result<std::unique_ptr<Listener>> open(Loop& loop, const Endpoint& endpoint, int backlog,
                                                      unsigned unix_mode, OnAccept on_accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  struct Handle;
  Handle* handle_;
};

}  // namespace pgweir::net
