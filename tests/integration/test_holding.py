"""What a client meets while nodes are away: it waits, or hears an error that says what became of its statement, and stays
connected. Nobody here promotes but the tests themselves (failover.mode: observe)."""

import contextlib
import signal
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for

HOLD = f"{20 * SCALE:g}s"


@contextlib.contextmanager
def trouble(standbys: int = 1, nodes=None, hold: str = HOLD, **sections):
    failover = {"hold_timeout": hold} | sections.pop("failover", {})
    with Cluster(standbys=standbys) as cluster:
        with Pgweir(cluster.nodes if nodes is None else nodes(cluster), failover=failover, admin={"users": "boss"}, **sections) as proxy:
            yield cluster, proxy


def promote(cluster, name: str = "pg2") -> None:
    cluster.node(name).sql("SELECT pg_promote(true)")


def primary_of(proxy) -> str:
    """By the admin database: its sessions wait for no node."""
    with proxy.connect(user="boss", dbname="pgweir") as console:
        return console.execute("SHOW FAILOVER").fetchone()[3]


def wait_no_primary(proxy) -> None:
    wait_for(lambda: not primary_of(proxy), "the primary to be found away")


def wait_primary(proxy, name: str) -> None:
    wait_for(lambda: primary_of(proxy) == name, f"{name} to be the primary")


class Asking(threading.Thread):
    """Does something in a thread: `result` is what it returned or raised."""

    def __init__(self, what):
        super().__init__(daemon=True)
        self._what = what
        self._result = None
        self._problem = None
        self.took = 0.0
        self.start()

    def run(self):
        begin = time.monotonic()
        try:
            self._result = self._what()
        except BaseException as problem:
            self._problem = problem
        self.took = time.monotonic() - begin

    def result(self):
        self.join(40 * SCALE)
        assert not self.is_alive(), "no answer"
        if self._problem is not None:
            raise self._problem
        return self._result


def make_table(cluster, proxy) -> None:
    proxy.sql("CREATE TABLE written (id int)")
    cluster.wait_replayed()
    wait_for(lambda: "catalog_not_loaded" not in proxy.route("SELECT count(*) FROM pg_class"), "the catalog to be read")


def held(proxy) -> int:
    return proxy.log().count(" held ")


def wait_held(proxy, count: int = 1) -> None:
    wait_for(lambda: held(proxy) >= count, f"{count} clients to be held")


def state(connection) -> str:
    return connection.info.transaction_status.name


def sqlstate(call) -> str:
    with pytest.raises(psycopg.Error) as caught:
        call()
    return caught.value.sqlstate


@pytest.mark.parametrize("end", ["kill", "fast", "immediate"])
def test_idle_clients_do_not_notice_and_writes_wait(end):
    with trouble(2) as (cluster, proxy):
        make_table(cluster, proxy)
        clients = [proxy.connect() for _ in range(4)]
        for client in clients:
            client.execute("SET application_name = 'kept'")
            client.execute("SELECT %s::int", (1,), prepare=True)
        cluster.primary.kill() if end == "kill" else cluster.primary.stop(end)
        asked = [Asking(lambda c=c, i=i: c.execute("INSERT INTO written VALUES (%s)", (i,))) for i, c in enumerate(clients)]
        wait_held(proxy, len(clients))
        assert all(one.is_alive() for one in asked)
        promote(cluster)
        for one in asked:
            one.result()
        for client in clients:
            assert client.execute("SHOW application_name").fetchone()[0] == "kept"
            assert client.execute("SELECT %s::int", (7,), prepare=True).fetchone()[0] == 7
            client.close()
        assert cluster.node("pg2").sql("SELECT count(*) FROM written")[0][0] == 4


def test_reads_go_on_and_new_clients_wait():
    with trouble(2) as (cluster, proxy):
        make_table(cluster, proxy)
        known = proxy.connect()
        cluster.primary.kill()
        wait_no_primary(proxy)
        assert known.execute("SELECT count(*) FROM pg_class").fetchone()[0] > 0
        with proxy.connect() as new:
            assert new.execute("SELECT count(*) FROM pg_class").fetchone()[0] > 0
        new = Asking(lambda: proxy.sql("INSERT INTO written VALUES (1)"))
        wait_held(proxy)
        promote(cluster)
        new.result()
        known.close()


def test_a_login_that_needs_a_server_waits():
    with trouble(0) as (cluster, proxy):
        proxy.sql("SELECT 1")
        cluster.primary.kill()
        wait_no_primary(proxy)
        login = Asking(lambda: proxy.connect(user="traced", dbname="test"))
        wait_held(proxy)
        cluster.primary.start()
        client = login.result()
        assert client.execute("SELECT 1").fetchone()[0] == 1
        client.close()


