"""SET, RESET and SHOW: each kind of parameter, and every way to write its value."""

from harness.wire import SYNC, parse, query

from script import MOMENT, SPAN, Me, ext, run, semantic, shows


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
    yield ("SELECT application_name = current_setting('application_name') FROM pg_stat_activity "
           "WHERE pid = pg_backend_pid()")
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
    yield r"SHOW application_name"


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
    yield shows("semantic.tenant", "Semantic.Mixed", "semantic.word")
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
def every_setting(me: Me):
    """No setting of another client, or of the pooler itself, is to be seen."""
    everything = ("SELECT name, setting FROM pg_settings WHERE context IN ('user', 'superuser') "
                  "AND name NOT LIKE '%.%' ORDER BY name")
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
    yield "SHOW enable_seqscan; SHOW enable_hashjoin; SHOW seq_page_cost; SHOW datestyle; SHOW jit"
    yield shows("enable_seqscan", "enable_hashjoin", "seq_page_cost", "vacuum_cost_delay", "DateStyle", "jit")
    yield f"/* a comment */ SET -- another\n work_mem /* and one more */ = '{me.memory}'"
    yield "SHOW work_mem"
    yield f"SET plpgsql.extra_warnings = '{('all', 'none')[me.n % 2]}'"
    yield "SHOW plpgsql.extra_warnings"
    yield f"SET temp_tablespaces = ''; SET XML OPTION {('DOCUMENT', 'CONTENT')[me.n % 2]}"
    yield shows("xmloption", "temp_tablespaces")


@semantic()
def messages_level(me: Me):
    level = ("log", "warning", "error", "notice")[me.n % 4]
    yield f"SET client_min_messages = {level}"
    yield "SELECT tools.say('one')"
    yield ext("SELECT tools.say('two')")
    yield "DROP TABLE IF EXISTS own.nobody_made_this"
    yield "SHOW client_min_messages"
    yield "RESET client_min_messages"
    yield "SELECT tools.say('three')"
    yield "SET TimeZone = 'UTC'; COMMIT"
    yield (f"DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'ZX001', MESSAGE = 'of {me.n}', DETAIL = 'd', HINT = 'h'; "
           "END $$")


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
