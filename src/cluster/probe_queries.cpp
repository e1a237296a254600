// The monitor's SQL and the reading of its answers; see probe_queries.h.
#include "cluster/probe_queries.h"

#include <charconv>

namespace pgweir::cluster {

// While a server is in recovery some functions may not be called, so each stands behind a CASE.
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
