// What libuv knows of a Connection; for connection.cpp and connection_tls.cpp only.
#pragma once
#include <uv.h>

#include "net/connection.h"

namespace pgweir::net {

// Outlives the Connection until libuv has let go of it.
struct Connection::Handle {
  uv_poll_t poll{};
  Connection* owner = nullptr;
  int fd = -1;
};

}  // namespace pgweir::net
