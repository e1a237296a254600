"""Freshness when the primary's insert position stands right behind the header of a page or of a segment: it counts the header,
which no record has written yet and no idle standby will replay (access/transam/xlog.c, XLogBytePosToRecPtr)."""

import time

import pytest

from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE

PAGE, SEGMENT = 8192, 16 * 1024 * 1024
PAGE_HEADER, SEGMENT_HEADER = 24, 40


@pytest.fixture(scope="module")
def idle():
    """Nothing writes here but the tests."""
    settings = "autovacuum = off\ncheckpoint_timeout = 1h\n"
    with Cluster(standbys=2, settings=settings) as cluster, Pgweir(cluster.nodes, routing={"freshness_wait": "0s"}) as proxy:
        proxy.wait_standby_read()
        yield cluster, proxy


def position(cluster) -> int:
    return int(cluster.primary.sql("SELECT pg_current_wal_insert_lsn() - '0/0'")[0][0])


def is_behind_header(at: int) -> bool:
    return at % SEGMENT == SEGMENT_HEADER if at % SEGMENT < PAGE else at % PAGE == PAGE_HEADER


def is_behind_all_standbys(cluster, at: int) -> bool:
    """The condition: they have everything, and less than that position."""
    return all(int(node.sql("SELECT pg_last_wal_replay_lsn() - '0/0'")[0][0]) < at for node in cluster.standbys)


def fill_page(cluster, session) -> int:
    """Writes in the session until the position is there."""
    overhead = 128  # of the message and its commit; learned
    while True:
        before = position(cluster)
        size = -(before + overhead) % PAGE
        session.execute("SELECT pg_logical_emit_message(true, 'fill', repeat('x', %s))", [size])
        after = position(cluster)
        if is_behind_header(after):
            return after
        overhead = after - before - size - PAGE_HEADER * (after // PAGE - before // PAGE)


def took_until_standby(session) -> float:
    begin = time.monotonic()
    while not session.execute("/* pgweir: standby */ SELECT pg_is_in_recovery()").fetchone()[0]:
        assert time.monotonic() - begin < 20 * SCALE, "its reads stay on the primary"
        time.sleep(0.05)  # a client that reads now and then
    return time.monotonic() - begin


def test_reads_of_the_last_writer_reach_the_standbys(idle):
    cluster, proxy = idle
    with proxy.connect() as session:
        for _ in range(5):
            at = fill_page(cluster, session)
            took = took_until_standby(session)
            assert position(cluster) == at and is_behind_all_standbys(cluster, at)
            assert took < SCALE


def test_at_the_beginning_of_a_segment_too(idle):
    cluster, proxy = idle
    with proxy.connect() as session:
        for _ in range(3):
            session.execute("SELECT pg_logical_emit_message(true, 'fill', 'x')")
            cluster.primary.sql("SELECT pg_switch_wal()")
            at = position(cluster)
            assert is_behind_header(at) and at % SEGMENT == SEGMENT_HEADER
            cluster.wait_replayed()
            # What it has seen may be as new as that position.
            session.execute("/* pgweir: primary */ SELECT 1")
            took = took_until_standby(session)
            assert position(cluster) == at and is_behind_all_standbys(cluster, at)
            assert took < SCALE


def test_a_standby_that_has_everything_lags_by_nothing(idle):
    cluster, proxy = idle
    with proxy.connect() as session:
        at = fill_page(cluster, session)
        took_until_standby(session)
        assert {row["replication_delay"] for row in proxy.pool_nodes()} == {"0"}
        assert position(cluster) == at and is_behind_all_standbys(cluster, at)
