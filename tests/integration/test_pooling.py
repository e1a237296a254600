"""Server connections: reused, reset, limited, and never handed on dirty."""

import struct
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.waiting import wait_for
from harness.wire import SYNC, Wire, bind, execute, parse, query

PRIMARY = "/* pgweir: primary */"


def backend(session: psycopg.Connection) -> int:
    return session.execute(f"{PRIMARY} SELECT pg_backend_pid()").fetchone()[0]


@pytest.fixture(scope="module", autouse=True)
def schema(cluster):
    cluster.primary.sql("CREATE TABLE IF NOT EXISTS ledger (id int); GRANT ALL ON ledger TO app; GRANT ALL ON ledger TO traced")
    cluster.wait_replayed()


@pytest.fixture
def narrow(make_proxy):
    """One server connection per node, database and user: the next session must get the one that the last one left."""
    return make_proxy(pool={"size": 1, "queue_timeout": "20s"})


def app(proxy, **more) -> psycopg.Connection:
    return proxy.connect(user="app", **more)


def test_a_server_connection_is_used_again(narrow):
    with app(narrow) as first:
        pid = backend(first)
    for _ in range(5):
        with app(narrow) as session:
            assert backend(session) == pid


def test_users_and_databases_do_not_share(narrow):
    with app(narrow) as session:
        pid = backend(session)
    assert narrow.sql(f"{PRIMARY} SELECT current_user::text, pg_backend_pid() <> {pid}", user="traced") == [("traced", True)]
    assert narrow.sql(f"{PRIMARY} SELECT current_database()::text", user="app", dbname="postgres") == [("postgres",)]


LEFT_BEHIND = {
    "setting": ("SET work_mem = '7MB'", "SHOW work_mem"),
    "role": ("SET ROLE pgweir_monitor", "SELECT current_user::text"),
    "search_path": ("SET search_path = nowhere", "SHOW search_path"),
    "prepared statement": ("PREPARE mine AS SELECT 1", "SELECT count(*) FROM pg_prepared_statements"),
    "temporary table": ("CREATE TEMP TABLE mine (id int)", "SELECT to_regclass('mine')::text"),
    "advisory lock": ("SELECT pg_advisory_lock(4711)",
                      "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"),
    "listen": ("LISTEN mine", "SELECT count(*) FROM pg_listening_channels()"),
    "cursor": ("DECLARE mine CURSOR WITH HOLD FOR SELECT 1", "SELECT count(*) FROM pg_cursors"),
    "sequence": ("CREATE TEMP SEQUENCE mine; SELECT nextval('mine')", "SELECT to_regclass('mine')::text"),
}


@pytest.mark.parametrize("what", LEFT_BEHIND)
def test_nothing_is_left_for_the_next_session(narrow, cluster, what):
    leave, look = LEFT_BEHIND[what]
    if what == "role":
        cluster.primary.sql("GRANT pgweir_monitor TO app")
    with app(narrow) as session:
        pid, clean = backend(session), session.execute(f"{PRIMARY} {look}").fetchone()
        session.execute(leave)
        dirty = session.execute(f"{PRIMARY} {look}").fetchone()
        assert dirty != clean
    with app(narrow) as session:
        assert backend(session) == pid, "the connection was thrown away: nothing is shown"
        assert session.execute(f"{PRIMARY} {look}").fetchone() == clean


def test_startup_parameters_are_not_inherited(narrow):
    with app(narrow, options="-c work_mem=9MB", application_name="first") as session:
        assert session.execute(f"{PRIMARY} SHOW work_mem").fetchone() == ("9MB",)
    with app(narrow) as session:
        assert session.execute(f"{PRIMARY} SELECT current_setting('work_mem'), current_setting('application_name')"
                               ).fetchone() == ("4MB", "")


