// The monitor's SQL and the reading of its answers; see probe_queries.h.
#include "cluster/probe_queries.h"

#include <charconv>

namespace pgweir::cluster {

// Of the node itself. While a server is in recovery some functions may not be called, so each stands behind a CASE.
#define PGWEIR_OWN_POSITION                                                                    \
  "SELECT pg_is_in_recovery(), "                                                               \
  "CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() "                               \
  "ELSE pg_current_wal_insert_lsn() END - '0/0'::pg_lsn, "                                     \
  "CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() - '0/0'::pg_lsn END, "    \
  "CASE WHEN NOT pg_is_in_recovery() "                                                         \
  "THEN (extract(epoch FROM current_setting('wal_writer_delay')::interval) * 1000)::int END, " \
  "CASE WHEN NOT pg_is_in_recovery() THEN current_setting('wal_block_size')::bigint END, "     \
  "CASE WHEN NOT pg_is_in_recovery() THEN pg_size_bytes(current_setting('wal_segment_size')) END "

const std::string_view kPositionProbe = PGWEIR_OWN_POSITION;

// Its columns, then what there is of others: pid, slot or subscription, and application_name or slot.
const std::string_view kLogicalPositionProbe = PGWEIR_OWN_POSITION R"(,
       NULL::int, NULL::text, NULL::text
UNION ALL SELECT NULL, r.replay_lsn - '0/0'::pg_lsn, NULL, NULL, NULL, NULL, r.pid, coalesce(s.slot_name, ''),
                 r.application_name
  FROM pg_stat_replication r LEFT JOIN pg_replication_slots s ON s.active_pid = r.pid AND s.slot_type = 'logical'
UNION ALL SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, subname, coalesce(subslotname, '') FROM pg_subscription)";
#undef PGWEIR_OWN_POSITION

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

enum Column : std::size_t {
  recovery,
  position,
  flushed,
  delay,
  page_size,
  segment_size,
  kColumns,
  pid = kColumns,
  first,
  second,
  kAllColumns
};

/// What stands behind the node's own row.
bool add_others(const Rows& rows, PositionFacts& facts) {
  for (auto row = rows.begin() + 1; row != rows.end(); ++row) {
    if (row->size() != kAllColumns || (*row)[recovery] || !(*row)[first] || !(*row)[second]) return false;
    if (!(*row)[pid]) {
      facts.subscriptions.push_back({*(*row)[first], *(*row)[second]});
      continue;
    }
    Walsender one{0, *(*row)[first], *(*row)[second], 0};
    if (!parse((*row)[pid], one.pid)) return false;
    // It has said nothing yet, or the monitor's user may not see it.
    if ((*row)[position] && !parse((*row)[position], one.applied)) return false;
    facts.walsenders.push_back(std::move(one));
  }
  return true;
}

}  // namespace

base::Result<PositionFacts> position_from(const Rows& rows) {
  if (rows.empty() || rows[0].size() < kColumns || !rows[0][recovery]) return unexpected();
  PositionFacts facts;
  if (!add_others(rows, facts)) return unexpected();
  facts.in_recovery = *rows[0][recovery] == "t";
  if (rows[0][position] && !parse(rows[0][position], facts.position)) return unexpected();
  if (rows[0][flushed] && !parse(rows[0][flushed], facts.flushed)) return unexpected();
  int writer_delay_ms = 0;
  if (rows[0][delay] && !parse(rows[0][delay], writer_delay_ms)) return unexpected();
  facts.flush_delay = std::chrono::milliseconds(3 * writer_delay_ms);
  routing::Lsn page = 0, segment = 0;
  if (rows[0][page_size] && !parse(rows[0][page_size], page)) return unexpected();
  if (rows[0][segment_size] && !parse(rows[0][segment_size], segment)) return unexpected();
  if (!facts.in_recovery) facts.position = end_of_records(facts.position, page, segment);
  return facts;
}

}  // namespace pgweir::cluster
