"""Many clients on few server connections: who is pinned and why, what is handed on, what a cancel reaches.

What a session carries with it is the matter of tests/semantics.
"""

import contextlib
import random
import struct
import threading

import psycopg
import pytest

from harness import wire
from harness.waiting import wait_for
from harness.wire import SYNC, Wire, bind, close, copy_data, describe, execute, parse, query

PRIMARY = "/* pgweir: primary */"
COPY_DONE = wire.message(b"c")


@pytest.fixture
def narrow(make_proxy):
    """One server connection per node, database and user."""
    return make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "10s"})


@contextlib.contextmanager
def session(proxy, user="app", **more):
    with Wire(proxy.port) as client:
        client.login(user=user, **more)
        yield client


def answers(client: Wire, *parts: bytes) -> str:
    """The kinds of the messages up to ReadyForQuery, and its status."""
    found = client.ask(*parts)
    return "".join(m.kind for m in found) + " " + found[-1].body.decode()


def pins(proxy) -> dict[int, set[str]]:
    found: dict[int, set[str]] = {}
    for row in proxy.sql("SHOW pins", user="app"):
        found.setdefault(int(row[0]), set()).add(row[5])
    return found


def backend(client: Wire) -> bytes:
    return client.rows(f"{PRIMARY} SELECT pg_backend_pid()")[0][0]


# --- pins ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reason, begin, end", [
    ("temporary_objects", "CREATE TEMP TABLE pinned (id int)", "DROP TABLE pinned"),
    ("temporary_objects", "CREATE TEMP TABLE pinned (id int)", "DISCARD TEMP"),
    ("temporary_objects", "CREATE FUNCTION pg_temp.f() RETURNS int LANGUAGE sql AS 'SELECT 1'", "DISCARD ALL"),
    ("temporary_objects", "DO $$ BEGIN CREATE TEMP TABLE pinned (id int); END $$", "DO $$ BEGIN DROP TABLE pinned; END $$"),
    ("temporary_objects", "SELECT 1 AS one INTO TEMP pinned", "DROP TABLE pinned"),
    ("hold_cursor", "DECLARE c CURSOR WITH HOLD FOR SELECT 1", "CLOSE c"),
    ("hold_cursor", "BEGIN; DECLARE c CURSOR WITH HOLD FOR SELECT 1; COMMIT", "CLOSE ALL"),
    ("listen", "LISTEN pinned", "UNLISTEN pinned"),
    ("listen", "LISTEN pinned", "UNLISTEN *"),
    ("advisory_lock", "SELECT pg_advisory_lock(4711)", "SELECT pg_advisory_unlock(4711)"),
    ("advisory_lock", "SELECT pg_try_advisory_lock(1, 2)", "SELECT pg_advisory_unlock_all()"),
    ("advisory_lock", "DO $$ BEGIN PERFORM pg_advisory_lock(4711); END $$",
     "DO $$ BEGIN PERFORM pg_advisory_unlock(4711); END $$"),
], ids=lambda value: value[:40] if " " in value else value)
def test_a_pin_begins_and_ends(make_proxy, reason, begin, end):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 2})
    with session(proxy) as client:
        client.rows(begin)
        wait_for(lambda: pins(proxy) == {client.pid: {reason}}, f"the pin {reason}")
        mine = backend(client)
        with session(proxy) as other:
            assert backend(other) != mine, "the pinned connection has been handed on"
        assert backend(client) == mine
        client.rows(end)
        wait_for(lambda: pins(proxy) == {}, "the pin to end")
        with session(proxy) as other, session(proxy) as third:
            other.rows("BEGIN")
            third.rows("BEGIN")
            assert backend(other) != backend(third)  # both connections are free again


@pytest.mark.parametrize("reason, begin", [
    ("random_seed", "SELECT setseed(0.5)"),
    ("random_seed", "DO $$ BEGIN PERFORM setseed(0.5); END $$"),
    ("random_seed", "SELECT setseed(0.5), 1/(SELECT 0)"),
    ("library", "DO $$ BEGIN LOAD 'auto_explain'; END $$"),
])
def test_a_pin_that_only_the_end_of_the_client_ends(make_proxy, reason, begin):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "5s"})
    with session(proxy, user="postgres") as client:
        client.ask(query(begin))
        assert pins(proxy) == {client.pid: {reason}}
        mine = backend(client)
        client.rows("DISCARD ALL")
        assert pins(proxy) == {client.pid: {reason}}
    with session(proxy, user="postgres") as other:
        assert backend(other) != mine, "the connection has been used again"


