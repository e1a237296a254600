// Accepts connections on a TCP address or a Unix socket.
#pragma once
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "net/address.h"

namespace pgweir::net {

class Loop;

/// One owner, one thread. Destroying it stops accepting and removes the Unix socket's file.
class Listener {
 public:
  /// Called with a connected, non-blocking descriptor that the callee owns.
  using OnAccept = std::function<void(int fd)>;

  /// `unix_mode`: permissions of the Unix socket's file. Fails with the address and the reason.
  static base::Result<std::unique_ptr<Listener>> open(Loop& loop, const Endpoint& endpoint, int backlog,
                                                      unsigned unix_mode, OnAccept on_accept);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  struct Handle;
  Listener() = default;
  Handle* handle_ = nullptr;
  std::string unlink_path_;
};

}  // namespace pgweir::net
