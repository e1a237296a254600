// pgweirctl: gives pgweir's admin database one command and prints what it answers. Its subcommands are the rows of the
// table of commands that have a name for it.
#include <libpq-fe.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>

#include "admin/command_table.h"
#include "ctl/print.h"

namespace {

using pgweir::admin::Argument;
using pgweir::admin::CommandInfo;
using pgweir::ctl::Answer;
using pgweir::ctl::Format;

constexpr int kRefused = 1, kNoConnection = 2;

struct Options {
  std::string host, port, user, database = "pgweir", node;
  Format format = Format::table;
};

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

/// What is said on the command line, else in libpq's environment, else pgweir's own defaults.
std::string chosen(const std::string& given, const char* variable, const char* otherwise) {
  if (!given.empty()) return given;
  const char* from_environment = std::getenv(variable);
  return from_environment != nullptr ? from_environment : otherwise;
}

Connection connect(const Options& options) {
  const std::string host = chosen(options.host, "PGHOST", "127.0.0.1");
  const std::string port = chosen(options.port, "PGPORT", "6432");
  const char* const keys[] = {"host", "port", "user", "dbname", "fallback_application_name", nullptr};
  const char* const values[] = {
      host.c_str(), port.c_str(), options.user.empty() ? nullptr : options.user.c_str(), options.database.c_str(),
      "pgweirctl",  nullptr};
  return {PQconnectdbParams(keys, values, 0), PQfinish};
}

Answer answer_from(const PGresult* result) {
  Answer answer;
  for (int column = 0; column < PQnfields(result); ++column) answer.columns.emplace_back(PQfname(result, column));
  for (int row = 0; row < PQntuples(result); ++row) {
    auto& values = answer.rows.emplace_back();
    for (int column = 0; column < PQnfields(result); ++column) values.emplace_back(PQgetvalue(result, row, column));
  }
  return answer;
}

int run(const CommandInfo& command, const Options& options) {
  const Connection connection = connect(options);
  if (PQstatus(connection.get()) != CONNECTION_OK) {
    std::fprintf(stderr, "pgweirctl: %s", PQerrorMessage(connection.get()));
    return kNoConnection;
  }
  std::string text(command.words);
  if (!options.node.empty()) text += " \"" + options.node + "\"";
  const Result result(PQexec(connection.get(), text.c_str()), PQclear);
  if (PQresultStatus(result.get()) != PGRES_TUPLES_OK) {
    const char* state = PQresultErrorField(result.get(), PG_DIAG_SQLSTATE);
    std::fprintf(stderr, "pgweirctl: %s%s%s", state != nullptr ? state : "", state != nullptr ? ": " : "",
                 PQerrorMessage(connection.get()));
    return PQstatus(connection.get()) == CONNECTION_OK ? kRefused : kNoConnection;
  }
  std::fputs(pgweir::ctl::print(answer_from(result.get()), options.format).c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"pgweirctl: commands for a running pgweir (docs/admin.md)"};
  app.set_help_flag("--help", "Print this help and exit");
  app.set_version_flag("--version", "pgweirctl " PGWEIR_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  Options options;
  const std::map<std::string, Format> formats{{"table", Format::table}, {"csv", Format::csv}, {"json", Format::json}};
  app.add_option("-h,--host", options.host, "Host, or directory of the Unix socket (PGHOST; 127.0.0.1)");
  app.add_option("-p,--port", options.port, "Port of pgweir (PGPORT; 6432)");
  app.add_option("-U,--username", options.user, "User, one of admin.users or admin.viewers (PGUSER)");
  app.add_option("-d,--dbname", options.database, "Name of the admin database (admin.database)")->capture_default_str();
  app.add_option("--format", options.format, "How the answer is printed: table, csv or json")
      ->transform(CLI::CheckedTransformer(formats, CLI::ignore_case));
  const CommandInfo* command = nullptr;
  for (const CommandInfo& one : pgweir::admin::command_table()) {
    if (one.tool.empty()) continue;
    CLI::App* sub = app.add_subcommand(std::string(one.tool), std::string(one.help));
    sub->set_help_flag("--help", "Print this help and exit");
    if (one.argument != Argument::none)
      sub->add_option("node", options.node, "Name or number of the node")->required(one.argument == Argument::node);
    sub->callback([&command, &one] { command = &one; });
  }
  CLI11_PARSE(app, argc, argv);
  // The name stands in quotes in what is sent.
  if (options.node.find('"') != std::string::npos) {
    std::fputs("pgweirctl: names of nodes have no quotes\n", stderr);
    return kRefused;
  }
  return run(*command, options);
}
