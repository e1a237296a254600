// The right to use a server connection: exactly one session has it.
#pragma once
#include <utility>

namespace pgweir::pool {

class ServerConnection;
class WorkerPools;

/// Move-only. Destroying a lease that was not given back closes the connection: nobody gets it dirty.
class Lease {
 public:
  Lease() = default;
  Lease(WorkerPools& pools, ServerConnection& server) : pools_(&pools), server_(&server) {}
  Lease(Lease&& other) noexcept
      : pools_(std::exchange(other.pools_, nullptr)), server_(std::exchange(other.server_, nullptr)) {}
  Lease& operator=(Lease&& other) noexcept {
    if (this != &other) {
      close();
      pools_ = std::exchange(other.pools_, nullptr);
      server_ = std::exchange(other.server_, nullptr);
    }
    return *this;
  }
  ~Lease() { close(); }

  explicit operator bool() const { return server_ != nullptr; }
  [[nodiscard]] ServerConnection* server() const { return server_; }
  ServerConnection* operator->() const { return server_; }

  /// For a connection with nothing outstanding, no transaction open, and nothing on it but what is in its books: it is
  /// used again as it is.
  void release();
  /// For a connection with nothing outstanding: it is reset and used again.
  void give_back();
  /// For any other: the server ends what it is doing when it notices.
  void close();

 private:
  WorkerPools* pools_ = nullptr;
  ServerConnection* server_ = nullptr;
};

}  // namespace pgweir::pool
