"""State that is changed from inside: DO, functions, procedures."""

from script import Me, ext, heard, pins, semantic


@semantic()
def setting_by_do(me: Me):
    yield pins(f"DO $$ BEGIN PERFORM set_config('TimeZone', '{me.zone}', false); END $$")
    yield "SHOW TimeZone"
    yield f"DO $$ BEGIN EXECUTE 'SET work_mem = ''{me.memory}'''; SET search_path = {me.schema}; END $$"
    yield "SELECT label, current_setting('work_mem') FROM place"
    yield "SELECT 1"
    yield "SELECT current_setting('TimeZone'), current_setting('work_mem')"
    yield "BEGIN"
    yield "DO $$ BEGIN SET TimeZone = 'Asia/Baghdad'; END $$"
    yield "ROLLBACK"
    yield "SHOW TimeZone"
    yield "DO $$ BEGIN SET TimeZone = 'Asia/Baghdad'; RAISE EXCEPTION 'no'; END $$"
    yield "SHOW TimeZone"
    yield "DO $$ BEGIN SET LOCAL TimeZone = 'Asia/Baghdad'; END $$"
    yield "SHOW TimeZone"


@semantic()
def setting_by_function(me: Me):
    yield pins(f"SELECT tools.put('work_mem', '{me.memory}')")
    yield "SHOW work_mem"
    yield "SELECT 1"
    yield ext("SELECT tools.put('semantic.f', $1)", me.word.encode())
    yield "SELECT current_setting('semantic.f'), current_setting('work_mem')"
    yield f"SELECT tools.put_by_set('{me.zone}')"
    yield "SHOW TimeZone"
    yield "SELECT tools.put_here('TimeZone', 'Asia/Baghdad')"
    yield "SHOW TimeZone"
    yield f"SELECT tools.put('search_path', '{me.schema}') FROM generate_series(1, 2)"
    yield "SELECT label FROM place"


@semantic()
def function_with_settings(me: Me):
    """A SET clause holds only while the function runs; set_config in it lives on only without that clause."""
    yield f"SET TimeZone = '{me.zone}'"
    yield "SELECT tools.fixed()"
    yield ext("SELECT tools.fixed(), current_setting('TimeZone')")
    yield "SHOW TimeZone"
    yield f"SET work_mem = '{me.memory}'"
    yield pins("SELECT tools.fixed_and_put('8888kB')")
    yield "SHOW work_mem"


@semantic()
def temporary_table_by_function(me: Me):
    yield pins(f"SELECT tools.make_temporary('made_{me.n}')")
    yield f"SELECT answer FROM made_{me.n}"
    yield "SELECT 1"
    yield f"SELECT answer FROM pg_temp.made_{me.n}"
    yield f"DO $$ BEGIN CREATE TEMP TABLE by_do AS SELECT {me.n} AS n; END $$"
    yield "SELECT n FROM by_do"
    yield "SELECT 1"
    yield "SELECT n FROM by_do"


@semantic(clients=1)
def lock_by_function(me: Me):
    key = me.key(5)
    yield pins(f"SELECT tools.lock({key})")
    yield "SELECT 1"
    yield f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {key} AND granted"
    yield f"DO $$ BEGIN PERFORM pg_advisory_lock({key}); END $$"
    yield f"SELECT pg_advisory_unlock({key})"
    yield f"SELECT pg_advisory_unlock({key})"
    yield f"SELECT pg_advisory_unlock({key})"


@semantic()
def prepared_by_function(me: Me):
    yield pins(f"SELECT tools.prepare('by_function', 'of {me.n}')")
    yield "EXECUTE by_function"
    yield "SELECT 1"
    yield "EXECUTE by_function"
    yield f"DO $$ BEGIN EXECUTE 'PREPARE by_do AS SELECT {me.n}'; END $$"
    yield "EXECUTE by_do"
    yield "DO $$ BEGIN EXECUTE 'DEALLOCATE by_do'; END $$"
    yield "EXECUTE by_do"


@semantic()
def listen_by_function(me: Me):
    yield pins(f"SELECT tools.listen('fn_{me.n}')")
    yield "SELECT 1"
    yield f"SELECT tools.notify('fn_{me.n}', 'payload {me.n}')"
    yield heard(1)
    yield f"DO $$ BEGIN PERFORM pg_notify('fn_{me.n}', 'from DO'); END $$"
    yield heard(2)


@semantic(stateless=True)
def procedure_that_commits(me: Me):
    table = me.own("called")
    yield f"CREATE TABLE {table} (id int, v text)"
    yield pins(f"CALL tools.put_in_two('{table}', 'v{me.n}')")
    yield f"SELECT * FROM {table} ORDER BY id"
    yield "BEGIN"
    yield f"CALL tools.put_in_two('{table}', 'x')"  # 2D000
    yield "ROLLBACK"
    yield f"SELECT * FROM {table} ORDER BY id"
    yield ext("CALL tools.put_in_two($1, $2)", table.encode(), b"again")
    yield f"SELECT * FROM {table} ORDER BY id"


@semantic()
def procedure_that_sets(me: Me):
    yield pins(f"CALL tools.put_and_commit('semantic.called', 'v{me.n} ')")
    yield "SHOW semantic.called"
    yield "SELECT 1"
    yield "SHOW semantic.called"
    yield f"DO $$ BEGIN SET work_mem = '{me.memory}'; COMMIT; SET work_mem = '4444kB'; ROLLBACK; END $$"
    yield "SHOW work_mem"


@semantic()
def setting_by_trigger(me: Me):
    table = me.own("triggering")
    yield f"CREATE TABLE {table} (v text)"
    yield (f"CREATE FUNCTION {me.own('trigger')}() RETURNS trigger LANGUAGE plpgsql AS "
           "$$ BEGIN PERFORM set_config('semantic.by_trigger', NEW.v, false); RETURN NEW; END $$")
    yield f"CREATE TRIGGER t BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION {me.own('trigger')}()"
    yield pins(f"INSERT INTO {table} VALUES ({me.literal})")
    yield "SELECT 1"
    yield "SHOW semantic.by_trigger"
