// The monitor's SQL and the reading of its answers; see probe_queries.h.
#include "cluster/probe_queries.h"

#include <charconv>

namespace pgweir::cluster {

// While a server is in recovery some functions may not be called, so each stands behind a CASE. The timeline of a
// primary is the one it writes; the control file would still name the old one until the first checkpoint after a
// promotion.
const std::string_view kFullProbe = R"(
SELECT pg_is_in_recovery(),
       (SELECT system_identifier FROM pg_control_system()),
       CASE WHEN pg_is_in_recovery()
            THEN coalesce((SELECT received_tli FROM pg_stat_wal_receiver),
                          (SELECT timeline_id FROM pg_control_checkpoint()))
            ELSE ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::int END,
       current_setting('server_version_num'),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       current_setting('cluster_name'), NULL::text, NULL::text, NULL::text
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, application_name, state, sync_state FROM pg_stat_replication)";

const std::string_view kPositionProbe = R"(
SELECT pg_is_in_recovery(),
       CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn()
            ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END,
       CASE WHEN NOT pg_is_in_recovery()
            THEN (extract(epoch FROM current_setting('wal_writer_delay')::interval) * 1000)::int END)";

namespace {

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

}  // namespace

base::Result<NodeFacts> facts_from(const Rows& rows) {
  NodeFacts facts;
  bool found = false;
  for (const auto& row : rows) {
    if (row.size() != 9) return unexpected();
    if (row[0]) {
      facts.in_recovery = *row[0] == "t";
      if (!parse(row[1], facts.system_identifier) || !parse(row[2], facts.timeline) ||
          !parse(row[3], facts.server_version))
        return unexpected();
      // A standby that has not replayed anything yet has no position.
      if (row[4] && !parse(row[4], facts.position)) return unexpected();
      facts.cluster_name = row[5].value_or("");
      found = true;
    } else {
      facts.peers.push_back({row[6].value_or(""), row[7].value_or(""), row[8].value_or("")});
    }
  }
  if (!found) return unexpected();
  return facts;
}

base::Result<PositionFacts> position_from(const Rows& rows) {
  if (rows.size() != 1 || rows[0].size() != 4 || !rows[0][0]) return unexpected();
  PositionFacts facts;
  facts.in_recovery = *rows[0][0] == "t";
  if (rows[0][1] && !parse(rows[0][1], facts.position)) return unexpected();
  if (rows[0][2] && !parse(rows[0][2], facts.flushed)) return unexpected();
  int writer_delay_ms = 0;
  if (rows[0][3] && !parse(rows[0][3], writer_delay_ms)) return unexpected();
  facts.flush_delay = std::chrono::milliseconds(3 * writer_delay_ms);
  return facts;
}

}  // namespace pgweir::cluster
