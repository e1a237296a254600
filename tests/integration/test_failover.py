"""Failovers by pgweir: who is promoted, who follows, and what is no reason for one. Each test has a cluster of its own."""

import contextlib
import re
import time

import pytest

from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for

FAST = {"interval": "1s", "timeout": "1s", "user": "postgres"}


@contextlib.contextmanager
def failing(standbys: int = 2, settings: str = "", nodes: dict | None = None, **sections):
    """A cluster and a proxy in charge of it. `nodes`: what is said of single nodes besides."""
    failover = {"mode": "promote", "state_file": "failover.state"} | sections.pop("failover", {})
    monitor = FAST | sections.pop("monitor", {})
    with Cluster(standbys=standbys, settings=settings) as cluster:
        listed = [{"name": n.name, "host": n.host, "port": n.port, "weight": 1} | (nodes or {}).get(n.name, {})
                  for n in cluster.nodes]
        with Pgweir(cluster.nodes, nodes=listed, failover=failover, monitor=monitor, **sections) as proxy:
            yield cluster, proxy


def primary_name(proxy) -> str | None:
    with contextlib.suppress(Exception):
        return next((row["name"] for row in proxy.pool_nodes() if row["role"] == "primary" and row["status"] == "up"), None)
    return None


def wait_primary(proxy, name: str | None = None, but: str | None = None, timeout: float = 20.0) -> str:
    def found():
        now = primary_name(proxy)
        return now if now and (name is None or now == name) and now != but else None
    return wait_for(found, f"{name or 'another primary'} to be the primary", timeout)


def write(proxy) -> None:
    proxy.sql("CREATE TABLE IF NOT EXISTS written (id int)")
    proxy.sql("INSERT INTO written VALUES (1)")


def wait_follows(cluster, name: str, upstream: str) -> None:
    wait_for(lambda: cluster.node(upstream).sql(
        "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'", name),
        f"{name} to follow {upstream}")


def promotions(proxy) -> list[str]:
    return re.findall(r"failover_action .*action=promote node=(\w+)", proxy.log())


def test_a_killed_primary_is_replaced_within_two_seconds_and_the_others_follow():
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        begin = time.monotonic()
        wait_for(lambda: proxy.log_has(r"failover what=primary node=pg[23]"), "a new primary", interval=0.01)
        assert time.monotonic() - begin < 2.0 * SCALE
        new = wait_primary(proxy, but="pg1")
        other = "pg3" if new == "pg2" else "pg2"
        wait_follows(cluster, other, new)
        proxy.wait_nodes({new: "up", other: "up", "pg1": "down"})
        write(proxy)
        assert promotions(proxy) == [new]
        conninfo = cluster.node(other).sql("SHOW primary_conninfo")[0][0]
        assert f"port={cluster.node(new).port}" in conninfo and f"application_name={other}" in conninfo
