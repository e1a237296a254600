// The lists of PostgreSQL's own names.
#include "doctest/doctest.h"
#include "routing/catalog.h"

using namespace pgweir::routing;

TEST_CASE("names whose answer belongs to one node or session") {
  for (const char* name : {"current_setting", "txid_current", "pg_stat_get_activity", "pg_backend_pid", "version"}) {
    CHECK(is_node_local_function({"", name}));
    CHECK(is_node_local_function({"pg_catalog", name}));
    CHECK_FALSE(is_node_local_function({"public", name}));
  }
  for (const char* name :
       {"pg_stat_activity", "pg_statio_user_tables", "pg_locks", "pg_settings", "pg_replication_slots"}) {
    CHECK(is_node_local_relation({"", name}));
    CHECK_FALSE(is_node_local_relation({"public", name}));
  }
  for (const char* name : {"count", "pg_get_viewdef", "now", "to_regclass"})
    CHECK_FALSE(is_node_local_function({"", name}));
  for (const char* name : {"pg_class", "pg_stats", "pg_statistic", "pg_tables", "t"})
    CHECK_FALSE(is_node_local_relation({"", name}));
}

TEST_CASE("names that change or bind the session") {
  for (const char* name : {"set_config", "setseed", "query_to_xml", "table_to_xml_and_xmlschema"})
    CHECK(changes_session({"", name}));
  CHECK_FALSE(changes_session({"public", "set_config"}));
  CHECK_FALSE(changes_session({"", "nextval"}));
  for (const char* name : {"pg_advisory_lock", "pg_try_advisory_xact_lock", "lo_open", "nextval"})
    CHECK(binds_session({"", name}));
  CHECK_FALSE(binds_session({"", "count"}));
  for (const char* name : {"pg_advisory_lock", "pg_try_advisory_lock_shared", "pg_advisory_unlock_all"})
    CHECK(locks_session({"", name}));
  CHECK_FALSE(locks_session({"", "pg_advisory_xact_lock"}));
  CHECK_FALSE(locks_session({"public", "pg_advisory_lock"}));
  for (const char* name :
       {"pg_backup_start", "pg_create_logical_replication_slot", "pg_replication_origin_session_setup"})
    CHECK(binds_connection({"pg_catalog", name}));
  CHECK_FALSE(binds_connection({"", "pg_backup_stop"}));
  CHECK_FALSE(binds_connection({"mine", "pg_backup_start"}));
}
