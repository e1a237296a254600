// A session in the admin database: its protocol is ConsoleFlow's, its commands are the admin floor's. No server is
// asked for anything, so it is served whatever the nodes do.
#include <utility>

#include "base/log.h"
#include "session/session.h"
#include "wire/messages/backend.h"

namespace pgweir::session {

namespace sqlstate = base::sqlstate;

void Session::enter_console() {
  const wire::StartupMessage message = login_->flow.message();
  apply(Event::authenticated);
  if (wire::replication_of(message.replication) != wire::Replication::no)
    return terminate({sqlstate::feature_not_supported, "there is no replication from the admin database"});
  const LocalCommands& commands = *worker_.process().local_commands;
  if (const auto allowed = commands.may_enter(message.user); !allowed) return terminate(allowed.error());
  if (worker_.draining()) return terminate({sqlstate::cannot_connect_now, "pgweir is shutting down"});
  make_secret();
  login_.reset();
  console_ = std::make_unique<Console>(Console{ConsoleFlow(commands, message.user)});
  base::ByteQueue& out = client_.output();
  ConsoleFlow::welcome(out);
  wire::encode_backend_key_data(out, id_.value, secret_.view());
  wire::encode_ready_for_query(out, wire::TransactionStatus::idle);
  apply(Event::welcomed);
  base::log::info("console", {{"session", id_.value}, {"client", peer_.text()}, {"user", message.user}});
  client_held_ = false;
  update_client_reading();
}

std::size_t Session::take_console(std::string_view bytes) {
  std::size_t used = 0;
  do {
    used += console_->flow.take(bytes.substr(used), client_.output());
  } while (run_console());
  if (state_ == State::finished) return bytes.size();
  client_held_ = used < bytes.size() && console_->flow.wanted() != nullptr;
  update_client_reading();
  return used;
}

/// Runs what is wanted, until that takes time or nothing is. True: there may be more to take.
bool Session::run_console() {
  ConsoleFlow& flow = console_->flow;
  bool ran = false;
  while (const ConsoleStatement* statement = flow.wanted()) {
    const std::uint32_t number = ++console_->asked;
    auto answer = [&process = worker_.process(), worker = worker_.id(), id = id_, number](auto result) {
      process.worker(worker)->post([id, number, result = std::move(result)](Worker& there) {
        if (Session* session = there.session(id)) session->answer_console(number, result);
      });
    };
    auto result = worker_.process().local_commands->run(*statement, flow.asker(), std::move(answer));
    if (!result) return false;
    flow.answer(std::move(*result), client_.output());
    ran = true;
  }
  if (flow.over())
    finish("client terminated");
  else
    end_if_idle();
  return ran && state_ != State::finished;
}

void Session::answer_console(std::uint32_t number, base::Result<LocalTable> result) {
  if (state_ == State::finished || number != console_->asked || !console_->flow.wanted()) return;
  console_->flow.answer(std::move(result), client_.output());
  static_cast<void>(run_console());
  if (state_ == State::finished) return;
  client_held_ = console_->flow.wanted() != nullptr;
  update_client_reading();
  if (!client_held_) client_.redeliver();
  work_.give_back_if_over();
}

/// What has been asked for goes on; only its answer is not waited for any more.
void Session::cancel_console() {
  if (!console_->flow.wanted()) return;
  const std::uint32_t number = console_->asked;
  answer_console(number, base::fail(sqlstate::query_canceled, "canceling statement due to user request",
                                    "What was asked for goes on.", "SHOW FAILOVER tells how it ends."));
}

}  // namespace pgweir::session