@pytest.mark.parametrize("how", ["SELECT lasting.seeds()", "SELECT lasting.calls()", "INSERT INTO lasting.fires VALUES (1)",
                                 "DO $$ BEGIN PERFORM lasting.calls(); END $$", "CALL lasting.runs()",
                                 "PREPARE p AS SELECT lasting.calls(); EXECUTE p", "SELECT * FROM lasting.seen"])
def test_code_that_sets_a_seed_pins(make_proxy, cluster, how):
    cluster.primary.sql("""
        DROP SCHEMA IF EXISTS lasting CASCADE; CREATE SCHEMA lasting; GRANT ALL ON SCHEMA lasting TO app;
        CREATE FUNCTION lasting.seeds() RETURNS void LANGUAGE sql AS 'SELECT setseed(0.5)';
        CREATE FUNCTION lasting.calls() RETURNS int LANGUAGE plpgsql AS 'BEGIN PERFORM lasting.seeds(); RETURN 1; END';
        CREATE PROCEDURE lasting.runs() LANGUAGE plpgsql AS 'BEGIN PERFORM lasting.calls(); END';
        CREATE FUNCTION lasting.fired() RETURNS trigger LANGUAGE plpgsql AS
            'BEGIN PERFORM lasting.calls(); RETURN NEW; END';
        CREATE TABLE lasting.fires (id int);
        CREATE TRIGGER t BEFORE INSERT ON lasting.fires FOR EACH ROW EXECUTE FUNCTION lasting.fired();
        CREATE VIEW lasting.seen AS SELECT lasting.calls();
        GRANT ALL ON ALL TABLES IN SCHEMA lasting TO app;
    """)
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "5s"})
    proxy.wait_standby_read("SELECT count(*) FROM lasting.fires", user="app")
    with session(proxy) as client:
        client.rows("SELECT count(*) FROM lasting.fires")  # reading is no reason
        assert pins(proxy) == {}
        client.rows(how)
        assert pins(proxy) == {client.pid: {"random_seed"}}


def test_two_locks_and_one_unlock_stay_pinned(make_proxy):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 2})
    with session(proxy) as client:
        client.rows("SELECT pg_advisory_lock(7)")
        client.rows("SELECT pg_advisory_lock(7)")
        client.rows("SELECT pg_advisory_unlock(7)")
        wait_for(lambda: pins(proxy) == {client.pid: {"advisory_lock"}}, "the pin")
        with session(proxy) as other:
            assert other.rows("SELECT pg_try_advisory_lock(7)") == [[b"f"]]
        client.rows("SELECT pg_advisory_unlock(7)")
        wait_for(lambda: pins(proxy) == {}, "the pin to end")


def test_what_a_rollback_undoes_does_not_pin(narrow):
    with session(narrow) as client, session(narrow) as other:
        client.rows("BEGIN")
        client.rows("CREATE TEMP TABLE gone (id int)")
        client.rows("ROLLBACK")
        client.rows("BEGIN")
        client.rows("CREATE TEMP TABLE gone (id int) ON COMMIT DROP")
        client.rows("COMMIT")
        assert other.rows(f"{PRIMARY} SELECT 1") == [[b"1"]]  # with one connection: it has been given back


def test_a_pinned_session_that_leaves_leaves_nothing(narrow):
    with session(narrow) as client:
        client.rows("CREATE TEMP TABLE left_behind (id int)")
        client.rows("SELECT pg_advisory_lock(99)")
        client.rows("LISTEN left_behind")
    with session(narrow) as other:
        assert other.rows(f"{PRIMARY} SELECT to_regclass('pg_temp.left_behind')") == [[None]]
        assert other.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()") == [[b"0"]]
        assert other.rows("SELECT count(*) FROM pg_listening_channels()") == [[b"0"]]
    assert pins(narrow) == {}


# --- prepared statements ----------------------------------------------------------------------------------------------


