"""What lives on one server connection: temporary tables, held cursors, listening, session locks, sequences, LOAD."""

from harness.wire import SYNC, copy_data, COPY_DONE, parse, query

from script import Me, ext, frees, heard, other, pins, run, semantic


@semantic()
def temporary_table(me: Me):
    """All clients call theirs the same."""
    yield "SELECT count(*) FROM scratch"
    yield pins("CREATE TEMP TABLE scratch (id int, v text)")
    yield f"INSERT INTO scratch VALUES ({me.n}, {me.literal})"
    yield "SELECT * FROM scratch"
    yield ext("SELECT v FROM pg_temp.scratch WHERE id = $1", str(me.n).encode())
    yield query("COPY scratch FROM STDIN") + copy_data(b"5\tfive\n") + COPY_DONE
    yield "SELECT count(*) FROM scratch"
    yield "ALTER TABLE scratch ADD COLUMN w int"
    yield "TABLE scratch ORDER BY id"
    yield "DROP TABLE scratch"
    yield "SELECT count(*) FROM scratch"
    yield "CREATE TEMPORARY TABLE scratch AS SELECT 'second' AS v"
    yield "SELECT * FROM scratch"
    yield frees("DISCARD ALL")
    yield "SELECT count(*) FROM scratch"


@semantic()
def temporary_table_in_other_words(me: Me):
    yield pins(f"SELECT {me.n} AS a INTO TEMP picked")
    yield "SELECT * FROM picked"
    yield "CREATE TABLE pg_temp.placed (a int)"
    yield f"INSERT INTO placed VALUES ({me.n})"
    yield "SELECT * FROM placed"
    yield f"CREATE TEMP VIEW looked AS SELECT 'view of {me.n}' AS v"
    yield "SELECT * FROM looked"
    yield "CREATE TEMP SEQUENCE counted START " + str(100 + me.n)
    yield "SELECT nextval('counted')"
    yield f"CREATE FUNCTION pg_temp.f() RETURNS text LANGUAGE sql AS $$ SELECT 'function of {me.n}' $$"
    yield "SELECT pg_temp.f()"
    yield f"CREATE TYPE pg_temp.kind AS ENUM ('k{me.n}')"
    yield f"SELECT 'k{me.n}'::pg_temp.kind::text"
    yield ext(f"CREATE TEMP TABLE extended AS SELECT {me.n} AS x")
    yield ext("SELECT * FROM extended")


@semantic()
def temporary_table_and_transactions(me: Me):
    yield pins("BEGIN")
    yield "CREATE TEMP TABLE brief (a int) ON COMMIT DROP"
    yield f"INSERT INTO brief VALUES ({me.n})"
    yield "SELECT * FROM brief"
    yield "COMMIT"
    yield "SELECT * FROM brief"
    yield "BEGIN"
    yield "CREATE TEMP TABLE undone (a int)"
    yield "ROLLBACK"
    yield "SELECT * FROM undone"
    yield "CREATE TEMP TABLE emptied (a int) ON COMMIT DELETE ROWS"
    yield "INSERT INTO emptied VALUES (1)"
    yield "SELECT count(*) FROM emptied"
    yield "BEGIN"
    yield "INSERT INTO emptied VALUES (1)"
    yield "SELECT count(*) FROM emptied"
    yield "DROP TABLE emptied"
    yield "ROLLBACK"
    yield "SELECT count(*) FROM emptied"


@semantic()
def temporary_table_hides_a_table(me: Me):
    yield f"SET search_path = {me.schema}"
    yield "SELECT label FROM place"
    yield pins("CREATE TEMP TABLE place AS SELECT 'temporary'::text AS label")
    yield "SELECT label FROM place"
    yield parse("SELECT label FROM place", "p") + SYNC
    yield run("p")
    yield "DROP TABLE pg_temp.place"
    yield "SELECT label FROM place"
    yield run("p")


@semantic()
def held_cursor(me: Me):
    yield pins(f"DECLARE held CURSOR WITH HOLD FOR SELECT n * {me.n} FROM generate_series(1, 10) n")
    yield "FETCH 2 held"
    yield "SELECT 1"
    yield "FETCH 2 held"
    yield "SELECT name, is_holdable FROM pg_cursors"
    yield "BEGIN"
    yield "DECLARE second CURSOR WITH HOLD FOR SELECT 'second'"
    yield "COMMIT"
    yield "FETCH ALL second"
    yield ext("FETCH 3 held")
    yield "CLOSE held"
    yield "FETCH held"
    yield frees("CLOSE ALL")
    yield "FETCH second"
    yield "SELECT count(*) FROM pg_cursors"


