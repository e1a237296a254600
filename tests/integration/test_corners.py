"""Corners of the protocol and of a session's life; the first comment of each test says what would go wrong."""

import contextlib
import os
import re
import signal
import socket
import struct
import threading
import time

import psycopg
import pytest

from harness import ports, wire
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for
from harness.wire import FLUSH, SYNC, Closed, Wire, bind, close, describe, execute, message, parse, query

SCHEMA = """
DROP SCHEMA IF EXISTS review CASCADE;
CREATE SCHEMA review;
CREATE TABLE review.items (id int PRIMARY KEY, name text, born date DEFAULT '2024-02-29');
INSERT INTO review.items SELECT n, 'item ' || n FROM generate_series(1, 100) n;
GRANT ALL ON SCHEMA review TO PUBLIC;
GRANT SELECT ON review.items TO PUBLIC;
"""
READ = "SELECT count(*) FROM review.items"


@pytest.fixture(scope="module")
def schema(cluster):
    cluster.primary.sql(SCHEMA)
    cluster.wait_replayed()


@pytest.fixture
def make(make_proxy, schema):
    def ready(**sections) -> Pgweir:
        proxy = make_proxy(**sections)
        proxy.wait_standby_read(READ)
        return proxy
    return ready


@pytest.fixture(scope="module")
def shared(cluster, schema):
    with Pgweir(cluster.nodes) as proxy:
        proxy.wait_standby_read(READ)
        yield proxy


@contextlib.contextmanager
def session(proxy: Pgweir, **parameters):
    with Wire(proxy.port) as client:
        client.login(**parameters)
        yield client


def kinds(found) -> str:
    return "".join(got.kind for got in found)


def until_standby(client: Wire, proxy: Pgweir) -> None:
    """Until this session's reads leave the primary again, after a write."""
    def left() -> bool:
        before = proxy.reads()["pg1"]
        client.rows(READ)
        return proxy.reads()["pg1"] == before
    wait_for(left, "a read on a standby")


def text_of(client: Wire, statement: str) -> bytes:
    return client.rows(statement)[0][0]


# --- replies ---------------------------------------------------------------------------------------------------------


def test_notification_in_the_middle_of_a_row(shared):
    # Session::reply_left_ is one for all server connections: while a long row of the standby is passed on in pieces,
    # what the (idle) primary says is taken for the rest of that row.
    size = 100_000_000
    with session(shared) as client, shared.connect() as other:
        client.ask(query("LISTEN review"))
        until_standby(client, shared)
        client.send(query(f"SELECT repeat('x', {size}) FROM review.items WHERE id = 1"))
        row_description = client.read()
        client._need(100)  # the row has begun
        for number in range(20):
            other.execute("NOTIFY review, 'hello'")
            client._need(1_000_000 * (number + 1))
        found = [row_description] + client.read_until("Z")
        assert kinds(found).replace("A", "") == "TDCZ"
        row, = [got for got in found if got.kind == "D"]
        assert len(row.values[0]) == size and row.values[0].strip(b"x") == b""


def test_local_answer_overtakes_what_is_held_back(shared):
    # emit_synthesised() writes to the client at once, but the answers before it are still held back (probation).
    def exchange(wire_client: Wire, second: str) -> str:
        return kinds(wire_client.ask(
            parse(READ, "a"), bind("pa", "a"), describe("P", "pa"), execute("pa"),
            parse(second, "b"), bind("pb", "b"), execute("pb"), SYNC))
    with session(shared) as client:
        found = exchange(client, "SHOW pool_nodes")
        assert re.fullmatch("12TDC12D+CZ", found), found


def test_local_answers_doubled_by_a_rerun(shared):
    # The same when the first part fails on the standby and runs again: what pgweir itself answers comes twice.
    with session(shared) as client:
        found = kinds(client.ask(
            parse("SHOW pool_nodes", "b"), bind("pb", "b"), execute("pb"),
            parse("SELECT name::regclass FROM review.items WHERE id = 1", "a"), bind("pa", "a"), execute("pa"), SYNC))
        assert re.fullmatch("12D+C12EZ", found), found