def test_the_server_keeps_no_more_statements_than_the_budget(make_proxy, cluster):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "prepared_memory": "256kB"})
    with session(proxy) as client, session(proxy) as other:
        for number in range(100):
            text = f"SELECT {number} AS n /* the budget */ FROM pg_locks LIMIT 1"
            assert answers(client, parse(text, f"s{number}"), SYNC) == "1Z I"
        for number in random.Random(1).sample(range(100), 100):
            assert client.ask(bind(statement=f"s{number}"), execute(), SYNC)[1].values == [str(number).encode()]
        other.rows("SELECT 1")
        count, = proxy.sql(f"{PRIMARY} SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")[0]
        assert count == 1
        log = proxy.log()
        assert "assertion" not in log


def test_a_client_may_not_prepare_without_end(make_proxy):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "prepared_memory": "64kB"})
    with session(proxy) as client:
        refused = None
        for number in range(1000):
            found = client.ask(parse(f"SELECT {number} /* {'x' * 500} */", f"s{number}"), SYNC)
            if found[0].kind == "E":
                refused = found[0]
                break
        assert refused is not None and refused.sqlstate == "53400"
        assert "pool.prepared_memory" in " ".join(refused.fields.values())
        assert answers(client, close("S", "s0"), SYNC) == "3Z I"
        assert answers(client, parse("SELECT 1", "again"), SYNC) == "1Z I"
        assert client.ask(bind(statement="again"), execute(), SYNC)[1].values == [b"1"]


def test_pg_prepared_statements_shows_ones_own(narrow):
    with session(narrow) as client, session(narrow) as other:
        other.ask(parse("SELECT 'other'", "theirs"), SYNC)
        other.rows("PREPARE also_theirs AS SELECT 1")
        client.ask(parse("SELECT 'mine'", "mine"), SYNC)
        client.rows("PREPARE also_mine AS SELECT 2")
        names = client.rows(f"{PRIMARY} SELECT name, statement FROM pg_prepared_statements ORDER BY name")
        assert names == [[b"also_mine", b"PREPARE also_mine AS SELECT 2"], [b"mine", b"SELECT 'mine'"]]
        assert other.ask(bind(statement="theirs"), execute(), SYNC)[1].values == [b"other"]
        assert other.rows("EXECUTE also_theirs") == [[b"1"]]


def test_a_changed_result_is_healed_only_for_who_asks_what_it_looks_like(narrow, cluster):
    cluster.primary.sql("DROP TABLE IF EXISTS healed; CREATE TABLE healed (a int); INSERT INTO healed VALUES (1);"
                        " GRANT ALL ON healed TO app")
    text = f"{PRIMARY} SELECT * FROM healed"
    with session(narrow) as client:
        assert answers(client, parse(text, "s"), SYNC) == "1Z I"
        assert answers(client, bind(statement="s"), execute(), SYNC) == "2DCZ I"
        cluster.primary.sql("ALTER TABLE healed ADD COLUMN b text DEFAULT 'b'")  # behind pgweir's back
        blind = client.ask(bind(statement="s"), execute(), SYNC)
        assert (blind[0].kind, blind[0].sqlstate) == ("E", "0A000")  # it would take the new rows for old ones
        found = client.ask(bind(statement="s"), describe("P"), execute(), SYNC)
        assert "".join(m.kind for m in found) == "2TDCZ" and found[2].values == [b"1", b"b"]
        client.rows("BEGIN")
        cluster.primary.sql("SELECT 1")
        assert answers(client, bind(statement="s"), execute(), SYNC) == "2DCZ T"
        client.rows("COMMIT")


# --- modes -----------------------------------------------------------------------------------------------------------


def test_statement_mode_refuses_transactions(make_proxy):
    proxy = make_proxy(workers=1, pool={"mode": "statement", "size": 1})
    with session(proxy) as client, session(proxy) as other:
        for text in ("BEGIN", "START TRANSACTION READ ONLY", "SELECT 1; BEGIN; SELECT 2"):
            found = client.ask(query(text))
            assert [m.kind for m in found] == ["E", "Z"] and found[0].sqlstate == "0A000", text
            assert found[1].body == b"I"
        found = client.ask(parse("BEGIN"), bind(), execute(), SYNC)
        assert [m.kind for m in found] == ["E", "Z"] and found[0].sqlstate == "0A000"
        assert client.rows(f"{PRIMARY} SELECT 1; SELECT 2") == [[b"1"], [b"2"]]
        client.rows("SET work_mem = '5MB'")
        assert other.rows("SHOW work_mem") != [[b"5MB"]]
        assert client.rows("SHOW work_mem") == [[b"5MB"]]


