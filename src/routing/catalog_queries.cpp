// Objects with an oid below 16384 (FirstNormalObjectId) came with PostgreSQL; all others were made by users.
#include "routing/catalog_queries.h"

#include <array>
#include <charconv>
#include <limits>
#include <map>

#include "base/sqlstate.h"

namespace pgweir::routing {
namespace {

// What a type is made of: elements of arrays, base types of domains, attributes, subtypes of ranges.
#define PGWEIR_PARTS                                                                                   \
  "parts(whole, part) AS ("                                                                            \
  " SELECT oid, typelem FROM pg_catalog.pg_type WHERE typelem <> 0"                                    \
  " UNION ALL SELECT oid, typbasetype FROM pg_catalog.pg_type WHERE typbasetype <> 0"                  \
  " UNION ALL SELECT t.oid, a.atttypid FROM pg_catalog.pg_type t"                                      \
  "  JOIN pg_catalog.pg_attribute a ON a.attrelid = t.typrelid WHERE t.typrelid <> 0 AND a.attnum > 0" \
  " UNION ALL SELECT rngtypid, rngsubtype FROM pg_catalog.pg_range)"

// Types whose mere use may run a volatile function. A cast counts for the side that users made.
#define PGWEIR_UNSAFE_TYPES                                                                                    \
  "volatile AS MATERIALIZED (SELECT oid FROM pg_catalog.pg_proc WHERE provolatile = 'v'), " PGWEIR_PARTS       \
  ", "                                                                                                         \
  "unsafe_types(oid) AS ("                                                                                     \
  " (SELECT t.oid FROM pg_catalog.pg_type t WHERE t.typinput IN (SELECT oid FROM volatile)"                    \
  "   OR t.typoutput IN (SELECT oid FROM volatile) OR t.typreceive IN (SELECT oid FROM volatile)"              \
  "   OR t.typsend IN (SELECT oid FROM volatile) OR t.typmodin IN (SELECT oid FROM volatile)"                  \
  "  UNION SELECT x.oid FROM pg_catalog.pg_cast c,"                                                            \
  "   LATERAL (VALUES (c.castsource, c.casttarget), (c.casttarget, c.castsource)) x(oid, other)"               \
  "   WHERE c.castfunc IN (SELECT oid FROM volatile) AND (x.oid::int8 >= 16384 OR x.other::int8 < 16384)"      \
  "  UNION SELECT amproclefttype FROM pg_catalog.pg_amproc WHERE amproc IN (SELECT oid FROM volatile)"         \
  "  UNION SELECT a.amoplefttype FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr" \
  "   WHERE o.oprcode IN (SELECT oid FROM volatile)"                                                           \
  "  UNION SELECT rngtypid FROM pg_catalog.pg_range WHERE rngcanonical IN (SELECT oid FROM volatile))"         \
  " UNION SELECT p.whole FROM unsafe_types u JOIN parts p ON p.part = u.oid)"

// Domains with checks, and every type that has one in it.
#define PGWEIR_CHECKED                                                                             \
  "checked(domain, type) AS ("                                                                     \
  " SELECT contypid, contypid FROM pg_catalog.pg_constraint WHERE contypid <> 0 AND contype = 'c'" \
  " UNION SELECT c.domain, p.whole FROM checked c JOIN parts p ON p.part = c.type)"

constexpr std::string_view kFunctions =
    "WITH RECURSIVE " PGWEIR_UNSAFE_TYPES ", " PGWEIR_CHECKED
    ", "
    "aggregates AS (SELECT aggfnoid FROM pg_catalog.pg_aggregate"
    " WHERE aggtransfn IN (SELECT oid FROM volatile) OR aggfinalfn IN (SELECT oid FROM volatile)"
    " OR aggcombinefn IN (SELECT oid FROM volatile) OR aggserialfn IN (SELECT oid FROM volatile)"
    " OR aggdeserialfn IN (SELECT oid FROM volatile) OR aggmtransfn IN (SELECT oid FROM volatile)"
    " OR aggminvtransfn IN (SELECT oid FROM volatile) OR aggmfinalfn IN (SELECT oid FROM volatile)), "
    "one AS (SELECT p.*, n.nspname, p.oid::int8 < 16384 AS built_in,"
    " p.prorettype || p.proargtypes::oid[] || coalesce(p.proallargtypes, '{}') AS used_types,"
    " (p.provolatile = 'v' AND p.prorettype <> 'pg_catalog.tsm_handler'::pg_catalog.regtype)"
    "  OR p.oid IN (SELECT aggfnoid FROM aggregates)"
    "  OR (p.oid::int8 >= 16384 AND EXISTS (SELECT 1 FROM unsafe_types u"
    "   WHERE u.oid = p.prorettype OR u.oid = ANY (p.proargtypes::oid[]) OR u.oid = ANY (p.proallargtypes))) AS "
    "is_volatile"
    " FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace) "
    "SELECT nspname, proname, bool_or(is_volatile), bool_and(built_in),"
    " bool_or((is_volatile OR (proargdefaults IS NOT NULL AND NOT built_in)) AND pronargs >= 1"
    "  AND pronargs - pronargdefaults <= 1 AND EXISTS (SELECT 1 FROM pg_catalog.pg_type t WHERE t.oid = proargtypes[0]"
    "   AND (t.typtype IN ('c', 'd') OR t.oid IN ('pg_catalog.record'::pg_catalog.regtype, "
    "'pg_catalog.any'::pg_catalog.regtype,"
    "    'pg_catalog.anyelement'::pg_catalog.regtype, 'pg_catalog.anynonarray'::pg_catalog.regtype)"
    "    OR t.typname = 'anycompatible' OR t.typname = 'anycompatiblenonarray'))),"
    " string_agg(concat_ws(', ', pg_catalog.pg_get_expr(proargdefaults, 0),"
    "  (SELECT string_agg(pg_catalog.pg_get_expr(k.conbin, 0), ', ') FROM checked c"
    "   JOIN pg_catalog.pg_constraint k ON k.contypid = c.domain AND k.contype = 'c'"
    "   WHERE c.type = ANY (used_types))), ', ')"
    "  FILTER (WHERE NOT built_in AND (proargdefaults IS NOT NULL"
    "   OR EXISTS (SELECT 1 FROM checked c WHERE c.type = ANY (used_types)))),"
    " count(*) FILTER (WHERE is_volatile AND NOT built_in) "
    "FROM one GROUP BY nspname, proname";

// Bodies of at most 64 kB each and 16 MB together. Bytes that are not ASCII are nobody's business here, and might not
// be convertible: they come as 1, which is no part of SQL outside of quotes and comments.
constexpr std::string_view kCode =
    "SELECT n.nspname, p.proname, l.lanname, x.extname, CASE WHEN l.lanname IN ('sql', 'plpgsql')"
    " AND octet_length(p.prosrc) <= 65536 AND sum(octet_length(p.prosrc)) OVER (ORDER BY p.oid) <= 16777216"
    " AND NOT EXISTS (SELECT 1 FROM unnest(p.proconfig) c WHERE split_part(c, '=', 1) LIKE '%.%')"
    " THEN regexp_replace(p.prosrc, '[^' || chr(1) || '-' || chr(127) || ']', chr(1), 'g') END "
    "FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace "
    "JOIN pg_catalog.pg_language l ON l.oid = p.prolang "
    "LEFT JOIN pg_catalog.pg_depend e ON e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid"
    " AND e.refclassid = 'pg_catalog.pg_extension'::pg_catalog.regclass AND e.deptype = 'e' "
    "LEFT JOIN pg_catalog.pg_extension x ON x.oid = e.refobjid "
    "WHERE p.oid::int8 >= 16384 AND p.provolatile = 'v'";

// Built-in functions that change the session, lock something for it or bind something to its connection: those of
// node_local.cpp (changes_session, locks_session, binds_connection); and those that ask for what it has left. Without
// an extension's, which have names of their own here.
#define PGWEIR_LOUD_BUILT_IN                                                                                        \
  "loud_built_in(pattern) AS MATERIALIZED ("                                                                        \
  " SELECT 'funcid (' || string_agg(oid::text, '|') || ') ' FROM pg_catalog.pg_proc WHERE oid::int8 < 16384"        \
  "  AND (proname IN ('set_config', 'setseed', 'ts_stat', 'ts_rewrite', 'pg_import_system_collations',"             \
  "   'currval', 'lastval')"                                                                                        \
  "   OR proname ~ '^pg_(try_)?advisory_(lock|unlock)' OR proname ~ '^(query|table|schema|database|cursor)_to_xml'" \
  "   OR proname ~ '^(pg_replication_origin_(session|xact)_|binary_upgrade_)'"                                      \
  "   OR proname ~ '^pg_((create|copy)_(physical|logical)_replication_slot|start_backup|backup_start)'))"

// What runs with a write beside it: triggers, defaults, constraints (of a column's domain, too), policies, rules that
// call users' volatile functions, or loud ones that are built in; functions of extensions are taken to leave the
// session alone there. PostgreSQL records no dependency on built-in functions, so they are looked for in the stored
// expressions; one of them, set_config() (2078, catalog/pg_proc.dat), is told for all. Views are among the rules: what
// is read from them is read by what writes. A write goes further than the relation it names: to partitions and
// children, through views and rules, by cascades. Only what leads to such a function is told. Then what runs without a
// name at all: casts, the functions of types and of operator classes.
constexpr std::string_view kReaches =
    "WITH RECURSIVE users_own AS MATERIALIZED (SELECT p.oid, EXISTS (SELECT 1 FROM pg_catalog.pg_depend e"
    "  WHERE e.classid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND e.objid = p.oid AND e.deptype = 'e') AS "
    "of_extension"
    " FROM pg_catalog.pg_proc p WHERE p.provolatile = 'v' AND p.oid::int8 >= 16384), " PGWEIR_PARTS ", " PGWEIR_CHECKED
    ", " PGWEIR_LOUD_BUILT_IN
    ", "
    "calling(classid, objid, function) AS ("
    " SELECT d.classid, d.objid, d.refobjid FROM pg_catalog.pg_depend d JOIN users_own u ON u.oid = d.refobjid"
    "  WHERE d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass AND NOT u.of_extension"
    " UNION ALL SELECT a.tableoid, a.oid, 2078 FROM pg_catalog.pg_attrdef a, loud_built_in b"
    "  WHERE a.adbin::text ~ b.pattern"
    " UNION ALL SELECT k.tableoid, k.oid, 2078 FROM pg_catalog.pg_constraint k, loud_built_in b"
    "  WHERE k.contype = 'c' AND k.conbin::text ~ b.pattern"
    " UNION ALL SELECT t.tableoid, t.oid, 2078 FROM pg_catalog.pg_type t, loud_built_in b"
    "  WHERE t.typdefaultbin::text ~ b.pattern"
    " UNION ALL SELECT p.tableoid, p.oid, 2078 FROM pg_catalog.pg_policy p, loud_built_in b"
    "  WHERE concat(p.polqual, p.polwithcheck) ~ b.pattern"
    " UNION ALL SELECT t.tableoid, t.oid, 2078 FROM pg_catalog.pg_trigger t, loud_built_in b"
    "  WHERE t.tgqual::text ~ b.pattern"
    " UNION ALL SELECT r.tableoid, r.oid, 2078 FROM pg_catalog.pg_rewrite r, loud_built_in b"
    "  WHERE (r.ev_type <> '1' OR r.ev_class::int8 >= 16384) AND concat(r.ev_qual, r.ev_action) ~ b.pattern), "
    "firing(relation, function) AS ("
    " SELECT tgrelid, tgfoid FROM pg_catalog.pg_trigger"
    "  WHERE tgenabled <> 'D' AND tgfoid IN (SELECT oid FROM users_own)"
    " UNION SELECT t.tgrelid, c.function FROM calling c JOIN pg_catalog.pg_trigger t ON t.oid = c.objid"
    "  WHERE c.classid = 'pg_catalog.pg_trigger'::pg_catalog.regclass AND t.tgenabled <> 'D'"
    " UNION SELECT a.adrelid, c.function FROM calling c JOIN pg_catalog.pg_attrdef a ON a.oid = c.objid"
    "  WHERE c.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass"
    " UNION SELECT k.conrelid, c.function FROM calling c JOIN pg_catalog.pg_constraint k ON k.oid = c.objid"
    "  WHERE c.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass AND k.contype = 'c' AND k.conrelid <> 0"
    " UNION SELECT a.attrelid, c.function FROM calling c JOIN pg_catalog.pg_constraint k ON k.oid = c.objid"
    "  JOIN checked h ON h.domain = k.contypid"
    "  JOIN pg_catalog.pg_attribute a ON a.atttypid = h.type AND NOT a.attisdropped"
    "  WHERE c.classid = 'pg_catalog.pg_constraint'::pg_catalog.regclass"
    " UNION SELECT a.attrelid, c.function FROM calling c"
    "  JOIN pg_catalog.pg_attribute a ON a.atttypid = c.objid AND NOT a.attisdropped"
    "  WHERE c.classid = 'pg_catalog.pg_type'::pg_catalog.regclass"
    " UNION SELECT p.polrelid, c.function FROM calling c JOIN pg_catalog.pg_policy p ON p.oid = c.objid"
    "  WHERE c.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass"
    " UNION SELECT r.ev_class, c.function FROM calling c JOIN pg_catalog.pg_rewrite r ON r.oid = c.objid"
    "  WHERE c.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass), "
    "reaches(here, there) AS MATERIALIZED ("
    " SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits"
    " UNION SELECT confrelid, conrelid FROM pg_catalog.pg_constraint"
    "  WHERE contype = 'f' AND (confupdtype IN ('c', 'n', 'd') OR confdeltype IN ('c', 'n', 'd'))"
    " UNION SELECT r.ev_class, d.refobjid FROM pg_catalog.pg_rewrite r"
    "  JOIN pg_catalog.pg_depend d ON d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass"
    "   AND d.objid = r.oid AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass), "
    "firing_far(oid) AS (SELECT relation FROM firing"
    " UNION SELECT r.here FROM firing_far l JOIN reaches r ON r.there = l.oid), "
    "unnamed(function) AS (SELECT castfunc FROM pg_catalog.pg_cast UNION SELECT amproc FROM pg_catalog.pg_amproc"
    " UNION SELECT o.oprcode FROM pg_catalog.pg_amop a JOIN pg_catalog.pg_operator o ON o.oid = a.amopopr"
    " UNION SELECT rngcanonical FROM pg_catalog.pg_range UNION SELECT rngsubdiff FROM pg_catalog.pg_range"
    " UNION SELECT f FROM pg_catalog.pg_type, LATERAL (VALUES (typinput), (typoutput), (typreceive), (typsend),"
    "  (typmodin), (typmodout)) x(f)) "
    "SELECT n.nspname, c.relname, 'f', fn.nspname, p.proname FROM firing f"
    " JOIN pg_catalog.pg_class c ON c.oid = f.relation JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_proc p ON p.oid = f.function JOIN pg_catalog.pg_namespace fn ON fn.oid = p.pronamespace"
    " UNION ALL SELECT n.nspname, c.relname, 'r', tn.nspname, t.relname FROM reaches r"
    " JOIN firing_far l ON l.oid = r.there AND r.here <> r.there"
    " JOIN pg_catalog.pg_class c ON c.oid = r.here JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
    " JOIN pg_catalog.pg_class t ON t.oid = r.there JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace"
    " UNION ALL SELECT NULL, NULL, 'f', n.nspname, p.proname FROM unnamed x"
    " JOIN users_own u ON u.oid = x.function AND NOT u.of_extension JOIN pg_catalog.pg_proc p ON p.oid = u.oid"
    " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace";

constexpr std::string_view kRelations =
    "WITH RECURSIVE " PGWEIR_UNSAFE_TYPES
    ", "
    "tree(root, child) AS (SELECT inhparent, inhrelid FROM pg_catalog.pg_inherits"
    " UNION SELECT t.root, i.inhrelid FROM tree t JOIN pg_catalog.pg_inherits i ON i.inhparent = t.child) "
    "SELECT n.nspname, c.relname, c.relkind, c.relpersistence,"
    " EXISTS (SELECT 1 FROM tree t JOIN pg_catalog.pg_class k ON k.oid = t.child"
    "   WHERE t.root = c.oid AND k.relkind IN ('r', 'p', 'f') AND (k.relkind = 'f' OR k.relpersistence <> 'p'))"
    "  OR EXISTS (SELECT 1 FROM unsafe_types u JOIN pg_catalog.pg_attribute a ON a.atttypid = u.oid"
    "   WHERE a.attrelid = c.oid AND NOT a.attisdropped),"
    " CASE WHEN c.relkind = 'v' THEN pg_catalog.pg_get_viewdef(c.oid) END "
    "FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND c.relpersistence <> 't'";

constexpr std::string_view kPolicies =
    "SELECT n.nspname, c.relname, pg_catalog.pg_get_expr(p.polqual, p.polrelid) FROM pg_catalog.pg_policy p "
    "JOIN pg_catalog.pg_class c ON c.oid = p.polrelid JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace "
    "WHERE c.relrowsecurity AND p.polqual IS NOT NULL AND p.polcmd IN ('r', '*')";

constexpr std::string_view kTypes =
    "WITH RECURSIVE " PGWEIR_UNSAFE_TYPES
    " "
    "SELECT n.nspname, t.typname, t.oid IN (SELECT oid FROM unsafe_types) FROM pg_catalog.pg_type t "
    "JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
    "WHERE n.nspname !~ '^pg_(toast|temp)' AND NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type e WHERE e.typarray = "
    "t.oid)";

constexpr std::string_view kChecks =
    "WITH RECURSIVE " PGWEIR_PARTS ", " PGWEIR_CHECKED
    " "
    "SELECT n.nspname, t.typname, pg_catalog.pg_get_expr(k.conbin, 0) FROM checked c "
    "JOIN pg_catalog.pg_constraint k ON k.contypid = c.domain AND k.contype = 'c' "
    "JOIN pg_catalog.pg_type t ON t.oid = c.type JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace "
    "WHERE NOT EXISTS (SELECT 1 FROM pg_catalog.pg_type e WHERE e.typarray = t.oid)";

constexpr std::string_view kOperators =
    "WITH RECURSIVE " PGWEIR_UNSAFE_TYPES ", " PGWEIR_CHECKED
    " "
    "SELECT n.nspname, o.oprname, bool_or(o.oprcode IN (SELECT oid FROM volatile) OR (o.oid::int8 >= 16384 AND"
    " (EXISTS (SELECT 1 FROM unsafe_types u WHERE u.oid IN (o.oprleft, o.oprright, o.oprresult))"
    "  OR EXISTS (SELECT 1 FROM checked c WHERE c.type IN (o.oprleft, o.oprright))))), bool_and(o.oid::int8 < 16384) "
    "FROM pg_catalog.pg_operator o JOIN pg_catalog.pg_namespace n ON n.oid = o.oprnamespace "
    "WHERE o.oprcode <> 0 GROUP BY n.nspname, o.oprname";

// Names with a dot in them that the bodies of users' functions hold as a constant ('a.b', "a.b" in other languages,
// $$a.b$$), or that a SET names; and those in views that call set_config(). In any body: one may give the name to
// another that sets it. Should there be too many, those of bodies that set something come first. Bytes as in the C
// locale, no backslashes, every operator by its full name: this is asked in clients' sessions, too.
#define PGWEIR_WORD "[A-Za-z_][A-Za-z0-9_$]*"
#define PGWEIR_UNDOLLARED "[A-Za-z_][A-Za-z0-9_]*"
#define PGWEIR_QUOTABLE "\"?" PGWEIR_WORD "\"?"
#define PGWEIR_CUSTOM_SETTINGS(body, views)                                    \
  "SELECT name FROM (SELECT pg_catalog.lower(pg_catalog.replace("              \
  "  COALESCE(m.parts[1], m.parts[2], m.parts[3]), '\"', '')) AS name,"        \
  "  pg_catalog.bool_or(b.code OPERATOR(pg_catalog.~) '[Ss][Ee][Tt]') AS sets" \
  "  FROM (SELECT (" body                                                      \
  ") COLLATE pg_catalog.\"C\" AS code FROM pg_catalog.pg_proc p"               \
  "   WHERE p.oid::pg_catalog.int8 OPERATOR(pg_catalog.>=) 16384" views        \
  ") b,"                                                                       \
  "  LATERAL pg_catalog.regexp_matches(b.code, '"                              \
  "[''\"](" PGWEIR_WORD "(?:[.]" PGWEIR_WORD                                   \
  ")+)[''\"]"                                                                  \
  "|[$](" PGWEIR_UNDOLLARED "(?:[.]" PGWEIR_UNDOLLARED                         \
  ")+)[$]"                                                                     \
  "|(?:^|[^A-Za-z0-9_$.])[Ss][Ee][Tt][[:space:]]+"                             \
  "(?:(?:[Ss][Ee][Ss][Ss][Ii][Oo][Nn]|[Ll][Oo][Cc][Aa][Ll])[[:space:]]+)?"     \
  "(" PGWEIR_QUOTABLE "(?:[.]" PGWEIR_QUOTABLE                                 \
  ")+)', 'g') m(parts)"                                                        \
  "  GROUP BY 1) found WHERE pg_catalog.length(name) OPERATOR(pg_catalog.<=) 127 ORDER BY sets DESC, name LIMIT 1000"

// 2078 is set_config() (catalog/pg_proc.dat).
#define PGWEIR_SETTING_VIEWS                                                                     \
  " UNION ALL SELECT pg_catalog.pg_get_viewdef(r.ev_class) COLLATE pg_catalog.\"C\" FROM"        \
  " pg_catalog.pg_rewrite r WHERE r.ev_class::pg_catalog.int8 OPERATOR(pg_catalog.>=) 16384 AND" \
  " r.ev_type OPERATOR(pg_catalog.=) '1' AND"                                                    \
  " r.ev_action::pg_catalog.text OPERATOR(pg_catalog.~) ':funcid 2078 '"

// BEGIN ATOMIC leaves prosrc empty (PostgreSQL 14).
constexpr std::string_view kCustomSettings = PGWEIR_CUSTOM_SETTINGS(
    "CASE WHEN p.prosrc = '' AND p.prokind IN ('f', 'p') THEN pg_catalog.pg_get_functiondef(p.oid) ELSE p.prosrc END",
    PGWEIR_SETTING_VIEWS);

// Writing a BEGIN ATOMIC body or a view out locks the tables in it: not in a client's session.
constexpr std::string_view kCustomSettingsNow = PGWEIR_CUSTOM_SETTINGS("p.prosrc", "");

// Every catalog change writes a row version with a new place and a new writer. Hashes are summed, so that order is
// nothing. Rows of statistics and sequences change in place and so do not count, which is right.
constexpr std::string_view kFingerprint =
    "SELECT string_agg(x, ' ') FROM ("
#define PGWEIR_ROWS(table, condition)                                                                             \
  " SELECT count(*) || ':' || coalesce(sum(pg_catalog.hashtextextended(xmin::text || '/' || ctid::text, 0)), 0) " \
  "FROM pg_catalog." table " WHERE " condition
    PGWEIR_ROWS("pg_proc", "true") " UNION ALL" PGWEIR_ROWS("pg_aggregate", "true") " UNION ALL"
    PGWEIR_ROWS("pg_class", "relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND relpersistence <> 't'") " UNION ALL"
    PGWEIR_ROWS("pg_attribute", "attrelid::int8 >= 16384") " UNION ALL" PGWEIR_ROWS("pg_type", "true") " UNION ALL"
    PGWEIR_ROWS("pg_rewrite", "true") " UNION ALL" PGWEIR_ROWS("pg_policy", "true") " UNION ALL"
    PGWEIR_ROWS("pg_constraint", "contypid <> 0 OR contype IN ('c', 'f')") " UNION ALL"
    PGWEIR_ROWS("pg_attrdef", "true") " UNION ALL"
    PGWEIR_ROWS("pg_inherits", "true") " UNION ALL"
    PGWEIR_ROWS("pg_operator", "true") " UNION ALL" PGWEIR_ROWS("pg_cast", "true") " UNION ALL"
    PGWEIR_ROWS("pg_amproc", "true") " UNION ALL" PGWEIR_ROWS("pg_amop", "true") " UNION ALL"
    PGWEIR_ROWS("pg_range", "true") " UNION ALL" PGWEIR_ROWS("pg_trigger", "true") " UNION ALL"
    PGWEIR_ROWS("pg_namespace", "nspname !~ '^pg_(toast_)?temp'")
    ") AS parts(x)";

enum Query : std::size_t {
  functions,
  relations,
  policies,
  types,
  checks,
  operators,
  code,
  reaches,
  custom_settings,
  query_count
};

constexpr std::array<CatalogQuery, query_count> kQueries = {{
    {"functions", kFunctions, 7},
    {"relations", kRelations, 6},
    {"policies", kPolicies, 3},
    {"types", kTypes, 3},
    {"checks", kChecks, 3},
    {"operators", kOperators, 4},
    {"code", kCode, 5},
    {"reaches", kReaches, 5},
    {"custom_settings", kCustomSettings, 1},
}};

std::string text(const std::optional<std::string>& field) { return field.value_or(std::string{}); }
/// NULL and anything but "f" count as true: the unsafe answer must be the default.
bool flag(const std::optional<std::string>& field) { return field != "f"; }
bool proven(const std::optional<std::string>& field) { return field == "t"; }

using Key = std::pair<std::string, std::string>;

/// Texts that belong to a named object: (schema, name, text).
std::map<Key, std::vector<std::string>> grouped(const TextRows& rows) {
  std::map<Key, std::vector<std::string>> result;
  for (const TextRow& row : rows) result[{text(row[0]), text(row[1])}].push_back(text(row[2]));
  return result;
}

template <class T>
std::vector<T> take(std::map<Key, std::vector<T>>& from, const std::string& schema, const std::string& name) {
  const auto found = from.find({schema, name});
  return found == from.end() ? std::vector<T>{} : std::move(found->second);
}

std::map<Key, std::vector<CatalogRows::Code>> code_by_name(const TextRows& rows) {
  std::map<Key, std::vector<CatalogRows::Code>> result;
  for (const TextRow& row : rows)
    result[{text(row[0]), text(row[1])}].push_back({text(row[2]), text(row[3]), text(row[4])});
  return result;
}

/// More than any when it is no number: nothing is proven then.
std::size_t count(const std::optional<std::string>& field) {
  std::size_t number = 0;
  const std::string digits = text(field);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  const bool is_number = error == std::errc() && end == digits.data() + digits.size();
  return is_number ? number : std::numeric_limits<std::size_t>::max();
}

}  // namespace

std::span<const CatalogQuery> catalog_queries() { return kQueries; }
std::string_view catalog_fingerprint_query() { return kFingerprint; }
std::string_view custom_settings_query() { return kCustomSettingsNow; }

base::Result<CatalogRows> rows_from(std::span<const TextRows> results) {
  if (results.size() != kQueries.size())
    return base::fail(base::sqlstate::internal_error, "catalog: wrong number of results");
  for (std::size_t i = 0; i < kQueries.size(); ++i) {
    for (const TextRow& row : results[i]) {
      if (row.size() != kQueries[i].columns) {
        return base::fail(base::sqlstate::internal_error, "catalog: wrong number of columns",
                          std::string(kQueries[i].name));
      }
    }
  }
  auto policy_texts = grouped(results[policies]);
  auto check_texts = grouped(results[checks]);
  auto codes = code_by_name(results[code]);
  CatalogRows rows;
  for (const TextRow& row : results[functions]) {
    rows.functions.push_back({text(row[0]), text(row[1]), flag(row[2]), proven(row[3]), flag(row[4]), text(row[5]),
                              count(row[6]), take(codes, text(row[0]), text(row[1]))});
  }
  for (const TextRow& row : results[relations]) {
    const std::string kind = text(row[2]), persistence = text(row[3]);
    rows.relations.push_back({text(row[0]), text(row[1]), kind.empty() ? '?' : kind[0],
                              persistence.empty() ? '?' : persistence[0], flag(row[4]), text(row[5]),
                              take(policy_texts, text(row[0]), text(row[1]))});
  }
  for (const TextRow& row : results[types]) {
    rows.types.push_back({text(row[0]), text(row[1]), flag(row[2]), take(check_texts, text(row[0]), text(row[1]))});
  }
  for (const TextRow& row : results[operators]) {
    rows.operators.push_back({text(row[0]), text(row[1]), flag(row[2]), proven(row[3])});
  }
  using Target = CatalogRows::Reach::Target;
  for (const TextRow& row : results[reaches]) {
    const Target target = row[2] == "r" ? Target::relation : Target::function;
    rows.reaches.push_back({text(row[0]), text(row[1]), target, text(row[3]), text(row[4])});
  }
  for (const TextRow& row : results[custom_settings]) rows.custom_settings.push_back(text(row[0]));
  return rows;
}

}  // namespace pgweir::routing