# --- settings --------------------------------------------------------------------------------------------------------


def test_setting_behind_a_pipelined_error(shared):
    # exchange_error_ of the first exchange is still set when the second one's ReadyForQuery comes: its SET is forgotten.
    with session(shared) as client:
        client.send(query("INSERT INTO review.items VALUES (1/0)"), query("SET datestyle = 'German'"))
        client.read_until("Z")
        client.read_until("Z")
        until_standby(client, shared)
        found = {text_of(client, "SELECT born FROM review.items WHERE id = 1") for _ in range(4)}
        assert found == {b"29.02.2024"}


def test_role_after_discard_all_and_reset_all(shared, cluster):
    # RESET ALL replaces the DISCARD ALL before it in the journal, but it does not reset the role: the standby keeps it.
    with session(shared) as client:
        where = "SELECT current_user::text FROM review.items WHERE id = 1"
        client.ask(query("SET ROLE app"))
        for _ in range(4):
            client.rows(READ)
        client.ask(query("DISCARD ALL"))
        client.ask(query("RESET ALL"))
        assert "standby" in shared.route(where), "the test needs a read"
        assert {text_of(client, where) for _ in range(4)} == {b"postgres"}


def test_serializable_by_default_in_a_read_only_transaction(shared):
    # lazy_serializable looks at the text of BEGIN only: with default_transaction_isolation the standby refuses.
    with session(shared) as client:
        client.ask(query("SET default_transaction_isolation = 'serializable'"))
        client.ask(query("BEGIN READ ONLY"))
        assert text_of(client, READ) == b"100"


def test_setting_in_a_statement_too_long_to_be_read(make):
    # What a statement beyond limits.max_query does to the session is not known: it stays on its primary connection.
    proxy = make(limits={"max_query": "1kB"})
    with session(proxy) as client:
        until_standby(client, proxy)
        client.ask(query("SET datestyle = 'German' /* " + "x" * 2000 + " */"))
        assert {text_of(client, "SELECT born FROM review.items WHERE id = 1") for _ in range(4)} == {b"29.02.2024"}


# --- prepared statements ---------------------------------------------------------------------------------------------


def test_deallocate_of_what_was_prepared_on_a_standby(shared):
    # DEALLOCATE runs on the primary, where the statement was never prepared. psycopg does this.
    with session(shared) as client:
        client.ask(parse(READ, "s"), bind("", "s"), execute(), SYNC)
        assert kinds(client.ask(query("DEALLOCATE s"))) == "CZ"


def test_execute_by_the_extended_protocol_in_a_read_only_transaction(shared):
    # Only a simple EXECUTE brings the statement along.
    with session(shared) as client:
        client.ask(query(f"PREPARE p AS {READ}"))
        client.ask(query("BEGIN READ ONLY"))
        found = client.ask(parse("EXECUTE p"), bind(), execute(), SYNC)
        assert kinds(found) == "12DCZ", found


def test_execute_behind_another_statement_in_a_read_only_transaction(shared):
    # Only the first statement of a query string is looked at.
    with session(shared) as client:
        client.ask(query(f"PREPARE p AS {READ}"))
        client.ask(query("BEGIN READ ONLY"))
        found = client.ask(query(f"{READ}; EXECUTE p"))
        assert kinds(found) == "TDCTDCZ", found


def test_statement_of_a_rerun_is_prepared_twice(make, cluster):
    # forget_parses() forgets that the standby has the statement: the next use there prepares it again, 42P05.
    proxy = make(in_front_of=cluster.nodes[:2])
    with session(proxy) as client:
        text = "SELECT count(($1::text)::regclass) FROM review.items"
        first = client.ask(parse(text, "s"), bind("", "s", [b"missing"]), execute(), SYNC)
        assert first[-2].sqlstate == "42P01"
        until_standby(client, proxy)
        client.ask(query("BEGIN READ ONLY"))
        found = client.ask(bind("", "s", [b"pg_class"]), execute(), SYNC)
        assert kinds(found) == "2DCZ", found