@pytest.mark.parametrize("extended", [False, True])
def test_after_the_time_there_is_an_error_and_the_client_stays(extended):
    with trouble(1, hold="500ms") as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            cluster.primary.kill()
            wait_no_primary(proxy)
            for _ in range(2):
                with pytest.raises(psycopg.errors.CannotConnectNow) as caught:
                    client.execute("INSERT INTO written VALUES (1)", () if not extended else None, prepare=extended)
                assert "no primary server is available" in str(caught.value)
                assert "failover.hold_timeout" in caught.value.diag.message_detail and caught.value.diag.message_hint
            promote(cluster)
            wait_primary(proxy, "pg2")
            client.execute("INSERT INTO written VALUES (1)")


def test_a_held_client_can_cancel():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            cluster.primary.kill()
            wait_no_primary(proxy)
            asked = Asking(lambda: client.execute("INSERT INTO written VALUES (1)"))
            wait_held(proxy)
            client.cancel()
            assert sqlstate(asked.result) == "57014"
            assert client.execute("SELECT count(*) FROM pg_class").fetchone()[0] > 0


def test_a_held_client_can_leave():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        client = wire.Wire(proxy.port)
        client.login(user="app", database="test")
        cluster.primary.kill()
        wait_no_primary(proxy)
        client.send(wire.query("INSERT INTO written VALUES (1)"))
        wait_held(proxy)
        client.socket.close()
        proxy.wait_log("disconnected")
        promote(cluster)
        wait_primary(proxy, "pg2")
        proxy.sql("INSERT INTO written VALUES (2)")
        assert cluster.node("pg2").sql("SELECT id FROM written") in ([(2,)], [(1,), (2,)])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_held_clients_do_not_hold_up_the_end(number):
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        client = wire.Wire(proxy.port)
        client.login(user="app", database="test")
        cluster.primary.kill()
        wait_no_primary(proxy)
        client.send(wire.query("INSERT INTO written VALUES (1)"))
        wait_held(proxy)
        begin = time.monotonic()
        proxy.signal(number)
        assert client.read_to_end()[-1].sqlstate == "57P01"
        assert time.monotonic() - begin < 5 * SCALE
        proxy.wait_exit()


def test_a_reload_shortens_the_time():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            cluster.primary.kill()
            wait_no_primary(proxy)
            asked = Asking(lambda: client.execute("INSERT INTO written VALUES (1)"))
            wait_held(proxy)
            proxy.write_config(failover={"hold_timeout": "200ms"})
            proxy.reload()
            assert sqlstate(asked.result) == "57P03"


def test_a_transaction_on_a_lost_node_is_told_at_its_next_statement():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        told, committing, rolling = (proxy.connect() for _ in range(3))
        for client in (told, committing, rolling):
            client.execute("BEGIN")
            client.execute("INSERT INTO written VALUES (1)")
        cluster.primary.kill()
        wait_for(lambda: proxy.log().count("server_connection_lost") >= 3, "the loss")
        with pytest.raises(psycopg.errors.SerializationFailure) as caught:
            told.execute("INSERT INTO written VALUES (2)")
        assert 'the connection to server "pg1" was lost; the transaction was rolled back' in str(caught.value)
        assert state(told) == "INERROR"
        assert sqlstate(lambda: told.execute("SELECT 1")) == "25P02"
        told.execute("ROLLBACK")
        assert state(told) == "IDLE"
        assert sqlstate(lambda: committing.execute("COMMIT")) == "40001"
        assert state(committing) == "IDLE"
        rolling.execute("ROLLBACK")
        assert state(rolling) == "IDLE"
        promote(cluster)
        for client in (told, committing, rolling):
            client.execute("INSERT INTO written VALUES (3)")
            client.close()
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(3,)] * 3


LONG = "SELECT count(*) FROM generate_series(1, 10000000)"  # some seconds


def running(node, text: str) -> int | None:
    rows = node.sql("SELECT pid FROM pg_stat_activity WHERE state = 'active' AND query LIKE %s AND pid <> pg_backend_pid()",
                    f"%{text}%")
    return rows[0][0] if rows else None


