// The machine's query and its answers; see failover_probe.h.
#include "cluster/failover_probe.h"

#include <cerrno>
#include <cstring>

#include <algorithm>
#include <array>
#include <charconv>

namespace pgweir::cluster {

// The receiver's row is read before the positions are: a row of the join is there before its columns are worked out. So
// a position that comes without a receiver is final. A standby without one knows its timeline only by what it has
// written down; the machine remembers the rest.
const std::string_view kFailoverProbe = R"(
SELECT pg_is_in_recovery(),
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery()
            THEN greatest(r.received_tli, (SELECT timeline_id FROM pg_control_checkpoint()),
                          (SELECT min_recovery_end_timeline FROM pg_control_recovery()))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
       CASE WHEN pg_is_in_recovery() THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
            ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn,
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END - '0/0'::pg_lsn,
       CASE WHEN r.pid IS NOT NULL THEN coalesce(r.status, 'hidden') END,
       (extract(epoch FROM clock_timestamp() - r.last_msg_receipt_time) * 1000)::bigint,
       r.sender_host, r.sender_port::text,
       CASE WHEN pg_has_role('pg_read_all_settings', 'MEMBER') THEN current_setting('primary_conninfo') <> '' END,
       coalesce(substring(r.conninfo FROM 'application_name=([^ ]+)'), nullif(current_setting('cluster_name'), '')),
       current_setting('synchronous_standby_names'),
       NULL::text, NULL::text, NULL::text
  FROM (VALUES (1)) one LEFT JOIN pg_stat_wal_receiver r ON true
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, application_name, state, sync_state
  FROM pg_stat_replication)";

namespace {

enum Column : std::size_t {
  in_recovery,
  system_identifier,
  timeline,
  received,
  replayed,
  receiver,
  heard_ms,
  sender_host,
  sender_port,
  has_upstream,
  application_name,
  sync_names,
  peer,
  peer_state,
  peer_sync_state,
  kColumns
};

template <class Number>
bool parse(const std::optional<std::string>& text, Number& number) {
  if (!text) return false;
  const auto end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

base::Failure unexpected() {
  return base::fail(base::sqlstate::internal_error, "the probe's answer has an unexpected form");
}

Receiver receiver_from(const std::optional<std::string>& status) {
  if (!status) return Receiver::none;
  return *status == "streaming" || *status == "hidden" ? Receiver::streaming : Receiver::connecting;
}

bool is_code(std::string_view text) {
  return text.size() == 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); });
}

}  // namespace

base::Result<ProbeAnswer> probe_answer_from(const Rows& rows, const FindNode& find_node) {
  ProbeAnswer answer;
  bool found = false;
  for (const auto& row : rows) {
    if (row.size() != kColumns) return unexpected();
    if (!row[in_recovery]) {
      if (row[peer_sync_state] && *row[peer_sync_state] != "async") answer.peers.push_back(row[peer].value_or(""));
      continue;
    }
    found = true;
    answer.in_recovery = *row[in_recovery] == "t";
    if (!parse(row[system_identifier], answer.system_identifier) || !parse(row[timeline], answer.timeline))
      return unexpected();
    // A standby that has not received or replayed anything yet has no position.
    if (row[received] && !parse(row[received], answer.received)) return unexpected();
    if (row[replayed] && !parse(row[replayed], answer.replayed)) return unexpected();
    answer.receiver = receiver_from(row[receiver]);
    if (row[heard_ms]) {
      std::int64_t ms = 0;
      if (!parse(row[heard_ms], ms)) return unexpected();
      answer.heard_ago = std::chrono::milliseconds(std::max<std::int64_t>(0, ms));
    }
    if (row[sender_host] && row[sender_port]) answer.sender = find_node(*row[sender_host], *row[sender_port]);
    answer.has_upstream = row[has_upstream].value_or("t") == "t";
    answer.application_name = row[application_name].value_or("");
    answer.synchronous_standby_names = row[sync_names].value_or("");
  }
  if (!found) return unexpected();
  return answer;
}

std::vector<ReplicationPeer> walsenders_from(const Rows& rows) {
  std::vector<ReplicationPeer> peers;
  for (const auto& row : rows)
    if (row.size() == kColumns && !row[in_recovery])
      peers.push_back({row[peer].value_or(""), row[peer_state].value_or(""), row[peer_sync_state].value_or("")});
  return peers;
}

base::Error connection_error_from(std::string_view text) {
  base::Error error{base::sqlstate::connection_failure, std::string(text)};
  std::string& message = error.message;
  const auto trim = [&message] {
    while (!message.empty() && (message.back() == '\n' || message.back() == ' ')) message.pop_back();
  };
  trim();
  constexpr std::size_t kCode = 5;
  for (std::size_t at = message.find(":  "); at != std::string::npos; at = message.find(":  ", at + 1)) {
    const std::size_t code = at + 3;
    if (message.size() < code + kCode + 2 || message.compare(code + kCode, 2, ": ") != 0) continue;
    const std::string_view digits(message.data() + code, kCode);
    if (!is_code(digits)) continue;
    error.sqlstate = base::Sqlstate(std::string(digits).c_str());
    message.erase(code, kCode + 2);
    // What follows the message's own line is the place in the server's source.
    if (const std::size_t line = message.find('\n', code); line != std::string::npos) message.erase(line);
    break;
  }
  trim();
  return error;
}

ProbeFailure probe_failure_from(const base::Error& error) {
  ProbeFailure failure{FailureKind::login, error.message};
  if (error.sqlstate == base::sqlstate::cannot_connect_now) failure.kind = FailureKind::starting;
  if (error.sqlstate == base::sqlstate::too_many_connections) failure.kind = FailureKind::full;
  if (error.sqlstate != base::sqlstate::connection_failure) return failure;
  // libpq has no code for these; the words are the operating system's, in the language of this process.
  const std::array<const char*, 2> kRefusals{std::strerror(ECONNREFUSED), std::strerror(ECONNRESET)};
  const bool refused = std::any_of(kRefusals.begin(), kRefusals.end(),
                                   [&](const char* words) { return error.message.find(words) != std::string::npos; });
  const bool closed = error.message.find("server closed the connection unexpectedly") != std::string::npos;
  const bool no_socket = error.message.find(std::strerror(ENOENT)) != std::string::npos;
  failure.kind = refused || closed || no_socket ? FailureKind::refused : FailureKind::silent;
  return failure;
}

}  // namespace pgweir::cluster