@semantic()
def held_cursor_undone(me: Me):
    yield pins("BEGIN")
    yield f"DECLARE mine CURSOR WITH HOLD FOR SELECT {me.n}"
    yield "ROLLBACK"
    yield "FETCH mine"
    yield "BEGIN"
    yield f"DECLARE mine CURSOR WITH HOLD FOR SELECT {me.n} UNION ALL SELECT 2"
    yield "FETCH mine"
    yield "COMMIT"
    yield "FETCH mine"


@semantic(clients=2)
def session_locks(me: Me):
    """Counted: two locks and one unlock leave one."""
    key = me.key()
    yield pins(f"SELECT pg_advisory_lock({key})")
    yield f"SELECT pg_try_advisory_lock({key})"
    yield other(pins(f"SELECT pg_try_advisory_lock({key})"))
    yield f"SELECT pg_advisory_unlock({key})"
    yield other(f"SELECT pg_try_advisory_lock({key})")
    yield f"SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND objid = {key}"
    yield f"SELECT pg_advisory_unlock({key})"
    yield other(f"SELECT pg_try_advisory_lock({key})")
    yield f"SELECT pg_advisory_unlock({key})"  # a warning
    yield f"SELECT pg_try_advisory_lock({key})"
    yield other(frees(f"SELECT pg_advisory_unlock({key})"))
    yield f"SELECT pg_try_advisory_lock({key})"
    yield ext("SELECT pg_advisory_unlock($1)", str(key).encode())
    yield f"SELECT pg_advisory_lock({me.n}, 1), pg_advisory_lock({me.n}, 2)"
    yield other(pins(f"SELECT pg_try_advisory_lock({me.n}, 2)"))
    yield frees("SELECT pg_advisory_unlock_all()")
    yield other(f"SELECT pg_try_advisory_lock({me.n}, 2)")


@semantic(clients=2)
def session_locks_shared(me: Me):
    key = me.key(1)
    yield pins(f"SELECT pg_advisory_lock_shared({key})")
    yield other(pins(f"SELECT pg_try_advisory_lock_shared({key})"))
    yield other(f"SELECT pg_try_advisory_lock({key})")
    yield f"SELECT pg_advisory_unlock_shared({key})"
    yield other(f"SELECT pg_try_advisory_lock({key})")
    yield f"SELECT pg_try_advisory_lock_shared({key})"
    yield other(f"SELECT pg_advisory_unlock({key}), pg_advisory_unlock_shared({key})")
    yield f"SELECT pg_try_advisory_lock_shared({key})"


@semantic(clients=2)
def session_lock_in_a_transaction(me: Me):
    """Neither taking nor giving back is undone by ROLLBACK."""
    key = me.key(2)
    yield pins("BEGIN")
    yield f"SELECT pg_advisory_lock({key})"
    yield "ROLLBACK"
    yield other(pins(f"SELECT pg_try_advisory_lock({key})"))
    yield "BEGIN"
    yield f"SELECT pg_advisory_unlock({key})"
    yield "ROLLBACK"
    yield other(f"SELECT pg_try_advisory_lock({key})")
    yield f"SELECT pg_try_advisory_lock({key})"


@semantic(clients=2, stateless=True)
def transaction_locks(me: Me):
    key = me.key(3)
    yield "BEGIN"
    yield f"SELECT pg_advisory_xact_lock({key})"
    yield other(f"SELECT pg_try_advisory_xact_lock({key})")
    yield "SELECT 1"
    yield "COMMIT"
    yield other(f"SELECT pg_try_advisory_xact_lock({key})")
    yield f"SELECT pg_try_advisory_xact_lock({key})"
    yield "BEGIN"
    yield "SAVEPOINT s"
    yield ext("SELECT pg_advisory_xact_lock($1)", str(key).encode())
    yield "ROLLBACK TO s"
    yield other(f"SELECT pg_try_advisory_xact_lock({key})")
    yield "COMMIT"


