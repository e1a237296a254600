// What the configuration file says, as one plain value. The member initialisers are the defaults; everything else about
// a key (name, type, range, documentation, whether a reload may change it) is its row in options.cpp. Holds no secrets.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"

namespace pgweir::config {

enum class TopologyKind : std::uint8_t { streaming, single, logical };
/// With `logical`, where nobody can find it out.
enum class NodeRole : std::uint8_t { origin, replica };
enum class AuthMethod : std::uint8_t { trust, scram_sha_256 };
enum class PoolMode : std::uint8_t { transaction, session, statement };
enum class ListenMode : std::uint8_t { pin, shared };
enum class Reads : std::uint8_t { standbys, primary };
enum class Balance : std::uint8_t { statement, session };
/// From the most lenient to the strictest.
enum class Consistency : std::uint8_t { eventual, session, strict };
/// Who promotes. `observe`: somebody else. `promote`: pgweir, by SQL. `command`: pgweir decides, the operator's
/// programs do it.
enum class FailoverMode : std::uint8_t { observe, promote, command };
/// libpq's sslmode, for either side.
enum class TlsMode : std::uint8_t { disable, allow, prefer, require, verify_ca, verify_full };
enum class TlsVersion : std::uint8_t { v1_2, v1_3 };

/// The words of the configuration file.
[[nodiscard]] std::string_view name_of(TopologyKind value);
[[nodiscard]] std::string_view name_of(NodeRole value);
[[nodiscard]] std::string_view name_of(AuthMethod value);
[[nodiscard]] std::string_view name_of(PoolMode value);
[[nodiscard]] std::string_view name_of(ListenMode value);
[[nodiscard]] std::string_view name_of(Reads value);
[[nodiscard]] std::string_view name_of(Balance value);
[[nodiscard]] std::string_view name_of(Consistency value);
[[nodiscard]] std::string_view name_of(FailoverMode value);
[[nodiscard]] std::string_view name_of(TlsMode value);
[[nodiscard]] std::string_view name_of(TlsVersion value);

/// The finest unit that a configuration file can say.
using Duration = std::chrono::microseconds;

inline constexpr std::size_t kKiB = 1024;
inline constexpr std::size_t kMiB = 1024 * kKiB;
inline constexpr std::size_t kGiB = 1024 * kMiB;

// All files of TLS are resolved against the configuration file's directory; empty: none.

/// Between clients and pgweir.
struct ClientTls {
  TlsMode mode = TlsMode::disable;
  std::string cert_file, key_file;  ///< pgweir's own
  std::string key_passphrase_command;
  std::string ca_file, crl_file;  ///< for clients' certificates
  TlsVersion min_version = TlsVersion::v1_2;
  friend bool operator==(const ClientTls&, const ClientTls&) = default;
};

/// Between pgweir and servers.
struct ServerTls {
  TlsMode mode = TlsMode::disable;
  std::string ca_file, crl_file;    ///< for servers' certificates
  std::string cert_file, key_file;  ///< by which pgweir proves who it is
  TlsVersion min_version = TlsVersion::v1_2;
  friend bool operator==(const ServerTls&, const ServerTls&) = default;
};

/// A table, or all those of a schema. As PostgreSQL keeps the names, without quotes.
struct TableName {
  std::string schema;
  std::string name;  ///< "*": all
  friend bool operator==(const TableName&, const TableName&) = default;
};

/// What one node says of it: what is given stands in for the value of `tls.server`.
struct NodeTls {
  std::optional<TlsMode> mode{};
  std::optional<std::string> ca_file{}, crl_file{}, cert_file{}, key_file{};
  std::string server_name;  ///< instead of the node's host; empty: that
  friend bool operator==(const NodeTls&, const NodeTls&) = default;
};

/// One element of `nodes`; its position is the NodeId, which it keeps as long as the process lives.
struct NodeSettings {
  std::string name;
  std::string host;  ///< name or address; an absolute path is the directory of a Unix socket
  std::uint16_t port = 5432;
  std::uint32_t weight = 1;
  std::uint32_t priority = 0;          ///< of two standbys that have received the same, the greater one is promoted
  std::string replication_host{};      ///< where the other nodes reach it; empty: `host`
  std::uint16_t replication_port = 0;  ///< 0: `port`
  std::string data_directory{};        ///< only for commands
  std::optional<NodeRole> role{};      ///< with topology: logical, and only there
  std::vector<TableName> replicated_tables{};  ///< empty: what the node's subscriptions say
  std::string subscription{};                  ///< the one that counts; empty: all of them
  bool removed = false;                        ///< by a reload: it holds its place, and is used no more
  NodeTls tls{};
  ServerTls server_tls{};  ///< what holds: `tls`, and `tls.server` where it says nothing
  friend bool operator==(const NodeSettings&, const NodeSettings&) = default;
};

/// Where the other nodes reach it.
[[nodiscard]] inline const std::string& replication_host(const NodeSettings& node) {
  return node.replication_host.empty() ? node.host : node.replication_host;
}
[[nodiscard]] inline std::uint16_t replication_port(const NodeSettings& node) {
  return node.replication_port == 0 ? node.port : node.replication_port;
}

struct Listen {
  std::vector<std::string> hosts{"127.0.0.1"};  ///< empty: no TCP
  std::uint16_t port = 6432;
  std::string unix_socket_dir;  ///< empty: none
  std::uint32_t unix_socket_mode = 0770;
  std::uint32_t backlog = 1024;
  friend bool operator==(const Listen&, const Listen&) = default;
};

struct Auth {
  AuthMethod method = AuthMethod::scram_sha_256;
  std::string hba_file;              ///< resolved against the configuration file's directory; empty: `method` for all
  std::string ident_file;            ///< likewise; empty: no maps
  bool allow_cleartext = false;      ///< passwords in clear text over TCP without TLS
  std::string users_file;            ///< resolved against the configuration file's directory; empty: none
  std::string server_password_file;  ///< likewise
  std::string auth_user;             ///< empty: users are not asked for
  std::string auth_database = "postgres";
  std::string auth_query = "SELECT rolname, rolpassword, rolvaliduntil FROM pgweir.lookup($1)";
  Duration cache_ttl = std::chrono::seconds{10};
  Duration failure_delay = std::chrono::seconds{1};
  std::string pam_directory;  ///< empty: the system's
  Duration login_timeout = std::chrono::seconds{60};
  friend bool operator==(const Auth&, const Auth&) = default;
};

/// Who may give which commands to pgweir itself: names of users, who have logged in as everybody else.
struct Admin {
  std::string database = "pgweir";   ///< the admin database
  std::vector<std::string> users;    ///< administrators
  std::vector<std::string> viewers;  ///< may look
  friend bool operator==(const Admin&, const Admin&) = default;
};

/// The section `pool`; also what holds for one user in one database (`Settings::pool_for`). A time of 0: no limit.
struct Pool {
  PoolMode mode = PoolMode::transaction;
  ListenMode listen = ListenMode::pin;
  std::uint32_t size = 20;     ///< server connections per node, database and user
  std::uint32_t min_idle = 0;  ///< of these, kept open though unused
  std::uint32_t reserve = 0;   ///< beyond `size`, for clients that have waited for `reserve_timeout`
  Duration reserve_timeout = std::chrono::seconds{5};
  std::uint32_t max_clients = 10'000;  ///< of the whole process
  Duration queue_timeout = std::chrono::seconds{10};
  Duration connect_timeout = std::chrono::seconds{5};
  Duration server_idle_timeout = std::chrono::minutes{10};
  Duration server_lifetime = std::chrono::hours{1};
  std::uint32_t server_lifetime_jitter = 10;  ///< percent of it
  Duration reset_timeout = std::chrono::seconds{5};
  std::size_t prepared_memory = 64 * kMiB;  ///< per client, and per server connection
  Duration client_idle_timeout{};
  Duration idle_transaction_timeout{};
  Duration query_timeout{};
  Duration transaction_timeout{};
  Consistency consistency = Consistency::session;  ///< of `pool_for`: `routing.consistency`, or what stands in for it
  friend bool operator==(const Pool&, const Pool&) = default;
};

/// One element of `databases` or `users`: what is given stands in for the value of `pool`.
struct PoolOverride {
  std::string name;
  std::optional<PoolMode> mode{};
  std::optional<std::uint32_t> size{}, min_idle{}, reserve{};
  std::optional<std::uint32_t> max_clients{};  ///< of this database or user
  std::optional<Duration> reserve_timeout{}, queue_timeout{}, server_idle_timeout{}, server_lifetime{};
  std::optional<Duration> client_idle_timeout{}, idle_transaction_timeout{}, query_timeout{}, transaction_timeout{};
  std::optional<Consistency> consistency{};  ///< instead of `routing.consistency`
  friend bool operator==(const PoolOverride&, const PoolOverride&) = default;
};

struct Routing {
  Reads reads = Reads::standbys;
  Balance balance = Balance::statement;
  Consistency consistency = Consistency::session;
  Duration freshness_wait = std::chrono::milliseconds{50};  ///< 0: nobody waits
  std::size_t max_replica_lag = kMiB;                       ///< bytes of write-ahead log; 0: no limit
  Duration max_replica_delay{};                             ///< 0: no limit
  std::uint32_t primary_weight = 0;
  bool fallback_to_primary = true;  ///< reads run there when no standby is left
  Duration catalog_refresh = std::chrono::seconds{60};
  std::size_t cache_size = 16 * kMiB;  ///< bytes per worker
  bool parser = true;                  ///< false: statements are not read
  friend bool operator==(const Routing&, const Routing&) = default;
};

struct Monitor {
  std::string user = "pgweir_monitor";
  std::string database = "postgres";
  Duration interval = std::chrono::seconds{1};
  Duration timeout = std::chrono::seconds{3};
  std::uint32_t retries = 1;
  Duration lag_interval = std::chrono::milliseconds{20};
  friend bool operator==(const Monitor&, const Monitor&) = default;
};

struct Failover {
  FailoverMode mode = FailoverMode::observe;
  std::string state_file;          ///< resolved against the configuration file's directory; empty: none
  std::string user;                ///< who acts on the nodes; empty: `monitor.user`
  std::uint32_t minimum_seen = 0;  ///< nodes; 0: a majority
  Duration hold_timeout =
      std::chrono::seconds{30};  ///< of a client that needs a node that is away; 0: it does not wait
  Duration refused_grace = std::chrono::milliseconds{500};
  Duration starting_grace = std::chrono::seconds{10};
  Duration action_timeout = std::chrono::seconds{3};
  Duration promote_timeout = std::chrono::seconds{30};
  Duration switchover_timeout = std::chrono::seconds{10};  ///< for each of its steps
  std::string failover_command, follow_command, rejoin_command;
  Duration command_timeout = std::chrono::minutes{1};
  Duration rejoin_timeout = std::chrono::minutes{30};
  friend bool operator==(const Failover&, const Failover&) = default;
};

struct Limits {
  std::size_t max_query = 64 * kMiB;           ///< bytes of one Query or Parse message that is gathered
  std::size_t max_parse_bytes = 256 * kKiB;    ///< longer texts are not parsed: primary
  std::uint32_t max_parse_tokens = 8'000;      ///< texts of more tokens are not parsed: primary
  std::size_t buffer_high_water = 256 * kKiB;  ///< bytes per session and direction
  friend bool operator==(const Limits&, const Limits&) = default;
};

struct Log {
  base::log::Level level = base::log::Level::info;
  std::string file;  ///< empty: stderr; resolved against the configuration file's directory
  bool connections = true;
  bool routing = false;
  friend bool operator==(const Log&, const Log&) = default;
};

/// What the process may do.
struct Privileges {
  std::string user;         ///< of the operating system; empty: it stays who started it
  bool core_dumps = false;  ///< false: no core files, and other processes may not look into its memory
  friend bool operator==(const Privileges&, const Privileges&) = default;
};

struct Shutdown {
  Duration timeout = std::chrono::seconds{30};
  friend bool operator==(const Shutdown&, const Shutdown&) = default;
};

/// Made by `load_file` (load.h), never changed afterwards; a reload makes another one. A default-constructed one has
/// every default and no nodes.
struct Settings {
  TopologyKind topology = TopologyKind::streaming;
  Listen listen;
  std::uint16_t workers = 0;  ///< 0: as many as there are cores
  std::vector<NodeSettings> nodes;
  Auth auth;
  Admin admin;
  ClientTls client_tls;
  ServerTls server_tls;
  Pool pool;
  std::vector<PoolOverride> databases;
  std::vector<PoolOverride> users;
  Routing routing;
  Monitor monitor;
  Failover failover;
  Limits limits;
  Log log;
  Privileges process;
  Shutdown shutdown;

  /// What holds for this user in this database: `pool` with what is given for either. Where both are given, the user's
  /// mode and times win, and of two sizes the smaller one. Linear in the length of the lists. `max_clients` is that of
  /// `pool`.
  [[nodiscard]] Pool pool_for(std::string_view database, std::string_view user) const;
  /// The entry for this database or user; null when there is none.
  [[nodiscard]] const PoolOverride* database(std::string_view name) const;
  [[nodiscard]] const PoolOverride* user(std::string_view name) const;

  friend bool operator==(const Settings&, const Settings&) = default;
};

}  // namespace pgweir::config
