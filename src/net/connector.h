// Opens a connection to an endpoint: looks the name up, tries each address in turn, within a time.
#pragma once
#include <functional>
#include <memory>

#include "base/clock.h"
#include "base/result.h"
#include "net/address.h"

namespace pgweir::net {

class Loop;

/// One owner, one thread. Destroying it gives the attempt up; the callback is then never called.
class Connector {
 public:
  /// A connected, non-blocking descriptor that the callee owns; or why not (08006, naming the endpoint). Called once,
  /// never from within the constructor.
  using OnDone = std::function<void(base::Result<int>)>;

  Connector(Loop& loop, Endpoint endpoint, base::Duration timeout, OnDone on_done);
  ~Connector();
  Connector(const Connector&) = delete;
  Connector& operator=(const Connector&) = delete;

 private:
  struct Attempt;
  std::shared_ptr<Attempt> attempt_;
};

}  // namespace pgweir::net