@pytest.mark.parametrize("extended", [False, True])
def test_a_statement_in_flight_in_a_transaction_is_40001(extended):
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            client.execute("BEGIN")
            client.execute("INSERT INTO written VALUES (1)")
            asked = Asking(lambda: client.execute("INSERT INTO written SELECT 1 FROM pg_sleep(30)", prepare=extended))
            wait_for(lambda: running(cluster.primary, "pg_sleep(30)"), "the statement to run")
            cluster.primary.kill()
            assert sqlstate(asked.result) == "40001"
            assert state(client) == "INERROR"
            client.execute("ROLLBACK")
            promote(cluster)
            client.execute("INSERT INTO written VALUES (2)")


@pytest.mark.parametrize("extended", [False, True])
@pytest.mark.parametrize("end", ["kill", "fast", "immediate", "terminate"])
def test_a_write_in_flight_is_in_doubt(end, extended):
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            notices = []
            client.add_notice_handler(lambda d: notices.append(d.message_primary))
            asked = Asking(lambda: client.execute("INSERT INTO written SELECT 1 FROM pg_sleep(30)", prepare=extended))
            pid = wait_for(lambda: running(cluster.primary, "pg_sleep(30)"), "the statement to run")
            if end == "terminate":
                cluster.primary.sql("SELECT pg_terminate_backend(%s)", pid)
            else:
                cluster.primary.kill() if end == "kill" else cluster.primary.stop(end)
            with pytest.raises(psycopg.Error) as caught:
                asked.result()
            assert caught.value.sqlstate == "08007"
            assert state(client) == "IDLE"
            assert notices == []
            if end == "terminate":  # the monitor may find a server that stops before its last words are read
                assert "The server said" in caught.value.diag.message_detail
            if end != "terminate":
                promote(cluster)
            client.execute("INSERT INTO written VALUES (2)")


def test_a_commit_in_flight_is_in_doubt():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        cluster.primary.configure("synchronous_standby_names = 'nobody'\n")
        cluster.primary.sql("SELECT pg_reload_conf()")
        with proxy.connect() as client:
            client.execute("BEGIN")
            client.execute("INSERT INTO written VALUES (1)")
            asked = Asking(lambda: client.execute("COMMIT"))
            wait_for(lambda: cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'SyncRep'"), "the commit to wait")
            cluster.primary.kill()
            assert sqlstate(asked.result) == "08007"
            assert state(client) == "IDLE"
            promote(cluster)
            client.execute("INSERT INTO written VALUES (2)")


@pytest.mark.parametrize("extended", [False, True])
def test_a_read_on_the_lost_primary_runs_again(extended):
    with trouble(0) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            asked = Asking(lambda: client.execute(LONG, prepare=extended).fetchone())
            wait_for(lambda: running(cluster.primary, "generate_series"), "the statement to run")
            cluster.primary.kill()
            wait_no_primary(proxy)
            cluster.primary.start()
            assert asked.result() == (10_000_000,)


@pytest.mark.parametrize("end", ["kill", "pause"])
def test_reads_on_a_lost_standby_run_elsewhere(end):
    with trouble(2, routing={"consistency": "eventual"}, workers=1) as (cluster, proxy):
        proxy.wait_standby_read(LONG)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(proxy.connect()) for _ in range(2)]
            asked = [Asking(lambda c=c: c.execute(LONG).fetchone()) for c in clients]
            wait_for(lambda: all(running(node, "generate_series") for node in cluster.standbys), "the statements to run")
            cluster.node("pg2").kill() if end == "kill" else cluster.node("pg2").pause()
            for one in asked:
                assert one.result() == (10_000_000,)


def test_a_read_that_an_administrator_ends_runs_again_each_time():
    """What servers die of by themselves runs only twice; here it is told that somebody has ended them."""
    with trouble(2) as (cluster, proxy):
        proxy.wait_standby_read(LONG)
        with proxy.connect() as client:
            asked = Asking(lambda: client.execute(LONG).fetchone())
            for _ in range(4):
                node = wait_for(lambda: next((n for n in cluster.nodes if running(n, "generate_series")), None), "it to run")
                assert sum(ended for (ended,) in node.sql(
                    "SELECT pg_terminate_backend(pid, 10000)::int FROM pg_stat_activity "
                    "WHERE query LIKE '%%generate_series%%' AND state = 'active' AND pid <> pg_backend_pid()")) == 1
            assert asked.result() == (10_000_000,)


def test_an_answer_half_delivered_ends_with_an_error():
    with trouble(0) as (cluster, proxy):
        make_table(cluster, proxy)
        client = wire.Wire(proxy.port)
        client.login(user="app", database="test")
        client.send(wire.query("SELECT i, (SELECT CASE WHEN i = 3000 THEN count(*) END FROM generate_series(1, CASE WHEN i = 3000 THEN 90000000 ELSE 1 END)) FROM generate_series(1, 3000) i"))
        assert client.read().kind == "T"
        assert client.read().kind == "D"
        cluster.primary.kill()
        rest = client.read_until("Z")
        assert [m.kind for m in rest if m.kind != "D"] == ["E", "Z"]
        assert rest[-2].sqlstate == "40001" and rest[-1].body == b"I"
        cluster.primary.start()
        assert client.rows("SELECT 1") == [[b"1"]]