@semantic(clients=2)
def listen_and_notify(me: Me):
    channel = f"channel_{me.n}"
    yield pins(f"LISTEN {channel}")
    yield other(f"NOTIFY {channel}, 'one'")
    yield heard(1)
    yield other(f"SELECT pg_notify('{channel}', {me.literal})")
    yield other(f"BEGIN; NOTIFY {channel}, 'three'; NOTIFY {channel}, 'four'; NOTIFY {channel}, 'three'; COMMIT")
    yield other(f"BEGIN; NOTIFY {channel}, 'never'; ROLLBACK")
    yield heard(4)
    yield "SELECT pg_listening_channels()"
    yield f"NOTIFY {channel}, 'to myself'"
    yield heard(5)
    yield f'LISTEN "Quoted {me.n}"'
    yield other(f'NOTIFY "Quoted {me.n}"')
    yield heard(6)
    yield f"UNLISTEN {channel}"
    yield other(f"NOTIFY {channel}, 'nobody there'")
    yield other(f'NOTIFY "Quoted {me.n}", \'last\'')
    yield heard(7)
    yield frees("UNLISTEN *")
    yield "SELECT pg_listening_channels()"
    yield other(f'NOTIFY "Quoted {me.n}", \'too late\'')
    yield "SELECT 1"


@semantic(clients=2)
def notified_in_a_transaction(me: Me):
    """What comes during a transaction is told after it."""
    channel = f"waits_{me.n}"
    yield pins(f"LISTEN {channel}")
    yield "BEGIN"
    yield "SELECT 1"
    yield other(f"NOTIFY {channel}, 'first'")
    yield "SELECT 2"
    yield other(f"NOTIFY {channel}, 'second'")
    yield "SELECT 3"
    yield "COMMIT"
    yield heard(2)
    yield "BEGIN"
    yield other(f"NOTIFY {channel}, 'third'")
    yield "ROLLBACK"
    yield heard(3)
    yield "BEGIN"
    yield f"LISTEN undone_{me.n}"
    yield "ROLLBACK"
    yield other(f"NOTIFY undone_{me.n}")
    yield "SELECT pg_listening_channels()"
    yield "BEGIN"
    yield f"UNLISTEN {channel}"
    yield "ROLLBACK"
    yield other(f"NOTIFY {channel}, 'fourth'")
    yield heard(4)


@semantic()
def load_library(me: Me):
    yield "SELECT 1"
    yield "SHOW auto_explain.log_min_duration"  # 42704 as long as the library is not there
    yield pins("LOAD 'auto_explain'")
    yield "SHOW auto_explain.log_min_duration"
    yield f"SET auto_explain.log_min_duration = {10000 + me.n}"
    yield "SHOW auto_explain.log_min_duration"
    yield "LOAD 'no_such_library'"


@semantic(alone=True)
def sequence_values(me: Me):
    """currval and lastval belong to the session, outside of transactions too."""
    sequence = me.own("counter")
    yield f"CREATE SEQUENCE {sequence} START {1000 + 10 * me.n}"
    yield f"SELECT currval('{sequence}')"  # 55000
    yield pins(f"SELECT nextval('{sequence}')")
    yield "SELECT 1"
    yield f"SELECT currval('{sequence}')"
    yield "SELECT lastval()"
    yield f"CREATE TABLE {me.own('serial')} (id serial, v text)"
    yield f"INSERT INTO {me.own('serial')} (v) VALUES ('a')"
    yield "SELECT lastval()"
    yield ext(f"SELECT currval(pg_get_serial_sequence('{me.own('serial')}', 'id'))")
    yield f"SELECT setval('{sequence}', 5)"
    yield f"SELECT currval('{sequence}'), lastval()"


@semantic(alone=True)
def sequence_cache(me: Me):
    """CACHE gives each session a run of numbers of its own."""
    sequence = me.own("cached")
    yield f"CREATE SEQUENCE {sequence} CACHE 10"
    yield pins(f"SELECT nextval('{sequence}')")
    yield "SELECT 1"
    for _ in range(4):
        yield f"SELECT nextval('{sequence}')"


@semantic()
def seeded_random(me: Me):
    yield pins(f"SELECT setseed({(me.n % 100) / 100})")
    yield "SELECT random()"
    yield "SELECT random(), random()"
    yield "SELECT 1"
    yield "SELECT random()"
    yield f"SET seed TO {(me.n % 7) / 10}"
    yield "SELECT random()"


@semantic()
def bound_and_carried(me: Me):
    """Settings and prepared statements go with a session that is bound and let go again."""
    yield f"SET TimeZone = '{me.zone}'"
    yield parse(f"SELECT 'mine {me.n}', current_setting('TimeZone')", "mine") + SYNC
    yield pins(f"SELECT pg_advisory_lock({me.key(4)})")
    yield run("mine")
    yield f"SET work_mem = '{me.memory}'"
    yield frees(f"SELECT pg_advisory_unlock({me.key(4)})")
    yield run("mine")
    yield "SHOW work_mem"
    yield pins(f"LISTEN somewhere_{me.n}")
    yield run("mine")
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield frees("UNLISTEN *")
    yield run("mine")
    yield "SHOW work_mem"
