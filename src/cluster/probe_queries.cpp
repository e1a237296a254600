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
            THEN (extract(epoch FROM current_setting('wal_writer_delay')::interval) * 1000)::int END,
       CASE WHEN NOT pg_is_in_recovery() THEN current_setting('wal_block_size')::bigint END,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_size_bytes(current_setting('wal_segment_size')) END)";

namespace {

template <class Number>
bool parse(const std::optional<std::string>& text, Number& number) {
  if (!text) return false;
  const auto end = text->data() + text->size();
  const auto parsed = std::from_chars(text->data(), end, number);
  return parsed.ec == std::errc() && parsed.ptr == end;
}

/// The end of the last record. At a page boundary the insert position is behind the header of the next page, which
/// comes with the next record only: XLogBytePosToRecPtr counts it, XLogBytePosToEndRecPtr and a standby do not
/// (access/transam/xlog.c).
routing::Lsn end_of_records(routing::Lsn insert, routing::Lsn page, routing::Lsn segment) {
  constexpr routing::Lsn kPageHeader = 24, kSegmentHeader = 40;  // SizeOfXLogShortPHD, SizeOfXLogLongPHD
  if (page == 0 || segment == 0) return insert;
  const routing::Lsn header = insert % segment < page ? kSegmentHeader : kPageHeader;
  return insert % page == header ? insert - header : insert;
}

base::Failure unexpected() {
  return base::fail(base::sqlstate::internal_error, "the probe's answer has an unexpected form");
}

}  // namespace

base::Result<PositionFacts> position_from(const Rows& rows) {
  if (rows.size() != 1 || rows[0].size() != 6 || !rows[0][0]) return unexpected();
  PositionFacts facts;
  facts.in_recovery = *rows[0][0] == "t";
  if (rows[0][1] && !parse(rows[0][1], facts.position)) return unexpected();
  if (rows[0][2] && !parse(rows[0][2], facts.flushed)) return unexpected();
  int writer_delay_ms = 0;
  if (rows[0][3] && !parse(rows[0][3], writer_delay_ms)) return unexpected();
  facts.flush_delay = std::chrono::milliseconds(3 * writer_delay_ms);
  routing::Lsn page = 0, segment = 0;
  if (rows[0][4] && !parse(rows[0][4], page)) return unexpected();
  if (rows[0][5] && !parse(rows[0][5], segment)) return unexpected();
  if (!facts.in_recovery) facts.position = end_of_records(facts.position, page, segment);
  return facts;
}

}  // namespace pgweir::cluster
