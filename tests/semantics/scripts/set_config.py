"""set_config, wherever a statement may have it, and what a setting is for who has never set it."""

from harness.wire import SYNC, parse

from script import MOMENT, SPAN, Me, ext, run, semantic, shows


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
    yield (f"SELECT set_config(name, value, false) FROM (VALUES ('work_mem', '{me.memory}'), "
           f"('semantic.row', 'r{me.n}')) v (name, value)")
    yield shows("work_mem", "semantic.row")
    yield f"WITH put AS MATERIALIZED (SELECT set_config('TimeZone', '{me.zone}', false) AS zone) SELECT zone FROM put"
    yield MOMENT
    yield (f"SELECT count(*) FROM generate_series(1, 3) n "
           f"WHERE set_config('semantic.row', 'row ' || n || ' of {me.n}', false) IS NOT NULL")
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
    yield "PREPARE put (text) AS SELECT set_config('semantic.odd', $1, false)"
    yield f"EXECUTE put ('executed {me.n}')"
    yield "SHOW semantic.odd"
    yield "BEGIN"
    yield f"DECLARE c CURSOR FOR {put('fetched')}"
    yield "FETCH c"
    yield "COMMIT"
    yield "SHOW semantic.odd"
    yield f"VALUES (1, set_config('semantic.odd', 'listed {me.n}', false))"
    yield "SHOW semantic.odd"
    yield "SHOW semantic.odd"


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
