"""SET, RESET, SHOW and set_config, start-up parameters."""

from harness.wire import SYNC, bind, close, describe, execute, parse, query

from script import DATE_STYLES, Me, ext, run, semantic, several

MOMENT = "SELECT timestamptz '2024-03-31 12:34:56.789+00' AS moment"
SPAN = "SELECT interval '1 year 2 months 3 days 4:05:06' AS span"


def shows(*names: str) -> str:
    return "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)


@semantic()
def set_timezone(me: Me):
    yield MOMENT
    yield f"SET TimeZone = '{me.zone}'"
    yield "SHOW TimeZone"
    yield MOMENT
    yield ext(MOMENT)
    yield "RESET TimeZone"
    yield MOMENT
    yield f"SET TIME ZONE '{me.zone}'"
    yield "SHOW TIME ZONE"
    yield "SET TIME ZONE INTERVAL '+05:45' HOUR TO MINUTE"
    yield MOMENT
    yield "SET TIME ZONE -3.5"
    yield MOMENT
    yield "SET TIME ZONE LOCAL"
    yield MOMENT


@semantic()
def set_date_style(me: Me):
    yield f"SET DateStyle = {me.date_style}"
    yield "SHOW DateStyle"
    yield "SELECT date '2024-03-02', timestamp '2024-03-02 13:14:15'"
    yield "SET DateStyle TO DMY"  # keeps the output format of before
    yield "SELECT '01/02/2003'::date"
    yield "SET datestyle TO DEFAULT"
    yield "SELECT '01/02/2003'::date"
    yield "SHOW DateStyle"


@semantic()
def set_interval_style(me: Me):
    yield SPAN
    yield f"SET intervalstyle = {me.interval_style}"
    yield SPAN
    yield ext(SPAN)
    yield "SHOW IntervalStyle"
    yield "RESET IntervalStyle"
    yield SPAN


@semantic()
def set_application_name(me: Me):
    yield "SHOW application_name"
    yield f"SET application_name = {me.literal}"  # not ASCII: shown escaped
    yield "SHOW application_name"
    yield "SELECT application_name = current_setting('application_name') FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    yield f"SET application_name TO app_{me.n}"
    yield "SHOW application_name"
    yield "RESET application_name"
    yield "SHOW application_name"


@semantic()
def set_client_encoding(me: Me):
    name = ("LATIN1", "UTF8", "WIN1252", "LATIN9")[me.n % 4]
    codec = {"LATIN1": "latin-1", "UTF8": "utf-8", "WIN1252": "cp1252", "LATIN9": "iso8859-15"}[name]
    text = f"Grüße {me.n}"
    yield f"SET client_encoding = '{name}'"
    yield "SHOW client_encoding"
    yield query(f"SELECT '{text}' AS grüße, length('{text}')".encode(codec))
    yield ext("SELECT $1::text, length($1)", text.encode(codec))
    yield query(f"SET application_name = 'ä{me.n}'".encode(codec))
    yield "SHOW application_name"
    yield f"SET NAMES '{name}'"
    yield query(f"SET semantic.word = '{text}'".encode(codec))
    yield "SHOW semantic.word"
    yield "SET NAMES 'UTF8'"
    yield "SHOW semantic.word"
    yield f"SET client_encoding TO {name}"
    yield "SELECT chr(26085)"  # Japanese: 22P05 where the encoding has it not
    yield "RESET client_encoding"
    yield "SELECT chr(26085)"
    yield "SET client_encoding = 'nonsense'"
    yield "SHOW client_encoding"


@semantic()
def set_standard_conforming_strings(me: Me):
    mode = ("on", "off")[me.n % 2]
    yield f"SET standard_conforming_strings = {mode}"
    yield "SET escape_string_warning = off"
    yield rf"SELECT 'a\\b{me.n}'"
    yield r"SELECT E'a\\b', U&'\0061'"
    yield ext(rf"SELECT 'c\\d{me.n}', $1::text", b"a\\b")
    yield rf"SET application_name = 'x\\y{me.n}'"
    yield "SHOW application_name"
    yield "RESET standard_conforming_strings"
    yield rf"SELECT 'a\\b{me.n}'"
    yield rf"SHOW application_name"


