// The commands that a session may give: SHOW pool_*. One table (commands.cpp): name, who may, columns, handler.
#pragma once
#include <memory>
#include <mutex>
#include <vector>

#include "session/local_commands.h"
#include "session/worker.h"

namespace pgweir::admin {

/// What commands look at; all of it may be read from any thread.
class View {
 public:
  explicit View(session::Process& process) : process_(process) {}

  void set(routing::TopologyPtr topology, std::shared_ptr<const config::Settings> settings);
  [[nodiscard]] routing::TopologyPtr topology() const;
  [[nodiscard]] std::shared_ptr<const config::Settings> settings() const;
  /// Read statements that the workers have sent to this node.
  [[nodiscard]] std::uint64_t reads(base::NodeId node) const;
  [[nodiscard]] std::vector<std::pair<base::SessionId, session::PinnedSession>> pins() const;
  [[nodiscard]] std::uint64_t lag_bytes(base::NodeId node) const;

 private:
  session::Process& process_;
  mutable std::mutex mutex_;
  routing::TopologyPtr topology_;
  std::shared_ptr<const config::Settings> settings_;
};

/// What it takes to give a command: each includes those before it.
enum class Privilege : std::uint8_t { everyone, viewer, administrator };
/// The only place that decides it. `user` has proved who it is.
[[nodiscard]] bool is_allowed(Privilege needed, std::string_view user, const config::Admin& admin);

class Commands final : public session::LocalCommands {
 public:
  explicit Commands(const View& view) : view_(view) {}
  [[nodiscard]] base::Result<session::LocalTable> show(std::string_view name,
                                                       const session::LocalAsker& asker) const override;
  [[nodiscard]] base::Result<std::vector<std::string_view>> columns(std::string_view name) const override;

 private:
  const View& view_;
};

}  // namespace pgweir::admin
