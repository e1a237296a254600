"""Drivers that prepare a statement and ask for the answer without a Sync (Parse, Describe, Flush, as asyncpg does): the
exchange stays open, and must tie nobody to a server that goes."""

import contextlib
import select

import pytest

from harness import wire
from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for
from harness.wire import Wire

READ = "SELECT oid FROM pg_class WHERE oid = $1::oid"
PREPARE = (wire.parse(READ, "s"), wire.describe("S", "s"), wire.FLUSH)
RUN = (wire.bind(statement="s", values=[b"1259"]), wire.execute(), wire.SYNC)


@contextlib.contextmanager
def client_and_primary():
    with Cluster(standbys=1) as cluster:
        with Pgweir(cluster.nodes, failover={"hold_timeout": f"{20 * SCALE:g}s"}) as proxy:
            proxy.wait_standby_read()
            with Wire(proxy.port) as client:
                client.login()
                yield client, cluster, proxy


def lose_primary(cluster, proxy) -> None:
    cluster.primary.kill()
    wait_for(lambda: not any(row["role"] == "primary" and row["status"] == "up" for row in proxy.pool_nodes()),
             "the primary to be found away")


def is_told(client: Wire) -> bool:
    return client.has_buffered or bool(select.select([client.socket], [], [], 0)[0])


@pytest.mark.parametrize("behind", [None, "SELECT 1 FROM pg_class LIMIT 1"])
def test_an_answered_exchange_without_a_sync_loses_nothing(behind):
    with client_and_primary() as (client, cluster, proxy):
        client.send(*PREPARE)
        assert [message.kind for message in client.read_until("T")] == ["1", "t", "T"]
        if behind:
            assert client.rows(behind) == [[b"1"]]
        lose_primary(cluster, proxy)
        assert not is_told(client)
        cluster.node("pg2").sql("SELECT pg_promote(true)")
        assert [message.kind for message in client.ask(*RUN)] == ["2", "D", "C", "Z"]
        assert client.rows("SELECT 7") == [[b"7"]]


def test_preparing_runs_again_elsewhere():
    with client_and_primary() as (client, cluster, proxy):
        client.rows("/* pgweir: primary */ SELECT 1")
        cluster.primary.pause()
        client.send(*PREPARE)
        wait_for(lambda: not any(row["role"] == "primary" and row["status"] == "up" for row in proxy.pool_nodes()),
                 "the primary to be found away")
        assert not is_told(client)
        cluster.node("pg2").sql("SELECT pg_promote(true)")
        assert [message.kind for message in client.read_until("T")] == ["1", "t", "T"]
        assert [message.kind for message in client.ask(*RUN)] == ["2", "D", "C", "Z"]


def test_a_query_behind_it_gives_the_connection_back():
    with client_and_primary() as (client, cluster, proxy):
        client.send(*PREPARE)
        client.read_until("T")
        assert client.rows("/* pgweir: primary */ SELECT 1") == [[b"1"]]
        before = proxy.reads()["pg2"]

        def read_there() -> bool:  # not at once: what was sent before counts as a write until it is replayed
            assert client.rows("SELECT 1 FROM pg_class LIMIT 1") == [[b"1"]]
            return proxy.reads()["pg2"] > before
        wait_for(read_there, "a read on the standby")


def test_an_error_is_skipped_to_the_sync():
    """As PostgreSQL does: what comes behind an error is not run, and the Sync ends it, also with a query between."""
    with client_and_primary() as (client, cluster, proxy):
        client.send(wire.parse("SELECT nothing_like_that", "s"), wire.FLUSH, wire.query("SELECT 1"))
        assert client.read().kind == "E"
        assert [message.kind for message in client.ask(wire.SYNC)] == ["Z"]
        assert client.rows("SELECT 7") == [[b"7"]]