def test_a_refused_transaction_keeps_its_place_in_a_pipeline(make_proxy):
    proxy = make_proxy(workers=1, pool={"mode": "statement", "size": 1})
    with session(proxy) as client:
        client.send(query("SELECT 1"), query("BEGIN"), query("SELECT 2"),
                    parse("SELECT 3"), bind(), execute(), parse("BEGIN"), bind(), execute(), SYNC, query("SELECT 4"))
        found = [client.read_until("Z") for _ in range(5)]
        kinds = ["".join(message.kind for message in answer) for answer in found]
        assert kinds == ["TDCZ", "EZ", "TDCZ", "12DCEZ", "TDCZ"]
        assert [m.sqlstate for answer in found for m in answer if m.kind == "E"] == ["0A000"] * 2


def test_a_statement_too_many_fails_where_it_stands(make_proxy):
    """In a transaction, in a pipeline, and as PREPARE: the transaction fails as it would for a server's error."""
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "prepared_memory": "64kB"})
    long = " + ".join(["1"] * 1000)
    with session(proxy) as client:
        for i in range(20):
            client.ask(parse(f"SELECT {long}", f"s{i}"), SYNC)
        client.ask(query("CREATE TEMP TABLE kept (id int)"))
        client.ask(query("BEGIN"))
        client.ask(query("INSERT INTO kept VALUES (1)"))
        found = client.ask(parse(f"SELECT {long}", "s99"), bind(statement="s99"), execute(), SYNC)
        assert "".join(m.kind for m in found) == "EZ" and found[0].sqlstate == "53400" and found[1].body == b"E"
        assert client.ask(query("SELECT 1"))[0].sqlstate == "25P02"
        client.ask(query("ROLLBACK"))
        assert client.rows("SELECT count(*) FROM kept") == [[b"0"]]

        client.send(query("SELECT 1"), query(f"PREPARE s98 AS SELECT {long}"), query("SELECT 2"))
        kinds = ["".join(message.kind for message in client.read_until("Z")) for _ in range(3)]
        assert kinds == ["TDCZ", "EZ", "TDCZ"]
        assert client.ask(query(f"PREPARE s98 AS SELECT {long}"))[0].sqlstate == "53400"
        assert client.ask(query("EXECUTE s98"))[0].sqlstate == "26000"
        assert "".join(m.kind for m in client.ask(bind(statement="s0"), execute(), SYNC)) == "2DCZ"


def test_a_mode_per_user_and_database(make_proxy):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1},
                       users=[{"name": "app", "pool_mode": "session"}],
                       databases=[{"name": "test", "pool_mode": "statement"}])
    with session(proxy) as client:
        assert answers(client, query("BEGIN")) == "CZ T"
        assert answers(client, query("COMMIT")) == "CZ I"
    with Wire(proxy.port) as superuser:
        superuser.login(user="postgres")
        assert superuser.ask(query("BEGIN"))[0].sqlstate == "0A000"


# --- in the middle of things -----------------------------------------------------------------------------------------


def test_the_connection_goes_back_in_the_middle_of_a_pipeline(narrow):
    """A client that never stops sending does not keep the only connection from another."""
    stop = threading.Event()
    done = 0

    def talk() -> None:
        nonlocal done
        with session(narrow) as client:
            while not stop.is_set():
                client.send(*[query(f"{PRIMARY} SELECT {n}") for n in range(50)])
                for _ in range(50):
                    client.read_until("Z")
                    done += 1
    talker = threading.Thread(target=talk)
    talker.start()
    try:
        with session(narrow) as other:
            for _ in range(20):
                assert other.rows(f"{PRIMARY} SELECT 1") == [[b"1"]]
    finally:
        stop.set()
        talker.join()
    assert done > 0