@semantic()
def set_search_path(me: Me):
    yield f"SET search_path = {me.schema}, public"
    yield "SELECT label FROM place"
    yield ext("SELECT whereami()")
    yield "SHOW search_path"
    yield f"SET search_path TO {me.next_schema}"
    yield "SELECT label, whereami() FROM place"
    yield "SELECT current_schema(), current_schemas(false)"
    yield "SET search_path = ''"
    yield "SELECT label FROM place"
    yield f"SET SCHEMA '{me.schema}'"
    yield "SELECT label FROM place"
    yield "RESET search_path"
    yield "SELECT label FROM place"


@semantic()
def set_odd_search_path(me: Me):
    odd = f"\"Odd, \"\"{me.schema}\"\" 'ß\""
    yield f"SET search_path = {odd}, \"$user\", {me.schema}"
    yield "SHOW search_path"
    yield "SELECT label FROM place"
    yield ext("SELECT label FROM place")
    as_text = odd.replace("'", "''")
    yield f"SELECT set_config('search_path', '{me.next_schema}, {as_text}', false)"
    yield "SELECT label, current_schemas(false) FROM place"
    yield "SELECT set_config('search_path', current_setting('search_path') || ', pg_catalog', false)"
    yield "SELECT current_schemas(false)"
    yield "SET search_path = nowhere, \"UPPER and space\", 'lower'"
    yield "SHOW search_path"
    yield "SELECT current_schemas(false)"


@semantic()
def set_unreported(me: Me):
    names = ("statement_timeout", "lock_timeout", "work_mem", "enable_seqscan", "extra_float_digits", "bytea_output",
             "idle_in_transaction_session_timeout", "random_page_cost")
    yield shows(*names)
    yield f"SET statement_timeout = '{me.milliseconds}'"
    yield f"SET lock_timeout = '{me.milliseconds}'"
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET enable_seqscan = {('on', 'off')[me.n % 2]}"
    yield f"SET extra_float_digits TO {me.n % 4}"
    yield f"SET bytea_output = {('hex', 'escape')[me.n % 2]}"
    yield shows(*names)
    yield f"SET idle_in_transaction_session_timeout = {700000 + me.n}"
    yield f"SET random_page_cost = {1 + me.n / 8}"
    yield shows(*names)
    yield r"SELECT 1.0::float8 / 3, '\xdeadbeef00'::bytea"
    yield ext(r"SELECT 1.0::float8 / 3, '\xdeadbeef00'::bytea")
    yield "SHOW work_mem"
    yield "RESET enable_seqscan"
    yield "RESET bytea_output"
    yield "RESET extra_float_digits"
    yield shows(*names)


