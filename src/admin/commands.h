// What the commands of the table (command_table.h) do, for SHOW in any session and for the admin database. What changes
// something, or asks what only the control thread knows, is done there (Operations).
#pragma once
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "admin/command_table.h"
#include "admin/operations.h"
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
  /// How old a read on this standby may be; nothing: not known.
  [[nodiscard]] std::optional<base::Duration> lag_time(base::NodeId node) const;

 private:
  session::Process& process_;
  mutable std::mutex mutex_;
  routing::TopologyPtr topology_;
  std::shared_ptr<const config::Settings> settings_;
};

/// The only place that decides it. `user` has proved who it is.
[[nodiscard]] bool is_allowed(Privilege needed, std::string_view user, const config::Admin& admin);

class Commands final : public session::LocalCommands {
 public:
  /// Runs a task on the control thread, later; any thread.
  using OnControl = std::function<void(std::function<void(Operations&)>)>;

  Commands(const View& view, OnControl on_control) : view_(view), on_control_(std::move(on_control)) {}
  [[nodiscard]] base::Result<session::LocalTable> show(std::string_view name,
                                                       const session::LocalAsker& asker) const override;
  [[nodiscard]] base::Result<std::vector<std::string_view>> columns(std::string_view name) const override;
  [[nodiscard]] bool is_console(std::string_view database) const override;
  [[nodiscard]] base::Result<bool> may_enter(std::string_view user) const override;
  [[nodiscard]] std::vector<std::string_view> split(std::string_view text) const override;
  [[nodiscard]] base::Result<session::ConsoleStatementPtr> read(std::string_view statement,
                                                                const session::LocalAsker& asker) const override;
  [[nodiscard]] std::optional<base::Result<session::LocalTable>> run(const session::ConsoleStatement& statement,
                                                                     const session::LocalAsker& asker,
                                                                     Answer answer) const override;

 private:
  [[nodiscard]] base::Result<bool> check_privilege(const CommandInfo& command, std::string_view user) const;

  const View& view_;
  OnControl on_control_;
};

}  // namespace pgweir::admin