LEAVING = {
    "in a transaction": (query("BEGIN"), query("INSERT INTO abandoned VALUES (1)")),
    "in a failed transaction": (query("BEGIN"), query("SELECT 1/0")),
    "in COPY IN": (query("COPY abandoned FROM STDIN"), copy_data(b"1\n")),
    "in COPY OUT": (query("COPY (SELECT generate_series(1, 300000)) TO STDOUT"),),
    "with an exchange without its Sync": (parse("INSERT INTO abandoned VALUES (1)"), bind(), execute()),
    "with a query before the Sync": (parse("INSERT INTO abandoned VALUES (1)"), bind(), execute(), query("SELECT 1"), SYNC),
    "with a pipeline in flight": tuple(query(f"{PRIMARY} SELECT pg_sleep(0.01)") for _ in range(20)),
    "with data unread": (query(f"{PRIMARY} SELECT repeat('x', 1000) FROM generate_series(1, 50000)"),),
    "with half a message": (b"Q\0\0\1\0SELECT 1",),
    "while a setting is made": (query("SET work_mem = '7MB'"), query("BEGIN"), query("SET LOCAL work_mem = '9MB'")),
    "with a statement that runs on": (query(f"{PRIMARY} SELECT pg_sleep(30)"),),
    "while a lock is held": (query("SELECT pg_advisory_lock(12345)"), query("SELECT 1/0")),
    "in a DO block": (query("DO $$ BEGIN PERFORM set_config('work_mem', '8MB', false); PERFORM pg_sleep(0.2); END $$"),),
}