def test_close_and_parse_again_behind_an_error(shared):
    # Dropped entries are undone from front to back: the old statement cannot be put back while the new one is there.
    with session(shared) as client:
        client.ask(parse(READ, "s"), bind("", "s"), execute(), SYNC)
        found = client.ask(bind("", "missing"), close("S", "s"), parse("SELECT 2", "s"), SYNC)
        assert kinds(found) == "EZ"
        found = client.ask(bind("", "s"), execute(), SYNC)
        assert kinds(found) == "2DCZ", found


def test_injected_close_that_was_skipped(shared):
    # A Close that pgweir injected is skipped by the server after an error, but its books say that it was done.
    with session(shared) as client:
        client.ask(parse(READ + " WHERE id > 0", "s"), bind("", "s"), execute(), SYNC)
        client.ask(query("BEGIN"))
        client.ask(bind("", "s"), execute(), SYNC)  # the primary has it now
        client.ask(query("COMMIT"))
        until_standby(client, shared)
        client.ask(close("S", "s"), parse(READ, "s"), bind("", "s"), execute(), SYNC)  # a standby has another one
        client.ask(query("BEGIN"))
        client.ask(parse("SELECT 1/0"), bind(), execute(), bind("", "s"), execute(), SYNC)
        client.ask(query("ROLLBACK"))
        client.ask(query("BEGIN"))
        found = client.ask(bind("", "s"), execute(), SYNC)
        assert kinds(found) == "2DCZ", found


# --- memory and back-pressure ----------------------------------------------------------------------------------------


def flood(client: Wire, piece: bytes, most: int) -> int:
    """Sends without reading until the other side takes no more for two seconds, or `most` bytes."""
    client.socket.settimeout(2 * SCALE)
    sent = 0
    with contextlib.suppress(TimeoutError):
        while sent < most:
            sent += client.socket.send(piece)
    return sent


def test_client_that_asks_and_does_not_read(make):
    # Queries are passed to a server that takes nothing without looking at how much already waits for it.
    proxy = make()
    with session(proxy) as client:
        client.ask(query("BEGIN"))
        before = proxy.memory_peak()
        flood(client, query("SELECT repeat('x', 1000000) /* " + "y" * 30_000 + " */") * 20, 400_000_000)
        assert proxy.memory_peak() - before < 64 * 1024 * 1024


def test_client_that_asks_pgweir_and_does_not_read(make):
    # What pgweir itself answers is written without looking at how much already waits for the client.
    proxy = make()
    with session(proxy) as client:
        before = proxy.memory_peak()
        flood(client, query("SHOW pool_nodes") * 1000, 10_000_000)
        assert proxy.memory_peak() - before < 64 * 1024 * 1024


def test_client_that_goes_while_both_sides_are_stopped(make, cluster):
    # The client's side is not read (a message waits) and the server's is not (the client takes nothing). A reset is then
    # only seen by the writing side, which tells nobody: session, lease and statement stay for ever.
    proxy = make()
    marker = "review_stopped"
    with session(proxy) as client:
        client.rows(READ)
        client.send(query(f"SELECT repeat('x', 1000) /* {marker} */ FROM review.items a, review.items b, review.items c"))
        client.read()

        def stuck():
            return [node for node in cluster.nodes if node.sql(
                "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND wait_event = 'ClientWrite' AND query LIKE %s",
                f"%{marker} *%")]
        client.send(query("SELECT 1"), query("SELECT 2"))
        wait_for(stuck, "the server to be stopped")
    wait_for(lambda: not stuck(), "the statement to end", timeout=15)


# --- pool ------------------------------------------------------------------------------------------------------------