@semantic()
def set_to_default(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET TimeZone = '{me.zone}'"
    yield "SET work_mem TO DEFAULT"
    yield "SHOW work_mem"  # what ALTER ROLE gave, not the built-in one
    yield "SET TimeZone = DEFAULT"
    yield "SHOW TimeZone"
    yield f"SET statement_timeout = {500000 + me.n}"
    yield "SHOW statement_timeout"
    yield "SET statement_timeout TO DEFAULT"
    yield "SHOW statement_timeout"
    yield "SET semantic.of_role = 'mine'"
    yield "SHOW semantic.of_role"
    yield "RESET semantic.of_role"
    yield "SHOW semantic.of_role"


@semantic()
def set_refused(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield "SET work_mem = '1kB'"  # 22023: what was before stays
    yield "SHOW work_mem"
    yield "SET no_such_parameter = 1"
    yield "SET TimeZone = 'Nowhere/Town'"
    yield "SHOW TimeZone"
    yield "SET max_connections = 5"  # 55P02
    yield "RESET no_such_parameter"
    yield "SHOW no_such_parameter"
    yield "SELECT set_config('work_mem', 'much', false)"
    yield "SHOW work_mem"


@semantic()
def custom_settings(me: Me):
    yield f"SET semantic.tenant = 'tenant {me.n}'"
    yield f'SET "Semantic"."Mixed" = {me.n}'
    yield f"SET semantic.word = {me.literal}"
    yield "SELECT current_setting('semantic.tenant'), current_setting('Semantic.Mixed'), current_setting('semantic.word')"
    yield ext("SELECT current_setting($1), current_setting($2)", b"semantic.tenant", b"SEMANTIC.WORD")
    yield "SHOW semantic.tenant"
    yield f"SET a.b.c{me.n % 3} = 'deep {me.n}'"
    yield f"SHOW a.b.c{me.n % 3}"
    yield "RESET semantic.tenant"
    yield "SELECT current_setting('semantic.tenant', true)"  # an empty text, not NULL
    yield "SHOW semantic.word"
    yield f"SET semantic.tenant TO a, 'b c', {me.n}"
    yield "SHOW semantic.tenant"


@semantic()
def custom_setting_that_is_not_mine(me: Me):
    """Other clients set semantic.shared and end, or go on: whoever has not set it must find nothing."""
    if me.n % 2:
        yield f"SET semantic.shared = 'of {me.n}'"
        yield "SELECT current_setting('semantic.shared', true)"
        yield "SELECT 1"
        yield "SHOW semantic.shared"
    else:
        yield "SELECT 1"
        yield "SELECT coalesce(current_setting('semantic.shared', true), '') = ''"
        yield "SELECT coalesce(current_setting('semantic.shared', true), '')"


@semantic()
def custom_setting_never_set(me: Me):
    """NULL and 42704 for whoever has never set it, whatever others did on the same server connection."""
    if me.n % 2:
        yield f"SET semantic.placeholder = 'of {me.n}'"
        yield "SHOW semantic.placeholder"
        yield "SELECT 1"
    else:
        for _ in range(3):
            yield "SELECT current_setting('semantic.placeholder', true)"
        yield "SHOW semantic.placeholder"


@semantic()
def set_config_of_constants(me: Me):
    yield f"SELECT set_config('TimeZone', '{me.zone}', false)"
    yield MOMENT
    yield f"SELECT set_config('work_mem', '{me.memory}', false), set_config('semantic.a', {me.literal}, false)"
    yield shows("work_mem", "semantic.a", "TimeZone")
    yield f"SELECT pg_catalog.set_config('search_path', '{me.schema}', 'f')"
    yield "SELECT label FROM place"
    yield "SELECT set_config('semantic.a', NULL, false)"
    yield shows("work_mem", "semantic.a")
    yield "SELECT set_config('work_mem', NULL, false)"  # as RESET
    yield shows("work_mem", "semantic.a")


@semantic()
def set_config_of_parameters(me: Me):
    word = me.word.encode()
    yield ext("SELECT set_config('semantic.word', $1, false)", word)
    yield shows("semantic.word")
    yield ext("SELECT set_config($1, $2, $3)", b"TimeZone", me.zone.encode(), b"false")
    yield MOMENT
    yield ext("SELECT set_config($1, $2, $3)", b"IntervalStyle", me.interval_style.encode(), b"true")
    yield SPAN
    yield ext("SELECT set_config($1, $2, false)", b"search_path", me.schema.encode())
    yield ext("SELECT label FROM place")
    yield parse("SELECT set_config($1, $2, false)", "put")+ SYNC
    yield run("put", b"work_mem", me.memory.encode())
    yield shows("work_mem", "TimeZone")
    yield run("put", b"semantic.word", b"again " + word)
    yield shows("work_mem", "semantic.word")
    yield run("put", b"work_mem", None)
    yield shows("work_mem", "semantic.word")


@semantic()
def set_config_of_many_rows(me: Me):
    yield f"SELECT set_config(name, value, false) FROM (VALUES ('work_mem', '{me.memory}'), ('semantic.row', 'r{me.n}')) v (name, value)"
    yield shows("work_mem", "semantic.row")
    yield f"WITH put AS MATERIALIZED (SELECT set_config('TimeZone', '{me.zone}', false) AS zone) SELECT zone FROM put"
    yield MOMENT
    yield f"SELECT count(*) FROM generate_series(1, 3) n WHERE set_config('semantic.row', 'row ' || n || ' of {me.n}', false) IS NOT NULL"
    yield shows("semantic.row", "TimeZone")
    yield f"SELECT CASE WHEN {me.n} % 2 = 0 THEN set_config('semantic.row', 'even', false) ELSE 'odd' END"
    yield shows("semantic.row", "TimeZone")


@semantic()
def set_config_in_odd_places(me: Me):
    def put(value: str) -> str:
        return f"SELECT set_config('semantic.odd', '{value} {me.n}', false)"

    yield "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) " + put("explained")
    yield "SHOW semantic.odd"
    yield f"COPY ({put('copied')}) TO STDOUT"
    yield "SHOW semantic.odd"
    yield f"CREATE TABLE {me.own('odd')} AS {put('created')}"
    yield "SHOW semantic.odd"
    yield f"INSERT INTO {me.own('odd')} {put('inserted')}"
    yield "SHOW semantic.odd"
    yield f"UPDATE {me.own('odd')} SET set_config = 'x' RETURNING set_config('semantic.odd', 'returned {me.n}', false)"
    yield "SHOW semantic.odd"
    yield f"PREPARE put (text) AS SELECT set_config('semantic.odd', $1, false)"
    yield f"EXECUTE put ('executed {me.n}')"
    yield "SHOW semantic.odd"
    yield "BEGIN"
    yield f"DECLARE c CURSOR FOR {put('fetched')}"
    yield "FETCH c"
    yield "COMMIT"
    yield "SHOW semantic.odd"
    yield f"VALUES (1, set_config('semantic.odd', 'listed {me.n}', false))"
    yield "SHOW semantic.odd"
    yield "SELECT put FROM tools.putting"
    yield "SHOW semantic.by_view"
    yield "SHOW semantic.odd"


@semantic()
def every_setting(me: Me):
    """No setting of another client, or of the pooler itself, is to be seen."""
    everything = ("SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser') AND name NOT LIKE '%.%' "
                  "ORDER BY name")
    yield everything
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET lock_timeout = {me.n + 100000}"
    yield ext(everything)
    yield "RESET ALL"
    yield everything


@semantic()
def row_security(me: Me):
    """The tenant of an application, as a setting that policies look at."""
    yield f"SET ROLE {me.role}"
    yield "SELECT * FROM tools.tenants"
    yield f"SET semantic.tenant = {me.n}"
    yield "SELECT * FROM tools.tenants"
    yield parse("SELECT secret FROM tools.tenants WHERE tenant < $1", "p") + SYNC
    yield run("p", b"5000")
    yield "BEGIN"
    yield f"SET LOCAL semantic.tenant = {me.n + 1}"
    yield run("p", b"5000")
    yield "SELECT * FROM tools.tenants"
    yield "COMMIT"
    yield run("p", b"5000")
    yield "RESET ROLE"
    yield run("p", b"2")  # a superuser sees all
    yield f"SET ROLE semantic_{(me.n + 1) % 4}"
    yield run("p", b"5000")


@semantic()
def ways_to_write_values(me: Me):
    yield f"SET work_mem TO {70 + me.n}"
    yield "SHOW work_mem"
    yield f"SET work_mem = '{1 + me.n % 5}MB'"
    yield "SHOW work_mem"
    yield f"SET SESSION enable_seqscan = {me.n % 2}"
    yield f"SET session Enable_HashJoin TO '{('of', 'tru')[me.n % 2]}'"
    yield f"SET seq_page_cost = {me.n % 10}.25e0; SET vacuum_cost_delay = '{1 + me.n % 9}ms'"
    yield f'SET "DateStyle" TO "ISO", {("DMY", "MDY")[me.n % 2]}'
    yield f"SET jit TO {('on', 'off')[me.n % 2]}"
    yield "SHOW enable_seqscan; SHOW enable_hashjoin; SHOW seq_page_cost; SHOW vacuum_cost_delay; SHOW datestyle; SHOW jit"
    yield shows("enable_seqscan", "enable_hashjoin", "seq_page_cost", "vacuum_cost_delay", "DateStyle", "jit")
    yield f"/* a comment */ SET -- another\n work_mem /* and one more */ = '{me.memory}'"
    yield "SHOW work_mem"
    yield f"SET plpgsql.extra_warnings = '{('all', 'none')[me.n % 2]}'"
    yield "SHOW plpgsql.extra_warnings"
    yield f"SET temp_tablespaces = ''; SET XML OPTION {('DOCUMENT', 'CONTENT')[me.n % 2]}"
    yield shows("xmloption", "temp_tablespaces")


@semantic()
def update_of_pg_settings(me: Me):
    """A rule of the view calls set_config."""
    yield f"UPDATE pg_settings SET setting = '{5000 + me.n}' WHERE name = 'work_mem'"
    yield "SHOW work_mem"
    yield ext("UPDATE pg_settings SET setting = $1 WHERE name = 'TimeZone'", me.zone.encode())
    yield "SELECT setting FROM pg_settings WHERE name = 'TimeZone'"
    yield MOMENT
    yield "SHOW work_mem"


@semantic(stateless=True)
def set_config_local(me: Me):
    yield f"SELECT set_config('work_mem', '{me.memory}', true)"  # gone with its own statement
    yield "SHOW work_mem"
    yield "BEGIN"
    yield f"SELECT set_config('work_mem', '{me.memory}', true), set_config('semantic.here', {me.literal}, true)"
    yield shows("work_mem", "semantic.here")
    yield "COMMIT"
    yield "SHOW work_mem"
    yield "SELECT current_setting('semantic.here', true)"
    yield ext("SELECT set_config('TimeZone', $1, true), now() = now()", me.zone.encode())
    yield "SHOW TimeZone"


@semantic()
def current_setting_of_missing(me: Me):
    yield f"SELECT current_setting('semantic.nobody_{me.n}', true)"
    yield f"SELECT current_setting('semantic.nobody_{me.n}')"
    yield f"SET semantic.nobody_{me.n} = 'somebody'"
    yield f"SELECT current_setting('semantic.nobody_{me.n}', true)"
    yield "BEGIN"
    yield f"SET LOCAL semantic.brief_{me.n} = 'brief'"
    yield f"SHOW semantic.brief_{me.n}"
    yield "ROLLBACK"
    yield f"SELECT current_setting('semantic.brief_{me.n}', true)"
    yield f"SHOW semantic.nobody_{me.n}"


@semantic()
def set_undone_by_rollback(me: Me):
    yield f"SET TimeZone = '{me.zone}'"
    yield "BEGIN"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET search_path = {me.schema}"
    yield "SELECT label, current_setting('TimeZone'), current_setting('work_mem') FROM place"
    yield "ROLLBACK"
    yield shows("TimeZone", "work_mem", "search_path")
    yield MOMENT
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield "SELECT 1/0"
    yield "COMMIT"
    yield shows("TimeZone", "work_mem")


@semantic()
def set_kept_by_commit(me: Me):
    yield "START TRANSACTION"
    yield f"SET TimeZone = '{me.zone}'"
    yield f"SET semantic.kept = {me.literal}"
    yield "COMMIT"
    yield MOMENT
    yield "SHOW semantic.kept"
    yield "BEGIN"
    yield "RESET TimeZone"
    yield MOMENT
    yield "ROLLBACK"
    yield MOMENT
    yield "BEGIN; RESET TimeZone; END"
    yield MOMENT
    yield "SHOW semantic.kept"


@semantic()
def set_and_savepoints(me: Me):
    yield f"SET semantic.s = 'base {me.n}'"
    yield "BEGIN"
    yield f"SET semantic.s = 'one {me.n}'"
    yield "SAVEPOINT a"
    yield f"SET semantic.s = 'two {me.n}'"
    yield f"SET work_mem = '{me.memory}'"
    yield "SAVEPOINT a"  # the same name again hides the first
    yield f"SET semantic.s = 'three {me.n}'"
    yield "SHOW semantic.s"
    yield "ROLLBACK TO SAVEPOINT a"
    yield "SHOW semantic.s"
    yield "RELEASE SAVEPOINT a"
    yield "ROLLBACK TO a"
    yield shows("semantic.s", "work_mem")
    yield "COMMIT"
    yield shows("semantic.s", "work_mem")


@semantic()
def set_kept_by_release(me: Me):
    yield "BEGIN"
    yield "SAVEPOINT outer_one"
    yield "SAVEPOINT inner_one"
    yield f"SET TimeZone = '{me.zone}'"
    yield "RELEASE inner_one"
    yield "RELEASE SAVEPOINT outer_one"
    yield "COMMIT"
    yield MOMENT
    yield "BEGIN"
    yield "SAVEPOINT outer_one"
    yield "SAVEPOINT inner_one"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "RELEASE inner_one"
    yield MOMENT
    yield "ROLLBACK TO outer_one"
    yield "COMMIT"
    yield MOMENT


@semantic()
def set_after_error_in_savepoint(me: Me):
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield 'SAVEPOINT "A b"'
    yield "SET work_mem = '4444kB'"
    yield "SELECT nothing FROM nowhere"
    yield "SET work_mem = '5555kB'"
    yield 'ROLLBACK TO "A b"'
    yield "SHOW work_mem"
    yield "ROLLBACK TO a"
    yield 'ROLLBACK TO SAVEPOINT "A b"'
    yield f"SET semantic.after = 'after {me.n}'"
    yield "COMMIT"
    yield shows("work_mem", "semantic.after")


@semantic(stateless=True)
def set_local(me: Me):
    yield f"SET LOCAL work_mem = '{me.memory}'"  # 25P01, a warning
    yield "SHOW work_mem"
    yield "BEGIN"
    yield f"SET LOCAL work_mem = '{me.memory}'"
    yield f"SET LOCAL TimeZone = '{me.zone}'"
    yield f"SET LOCAL search_path = {me.schema}"
    yield f"SELECT label, current_setting('work_mem'), {MOMENT[7:]} FROM place"
    yield "COMMIT"
    yield shows("work_mem", "TimeZone", "search_path")
    yield MOMENT


@semantic()
def set_and_set_local(me: Me):
    """The one that stays and the one that does not, in both orders, with savepoints between them."""
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield "SET LOCAL work_mem = '7777kB'"
    yield "SHOW work_mem"
    yield "COMMIT"
    yield "SHOW work_mem"
    yield "BEGIN"
    yield "SET LOCAL work_mem = '7777kB'"
    yield f"SET work_mem = '{9000 + me.n}kB'"
    yield "COMMIT"
    yield "SHOW work_mem"
    yield "BEGIN"
    yield f"SET semantic.x = 'set {me.n}'"
    yield "SAVEPOINT s"
    yield "SET LOCAL semantic.x = 'local'"
    yield "RELEASE s"
    yield "SHOW semantic.x"
    yield "COMMIT"
    yield "SHOW semantic.x"
    yield "BEGIN"
    yield "SET LOCAL semantic.x = 'local'"
    yield "SAVEPOINT s"
    yield "SET semantic.x = 'lost'"
    yield "ROLLBACK TO s"
    yield "SHOW semantic.x"
    yield "COMMIT"
    yield "SHOW semantic.x"


@semantic()
def reset_all(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET TimeZone = '{me.zone}'"
    yield f"SET semantic.y = 'mine {me.n}'"
    yield f"SET ROLE {me.role}"  # RESET ALL leaves the role
    yield "RESET ALL"
    yield shows("work_mem", "TimeZone")
    yield "SELECT current_setting('semantic.y', true), current_user"
    yield "BEGIN"
    yield f"SET TimeZone = '{me.zone}'"
    yield "RESET ALL"
    yield "SHOW TimeZone"
    yield "ROLLBACK"
    yield f"SET TimeZone = '{me.zone}'"
    yield "BEGIN"
    yield "RESET ALL"
    yield "ROLLBACK"
    yield MOMENT


def _startup(me: Me) -> dict[str, str]:
    return {"TimeZone": me.zone, "application_name": f"started {me.n}", "DateStyle": DATE_STYLES[me.n % 4],
            "semantic.started": f"with {me.n}"}


@semantic(startup=_startup)
def startup_parameters(me: Me):
    names = ("TimeZone", "application_name", "DateStyle", "semantic.started")
    yield shows(*names)
    yield MOMENT
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "SET application_name = 'another'"
    yield "SET semantic.started = 'another'"
    yield shows(*names)
    yield "RESET TimeZone"  # to what it was started with
    yield shows(*names)
    yield "RESET ALL"
    yield shows(*names)
    yield "SET DateStyle TO DEFAULT"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "DISCARD ALL"
    yield shows(*names)


def _options(me: Me) -> dict[str, str]:
    return {"options": f"-c search_path={me.schema},public --work_mem={me.memory} -c semantic.spaced=one\\ two\\ {me.n} "
                       f"-cIntervalStyle={me.interval_style} --statement-timeout={600000 + me.n}"}


@semantic(startup=_options)
def startup_options(me: Me):
    names = ("search_path", "work_mem", "semantic.spaced", "IntervalStyle", "statement_timeout")
    yield shows(*names)
    yield "SELECT label FROM place"
    yield SPAN
    yield f"SET search_path = {me.next_schema}"
    yield "SET work_mem = '4444kB'"
    yield "SELECT label FROM place"
    yield "RESET search_path"
    yield "SELECT label FROM place"
    yield "RESET ALL"
    yield shows(*names)
    yield "DISCARD ALL"
    yield shows(*names)


@semantic(startup=lambda me: {"client_encoding": ("LATIN1", "UTF8", "WIN1252")[me.n % 3], "options": f"-c extra_float_digits={me.n % 4}"})
def startup_client_encoding(me: Me):
    codec = ("latin-1", "utf-8", "cp1252")[me.n % 3]
    yield "SHOW client_encoding"
    yield query(f"SELECT 'Straße {me.n}', 0.1::float8 * 3".encode(codec))
    yield "SET client_encoding = UTF8"
    yield f"SELECT 'Straße {me.n}'"
    yield "RESET client_encoding"
    yield query(f"SELECT 'Straße {me.n}'".encode(codec))


@semantic(startup=lambda me: {"options": f"-c role={me.role} -c default_transaction_isolation=serializable"})
def startup_role(me: Me):
    yield "SELECT current_user, session_user"
    yield f"SELECT label FROM {me.schema}.place"
    yield f"SELECT label FROM {me.next_schema}.place"  # 42501
    yield "RESET ROLE"  # back to that of the start
    yield "SELECT current_user"
    yield "SET ROLE NONE"
    yield "SELECT current_user"
    yield f"SELECT label FROM {me.next_schema}.place"
    yield "SHOW transaction_isolation"


@semantic(startup=lambda me: {"options": f"-c no_such_parameter_{me.n}=1"} if me.n % 2 else {"TimeZone": "Not/There"})
def startup_refused(me: Me):
    yield "SELECT 1"


@semantic()
def set_in_several_statements(me: Me):
    yield f"SET work_mem = '{me.memory}'; SET TimeZone = '{me.zone}'; SHOW work_mem"
    yield shows("work_mem", "TimeZone")
    yield "SET work_mem = '4444kB'; SELECT 1/0; SET TimeZone = 'Asia/Baghdad'"  # one implicit transaction
    yield shows("work_mem", "TimeZone")
    yield "SET work_mem = '4444kB'; BEGIN; SET TimeZone = 'Asia/Baghdad'; ROLLBACK"  # takes the first back, too
    yield shows("work_mem", "TimeZone")
    yield f"BEGIN; SET work_mem = '{6000 + me.n}kB'; COMMIT; SET TimeZone = 'Asia/Baghdad'; SELECT 1/0"
    yield shows("work_mem", "TimeZone")
    yield "SET LOCAL work_mem = '4444kB'; SHOW work_mem"
    yield "SHOW work_mem"


@semantic()
def set_in_pipelines(me: Me):
    def one(text: str) -> bytes:
        return parse(text) + bind() + execute()

    yield one(f"SET work_mem = '{me.memory}'") + one("SHOW work_mem") + SYNC
    yield "SHOW work_mem"
    yield one("SET work_mem = '4444kB'") + one("SELECT 1/0") + one("SELECT 'never'") + SYNC  # the error takes it back
    yield "SHOW work_mem"
    yield one(f"SET TimeZone = '{me.zone}'") + SYNC
    yield several(one("SET work_mem = '4444kB'") + SYNC + one("SELECT 1/0") + SYNC + one("SHOW work_mem") + SYNC, 3)
    yield shows("work_mem", "TimeZone")
    yield one("BEGIN") + one("SET work_mem = '6666kB'") + one("ROLLBACK") + one(f"SET semantic.p = 'p{me.n}'") + SYNC
    yield shows("work_mem", "semantic.p")
    yield parse(f"SET work_mem = '{me.memory}'", "put") + SYNC  # not run yet
    yield "SHOW work_mem"
    yield run("put")
    yield "SHOW work_mem"
    yield close("S", "put") + SYNC
    yield parse("SET work_mem = '4444kB'") + bind() + describe("P") + SYNC  # never executed
    yield "SHOW work_mem"


@semantic()
def set_in_a_batch_of_queries(me: Me):
    """Queries sent at once, without waiting for answers."""
    yield several(query(f"SET TimeZone = '{me.zone}'") + query("SHOW TimeZone") + query(f"SET search_path = {me.schema}")
                  + query("SELECT label FROM place"), 4)
    yield MOMENT
    yield several(query("BEGIN") + query("SET TimeZone = 'Asia/Baghdad'") + query("ROLLBACK") + query("SHOW TimeZone"), 4)
    yield "SELECT label FROM place"


@semantic()
def session_characteristics(me: Me):
    level = ("SERIALIZABLE", "REPEATABLE READ", "READ UNCOMMITTED")[me.n % 3]
    table = me.own("written")
    yield f"CREATE TABLE {table} (id int)"
    yield f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"
    yield "SHOW transaction_isolation"
    yield "BEGIN"
    yield "SHOW transaction_isolation"
    yield "COMMIT"
    yield "SHOW default_transaction_isolation"
    yield "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    yield f"INSERT INTO {table} VALUES (1)"  # 25006
    yield "BEGIN READ WRITE"
    yield f"INSERT INTO {table} VALUES (2)"
    yield "COMMIT"
    yield f"SELECT * FROM {table}"
    yield "SET default_transaction_read_only = off"
    yield f"INSERT INTO {table} VALUES (3)"
    yield "SET default_transaction_deferrable = on"
    yield "BEGIN"
    yield shows("transaction_deferrable", "transaction_isolation", "transaction_read_only")
    yield "COMMIT"
    yield f"SELECT * FROM {table}"


@semantic()
def messages_level(me: Me):
    level = ("debug1", "warning", "error", "notice")[me.n % 4]
    yield f"SET client_min_messages = {level}"
    yield "SELECT tools.say('one')"
    yield ext("SELECT tools.say('two')")
    yield "DROP TABLE IF EXISTS own.nobody_made_this"
    yield "SHOW client_min_messages"
    yield "RESET client_min_messages"
    yield "SELECT tools.say('three')"
    yield "SET TimeZone = 'UTC'; COMMIT"
    yield f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'ZX001', MESSAGE = 'of {me.n}', DETAIL = 'd', HINT = 'h'; END $$"


@semantic()
def statement_timeout_fires(me: Me):
    if me.n % 2:
        yield f"SET statement_timeout = {30 + me.n % 7}"
        yield "SELECT pg_sleep(5)"  # 57014
        yield "SHOW statement_timeout"
        yield "BEGIN"
        yield "SELECT pg_sleep(5)"
        yield "ROLLBACK"
        yield "SET statement_timeout = 0"
        yield "SELECT pg_sleep(0.05)"
    else:
        yield "SET statement_timeout = '1min'"
        yield "SELECT pg_sleep(0.06)"
        yield ext("SELECT pg_sleep(0.05)")
        yield "SHOW statement_timeout"


@semantic()
def float_and_null_output(me: Me):
    """Settings that change what a read answers."""
    yield f"SET extra_float_digits = {-(me.n % 5)}"
    yield "SELECT 2.0::float8 / 3, 2.0::float4 / 3"
    yield f"SET transform_null_equals = {('on', 'off')[me.n % 2]}"
    yield "SELECT count(*) FROM (VALUES (NULL::int)) v (a) WHERE a = NULL"
    yield f"SET xmlbinary = {('hex', 'base64')[me.n % 2]}"
    yield f"SET lc_monetary = 'C'; SET quote_all_identifiers = {('on', 'off')[me.n % 2]}"
    yield "SELECT pg_get_viewdef('pg_catalog.pg_tables'::regclass) LIKE '%\"pg_class\"%', quote_ident('abc')"
    yield ext("SELECT 2.0::float8 / 3")
    yield f"SET array_nulls = {('off', 'on')[me.n % 2]}"
    yield "SELECT '{1,NULL}'::text[]"
    yield f"SET timezone_abbreviations = {('Australia', 'India', 'Default')[me.n % 3]}"
    yield "SET TimeZone = UTC"
    yield "SELECT '2024-01-01 00:00 IST'::timestamptz"