def test_lost_state_is_told_once():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            client.execute("CREATE TEMP TABLE mine (a int)")
            cluster.primary.kill()
            wait_no_primary(proxy)
            promote(cluster)
            wait_primary(proxy, "pg2")
            with pytest.raises(psycopg.Error) as caught:
                client.execute("INSERT INTO written VALUES (1)")
            assert caught.value.sqlstate == "08006"
            assert "temporary" in caught.value.diag.message_detail
            client.execute("INSERT INTO written VALUES (2)")
            assert cluster.node("pg2").sql("SELECT id FROM written") == [(2,)]


def test_a_primary_that_hangs_is_given_up():
    with trouble(1, monitor={"timeout": f"{500 * SCALE:.0f}ms"}) as (cluster, proxy):
        make_table(cluster, proxy)
        writing, transaction, idle = (proxy.connect() for _ in range(3))
        transaction.execute("BEGIN")
        transaction.execute("INSERT INTO written VALUES (1)")
        idle.execute("INSERT INTO written VALUES (0)")
        cluster.primary.pause()
        asked = Asking(lambda: writing.execute("INSERT INTO written VALUES (2)"))
        assert sqlstate(asked.result) == "08007"
        assert sqlstate(lambda: transaction.execute("SELECT 1")) == "40001"
        transaction.execute("ROLLBACK")
        late = Asking(lambda: idle.execute("INSERT INTO written VALUES (3)"))
        promote(cluster)
        late.result()
        for client in (writing, transaction):
            client.execute("INSERT INTO written VALUES (4)")
        assert sorted(cluster.node("pg2").sql("SELECT id FROM written WHERE id > 2")) == [(3,), (4,), (4,)]
        for client in (writing, transaction, idle):
            client.close()


def test_a_pipeline_is_answered_in_full():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            def run():
                with client.pipeline() as pipeline:
                    client.execute("INSERT INTO written SELECT 1 FROM pg_sleep(30)")
                    pipeline.sync()
                    client.execute("INSERT INTO written VALUES (2)")
                    pipeline.sync()
                    return client.execute("SELECT 3").fetchone()
            asked = Asking(run)
            wait_for(lambda: running(cluster.primary, "pg_sleep(30)"), "the statement to run")
            cluster.primary.kill()
            assert sqlstate(asked.result) == "08007"
            promote(cluster)
            wait_primary(proxy, "pg2")
            client.execute("INSERT INTO written VALUES (4)")
            assert (4,) in cluster.node("pg2").sql("SELECT id FROM written")


def test_what_waits_without_a_sync_behind_a_lost_answer_runs():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with wire.Wire(proxy.port) as client:
            client.login()
            # Until it is known whether the first statement is there, what is not closed waits.
            client.send(wire.parse("INSERT INTO written SELECT 1 FROM pg_sleep(30)", "w"), wire.bind(statement="w"),
                        wire.execute(), wire.SYNC, wire.parse("SELECT 1", "s"), wire.describe("S", "s"), wire.FLUSH)
            wait_for(lambda: running(cluster.primary, "pg_sleep(30)"), "the statement to run")
            cluster.primary.kill()
            client.read_until("E")
            promote(cluster)
            wait_primary(proxy, "pg2")
            assert [message.kind for message in client.read_until("T")] == ["Z", "1", "t", "T"]
            assert [message.kind for message in client.ask(wire.SYNC)] == ["Z"]


def test_a_statement_is_refused_in_what_cannot_be_sent():
    with trouble(0, hold="100ms", pool={"mode": "statement"}) as (cluster, proxy):
        with wire.Wire(proxy.port) as client:
            client.login()
            cluster.primary.kill()
            wait_no_primary(proxy)
            told = client.ask(wire.parse("SELECT 1", "s"), wire.parse("BEGIN"), wire.SYNC)
            assert [message.kind for message in told] == ["E", "Z"]
            assert [message.kind for message in client.ask(wire.query("SELECT 1"))] == ["E", "Z"]


def test_a_held_pipeline_runs_in_order():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            cluster.primary.kill()
            wait_no_primary(proxy)

            def run():
                with client.pipeline():
                    for i in range(200):
                        client.execute("INSERT INTO written VALUES (%s)", (i,))
            asked = Asking(run)
            wait_held(proxy)
            promote(cluster)
            asked.result()
            assert cluster.node("pg2").sql("SELECT id FROM written") == [(i,) for i in range(200)]