def test_place_of_a_connection_that_was_lost_in_a_transaction(cluster):
    # A lease whose connection has ended would be reset when it is given back, and its place be free only after
    # pool.reset_timeout.
    with proxy_of_one(cluster) as proxy, session(proxy) as client:
        client.ask(query("BEGIN"))
        pid = int(text_of(client, "SELECT pg_backend_pid()"))
        cluster.primary.sql("SELECT pg_terminate_backend(%s)", pid)
        proxy.wait_log("server_connection_lost")
        begin = time.monotonic()
        with session(proxy) as other:
            other.rows("SELECT count(*) FROM pg_stat_activity")
        assert time.monotonic() - begin < 3


def test_place_of_a_connection_that_was_lost_in_a_statement(breakable_cluster):
    cluster = breakable_cluster
    # The same with an answer outstanding: it is waited for on a connection that is gone, for six seconds.
    with proxy_of_one(cluster) as proxy, session(proxy) as client:
        pid = int(text_of(client, "SELECT pg_backend_pid()"))
        client.send(query("SELECT pg_sleep(60)"))
        wait_for(lambda: cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE pid = %s AND wait_event = 'PgSleep'",
                                             pid), "the statement to run")
        # Killed and not terminated: a FATAL would be an answer. The others are told to go as well.
        os.kill(pid, signal.SIGKILL)
        assert client.read_until("Z")[0].kind == "E"
        cluster.primary.wait_ready()
        proxy.wait_nodes({"pg1": "up"})
        begin = time.monotonic()
        with session(proxy) as other:
            other.rows("SELECT count(*) FROM pg_stat_activity")
        assert time.monotonic() - begin < 3


def proxy_of_one(cluster) -> Pgweir:
    """One server connection for all."""
    return Pgweir([cluster.primary], topology="single", pool={"size": 1, "reset_timeout": "8s", "queue_timeout": "30s"})


# --- the cluster -----------------------------------------------------------------------------------------------------


def test_session_that_was_tied_to_a_primary_that_went(make, breakable_cluster):
    # Whether state was lost is asked of the present topology: when the monitor has noticed first, there is no primary,
    # and the session goes on as if its temporary tables, locks and LISTENs were still there.
    proxy = make()
    primary = breakable_cluster.primary
    with session(proxy) as client:
        client.ask(query("CREATE TEMP TABLE review_temporary ()"))
        primary.pause()
        proxy.wait_log(r"node_state\b.*\bnode=pg1\b.*\bnew_state=down")
        primary.kill()
        primary.start()
        proxy.wait_nodes({"pg1": "up"})
        with pytest.raises((Closed, ConnectionResetError, AssertionError)):
            client.rows(READ)
            client.rows("SELECT pg_backend_pid()")


def test_standby_that_came_back_older(make_proxy, breakable_cluster, schema):
    # A standby that crashed may show an older state than before, but what it was once fresh up to is never lowered.
    standby = breakable_cluster.standbys[0]
    primary = breakable_cluster.primary
    primary.sql("CREATE TABLE IF NOT EXISTS review.counted (n int)")
    breakable_cluster.wait_replayed()
    primary.sql("CHECKPOINT")
    breakable_cluster.wait_replayed()
    standby.sql("CHECKPOINT")
    proxy = make_proxy(in_front_of=[primary, standby])
    proxy.wait_standby_read("SELECT count(*) FROM review.counted")
    try:
        with session(proxy) as client:
            client.ask(query("INSERT INTO review.counted VALUES (1)"))
            breakable_cluster.wait_replayed()
            wait_for(lambda: text_of(client, "SELECT count(*) FROM review.counted") == b"1", "the row")
            before = proxy.reads()["pg2"]
            wait_for(lambda: client.rows("SELECT count(*) FROM review.counted") and proxy.reads()["pg2"] > before,
                     "the standby to be fresh")
            standby.kill()
            standby.configure("recovery_min_apply_delay = '1h'\n")
            standby.start()
            proxy.wait_log(r"node_state\b.*\bnode=pg2\b.*\bnew_state=down[^\n]*\n(.*\n)*.*node=pg2\b.*\bnew_state=up")
            assert standby.sql("SELECT count(*) FROM review.counted") == [(0,)], "the test needs an older standby"
            assert {text_of(client, "SELECT count(*) FROM review.counted") for _ in range(5)} == {b"1"}
    finally:
        standby.configure("recovery_min_apply_delay = 0\n")
        standby.restart("immediate")


