// One function per rule. Each looks at values that are fine by themselves.
#include "config/cross_checks.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "config/failover_command.h"
#include "config/text_rules.h"
#include "config/units.h"
#include "fmt/format.h"

namespace pgweir::config {
namespace {

using Violations = std::vector<Violation>;

std::string node_key(std::size_t index, std::string_view key) { return fmt::format("nodes[{}].{}", index, key); }

void unique_nodes(const Settings& settings, Violations& out) {
  std::map<std::string, std::size_t> names;
  std::map<std::pair<std::string, std::uint16_t>, std::size_t> addresses;
  for (std::size_t i = 0; i < settings.nodes.size(); ++i) {
    const NodeSettings& node = settings.nodes[i];
    if (const auto [first, added] = names.emplace(node.name, i); !added && !node.name.empty())
      out.push_back(
          {node_key(i, "name"), fmt::format("found {}, which is also the name of nodes[{}]; names have to be unique",
                                            in_quotes(node.name), first->second)});
    if (const auto [first, added] = addresses.emplace(std::pair(node.host, node.port), i); !added && !node.host.empty())
      out.push_back(
          {node_key(i, "host"),
           fmt::format("found {} port {}, which is also where nodes[{}] is; two nodes cannot be the same server",
                       in_quotes(node.host), node.port, first->second),
           {node_key(i, "port"), node_key(first->second, "port")}});
  }
}

void unique_names(std::string_view list, const std::vector<PoolOverride>& entries, Violations& out) {
  std::map<std::string_view, std::size_t> names;
  for (std::size_t i = 0; i < entries.size(); ++i)
    if (const auto [first, added] = names.emplace(entries[i].name, i); !added && !entries[i].name.empty())
      out.push_back({fmt::format("{}[{}].name", list, i),
                     fmt::format("found {}, which is also the name of {}[{}]; names have to be unique",
                                 in_quotes(entries[i].name), list, first->second)});
}

/// Calls `check(key, override)` with "databases[0]" and the like.
template <class Check>
void for_each_override(const Settings& settings, Check check) {
  for (std::size_t i = 0; i < settings.databases.size(); ++i)
    check(fmt::format("databases[{}]", i), settings.databases[i]);
  for (std::size_t i = 0; i < settings.users.size(); ++i) check(fmt::format("users[{}]", i), settings.users[i]);
}

void idle_fit_into_pool(const Settings& settings, Violations& out) {
  if (settings.pool.min_idle > settings.pool.size)
    out.push_back(
        {"pool.min_idle",
         fmt::format("found {}, which is more than pool.size ({})", settings.pool.min_idle, settings.pool.size),
         {"pool.size"}});
}

// Each worker would keep one connection for good, and nobody could do anything else.
void listening_leaves_room(const Settings& settings, Violations& out) {
  if (settings.pool.listen != ListenMode::shared) return;
  const auto check = [&](const std::string& key, std::uint32_t size) {
    const std::uint32_t workers = std::max<std::uint32_t>(settings.workers, 1);
    if (size <= workers)
      out.push_back({key,
                     fmt::format("found {}; with pool.listen: shared each worker may keep one connection of a pool to "
                                 "listen, so more than {} are needed (workers)",
                                 size, workers),
                     {"pool.listen", "workers"}});
  };
  check("pool.size", settings.pool.size);
  for_each_override(settings, [&](const std::string& entry, const PoolOverride& its) {
    if (its.size) check(entry + ".pool_size", *its.size);
  });
}

// What a statement leaves on its connection, and whether it writes, only the parser tells.
void unread_statements_stay(const Settings& settings, Violations& out) {
  if (settings.routing.parser) return;
  const std::string key = "routing.parser";
  if (settings.routing.reads != Reads::primary)
    out.push_back(
        {key,
         "found off with routing.reads: standbys; nobody would know what a read is: say routing.reads: primary",
         {"routing.reads"}});
  const auto check = [&](const std::string& mode_key, PoolMode mode) {
    if (mode != PoolMode::session)
      out.push_back({key,
                     fmt::format("found off with {}: {}; nobody would know what a statement leaves on its connection: "
                                 "only session is possible",
                                 mode_key, name_of(mode)),
                     {mode_key}});
  };
  check("pool.mode", settings.pool.mode);
  for_each_override(settings, [&](const std::string& entry, const PoolOverride& its) {
    if (its.mode) check(entry + ".pool_mode", *its.mode);
  });
}

void single_has_one_node(const Settings& settings, Violations& out) {
  if (settings.topology == TopologyKind::single && settings.nodes.size() > 1)
    out.push_back(
        {"nodes", fmt::format("found {} nodes; with topology: single exactly one is allowed", settings.nodes.size())});
}

/// Nobody could find out which of servers that all take writes is the origin.
void roles_are_given(const Settings& settings, Violations& out) {
  const bool is_logical = settings.topology == TopologyKind::logical;
  const std::string topology = fmt::format("topology: {}", name_of(settings.topology));
  std::optional<std::size_t> origin;
  for (std::size_t i = 0; i < settings.nodes.size(); ++i) {
    const NodeSettings& node = settings.nodes[i];
    const auto only_logical = [&](std::string_view key, const std::string& value) {
      out.push_back(
          {node_key(i, key),
           fmt::format("found {} with {}; it is allowed only with topology: logical", in_quotes(value), topology),
           {"topology"}});
    };
    if (!is_logical) {
      if (node.role) only_logical("role", std::string(name_of(*node.role)));
      if (!node.replicated_tables.empty())
        only_logical("replicated_tables", rules::format_tables(node.replicated_tables));
      if (!node.subscription.empty()) only_logical("subscription", node.subscription);
    } else if (!node.role) {
      out.push_back({node_key(i, "role"),
                     "is required with topology: logical; allowed is one of origin, replica",
                     {"topology", fmt::format("nodes[{}]", i)}});
    } else if (node.role == NodeRole::origin && std::exchange(origin, origin.value_or(i))) {
      out.push_back(
          {node_key(i, "role"),
           fmt::format("found \"origin\", which nodes[{}] is already; all nodes but one are replica", *origin),
           {"topology", node_key(*origin, "role")}});
    }
  }
  const bool all_given = std::all_of(settings.nodes.begin(), settings.nodes.end(),
                                     [](const NodeSettings& node) { return node.role.has_value(); });
  if (is_logical && !origin && all_given)
    out.push_back({"nodes", "no node has role: origin; with topology: logical exactly one has to", {"topology"}});
}

void scram_needs_users(const Settings& settings, Violations& out) {
  if (settings.auth.hba_file.empty() && settings.auth.method == AuthMethod::scram_sha_256 &&
      settings.auth.users_file.empty() && settings.auth.auth_user.empty())
    out.push_back(
        {"auth.users_file",
         "is required with auth.method: scram-sha-256 (the default), and is missing or empty; name the file with "
         "the users and their SCRAM verifiers, or auth.auth_user, who asks for them, or say auth.method: trust",
         {"auth"}});
}

void maps_need_rules(const Settings& settings, Violations& out) {
  if (!settings.auth.ident_file.empty() && settings.auth.hba_file.empty())
    out.push_back({"auth.ident_file",
                   "found " + in_quotes(settings.auth.ident_file) +
                       " without auth.hba_file; only lines of an HBA file (map=) look into it",
                   {"auth.hba_file"}});
}

void client_tls_is_whole(const Settings& settings, Violations& out) {
  const ClientTls& tls = settings.client_tls;
  const std::string mode = fmt::format("tls.client.mode: {}", name_of(tls.mode));
  if (!tls.crl_file.empty() && tls.ca_file.empty())
    out.push_back({"tls.client.crl_file",
                   fmt::format("found {} without tls.client.ca_file; only certificates that are checked can be revoked",
                               in_quotes(tls.crl_file)),
                   {"tls.client.ca_file"}});
  if (tls.mode == TlsMode::disable) return;
  const auto need = [&](const std::string& key, const std::string& file, std::string_view what) {
    if (file.empty()) out.push_back({key, fmt::format("is required with {}: {}", mode, what), {"tls.client.mode"}});
  };
  need("tls.client.cert_file", tls.cert_file, "the file with pgweir's certificate");
  need("tls.client.key_file", tls.key_file, "the file with the certificate's key");
  if (tls.mode >= TlsMode::verify_ca)
    need("tls.client.ca_file", tls.ca_file, "the file with those who sign clients' certificates");
}

void failover_is_possible(const Settings& settings, Violations& out) {
  const Failover& failover = settings.failover;
  if (failover.mode == FailoverMode::observe) return;
  const std::string mode = fmt::format("failover.mode: {}", name_of(failover.mode));
  if (settings.topology == TopologyKind::single)
    out.push_back({"failover.mode",
                   fmt::format("found {}; with topology: single there is nobody to promote", name_of(failover.mode)),
                   {"topology"}});
  if (settings.topology == TopologyKind::logical)
    out.push_back({"failover.mode",
                   fmt::format("found {}; with topology: logical roles are given, and nobody is promoted: allowed is "
                               "only observe",
                               name_of(failover.mode)),
                   {"topology"}});
  if (failover.state_file.empty())
    out.push_back({"failover.state_file",
                   fmt::format("is required with {}: the file with what must survive a restart in the middle of a "
                               "failover",
                               mode),
                   {"failover.mode"}});
  if (failover.mode == FailoverMode::command && failover.failover_command.empty())
    out.push_back({"failover.failover_command",
                   fmt::format("is required with {}: the command that makes a standby the primary", mode),
                   {"failover.mode"}});
  if (failover.minimum_seen > settings.nodes.size())
    out.push_back({"failover.minimum_seen",
                   fmt::format("found {}, but there are only {} nodes", failover.minimum_seen, settings.nodes.size()),
                   {"nodes"}});
}

/// What would never be run.
void commands_are_used(const Settings& settings, Violations& out) {
  const Failover& failover = settings.failover;
  const auto check = [&](std::string_view key, const std::string& command, bool is_used) {
    if (!command.empty() && !is_used)
      out.push_back({fmt::format("failover.{}", key),
                     fmt::format("found a command that is not run with failover.mode: {}", name_of(failover.mode)),
                     {"failover.mode"}});
    if (const std::string reason = wrong_placeholder(command); !reason.empty())
      out.push_back({fmt::format("failover.{}", key), reason, {}});
  };
  check("failover_command", failover.failover_command, failover.mode == FailoverMode::command);
  check("follow_command", failover.follow_command, failover.mode == FailoverMode::command);
  check("rejoin_command", failover.rejoin_command, failover.mode != FailoverMode::observe);
}

bool is_address(std::string_view host) {
  return host.find(':') != std::string_view::npos ||
         (!host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos);
}

void server_tls_is_whole(const Settings& settings, Violations& out) {
  for (std::size_t i = 0; i < settings.nodes.size(); ++i) {
    const NodeSettings& node = settings.nodes[i];
    const ServerTls& tls = node.server_tls;
    const auto add = [&](std::string_view key, bool own, std::string message) {
      out.push_back({own ? node_key(i, fmt::format("tls.{}", key)) : fmt::format("tls.server.{}", key),
                     std::move(message),
                     {"tls", node_key(i, "tls")}});
    };
    const bool own_mode = node.tls.mode.has_value();
    if (tls.mode >= TlsMode::verify_ca && tls.ca_file.empty())
      add("mode", own_mode,
          fmt::format("found {}, which needs ca_file: the file with those who sign servers' certificates",
                      name_of(tls.mode)));
    // Whoever names a file expects that it is looked at; but one node may be an exception to what holds for all.
    const bool inherits_file = own_mode && !node.tls.ca_file;
    if (!inherits_file && tls.mode != TlsMode::disable && tls.mode < TlsMode::verify_ca && !tls.ca_file.empty())
      add("mode", own_mode,
          fmt::format("found {} with a ca_file, which it would not look at; say verify-ca or verify-full, or leave "
                      "ca_file out",
                      name_of(tls.mode)));
    if (!tls.crl_file.empty() && tls.ca_file.empty())
      add("crl_file", node.tls.crl_file.has_value(),
          fmt::format("found {} without ca_file; only certificates that are checked can be revoked",
                      in_quotes(tls.crl_file)));
    if (tls.cert_file.empty() != tls.key_file.empty())
      add(tls.key_file.empty() ? "cert_file" : "key_file",
          tls.key_file.empty() ? node.tls.cert_file.has_value() : node.tls.key_file.has_value(),
          "a certificate and its key are needed together: cert_file and key_file");
    if (!node.tls.server_name.empty() && !is_address(node.host))
      add("server_name", true,
          fmt::format("found {}, but host is {}; another name can be given only where host is an address",
                      in_quotes(node.tls.server_name), in_quotes(node.host)));
  }
}

void listens_somewhere(const Settings& settings, Violations& out) {
  if (settings.listen.hosts.empty() && settings.listen.unix_socket_dir.empty())
    out.push_back(
        {"listen", "no client could connect: both listen.host and listen.unix_socket_dir are empty", {"listen"}});
}

// A node that is pgweir itself would make it connect to itself until every slot is taken.
void not_its_own_node(const Settings& settings, Violations& out) {
  const Listen& listen = settings.listen;
  for (std::size_t i = 0; i < settings.nodes.size(); ++i) {
    const NodeSettings& node = settings.nodes[i];
    const bool same_host = std::find(listen.hosts.begin(), listen.hosts.end(), node.host) != listen.hosts.end() ||
                           (!node.host.empty() && node.host == listen.unix_socket_dir);
    if (same_host && node.port == listen.port)
      out.push_back(
          {node_key(i, "host"),
           fmt::format("found {} port {}, which is where pgweir itself listens", in_quotes(node.host), node.port),
           {node_key(i, "port"), "listen"}});
  }
}

}  // namespace

std::vector<Violation> cross_check(const Settings& settings) {
  Violations out;
  unique_nodes(settings, out);
  unique_names("databases", settings.databases, out);
  unique_names("users", settings.users, out);
  idle_fit_into_pool(settings, out);
  listening_leaves_room(settings, out);
  unread_statements_stay(settings, out);
  single_has_one_node(settings, out);
  roles_are_given(settings, out);
  scram_needs_users(settings, out);
  maps_need_rules(settings, out);
  client_tls_is_whole(settings, out);
  server_tls_is_whole(settings, out);
  failover_is_possible(settings, out);
  commands_are_used(settings, out);
  listens_somewhere(settings, out);
  not_its_own_node(settings, out);
  return out;
}

}  // namespace pgweir::config
