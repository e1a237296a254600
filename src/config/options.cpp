// The table itself. A row: key, kind of value with its range, whether a reload takes it over, and one paragraph for the
// operator. The default is the member's initialiser in settings.h.
#include "config/options.h"

#include <array>
#include <vector>

#include "config/pool_kinds.h"
#include "config/text_rules.h"

namespace pgweir::config {
namespace {

using namespace std::chrono_literals;
using S = Settings;
namespace kinds = pool_kinds;
using kinds::kDay;

template <class Field>
auto hosts(Field field) {
  return make_codec(std::string(rules::kHostsAllowed), "", field, rules::parse_hosts, rules::format_hosts);
}
/// Written as a list of hosts is.
template <class Field>
auto names(Field field) {
  return make_codec(std::string(rules::kNamesAllowed), "", field, rules::parse_names, rules::format_hosts);
}
template <class Field>
auto tables(Field field) {
  auto codec = make_codec(std::string(rules::kTablesAllowed), "", field, rules::parse_tables, rules::format_tables);
  codec.is_list = true;
  return codec;
}
template <class Field>
auto mode(Field field) {
  return make_codec(std::string(rules::kModeAllowed), "", field, rules::parse_mode, rules::format_mode);
}
template <class Field>
auto workers(Field field) {
  return make_codec(std::string(rules::kWorkersAllowed), "", field, rules::parse_workers, rules::format_workers);
}

constexpr std::array kSections{
    Section{"topology", ""},
    Section{"listen", "Where clients connect."},
    Section{"workers", ""},
    Section{
        "nodes",
        "The PostgreSQL servers, in the order that gives them their node_id, from 0. One to 128 of them. Which one is "
        "the primary is found out, not configured, but for topology: logical. A reload may add and remove nodes (only "
        "with topology: streaming): new "
        "ones get the next node_id, and those that are removed keep theirs, disabled, until a restart; the primary is "
        "removed once another node is the primary. Reordering nodes needs a restart."},
    Section{"auth", "Who may log in, and how pgweir itself logs in to the servers. Secrets live in their own files."},
    Section{"admin", "Who may give pgweir itself commands. What everybody may do stands with the command."},
    Section{"tls",
            "Encryption, between clients and pgweir (client) and between pgweir and the servers (server). All files "
            "are PEM; relative paths start at the directory of this configuration file. On SIGHUP the files are read "
            "again: new connections use what they say, those that are open stay as they are. If one of them is bad, "
            "the log says why, and what was read before stays in use."},
    Section{"pool", "Server connections, who may wait for them, and how long clients may take."},
    Section{"databases",
            "What is different for single databases. Each entry names a database; what it does not give is taken from "
            "pool. Where users has an entry for the client too: of two sizes (pool_size, min_idle, reserve) the "
            "smaller one holds, and for everything else the user's is taken. Both values of max_clients hold."},
    Section{"users", "What is different for single users, as under databases."},
    Section{"routing", "Where statements run."},
    Section{"monitor",
            "How the nodes are watched. pgweir connects to each node with this user and asks for its role, "
            "timeline and position in the write-ahead log. The user needs no privileges but LOGIN and "
            "membership in pg_monitor; its password comes from auth.server_password_file."},
    Section{"failover",
            "What is done when the primary is lost. Only one pgweir may be in charge of a cluster (promote, command); "
            "the others observe."},
    Section{"limits", "Bounds on the memory and time that one client can cost."},
    Section{"log", "What is written, and where."},
    Section{"process", "What the process itself may do."},
    Section{"shutdown", "How pgweir ends."},
};

const std::vector<Option<Settings>>& table() {
  static const std::vector<Option<Settings>> rows{
      {"topology", choice(at(&S::topology)), Reload::restart,
       "How the nodes belong together. `streaming`: one primary and any number of physical standbys. `single`: one "
       "node "
       "that takes everything, whatever its role. `logical`: one origin that takes the writes, and replicas, which are "
       "servers of their own that receive some of its tables, by logical replication or by triggers "
       "(high_availability.md, Logical replication)."},

      {"listen.host", hosts(at(&S::listen, &Listen::hosts)), Reload::restart,
       "Host names or addresses on which clients are accepted over TCP, separated by commas. `0.0.0.0` and `::` mean "
       "all "
       "addresses. Empty: no TCP, only the Unix socket."},
      {"listen.port", number(at(&S::listen, &Listen::port), 1, 65535), Reload::restart,
       "The TCP port, and the number in the name of the Unix socket (`.s.PGSQL.6432`)."},
      {"listen.unix_socket_dir", text(at(&S::listen, &Listen::unix_socket_dir), rules::kSocketDirectory),
       Reload::restart, "The directory in which the Unix socket is made. It must exist. Empty: no Unix socket."},
      {"listen.unix_socket_mode", mode(at(&S::listen, &Listen::unix_socket_mode)), Reload::restart,
       "Access mode of the Unix socket, in octal. Connecting needs the right to write."},
      {"listen.backlog", number(at(&S::listen, &Listen::backlog), 1, 65535), Reload::restart,
       "How many connections the kernel keeps waiting until they are accepted. The kernel's own limit "
       "(net.core.somaxconn) applies too."},

      {"workers", workers(at(&S::workers)), Reload::restart,
       "Worker threads. Each client stays with one of them. `auto`: as many as the machine has cores."},

      {"auth.method", choice(at(&S::auth, &Auth::method)), Reload::yes,
       "How clients prove who they are when there is no auth.hba_file. `scram-sha-256`: by their password, checked "
       "against auth.users_file. `trust`: not at all, anyone who can connect may be any user."},
      {"auth.hba_file", text(at(&S::auth, &Auth::hba_file), rules::kPath), Reload::yes,
       "Who may come in from where, and how they prove who they are: a file in the format of PostgreSQL 16's "
       "pg_hba.conf. The first line that matches decides; without one the client is refused. Methods: trust, reject, "
       "password, md5, scram-sha-256, peer, cert, ldap, pam. Host names are not supported, addresses are; hostgssenc "
       "lines never match. `+role`, "
       "samerole and samegroup ask a node as monitor.user. A relative path starts at the directory of this "
       "configuration file. A reload reads the file again; with an error in it, everything stays as it was. Empty: "
       "auth.method holds for everybody."},
      {"auth.ident_file", text(at(&S::auth, &Auth::ident_file), rules::kPath), Reload::yes,
       "Which users the names of the system (peer) or of certificates (cert) may be, for lines of auth.hba_file with "
       "map=: a file in the format of PostgreSQL 16's pg_ident.conf. Paths and reload as for auth.hba_file."},
      {"auth.allow_cleartext", boolean(at(&S::auth, &Auth::allow_cleartext)), Reload::yes,
       "Whether lines of auth.hba_file with password, ldap or pam may ask for a password in clear text over TCP "
       "without TLS, where anybody on the way can read it."},
      {"auth.users_file", text(at(&S::auth, &Auth::users_file), rules::kPath), Reload::yes,
       "The users and their secrets, one `\"user\" \"secret\"` a line, as in PgBouncer's userlist.txt. A secret is a "
       "SCRAM "
       "verifier (`SELECT rolname, rolpassword FROM pg_authid` shows them), `md5` with 32 digits, or a password. Only "
       "the owner and its group may have access to the file. A relative path starts at the directory of this "
       "configuration file. Empty: none; then auth.auth_user is needed for methods that ask for a password.",
       "users.txt"},
      {"auth.auth_user", text(at(&S::auth, &Auth::auth_user), rules::kMaybeIdentifier), Reload::yes,
       "The user with which pgweir asks a node for the secrets of users that do not stand in auth.users_file, so that "
       "adding a role in PostgreSQL is enough to log in. Its password comes from auth.server_password_file. Empty: "
       "nobody is asked. See security.md for the SQL that it needs."},
      {"auth.auth_database", text(at(&S::auth, &Auth::auth_database), rules::kIdentifier), Reload::yes,
       "The database in which auth.auth_query runs."},
      {"auth.auth_query", text(at(&S::auth, &Auth::auth_query), rules::kQuery), Reload::yes,
       "Asks for one user, $1: name, secret and, as a third column, until when the password is valid (or null). No "
       "row: "
       "no such user. It runs with search_path = pg_catalog, on the primary if there is one."},
      {"auth.cache_ttl", duration(at(&S::auth, &Auth::cache_ttl), 0s, kDay), Reload::yes,
       "How long an answer of auth.auth_query holds. After a failed login it is "
       "asked "
       "again at the next one. That there is no such user holds for 1s at most. 0: asked at each login."},
      {"auth.failure_delay", duration(at(&S::auth, &Auth::failure_delay), 0s, 1min), Reload::yes,
       "A client that has given a wrong password hears of it after this time. When an address has more than 5 such "
       "failures in the last 60 of these times, passwords from there are checked one at a time, each after this time; "
       "users who have logged in from there before, and have not failed since, are let in at once. 0: no delays."},
      {"auth.pam_directory", text(at(&S::auth, &Auth::pam_directory), rules::kPath), Reload::yes,
       "Where the files of PAM services are, for the method pam. Empty: where the system has them (/etc/pam.d)."},
      {"auth.server_password_file", text(at(&S::auth, &Auth::server_password_file), rules::kPath), Reload::restart,
       "The passwords with which pgweir logs in to the servers, one `host:port:database:user:password` a line, as in "
       "PostgreSQL's .pgpass; `*` matches anything. Only the owner and its group may have access to it. A relative "
       "path starts at the directory of this configuration file. For a user who does not stand there the client's own "
       "proof is used, where clients log in by SCRAM and the server has the same verifier."},
      {"auth.login_timeout", duration(at(&S::auth, &Auth::login_timeout), 1s, 10min), Reload::yes,
       "A client that has not finished logging in after this time is disconnected (as PostgreSQL's "
       "authentication_timeout)."},

      {"admin.database", text(at(&S::admin, &Admin::database), rules::kIdentifier), Reload::yes,
       "The database that is none: who connects to it gives commands to pgweir (docs/admin.md). A database of this "
       "name "
       "on the servers cannot be reached."},
      {"admin.users", names(at(&S::admin, &Admin::users)), Reload::yes,
       "Administrators: users who may give every command, separated by commas."},
      {"admin.viewers", names(at(&S::admin, &Admin::viewers)), Reload::yes,
       "Users who may give the commands that only show something, separated by commas. Administrators may too. Nobody "
       "else can connect to admin.database."},

      {"tls.client.mode", choice(at(&S::client_tls, &ClientTls::mode)), Reload::yes,
       "Whether clients may or must use TLS; on Unix sockets there is none. `disable`: they cannot. `allow`, `prefer`: "
       "they may. `require`: they must; without it they are refused (28000). `verify-ca`: they must, and have to show "
       "a "
       "certificate that tls.client.ca_file believes in. `verify-full`: besides, its common name has to be the user's "
       "name. A cancel request is taken without TLS in any mode: drivers send it so."},
      {"tls.client.cert_file", text(at(&S::client_tls, &ClientTls::cert_file), rules::kPath), Reload::yes,
       "pgweir's certificate, followed by those between it and the root. Needed unless tls.client.mode is disable."},
      {"tls.client.key_file", text(at(&S::client_tls, &ClientTls::key_file), rules::kPath), Reload::yes,
       "The key of that certificate. Only its owner may have access to it, who is the user that pgweir runs as; or it "
       "belongs to root, then its group may read it (as PostgreSQL's ssl_key_file)."},
      {"tls.client.key_passphrase_command",
       text(at(&S::client_tls, &ClientTls::key_passphrase_command), rules::kCommand), Reload::yes,
       "A command for /bin/sh whose output is the passphrase of the key, if that is encrypted (as PostgreSQL's "
       "ssl_passphrase_command). `%p` in it stands for a prompt, `%%` for `%`. It has 30s, at each start and reload."},
      {"tls.client.ca_file", text(at(&S::client_tls, &ClientTls::ca_file), rules::kPath), Reload::yes,
       "The certificates of those who sign clients' certificates. With it, a certificate that a client shows has to be "
       "good in every mode. Empty: none is asked for."},
      {"tls.client.crl_file", text(at(&S::client_tls, &ClientTls::crl_file), rules::kPath), Reload::yes,
       "Lists of revoked certificates, one of each signer in tls.client.ca_file. Empty: not looked at."},
      {"tls.client.min_version", choice(at(&S::client_tls, &ClientTls::min_version)), Reload::yes,
       "The oldest version of TLS that clients may speak. The newest that both know is taken."},

      {"tls.server.mode", choice(at(&S::server_tls, &ServerTls::mode)), Reload::restart,
       "How pgweir connects to servers, as libpq's sslmode; on Unix sockets there is no TLS. `disable`: without TLS. "
       "`allow`: without, and with it if the server refuses that. `prefer`: with it, and without if the server has "
       "none. `require`: with it, whoever the server is. `verify-ca`: besides, the server's certificate has to be "
       "signed by somebody in tls.server.ca_file. `verify-full`: besides, it has to be for the node's host. The "
       "monitor "
       "and cancel requests do the same."},
      {"tls.server.ca_file", text(at(&S::server_tls, &ServerTls::ca_file), rules::kPath), Reload::restart,
       "The certificates of those who sign servers' certificates. Needed for verify-ca and verify-full."},
      {"tls.server.crl_file", text(at(&S::server_tls, &ServerTls::crl_file), rules::kPath), Reload::restart,
       "Lists of revoked certificates, one of each signer in tls.server.ca_file. Empty: not looked at."},
      {"tls.server.cert_file", text(at(&S::server_tls, &ServerTls::cert_file), rules::kPath), Reload::restart,
       "The certificate by which pgweir proves to servers who it is. Empty: it shows none."},
      {"tls.server.key_file", text(at(&S::server_tls, &ServerTls::key_file), rules::kPath), Reload::restart,
       "The key of that certificate, not encrypted, with the access that tls.client.key_file has."},
      {"tls.server.min_version", choice(at(&S::server_tls, &ServerTls::min_version)), Reload::restart,
       "The oldest version of TLS that servers may speak."},

      {"pool.mode", kinds::mode(at(&S::pool, &Pool::mode)), Reload::yes,
       "When a server connection goes back to the pool. `transaction`: when no transaction is open and nothing on the "
       "connection ties the client to it; what the client has set and prepared goes with it to the next one. "
       "`session`: when the client leaves. `statement`: as transaction, and transaction blocks are refused. A "
       "reload is for clients that log in afterwards."},
      {"pool.listen", choice(at(&S::pool, &Pool::listen)), Reload::yes,
       "What LISTEN does with pool.mode: transaction. `pin`: the client keeps its server connection until UNLISTEN. "
       "`shared`: one connection to the primary per worker, database and user listens for all clients; it counts in "
       "pool.size, which has to be larger than the number of workers. A LISTEN in a transaction, together with "
       "other statements, of a client that is pinned anyway, or with another client_encoding than the shared "
       "connection's pins as before. pg_listening_channels() does not show shared channels. A client "
       "that leaves more than limits.buffer_high_water of notifications waiting is disconnected (53400). "
       "Notifications name the process of the server that sent them, the client's own too. A reload is for LISTENs "
       "that come afterwards."},
      {"pool.prepared_memory", size(at(&S::pool, &Pool::prepared_memory), 64 * kKiB, 64 * kGiB), Reload::yes,
       "Memory for prepared statements. On one server connection, as estimated: beyond it those that were not used for "
       "the longest time are closed, and prepared again when they are needed. For one client, its texts: beyond it "
       "another statement is refused (53400)."},
      {"pool.size", kinds::size(at(&S::pool, &Pool::size)), Reload::yes,
       "The most server connections per node, database and user. A server's max_connections has to have room for them "
       "and for those of pool.reserve, and for pgweir's own: one per node, one while a catalog is read, and one while "
       "roles are looked up for auth.hba_file."},
      {"pool.min_idle", kinds::more(at(&S::pool, &Pool::min_idle)), Reload::yes,
       "Server connections that are kept ready in each pool though nobody uses them. Missing ones are opened in the "
       "background, within pool.size, once a client has used the pool; neither pool.server_idle_timeout nor "
       "pool.server_lifetime leaves fewer for long. A pool that nobody has used for an hour is let go."},
      {"pool.reserve", kinds::more(at(&S::pool, &Pool::reserve)), Reload::yes,
       "Server connections beyond pool.size, opened one by one while a client has been waiting for longer than "
       "pool.reserve_timeout. They are closed when nobody waits any more."},
      {"pool.reserve_timeout", kinds::patience(at(&S::pool, &Pool::reserve_timeout)), Reload::yes,
       "How long a client has to wait before a connection of pool.reserve is opened for the first in the queue."},
      {"pool.max_clients", kinds::clients(at(&S::pool, &Pool::max_clients)), Reload::yes,
       "The most clients connected at one time. One more is refused with SQLSTATE 53300. Single databases and users "
       "may have limits of their own: databases[].max_clients, users[].max_clients."},
      {"pool.queue_timeout", kinds::patience(at(&S::pool, &Pool::queue_timeout)), Reload::yes,
       "How long a client waits for a server connection while its pool is full, before it gets an error (53300). 0: "
       "for ever. Waiting is first come, first served."},
      {"pool.connect_timeout", duration(at(&S::pool, &Pool::connect_timeout), 10ms, 10min), Reload::yes,
       "How long opening a server connection may take, logging in included."},
      {"pool.server_idle_timeout", kinds::lifetime(at(&S::pool, &Pool::server_idle_timeout)), Reload::yes,
       "A server connection that nobody has used for this time is closed, unless pool.min_idle keeps it. 0: never."},
      {"pool.server_lifetime", kinds::lifetime(at(&S::pool, &Pool::server_lifetime)), Reload::yes,
       "A server connection that is older is closed as soon as nobody uses it. 0: never."},
      {"pool.server_lifetime_jitter", number(at(&S::pool, &Pool::server_lifetime_jitter), 0, 100), Reload::yes,
       "By how many percent of pool.server_lifetime a connection may be closed earlier. Each has its own random share "
       "of that, so that connections opened together do not go together."},
      {"pool.reset_timeout", duration(at(&S::pool, &Pool::reset_timeout), 10ms, 10min), Reload::yes,
       "How long a server connection may take to forget its last client (DISCARD ALL). One that takes longer is "
       "closed."},
      {"pool.client_idle_timeout", kinds::lifetime(at(&S::pool, &Pool::client_idle_timeout)), Reload::yes,
       "A client that has been idle outside a transaction for this time is disconnected (57P05, as PostgreSQL's "
       "idle_session_timeout). 0: never."},
      {"pool.idle_transaction_timeout", kinds::lifetime(at(&S::pool, &Pool::idle_transaction_timeout)), Reload::yes,
       "A client that has been idle in a transaction for this time is disconnected (25P03, as PostgreSQL's "
       "idle_in_transaction_session_timeout). So is one that has left a series of extended-protocol messages without "
       "its Sync. 0: never."},
      {"pool.query_timeout", kinds::lifetime(at(&S::pool, &Pool::query_timeout)), Reload::yes,
       "A statement that a server has been running for this time is cancelled (57014). Waiting for a server connection "
       "does not count, and replication has no limit. When the server does not react to that within 5s, the client is "
       "disconnected. 0: never."},
      {"pool.transaction_timeout", kinds::lifetime(at(&S::pool, &Pool::transaction_timeout)), Reload::yes,
       "A client whose transaction, or single statement outside of one, lasts longer than this is disconnected (25P04, "
       "as PostgreSQL 17's transaction_timeout). 0: never."},

      {"routing.reads", choice(at(&S::routing, &Routing::reads)), Reload::yes,
       "Where statements that only read may run. `standbys`: on a healthy standby that is fresh enough, by weight. "
       "`primary`: everything on the primary."},
      {"routing.balance", choice(at(&S::routing, &Routing::balance)), Reload::yes,
       "How often a node for reads is chosen. `statement`: for each read. `session`: once per client."},
      {"routing.consistency", choice(at(&S::routing, &Routing::consistency)), Reload::yes,
       "What a read on a standby must see. `eventual`: whatever has arrived there, within max_replica_lag and "
       "max_replica_delay. `session`: all that the same client has written or read before. `strict`: that, and all "
       "that was acknowledged to any client of this pgweir before. A client may ask for another one: SET "
       "pgweir.consistency = 'strict' (what ALTER ROLE or ALTER DATABASE says of it is not seen; `users` and "
       "`databases` "
       "are for that)."},
      {"routing.freshness_wait", duration(at(&S::routing, &Routing::freshness_wait), Duration{}, 10s), Reload::yes,
       "A read for which no standby is fresh enough goes to the primary at once. A client whose reads have gone there "
       "for a second without a break, for this reason alone, waits this long for a standby, so that it does not stay "
       "on the primary because it never pauses. 0: it never waits."},
      {"routing.max_replica_lag", size(at(&S::routing, &Routing::max_replica_lag), 0, 1024 * kGiB), Reload::yes,
       "A standby that is further behind the primary than this many bytes of write-ahead log gets no reads. 0: no "
       "limit."},
      {"routing.max_replica_delay", duration(at(&S::routing, &Routing::max_replica_delay), Duration{}, kDay),
       Reload::yes,
       "A standby that has not been seen to have all that was written this long ago gets no reads. Must leave room for "
       "monitor.lag_interval. 0: no limit."},
      {"routing.primary_weight", number(at(&S::routing, &Routing::primary_weight), 0, 1'000'000), Reload::yes,
       "The primary's own share of the reads, beside the weights of the standbys. 0: reads go to it only when no "
       "standby "
       "can take them."},
      {"routing.fallback_to_primary", boolean(at(&S::routing, &Routing::fallback_to_primary)), Reload::yes,
       "`on`: reads run on the primary when no standby is up. `off`: they wait for a standby (failover.hold_timeout). "
       "Either way the primary serves what must be read there, and reads for which no standby is fresh enough."},
      {"routing.catalog_refresh", duration(at(&S::routing, &Routing::catalog_refresh), 1s, kDay), Reload::yes,
       "How often each database's functions, views and types are read again, to know which of them write. A function "
       "that becomes volatile may be taken for a read until then; a standby refuses its writes, and it runs again on "
       "the "
       "primary."},
      {"routing.cache_size", size(at(&S::routing, &Routing::cache_size), 64 * kKiB, 16 * kGiB), Reload::restart,
       "Memory of each worker for what it knows of statements it has seen before."},
      {"routing.parser", boolean(at(&S::routing, &Routing::parser)), Reload::restart,
       "`off`: statements are not read at all, and pgweir is a plain forwarder to the primary. Needs pool.mode: "
       "session "
       "and routing.reads: primary, because nothing is known of what a statement does. There is no SHOW pool_nodes "
       "then. For measuring what reading statements costs."},

      {"monitor.user", text(at(&S::monitor, &Monitor::user), rules::kIdentifier), Reload::restart,
       "The user with which pgweir watches the nodes and reads the catalogs."},
      {"monitor.database", text(at(&S::monitor, &Monitor::database), rules::kIdentifier), Reload::restart,
       "The database to which the monitor connects. It must exist on every node."},
      {"monitor.interval", duration(at(&S::monitor, &Monitor::interval), 50ms, 1h), Reload::yes,
       "How often each node is asked for its health, role and timeline."},
      {"monitor.timeout", duration(at(&S::monitor, &Monitor::timeout), 50ms, 10min), Reload::yes,
       "A node that has not answered after this time, monitor.retries times in a row, is down and gets no new work "
       "until it answers again. One that refuses connections is down at once."},
      {"monitor.retries", number(at(&S::monitor, &Monitor::retries), 1, 100), Reload::restart,
       "How many silences of monitor.timeout in a row make a node down."},
      {"monitor.lag_interval", duration(at(&S::monitor, &Monitor::lag_interval), 1ms, 1min), Reload::yes,
       "How often the positions in the write-ahead log are asked for. With routing.consistency: session this is about "
       "how "
       "long a client's reads stay on the primary after its write, at least."},

      {"failover.mode", choice(at(&S::failover, &Failover::mode)), Reload::restart,
       "`observe`: somebody else promotes (an operator, Patroni, repmgr, a cloud); pgweir follows roles and timelines. "
       "`promote`: pgweir promotes the standby that has received the most, by SQL, and makes the others follow it; see "
       "failover.user for the rights that it needs. PostgreSQL 13 or later. `command`: pgweir decides likewise, and "
       "runs failover.failover_command."},
      {"failover.state_file", text(at(&S::failover, &Failover::state_file), rules::kPath), Reload::restart,
       "Where pgweir keeps what it must not forget in the middle of a failover, when it is restarted: the last primary "
       "and its timeline, who was cut off and from where (with the password in its primary_conninfo, if there is "
       "one). Only its owner may read it. A relative path starts at the directory of this configuration file. Needed "
       "unless failover.mode is observe."},
      {"failover.user", text(at(&S::failover, &Failover::user), rules::kMaybeIdentifier), Reload::restart,
       "The user with which pgweir acts on the nodes, in monitor.database; its password comes from "
       "auth.server_password_file. A superuser, or somebody with the rights that failover_design.md lists. Empty: "
       "monitor.user."},
      {"failover.minimum_seen", number(at(&S::failover, &Failover::minimum_seen), 0, 128), Reload::restart,
       "How many nodes must have given a sign of life for one to be promoted: a pgweir that sees fewer may be the one "
       "that is cut off. 0: a majority of all nodes, and one of two."},
      {"failover.hold_timeout", duration(at(&S::failover, &Failover::hold_timeout), 0s, kDay), Reload::yes,
       "How long a client waits for a node that it needs and that is away: for a primary while there is none, for a "
       "server that has just stopped to answer, for the end of a switchover. Then it gets an error (57P03), and stays "
       "connected. 0: it does not wait."},
      {"failover.refused_grace", duration(at(&S::failover, &Failover::refused_grace), 0s, 1h), Reload::restart,
       "A primary that refuses connections is perhaps being restarted: for this time nobody else is promoted."},
      {"failover.starting_grace", duration(at(&S::failover, &Failover::starting_grace), 0s, kDay), Reload::restart,
       "The same for a primary that is starting up, shutting down or recovering (57P03), or has become a standby."},
      {"failover.action_timeout", duration(at(&S::failover, &Failover::action_timeout), 500ms, 10min), Reload::restart,
       "How long one action on a node may take: to cut it off, to make it follow, to make it refuse writes. It is not "
       "carried out later than that."},
      {"failover.promote_timeout", duration(at(&S::failover, &Failover::promote_timeout), 1s, 1h), Reload::restart,
       "How long a standby has to become the primary (mode promote): it replays first what it has received."},
      {"failover.switchover_timeout", duration(at(&S::failover, &Failover::switchover_timeout), 1s, 10min),
       Reload::restart,
       "In a switchover: how long running writes have to end, and then how long the target has to receive the rest. "
       "When it is over, the old primary goes on."},
      {"failover.failover_command", text(at(&S::failover, &Failover::failover_command), rules::kCommand),
       Reload::restart,
       "Mode command: makes a standby the primary. For /bin/sh, with `%d %h %p %D`: node_id, host, port and "
       "data_directory of the node that was lost; `%m %H %r %R`: the same of the standby that was chosen; `%P %N %S`: "
       "node_id, host and port of the old primary; `%M`: its node_id too; `%%`: a `%`."},
      {"failover.follow_command", text(at(&S::failover, &Failover::follow_command), rules::kCommand), Reload::restart,
       "Mode command: makes a standby (`%d %h %p %D`) follow the new primary (`%m %H %r %R`). The others as in "
       "failover.failover_command. Empty: the failover command has seen to it."},
      {"failover.rejoin_command", text(at(&S::failover, &Failover::rejoin_command), rules::kCommand), Reload::restart,
       "Modes promote and command: makes a node that cannot follow as it is (`%d %h %p %D`; an old primary, as a rule) "
       "a standby of the primary (`%m %H %r %R`). It is used again once it streams. config/pgweir_rejoin.sh is one. "
       "Empty: such a node stays quarantined."},
      {"failover.command_timeout", duration(at(&S::failover, &Failover::command_timeout), 1s, 1h), Reload::restart,
       "How long failover.failover_command and failover.follow_command may take. Then they are ended, with all that "
       "they have started."},
      {"failover.rejoin_timeout", duration(at(&S::failover, &Failover::rejoin_timeout), 1s, kDay), Reload::restart,
       "How long failover.rejoin_command may take."},

      {"limits.max_query", size(at(&S::limits, &Limits::max_query), kKiB, kGiB), Reload::yes,
       "The longest statement text (Query or Parse message) that is gathered in memory to be read. Data in Bind and "
       "COPY "
       "messages is streamed and not bounded by this."},
      {"limits.max_parse_bytes", size(at(&S::limits, &Limits::max_parse_bytes), kKiB, 16 * kMiB), Reload::restart,
       "Longer statement texts are not parsed; they run on the primary."},
      {"limits.max_parse_tokens", number(at(&S::limits, &Limits::max_parse_tokens), 100, 50'000), Reload::restart,
       "Statements of more tokens (words, numbers, operators) are not parsed; they run on the primary. The parser's "
       "stack "
       "grows with them."},
      {"limits.buffer_high_water", size(at(&S::limits, &Limits::buffer_high_water), 16 * kKiB, 64 * kMiB), Reload::yes,
       "When this much waits for a peer that is slow to read, nothing more is read from the other side of its session "
       "until it has caught up."},

      {"log.level", choice(at(&S::log, &Log::level)), Reload::yes, "Less important lines are not written."},
      {"log.file", text(at(&S::log, &Log::file), rules::kPath), Reload::restart,
       "The file to which lines are appended. A relative path starts at the directory of this configuration file. "
       "Empty: "
       "standard error."},
      {"log.connections", boolean(at(&S::log, &Log::connections)), Reload::yes,
       "Write a line when a client connects and when it leaves."},
      {"log.routing", boolean(at(&S::log, &Log::routing)), Reload::yes,
       "Write a line for every routing decision: node, reason and what was decisive. Many lines; for finding out why."},

      {"process.user", text(at(&S::process, &Privileges::user), rules::kSystemUser), Reload::restart,
       "The user of the operating system who pgweir becomes when it listens, if root has started it: with this user's "
       "groups and with no way back. The files that it names, and listen.unix_socket_dir, must be accessible to this "
       "user, because a reload reads them again. Empty: it stays who started it; as root it says so in the log."},
      {"process.core_dumps", boolean(at(&S::process, &Privileges::core_dumps)), Reload::restart,
       "Whether the kernel may write a core file when pgweir crashes, and debuggers of the same user may attach. Off: "
       "neither, because its memory holds passwords."},

      {"shutdown.timeout", duration(at(&S::shutdown, &Shutdown::timeout), 0s, kDay), Reload::yes,
       "How long open transactions may go on after SIGTERM, before their clients are disconnected."},
  };
  return rows;
}

const std::vector<Option<NodeSettings>>& node_table() {
  using N = NodeSettings;
  const auto mode = [](auto field) { return choice(field); };
  const auto path = [](auto field) { return text(field, rules::kFile); };
  static const std::vector<Option<N>> rows{
      {"name", text(at(&N::name), rules::kNodeName), Reload::restart,
       "What the node is called in hints, errors and logs. Unique.", "pg1", Presence::required},
      {"host", text(at(&N::host), rules::kNodeHost), Reload::restart,
       "Where the server listens: a host name, an address, or the absolute path of its Unix socket's directory.",
       "10.0.0.11", Presence::required},
      {"port", number(at(&N::port), 1, 65535), Reload::restart,
       "The server's port. No two nodes have the same host and port."},
      {"weight", number(at(&N::weight), 0, 1'000'000), Reload::yes,
       "The node's share of the reads while it is a standby, beside the weights of the others. 0: it gets none."},
      {"priority", number(at(&N::priority), 0, 1'000'000), Reload::restart,
       "Of two standbys that have received the same, the one with the greater priority is promoted."},
      {"replication_host", text(at(&N::replication_host), rules::kMaybeNodeHost), Reload::restart,
       "Where the other nodes reach this one, if not at host."},
      {"replication_port", number(at(&N::replication_port), 0, 65535), Reload::restart, "The port for that. 0: port."},
      {"data_directory", text(at(&N::data_directory), rules::kPath), Reload::restart,
       "The server's data directory, for the commands of the section failover. Nothing else looks at it."},
      {"role", maybe(at(&N::role), [](auto field) { return choice(field); }), Reload::restart,
       "With topology: logical, and only there: `origin` takes the writes, `replica` receives some of its tables. "
       "There "
       "is one origin. The command ORIGIN (admin.md) makes another node the origin.",
       "", Presence::absent},
      {"replicated_tables", tables(at(&N::replicated_tables)), Reload::yes,
       "With topology: logical: the tables of this replica that have what the origin's have, whatever the database, as "
       "schema.table or schema.* without quotes; `[public.items, sales.*]`. Reads of others stay on the origin. Empty: "
       "for each database, those that the node's own subscriptions there have copied (pg_subscription_rel), as far as "
       "the origin publishes all of their rows, columns and changes; read at each routing.catalog_refresh."},
      {"subscription", text(at(&N::subscription), rules::kMaybeIdentifier), Reload::yes,
       "With topology: logical: the only subscription of this replica that counts, for the tables that it has and for "
       "how far it is. Where it is not in the node's pg_subscription, it is what the origin's pg_stat_replication "
       "calls "
       "the replica (application_name). Empty: all of the node's subscriptions count, and how far the slowest is."},
      {"tls.mode", maybe(at(&N::tls, &NodeTls::mode), mode), Reload::restart, "Instead of tls.server.mode.", "",
       Presence::inherited},
      {"tls.ca_file", maybe(at(&N::tls, &NodeTls::ca_file), path), Reload::restart, "Instead of tls.server.ca_file.",
       "", Presence::inherited},
      {"tls.crl_file", maybe(at(&N::tls, &NodeTls::crl_file), path), Reload::restart, "Instead of tls.server.crl_file.",
       "", Presence::inherited},
      {"tls.cert_file", maybe(at(&N::tls, &NodeTls::cert_file), path), Reload::restart,
       "Instead of tls.server.cert_file.", "", Presence::inherited},
      {"tls.key_file", maybe(at(&N::tls, &NodeTls::key_file), path), Reload::restart, "Instead of tls.server.key_file.",
       "", Presence::inherited},
      {"tls.server_name", text(at(&N::tls, &NodeTls::server_name), rules::kServerName), Reload::restart,
       "The name that the node's certificate is for, and that is asked for in the handshake (SNI), where nodes[].host "
       "is "
       "an address. Empty: nodes[].host."},
  };
  return rows;
}

}  // namespace

std::span<const Section> sections() { return kSections; }
std::span<const Option<Settings>> options() { return table(); }
std::span<const Option<NodeSettings>> node_options() { return node_table(); }

}  // namespace pgweir::config