def first_error(port: int, **login: str) -> wire.Message:
    """What a session is told that cannot have a server connection, at login or with its first statement."""
    with Wire(port) as client:
        found = client.login(**login)[-1]
        if found.kind == "Z":
            found = next(m for m in client.ask(query(f"{PRIMARY} SELECT 1")) if m.kind in "ED")
        return found


def test_too_many_for_the_pool_is_a_clear_error(make_proxy):
    proxy = make_proxy(pool={"mode": "session", "size": 2, "queue_timeout": "300ms"})
    with app(proxy) as one, app(proxy) as two:
        backend(one), backend(two)
        error = first_error(proxy.port, user="app")
    assert (error.kind, error.sqlstate) == ("E", "53300")
    text = " ".join(error.fields.values())
    assert "pg1" in text and "2" in text


def test_whoever_waits_is_served_when_someone_leaves(make_proxy):
    proxy = make_proxy(pool={"mode": "session", "size": 1, "queue_timeout": "20s"})
    served: list[int] = []

    def wait_for_turn() -> None:
        with app(proxy) as session:
            served.append(backend(session))

    with app(proxy) as holder:
        pid = backend(holder)
        waiters = [threading.Thread(target=wait_for_turn) for _ in range(4)]
        for waiter in waiters:
            waiter.start()
        wait_for(lambda: proxy_has_clients(proxy, 5), "all to be connected")
        assert served == []
    for waiter in waiters:
        waiter.join(20)
    assert served == [pid] * 4