# --- a server out of step --------------------------------------------------------------------------------------------


class Meddler:
    """Stands before a server: adds a ReadyForQuery to the answer of each query that says so, and answers DISCARD ALL with
    `notice` first."""

    def __init__(self, node, notice: bytes = b""):
        self._notice = notice
        self.name, self.host = node.name, "127.0.0.1"
        self._node = node
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection((self._node.host, self._node.port))
                add, resets = threading.Event(), threading.Event()
                for source, target, forth in ((client, server, True), (server, client, False)):
                    threading.Thread(target=self._pass, args=(source, target, forth, add, resets), daemon=True).start()

    def _pass(self, source, target, forth, add, resets):
        with contextlib.suppress(OSError):
            while piece := source.recv(65536):
                if forth and b"DISCARD ALL" in piece:
                    resets.set()
                elif not forth and resets.is_set():
                    resets.clear()
                    piece = self._notice + piece
                if forth and b"ONE MORE" in piece:
                    add.set()
                elif not forth and add.is_set() and piece.endswith(b"Z\0\0\0\5I"):
                    add.clear()
                    piece += b"Z\0\0\0\5I"
                target.sendall(piece)
        for one in (source, target):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self._listener.close()


def test_connection_that_is_out_of_step_is_used_again(cluster):
    # terminate() after a protocol violation of the server gives the lease back: reset and handed to the next session.
    meddler = Meddler(cluster.primary)
    try:
        with Pgweir([meddler], topology="single", workers=1, pool={"size": 1}) as proxy:
            with session(proxy) as client:
                pid = text_of(client, "SELECT pg_backend_pid()")
                client.ask(query("SELECT 1 /* ONE MORE */"))
            pids = set()
            with session(proxy) as other:
                pids.add(text_of(other, "SELECT pg_backend_pid()"))
            assert pid not in pids
    finally:
        meddler.close()


def test_long_notice_while_a_connection_is_handed_over(cluster):
    # A reset that ends with bytes in Connection::pending_ is followed by release_descriptor(), which asserts that there
    # are none: a server can make pgweir abort.
    meddler = Meddler(cluster.primary, message(b"N", b"SNOTICE\0VNOTICE\0C00000\0M" + b"x" * 200_000 + b"\0\0"))
    try:
        with Pgweir([meddler], topology="single", workers=2, pool={"size": 1}) as proxy:
            with session(proxy) as client, Wire(proxy.port) as other:
                client.rows("SELECT 1")
                other.send(wire.startup({"user": "postgres", "database": "test"}))
                wait_for(lambda: len(re.findall(" connected ", proxy.log())) > 0, "the first client")
                other_waits = time.monotonic() + 1
                wait_for(lambda: time.monotonic() > other_waits, "the second client to wait")
                client.socket.close()
                with contextlib.suppress(Closed, ConnectionResetError):
                    other.read_until("Z")
                assert "assertion failed" not in proxy.log() and proxy.running, proxy.log()[-500:]
                assert other.rows("SELECT 1") == [[b"1"]]
    finally:
        meddler.close()


# --- the end ---------------------------------------------------------------------------------------------------------


def test_half_closed_client_gets_its_answer(shared):
    # PostgreSQL answers what it has received before it sees the end of the client's stream.
    with session(shared) as client:
        client.send(query("SELECT pg_sleep(0.2)"))
        client.socket.shutdown(socket.SHUT_WR)
        assert kinds(client.read_to_end()) == "TDCZ"
