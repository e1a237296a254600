// The server connections that a session has at the moment, at most one of each node, and what ties it to them. Knows
// nothing about what is said on them.
#pragma once
#include <algorithm>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "pool/lease.h"
#include "pool/server_connection.h"
#include "session/audit.h"
#include "session/channels.h"
#include "session/pins.h"

namespace pgweir::session {

struct Held {
  base::NodeId node;
  pool::Lease lease;
  Pins pins;
  Channels channels{};      ///< what pins it as `listen`; known before the audit has said so
  Audit due = Audit::none;  ///< something was sent that may have changed what `pins` says, or the settings
  /// What is due, or being asked, may be more than channels: if the connection is lost, it is not known what was there.
  bool may_hold_more = false;
  /// The server may have left a transaction open unsaid: the next statement tells, and an audit behind it.
  bool doubtful = false;

  /// Something is there that no other connection has, or it is not known whether.
  [[nodiscard]] bool is_pinned() const { return pins.any() || due != Audit::none; }
};

/// Owned by one session, on its worker's thread.
class Leases {
 public:
  pool::ServerConnection& add(pool::Lease lease) {
    pool::ServerConnection& server = *lease.server();
    held_.push_back({.node = server.node(), .lease = std::move(lease), .pins = {}});
    return server;
  }
  /// Null when there is none of that node.
  [[nodiscard]] Held* find(base::NodeId node) {
    const auto found = std::find_if(held_.begin(), held_.end(), [&](const Held& one) { return one.node == node; });
    return found != held_.end() ? &*found : nullptr;
  }
  [[nodiscard]] const Held* find(base::NodeId node) const { return const_cast<Leases*>(this)->find(node); }
  [[nodiscard]] pool::ServerConnection* server(base::NodeId node) const {
    const Held* there = find(node);
    return there ? there->lease.server() : nullptr;
  }

  [[nodiscard]] bool is_pinned(base::NodeId node) const {
    const Held* there = find(node);
    return there && there->is_pinned();
  }
  [[nodiscard]] bool is_pinned() const {
    return std::any_of(held_.begin(), held_.end(), [](const Held& one) { return one.is_pinned(); });
  }
  [[nodiscard]] bool is_pinned_for(PinReason reason) const {
    return std::any_of(held_.begin(), held_.end(), [&](const Held& one) { return one.pins.has(reason); });
  }
  /// What a statement has done to the session's settings is not known yet.
  [[nodiscard]] bool settings_are_due() const {
    return std::any_of(held_.begin(), held_.end(), [](const Held& one) { return one.due == Audit::all; });
  }
  void note_due(base::NodeId node, Audit audit) {
    if (Held* there = find(node)) there->due = std::max(there->due, audit);
  }

  [[nodiscard]] bool empty() const { return held_.empty(); }
  [[nodiscard]] std::vector<Held>& all() { return held_; }
  [[nodiscard]] const std::vector<Held>& all() const { return held_; }

 private:
  std::vector<Held> held_;
};

}  // namespace pgweir::session
