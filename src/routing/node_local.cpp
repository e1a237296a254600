// Lists of PostgreSQL's own names. Volatile functions need no row in the node-local lists: the catalog says that they
// are. The names are those of PostgreSQL 12 to 18 (pg_proc.dat, system_views.sql).
#include <algorithm>
#include <array>

#include "routing/catalog.h"

namespace pgweir::routing {
namespace {

using Name = std::string_view;

bool built_in(const sql::QualifiedName& name) { return name.schema.empty() || name.schema == "pg_catalog"; }

template <std::size_t N>
bool has(const std::array<Name, N>& names, Name name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

template <std::size_t N>
bool begins(const std::array<Name, N>& prefixes, Name name) {
  return std::any_of(prefixes.begin(), prefixes.end(), [&](Name prefix) { return name.starts_with(prefix); });
}

constexpr std::array<Name, 5> kLocalFunctionPrefixes = {
    "pg_stat_", "pg_show_", "pg_get_backend_", "pg_control_", "pg_ls_",
};

constexpr std::array<Name, 38> kLocalFunctions = {
    "current_setting",
    "inet_client_addr",
    "inet_client_port",
    "inet_server_addr",
    "inet_server_port",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_pid",
    "pg_conf_load_time",
    "pg_config",
    "pg_current_snapshot",
    "pg_current_xact_id",
    "pg_current_xact_id_if_assigned",
    "pg_cursor",
    "pg_extension_update_paths",
    "pg_get_replication_slots",
    "pg_get_shmem_allocations",
    "pg_get_wal_summarizer_state",

    "pg_listening_channels",
    "pg_lock_status",

    "pg_postmaster_start_time",
    "pg_prepared_statement",
    "pg_prepared_xact",
    "pg_settings_get_flags",
    "pg_timezone_abbrevs",
    "pg_timezone_abbrevs_abbrevs",
    "pg_timezone_abbrevs_zone",
    "pg_timezone_names",
    "pg_trigger_depth",
    "pg_visible_in_snapshot",
    "pg_walfile_name",
    "pg_walfile_name_offset",
    "txid_current",
    "txid_current_if_assigned",
    "txid_current_snapshot",
    "txid_visible_in_snapshot",
    "version",
    "pg_relation_filepath",
};

constexpr std::array<Name, 2> kLocalRelationPrefixes = {"pg_stat_", "pg_statio_"};

constexpr std::array<Name, 21> kLocalRelations = {
    "pg_aios",
    "pg_available_extension_versions",
    "pg_available_extensions",
    "pg_backend_memory_contexts",
    "pg_config",
    "pg_cursors",
    "pg_dsm_registry_allocations",
    "pg_file_settings",
    "pg_hba_file_rules",
    "pg_ident_file_mappings",
    "pg_locks",
    "pg_prepared_statements",
    "pg_prepared_xacts",
    "pg_replication_origin_status",
    "pg_replication_slots",
    "pg_settings",
    "pg_shmem_allocations",
    "pg_shmem_allocations_numa",
    "pg_timezone_abbrevs",
    "pg_timezone_names",
    "pg_wait_events",
};

constexpr std::array<Name, 8> kSessionChangePrefixes = {
    "query_to_xml",
    "table_to_xml",
    "schema_to_xml",
    "database_to_xml",
    "cursor_to_xml",
    "pg_replication_origin_session_",
    "pg_replication_origin_xact_",
    "binary_upgrade_",
};

constexpr std::array<Name, 5> kSessionChanges = {"set_config", "setseed", "ts_stat", "ts_rewrite",
                                                 "pg_import_system_collations"};

constexpr std::array<Name, 4> kSessionBindingPrefixes = {"pg_advisory_", "pg_try_advisory_", "lo_",
                                                         "pg_export_snapshot"};

constexpr std::array<Name, 3> kSessionLockPrefixes = {"pg_advisory_lock", "pg_advisory_unlock", "pg_try_advisory_lock"};

// pg_start_backup() is that of PostgreSQL 14 and older.
constexpr std::array<Name, 7> kConnectionBindings = {
    "pg_backup_start",
    "pg_copy_logical_replication_slot",
    "pg_copy_physical_replication_slot",
    "pg_create_logical_replication_slot",
    "pg_create_physical_replication_slot",
    "pg_replication_origin_session_setup",
    "pg_start_backup",
};

constexpr std::array<Name, 3> kCatalogReaderPrefixes = {"pg_", "has_", "to_reg"};
constexpr std::array<Name, 5> kNoCatalogReaders = {"pg_client_encoding", "pg_column_size", "pg_size_bytes",
                                                   "pg_size_pretty", "pg_typeof"};
constexpr std::array<Name, 6> kCatalogReaders = {
    "col_description", "currtid2", "format_type", "obj_description", "row_security_active", "shobj_description"};
constexpr std::array<Name, 12> kCatalogTypes = {"oid",           "regclass",     "regcollation", "regconfig",
                                                "regdictionary", "regnamespace", "regoper",      "regoperator",
                                                "regproc",       "regprocedure", "regrole",      "regtype"};

constexpr std::array<Name, 6> kSessionBindings = {"loread", "lowrite", "nextval", "setval", "currval", "lastval"};

}  // namespace

bool reads_catalog(const sql::QualifiedName& function) {
  if (!built_in(function)) return false;
  return has(kCatalogReaders, function.name) ||
         (begins(kCatalogReaderPrefixes, function.name) && !has(kNoCatalogReaders, function.name));
}

bool is_catalog_type(const sql::QualifiedName& type) { return built_in(type) && has(kCatalogTypes, type.name); }

bool is_node_local_function(const sql::QualifiedName& name) {
  return built_in(name) && (has(kLocalFunctions, name.name) || begins(kLocalFunctionPrefixes, name.name));
}

bool is_node_local_relation(const sql::QualifiedName& name) {
  return built_in(name) && (has(kLocalRelations, name.name) || begins(kLocalRelationPrefixes, name.name));
}

bool changes_session(const sql::QualifiedName& name) {
  return built_in(name) && (has(kSessionChanges, name.name) || begins(kSessionChangePrefixes, name.name));
}

bool binds_session(const sql::QualifiedName& name) {
  return built_in(name) && (has(kSessionBindings, name.name) || begins(kSessionBindingPrefixes, name.name));
}

bool locks_session(const sql::QualifiedName& name) { return built_in(name) && begins(kSessionLockPrefixes, name.name); }

bool binds_connection(const sql::QualifiedName& name) { return built_in(name) && has(kConnectionBindings, name.name); }

}  // namespace pgweir::routing
