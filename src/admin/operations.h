// What the operator asks of the failover machine, and when the answer is known. Lives on the control thread.
#pragma once
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "base/clock.h"
#include "cluster/failover_machine.h"
#include "session/local_commands.h"

namespace pgweir::admin {

/// How a request has ended, from the machine before and after it; nothing: it has not.
using Outcome = std::optional<base::Result<bool>>;
/// `seen`: how many entries the history had before the switchover was asked for.
[[nodiscard]] Outcome outcome_of_switchover(const cluster::FailoverMachine& machine, std::uint64_t seen,
                                            std::optional<base::NodeId> old_primary);
/// Of what is answered at once: an error when the machine has noted one since `seen`.
[[nodiscard]] base::Result<bool> outcome_of_request(const cluster::FailoverMachine& machine, std::uint64_t seen);

class Operations {
 public:
  using Answer = session::LocalCommands::Answer;
  /// Tells the machine, and whoever has to know what follows from it.
  using Request = std::function<void(const cluster::Event&)>;

  /// `machine` outlives it.
  Operations(const cluster::FailoverMachine& machine, Request request, std::string_view mode)
      : machine_(machine), request_(std::move(request)), mode_(mode) {}

  /// `node`: a name, or nothing where a command can do without. 42704: there is no such node. 55000: not possible now.
  void attach(std::string_view node, const Answer& answer);
  void detach(std::string_view node, const Answer& answer);
  void believe(std::string_view node, const Answer& answer);
  void origin(std::string_view node, const Answer& answer);
  void switchover(std::string_view node, Answer answer);
  void events(const Answer& answer) const;
  void failover(const Answer& answer) const;
  /// The machine may have changed.
  void check();

 private:
  struct Pending {
    std::uint64_t seen = 0;
    std::optional<base::NodeId> old_primary;
    Answer answer;
  };

  [[nodiscard]] base::Result<base::NodeId> find(std::string_view name) const;
  void ask_about(std::string_view node, const std::function<cluster::Event(base::NodeId)>& event, const Answer& answer);
  [[nodiscard]] std::string name_of(std::optional<base::NodeId> node) const;

  const cluster::FailoverMachine& machine_;
  Request request_;
  std::string_view mode_;
  std::optional<Pending> switchover_;
};

}  // namespace pgweir::admin