def proxy_has_clients(proxy, count: int) -> bool:
    """TCP connections that the proxy has accepted, as the kernel counts them."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return sum(row[1].endswith(f":{proxy.port:04X}") and row[3] == "01" for row in rows) >= count


def test_the_pool_never_opens_more_than_its_size(make_proxy, cluster):
    proxy = make_proxy(pool={"size": 3, "queue_timeout": "20s"})
    most, stop = [0], threading.Event()

    def watch() -> None:
        with cluster.primary.connect() as own:
            while not stop.is_set():
                count = own.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'").fetchone()[0]
                most[0] = max(most[0], count)

    def work() -> None:
        for _ in range(15):
            with app(proxy) as session:
                backend(session)

    threads = [threading.Thread(target=work) for _ in range(10)]
    watcher = threading.Thread(target=watch)
    watcher.start()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    watcher.join()
    assert 1 <= most[0] <= 3


def test_max_clients(make_proxy):
    proxy = make_proxy(pool={"max_clients": 3})

    def come_in() -> Wire | None:
        client = Wire(proxy.port)
        if client.login(user="app")[-1].kind == "Z":
            return client
        client.socket.close()
        return None

    inside = [wait_for(come_in, "a place") for _ in range(3)]
    error = first_error(proxy.port, user="app")
    assert (error.kind, error.sqlstate, error.fields["S"]) == ("E", "53300", "FATAL")
    assert "3" in " ".join(error.fields.values())
    for client in inside:
        assert client.rows("SELECT 1") == [[b"1"]]
    inside.pop().socket.close()
    inside.append(wait_for(come_in, "the place that became free"))
    for client in inside:
        client.socket.close()


def half_message() -> bytes:
    whole = parse("SELECT 'the rest never comes'")
    return whole[:len(whole) // 2]


# What a client was doing when its connection broke; the kind of message that shows that it got there.
ABANDONED = {
    "idle": (b"", ""),
    "transaction": (query("BEGIN; INSERT INTO ledger VALUES (1)"), "Z"),
    "failed transaction": (query("BEGIN; INSERT INTO ledger VALUES (1); SELECT 1/0"), "Z"),
    "temporary table in a transaction": (query("BEGIN; CREATE TEMP TABLE mine (id int)"), "Z"),
    "copy in": (query("COPY ledger FROM STDIN") + wire.copy_data(b"1\n"), "G"),
    "copy in, half a message": (query("COPY ledger FROM STDIN") + wire.copy_data(b"123456789\n")[:8], "G"),
    "copy out": (query("COPY (SELECT repeat('x', 1000) FROM generate_series(1, 200000)) TO STDOUT"), "H"),
    "rows on the way": (query(f"{PRIMARY} SELECT repeat('x', 1000) FROM generate_series(1, 200000)"), "T"),
    "portal suspended": (query("BEGIN") + parse("SELECT 1 FROM generate_series(1, 9)") + bind() + execute(rows=1) + wire.FLUSH, "s"),
    "parse without sync": (parse("INSERT INTO ledger VALUES (1)") + bind() + execute() + wire.FLUSH, "C"),
    "error without sync": (parse("SELEKT") + wire.FLUSH, "E"),
    "pipeline": ((parse("INSERT INTO ledger VALUES (1)") + bind() + execute()) * 100, ""),
    "half a message": (half_message(), ""),
    "half a message in a transaction": (query("BEGIN; INSERT INTO ledger VALUES (1)") + half_message(), "Z"),
    "answer not read": (query(f"{PRIMARY} SELECT 1") * 50, ""),
}


@pytest.mark.parametrize("gently", [True, False], ids=["fin", "rst"])
@pytest.mark.parametrize("state", ABANDONED)
def test_a_session_that_breaks_off_leaves_nothing_dirty(narrow, cluster, state, gently):
    data, until = ABANDONED[state]
    client = Wire(narrow.port)
    assert client.login(user="app")[-1].kind == "Z"
    client.rows(f"{PRIMARY} SELECT 1")
    client.send(data)
    if until:
        client.read_until(until)
    if not gently:
        client.socket.setsockopt(wire.socket.SOL_SOCKET, wire.socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    with Wire(narrow.port) as following:
        assert following.login(user="app")[-1].body == b"I"
        assert following.rows(f"{PRIMARY} SELECT 'clean'") == [[b"clean"]]
        assert following.rows(f"{PRIMARY} SELECT to_regclass('mine')::text") == [[None]]
        following.rows("BEGIN")
        following.rows("ROLLBACK")
    assert cluster.primary.sql("SELECT count(*) FROM ledger") == [(0,)]


def test_a_session_that_breaks_off_while_the_server_works(narrow, cluster):
    client = Wire(narrow.port)
    client.login(user="app")
    client.send(query("SELECT pg_sleep(600) AS abandoned"))

    def asleep() -> bool:
        return bool(cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' "
                                        "AND query LIKE '%%abandoned%%'"))
    wait_for(asleep, "the query to run")
    client.socket.close()
    wait_for(lambda: not asleep(), "the abandoned query to end")
    with app(narrow) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_terminate_rolls_back(narrow, cluster):
    with Wire(narrow.port) as client:
        client.login(user="app")
        client.ask(query("BEGIN; INSERT INTO ledger VALUES (1)"))
        client.send(wire.TERMINATE)
        assert client.read_to_end() == []
    with app(narrow) as session:
        assert session.execute(f"{PRIMARY} SELECT count(*) FROM ledger").fetchone() == (0,)
        assert session.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


def test_a_lost_server_connection_is_replaced(narrow, cluster):
    with app(narrow) as session:
        pid = backend(session)
    cluster.primary.sql("SELECT pg_terminate_backend(%s)", pid)
    wait_for(lambda: not cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid), "the backend to end")
    with app(narrow) as session:
        assert backend(session) != pid


def test_many_short_sessions(proxy):
    """As a PHP page does: connect, ask, go."""
    begin = time.monotonic()
    for _ in range(300):
        with Wire(proxy.port) as client:
            client.login(user="app")
            assert client.rows("SELECT 1") == [[b"1"]]
    assert time.monotonic() - begin < 60


def test_many_sessions_at_once(proxy):
    sessions = []
    for _ in range(40):
        client = Wire(proxy.port)
        client.login(user="app")
        sessions.append(client)
    for _ in range(5):
        for client in sessions:
            client.send(parse("SELECT $1::int") + bind(values=[b"7"]) + execute() + SYNC)
        for client in sessions:
            assert [m.values for m in client.read_until("Z") if m.kind == "D"] == [[b"7"]]
    for client in sessions:
        client.socket.close()


# How code in the database makes a setting that the client's text does not name: (name of the setting, statement).
MADE_INSIDE = {
    "function": ("app.by_function", "SELECT remember('{}')"),
    "function given the value alone": ("app.by_set", "SELECT remember_by_set('{}')"),
    "procedure": ("app.by_procedure", "CALL remember_by_procedure('{}')"),
    "quoted names": ("app.by_quoted", "SELECT remember_by_quoted('{}')"),
    "a constant between dollars": ("app.by_dollars", "SELECT remember_by_dollars('{}')"),
    "a parsed body": ("app.by_atomic", "SELECT remember_by_atomic('{}')"),
    "through another function": ("app.by_helper", "SELECT remember_by_helper('{}')"),
    "trigger": ("app.by_trigger", "INSERT INTO remembering VALUES ('{}')"),
    "trigger of a partition": ("app.by_trigger", "INSERT INTO parted VALUES ('{}')"),
    "trigger under a view": ("app.by_trigger", "INSERT INTO seen VALUES ('{}')"),
    "trigger of a cascade": ("app.by_cascade", "DELETE FROM parent WHERE v = '{}'"),
}


@pytest.fixture(scope="module")
def remembering(cluster):
    cluster.primary.sql("""
        CREATE FUNCTION remember(text) RETURNS void LANGUAGE plpgsql AS
          $$ BEGIN PERFORM set_config('app.by_function', $1, false); END $$;
        CREATE FUNCTION remember_by_set(text) RETURNS void LANGUAGE plpgsql AS
          $$ BEGIN EXECUTE 'SET app.by_set = ' || quote_literal($1); END $$;
        CREATE PROCEDURE remember_by_procedure(text) LANGUAGE plpgsql AS
          $$ BEGIN PERFORM set_config('App.By_Procedure', $1, false); COMMIT; END $$;
        CREATE FUNCTION remember_by_quoted(text) RETURNS void LANGUAGE plpgsql AS
          $$ BEGIN EXECUTE format('set Session "App"."By_Quoted" to %L', $1); END $$;
        CREATE FUNCTION remember_by_dollars(text) RETURNS text LANGUAGE sql AS
          'SELECT set_config($name$app.by_dollars$name$, $1, false)';
        CREATE FUNCTION remember_by_atomic(v text) RETURNS text LANGUAGE sql
          BEGIN ATOMIC SELECT set_config('app.by_atomic', v, false); END;
        CREATE FUNCTION put_for_helper(text, text) RETURNS text LANGUAGE sql AS $$ SELECT set_config($1, $2, false) $$;
        CREATE FUNCTION remember_by_helper(text) RETURNS void LANGUAGE plpgsql AS
          $$ BEGIN PERFORM put_for_helper('app.by_helper', $1); END $$;
        CREATE FUNCTION remember_row() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM set_config('app.by_trigger', NEW.v, false); RETURN NEW; END $$;
        CREATE FUNCTION remember_old_row() RETURNS trigger LANGUAGE plpgsql AS
          $$ BEGIN PERFORM set_config('app.by_cascade', OLD.v, false); RETURN OLD; END $$;
        CREATE TABLE remembering (v text);
        CREATE TRIGGER remember BEFORE INSERT ON remembering FOR EACH ROW EXECUTE FUNCTION remember_row();
        CREATE VIEW seen AS SELECT v FROM remembering;
        CREATE TABLE parted (v text) PARTITION BY LIST (v);
        CREATE TABLE part PARTITION OF parted DEFAULT;
        CREATE TRIGGER remember BEFORE INSERT ON part FOR EACH ROW EXECUTE FUNCTION remember_row();
        CREATE TABLE parent (v text PRIMARY KEY);
        CREATE TABLE child (v text REFERENCES parent ON DELETE CASCADE);
        CREATE TRIGGER remember AFTER DELETE ON child FOR EACH ROW EXECUTE FUNCTION remember_old_row();
        INSERT INTO parent VALUES ('mine'), ('theirs');
        INSERT INTO child VALUES ('mine'), ('theirs');
        GRANT ALL ON remembering, parted, seen, parent, child TO app""")
    cluster.wait_replayed()


def value_of(session: Wire, name: str) -> bytes | None:
    """As `current_setting` says it; a setting that another session has had on the same connection is empty."""
    return session.rows(f"{PRIMARY} SELECT current_setting('{name}', true)")[0][0] or None


@pytest.mark.parametrize("how", MADE_INSIDE)
def test_a_setting_made_inside_is_carried(make_proxy, remembering, how):
    proxy = make_proxy(pool={"mode": "transaction", "size": 1, "queue_timeout": "20s"})
    proxy.wait_standby_read()
    name, statement = MADE_INSIDE[how]
    with Wire(proxy.port) as first, Wire(proxy.port) as second:
        first.login(user="app")
        second.login(user="app")
        first.rows(statement.format("mine"))
        assert value_of(second, name) is None
        assert value_of(first, name) == b"mine"
        second.rows(statement.format("theirs"))
        assert value_of(first, name) == b"mine"
        assert value_of(second, name) == b"theirs"


def test_a_setting_made_by_a_function_that_is_new(make_proxy, cluster):
    """No catalog that knows it has been loaded yet."""
    proxy = make_proxy(pool={"mode": "transaction", "size": 1, "queue_timeout": "20s"})
    proxy.wait_standby_read()
    with Wire(proxy.port) as first, Wire(proxy.port) as second:
        first.login()
        second.login()
        for n in range(5):
            first.rows(f"CREATE TABLE new_{n} (v text);"
                       f"CREATE FUNCTION new_{n}() RETURNS trigger LANGUAGE plpgsql AS"
                       f" $$ BEGIN PERFORM set_config('app.new_{n}', NEW.v, false); RETURN NEW; END $$;"
                       f"CREATE TRIGGER t BEFORE INSERT ON new_{n} FOR EACH ROW EXECUTE FUNCTION new_{n}()")
            first.rows(f"INSERT INTO new_{n} VALUES ('mine')")
            assert value_of(second, f"app.new_{n}") is None
            assert value_of(first, f"app.new_{n}") == b"mine"
        proxy.wait_standby_read("SELECT * FROM new_4")
        first.rows("INSERT INTO new_4 VALUES ('known')")
        assert value_of(second, "app.new_4") is None
        assert value_of(first, "app.new_4") == b"known"


def test_a_trigger_that_is_enabled_counts_from_then_on(make_proxy, cluster):
    cluster.primary.sql("CREATE TABLE sleeping (v text);"
                        "CREATE FUNCTION wake() RETURNS trigger LANGUAGE plpgsql AS"
                        " $$ BEGIN PERFORM set_config('app.awake', NEW.v, false); RETURN NEW; END $$;"
                        "CREATE TRIGGER t BEFORE INSERT ON sleeping FOR EACH ROW EXECUTE FUNCTION wake();"
                        "ALTER TABLE sleeping DISABLE TRIGGER t")
    cluster.wait_replayed()
    proxy = make_proxy(pool={"mode": "transaction", "size": 1, "queue_timeout": "20s"})
    proxy.wait_standby_read("SELECT * FROM sleeping")
    with Wire(proxy.port) as first, Wire(proxy.port) as second:
        first.login()
        second.login()
        first.rows("ALTER TABLE sleeping ENABLE TRIGGER t")
        proxy.wait_standby_read("SELECT * FROM sleeping")
        first.rows("INSERT INTO sleeping VALUES ('mine')")
        assert value_of(second, "app.awake") is None
        assert value_of(first, "app.awake") == b"mine"