@pytest.mark.parametrize("extended", [False, True])
def test_a_copy_in_flight_fails_and_the_client_stays(extended):
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with wire.Wire(proxy.port) as client:
            client.login()
            text = "COPY written FROM STDIN"
            if extended:
                client.send(wire.parse(text), wire.bind(), wire.execute(), wire.message(b"S"))
            else:
                client.send(wire.query(text))
            client.read_until("G")
            client.send(wire.copy_data(b"1\n"))
            wait_for(lambda: running(cluster.primary, "COPY"), "the COPY to run")
            cluster.primary.kill()
            error = client.read_until("E")[-1]
            assert error.sqlstate == ("40001" if extended else "08007")
            client.send(wire.copy_data(b"2\n"), wire.message(b"c"))
            if extended:
                client.send(wire.message(b"S"))
            assert client.read_until("Z")[-1].body == b"I"
            promote(cluster)
            assert client.rows("INSERT INTO written VALUES (3) RETURNING id") == [[b"3"]]


def test_copy_waits_for_the_primary():
    with trouble(1) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            cluster.primary.kill()
            wait_no_primary(proxy)

            def run():
                with client.cursor().copy("COPY written FROM STDIN") as copy:
                    for i in range(100):
                        copy.write_row((i,))
            asked = Asking(run)
            wait_held(proxy)
            promote(cluster)
            asked.result()
            assert cluster.node("pg2").sql("SELECT count(*) FROM written") == [(100,)]


def test_without_fallback_reads_wait_for_a_standby():
    with trouble(1, routing={"fallback_to_primary": False, "consistency": "eventual"}) as (cluster, proxy):
        proxy.wait_standby_read()
        with proxy.connect() as client:
            cluster.node("pg2").kill()
            proxy.wait_nodes({"pg1": "up", "pg2": "down"})
            asked = Asking(lambda: client.execute("SELECT count(*) FROM pg_class").fetchone())
            wait_held(proxy)
            cluster.node("pg2").start()
            assert asked.result()[0] > 0


# --- routing.reads: primary: no standby serves anything

def prepared_read(client, number: int) -> int:
    return client.execute("SELECT count(*) + %s FROM generate_series(1, 10)", (number,), prepare=True).fetchone()[0]


@pytest.mark.parametrize("extended", [False, True])
def test_reads_that_belong_to_the_primary_wait_for_it(extended):
    with trouble(2, routing={"reads": "primary"}) as (cluster, proxy):
        cluster.primary.sql("CREATE TABLE written (id int)")
        cluster.wait_replayed()
        proxy.sql("SELECT 1")
        proxy.wait_log("catalog_loaded")
        with proxy.connect() as first, proxy.connect() as later, proxy.connect() as known, proxy.connect() as reading:
            assert prepared_read(known, 1) == 11
            reading.execute("BEGIN READ ONLY")
            reading.execute("SELECT 1")
            in_flight = Asking(lambda: first.execute(LONG, prepare=extended).fetchone())
            wait_for(lambda: running(cluster.primary, "generate_series"), "the statement to run")
            cluster.primary.kill()
            asked = [Asking(lambda: later.execute("SELECT count(*) FROM written", prepare=extended).fetchone()),
                     Asking(lambda: prepared_read(known, 2))]
            wait_held(proxy, 3)
            assert all(one.is_alive() for one in [in_flight, *asked])
            promote(cluster)
            assert in_flight.result() == (10_000_000,)
            assert asked[0].result() == (0,)
            assert asked[1].result() == 12
            assert sqlstate(lambda: reading.execute("SELECT 1")) == "40001"
            reading.execute("ROLLBACK")
            assert later.execute("SELECT pg_is_in_recovery()").fetchone() == (False,)


def test_reads_that_belong_to_the_primary_are_told_when_it_takes_too_long():
    with trouble(2, hold="500ms", routing={"reads": "primary"}) as (cluster, proxy):
        make_table(cluster, proxy)
        with proxy.connect() as client:
            assert prepared_read(client, 1) == 11
            cluster.primary.kill()
            wait_no_primary(proxy)
            assert sqlstate(lambda: client.execute("SELECT count(*) FROM written")) == "57P03"
            assert sqlstate(lambda: prepared_read(client, 2)) == "57P03"
            promote(cluster)
            wait_primary(proxy, "pg2")
            assert prepared_read(client, 3) == 13