@pytest.mark.parametrize("state", list(LEAVING))
@pytest.mark.parametrize("how", ["close", "reset", "terminate"])
def test_whoever_leaves_leaves_a_clean_connection(make_proxy, cluster, state, how):
    cluster.primary.sql("CREATE TABLE IF NOT EXISTS abandoned (id int); TRUNCATE abandoned; GRANT ALL ON abandoned TO app")
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "20s"})
    client = Wire(proxy.port)
    client.login(user="app")
    client.send(*LEAVING[state])
    if how == "terminate":
        client.send(wire.message(b"X"))
    if how == "reset":
        client.socket.setsockopt(__import__("socket").SOL_SOCKET, __import__("socket").SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()
    with session(proxy) as other:
        assert other.rows(f"{PRIMARY} SELECT current_setting('work_mem'), current_setting('role')") == [[b"4MB", b"none"]]
        assert answers(other, query("SELECT count(*) FROM abandoned")) == "TDCZ I"
        assert other.rows("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [[b"0"]]
        assert other.rows("BEGIN; INSERT INTO abandoned VALUES (2); COMMIT") == []
        assert other.rows(f"{PRIMARY} SELECT count(*) FROM abandoned WHERE id = 2") == [[b"1"]]
    wait_for(lambda: not cluster.primary.sql(
        "SELECT 1 FROM pg_stat_activity WHERE usename = 'app' AND state <> 'idle'"), "nothing to run any more")


def test_lastval_is_never_another_clients(narrow):
    narrow.sql("CREATE SEQUENCE IF NOT EXISTS numbers_of_one; GRANT ALL ON numbers_of_one TO app")
    with session(narrow) as client, session(narrow) as other:
        for ask in ("lastval()", "currval('numbers_of_one')"):
            assert len(client.rows("SELECT nextval('numbers_of_one')")) == 1
            found = other.ask(query(f"SELECT {ask}"))
            assert [m.sqlstate for m in found if m.kind == "E"] == ["55000"], found


def test_a_transaction_that_the_server_forgets_to_end_is_nobody_elses(narrow, cluster):
    """PostgreSQL 18 says idle at this Sync, but has not ended the transaction, and fails the next statement."""
    narrow.sql("CREATE TABLE IF NOT EXISTS abandoned (id int); GRANT ALL ON abandoned TO app")
    narrow.wait_standby_read("SELECT count(*) FROM abandoned")

    def begin(client: Wire) -> list[str]:
        insert = parse("INSERT INTO abandoned VALUES (1)"), bind(), execute()
        return [answers(client, *insert, query(f"{PRIMARY} SELECT count(*) FROM abandoned")), answers(client, SYNC)]

    with Wire(cluster.primary.port) as direct:
        direct.login(user="app")
        said = begin(direct), answers(direct, query(f"{PRIMARY} SELECT 1"))
    with session(narrow) as client, session(narrow) as other:
        assert begin(client) == said[0]
        other.send(query(f"{PRIMARY} SELECT 2"))
        assert answers(client, query(f"{PRIMARY} SELECT 1")) == said[1]
        assert "".join(m.kind for m in other.read_until("Z")) == "TDCZ"
        wait_for(lambda: not pins(narrow), "the pin to end")
        assert answers(other, query("SET lock_timeout = '5s'; LOCK TABLE abandoned")) == "CCZ I"


def test_a_cancel_reaches_only_the_statement_of_its_client(make_proxy):
    """Cancels at random moments, many of them too late: nobody else's statement is hit."""
    seed = 20260101
    print(f"seed {seed}")
    proxy = make_proxy(workers=2, pool={"mode": "transaction", "size": 3, "queue_timeout": "30s"})
    problems: list[str] = []
    cancelled = 0

    def victim(number: int) -> None:
        nonlocal cancelled
        dice = random.Random(seed + number)
        with session(proxy) as client:
            for step in range(40):
                client.send(query(f"{PRIMARY} SELECT pg_sleep(0.003), {number * 1000 + step}"))
                if dice.random() < 0.7:
                    threading.Event().wait(dice.random() * 0.006)
                    with Wire(proxy.port) as other:
                        other.send(wire.cancel_request(client.pid, client.key))
                        other.read_to_end()
                found = client.read_until("Z")
                if found[0].kind == "E":
                    cancelled += 1
                    if found[0].sqlstate != "57014":
                        problems.append(f"client {number}: {found[0].fields}")

    def bystander(number: int) -> None:
        with session(proxy) as client:
            for step in range(150):
                found = client.ask(query(f"{PRIMARY} SELECT {number * 1000 + step}, pg_sleep(0.001)"))
                if found[0].kind == "E" or found[1].values[0] != str(number * 1000 + step).encode():
                    problems.append(f"bystander {number}: {found[0].kind} {found[0].fields if found[0].kind == 'E' else found}")
    threads = [threading.Thread(target=victim, args=(n,)) for n in range(4)]
    threads += [threading.Thread(target=bystander, args=(n,)) for n in range(4, 8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems, problems[:5]
    assert cancelled > 0


def test_a_server_that_goes_takes_no_idle_client_with_it(narrow, cluster):
    with session(narrow) as client, session(narrow) as other:
        client.rows("SET work_mem = '6MB'")
        client.ask(parse("SELECT current_setting('work_mem')", "s"), SYNC)
        cluster.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'")
        # The end of the connections must have been seen: what is sent to one that is just ending may be lost with it.
        wait_for(lambda: not cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE usename = 'app'"), "the end")
        for _ in range(3):
            other.rows("SHOW pins")  # a pass of the worker's loop
        assert client.ask(bind(statement="s"), execute(), SYNC)[1].values == [b"6MB"]
        assert other.rows("SHOW work_mem") == [[b"4MB"]]


def test_protocol_parameters_of_start_up_share_connections(make_proxy, cluster):
    """Clients with start-up parameters of their own do not need connections of their own."""
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 2})
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(session(proxy, application_name=f"app {n}", options=f"-c work_mem={n + 1}MB"))
                   for n in range(10)]
        for _ in range(3):
            for number, client in enumerate(clients):
                rows = client.rows(f"{PRIMARY} SELECT current_setting('application_name'), current_setting('work_mem')")
                assert rows == [[f"app {number}".encode(), f"{number + 1}MB".encode()]]
        count, = cluster.primary.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'app'")[0]
        assert count <= 2
    with pytest.raises(psycopg.OperationalError, match="invalid value for parameter"):
        proxy.connect(user="app", options="-c work_mem=nonsense")


def test_a_read_does_not_stand_behind_a_slow_one_while_another_standby_is_free(make_proxy, cluster):
    """The pool has one connection per node: every second read would have to wait for the one that sleeps."""
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "10s"})
    proxy.wait_standby_read()
    with session(proxy) as slow, session(proxy) as quick:
        slow.send(query("/* pgweir: standby */ SELECT pg_sleep(600)"))

        def where_it_sleeps() -> list[int]:
            return [node.port for node in cluster.standbys
                    if node.sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)%' "
                                "AND pid <> pg_backend_pid() AND state = 'active'")]

        wait_for(where_it_sleeps, "the slow read to run")
        busy, = where_it_sleeps()
        served = {int(quick.rows("/* pgweir: standby */ SELECT inet_server_port()")[0][0]) for _ in range(20)}
        assert served == {node.port for node in cluster.standbys} - {busy}
        assert where_it_sleeps() == [busy]
