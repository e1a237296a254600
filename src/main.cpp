// The daemon's command line: reads the configuration, says what is wrong with it, starts the control thread.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "admin/command_table.h"
#include "base/log.h"
#include "base/privileges.h"
#include "config/load.h"
#include "config/render.h"
#include "control.h"
#include "net/thread.h"

namespace {

using pgweir::config::Problems;

int report(const Problems& problems) {
  for (const auto& problem : problems) std::fprintf(stderr, "%s\n", problem.text().c_str());
  return 1;
}

/// Each client and each server connection is a descriptor: take as many as the system grants.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Only root can become somebody else.
pgweir::base::Result<bool> may_run_as(const pgweir::config::Settings& settings) {
  if (settings.process.user.empty()) return true;
  auto user = pgweir::base::find_system_user(settings.process.user);
  if (!user) return pgweir::base::Failure(user.error());
  if (pgweir::base::runs_as_root() || pgweir::base::runs_as(*user)) return true;
  return pgweir::base::fail(pgweir::base::sqlstate::config_file_error,
                            "pgweir is neither started by root nor by user \"" + user->name + "\"");
}

int serve(const std::string& path, bool check_only) {
  auto settings = pgweir::config::load_file(path);
  if (!settings) return report(settings.error());
  auto auth = pgweir::load_auth(*settings, nullptr);
  if (!auth) return report(auth.error());
  auto tls = pgweir::session::load_tls(*settings);
  if (!tls) {
    const auto& error = tls.error();
    return report({{path, 0, "tls", error.message + (error.detail.empty() ? "" : ". " + error.detail)}});
  }
  auto passwords = pgweir::load_server_passwords(*settings);
  if (!passwords) return report(passwords.error());
  if (auto fit = may_run_as(*settings); !fit) {
    std::fprintf(stderr, "%s: process.user: %s\n", path.c_str(), fit.error().message.c_str());
    return 1;
  }
  auto state = pgweir::load_failover_state(*settings);
  if (!state) {
    std::fprintf(stderr, "%s: failover.state_file: %s\n", path.c_str(), state.error().message.c_str());
    if (!state.error().hint.empty()) std::fprintf(stderr, "hint: %s\n", state.error().hint.c_str());
    return 1;
  }
  if (check_only) {
    std::fputs(pgweir::config::explain(*settings).c_str(), stdout);
    return 0;
  }
  raise_descriptor_limit();
  // Memory holds passwords and data of clients: not for a file, nor for other processes of the same user.
  if (!settings->process.core_dumps) pgweir::base::set_memory(pgweir::base::Memory::hidden);
  pgweir::base::log::open(settings->log.level, settings->log.file);
  int status = 1;
  pgweir::net::Thread control(pgweir::kThreadStackBytes, [&] {
    status = pgweir::Control(path, std::move(*settings), std::move(*auth), std::move(*tls), std::move(*passwords),
                             std::move(*state))
                 .run();
  });
  control.join();
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"pgweir: SQL-aware connection pooling proxy for PostgreSQL"};
  app.set_version_flag("--version", "pgweir " PGWEIR_VERSION);
  std::string path;
  bool check = false;
  const auto print = [&](const char* option, std::string (*page)(), const char* file) {
    app.add_flag_callback(
        option,
        [page] {
          std::fputs(page().c_str(), stdout);
          throw CLI::Success();
        },
        std::string("Print ") + file + " and exit");
  };
  app.add_option("-c,--config", path, "Configuration file");
  app.add_flag("--check", check, "Check the configuration, say what it means, and exit");
  print("--print-config-reference", pgweir::config::render_markdown, "docs/config.md");
  print("--print-config-sample", pgweir::config::render_sample, "config/pgweir.yaml");
  print("--print-command-reference", pgweir::admin::render_command_reference, "docs/admin.md");
  CLI11_PARSE(app, argc, argv);
  if (path.empty()) {
    std::fputs("pgweir: no configuration file given; use -c FILE\n", stderr);
    return 1;
  }
  return serve(path, check);
}
