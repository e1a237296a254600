"""Every script, played directly and through pgweir, in each way of pooling: the same lines."""

from __future__ import annotations

import contextlib
import difflib
import zlib
from dataclasses import dataclass, field
from typing import Any

import pytest

from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import wait_for

from protocol.disturber import Disturber
from protocol.player import play
from protocol.printing import without_details
from protocol.script import Script, load_all, parse


@dataclass(frozen=True)
class Way:
    """How pgweir pools while the scripts are played."""
    name: str
    pool: dict[str, Any] = field(hash=False)
    disturbed: bool = False

    def takes(self, script: Script) -> bool:
        """A script whose clients need a server connection each cannot be played on fewer."""
        return script.clients <= self.pool["size"] - 2 * self.disturbed


# The one place where pool modes are chosen. The disturber may hold one connection of each node, and use another.
WAYS = [
    Way("session", {"mode": "session", "size": 50}),
    Way("transaction", {"mode": "transaction", "size": 1}),
    Way("transaction, two", {"mode": "transaction", "size": 2}),
    Way("transaction, disturbed", {"mode": "transaction", "size": 3}, disturbed=True),
]
SCRIPTS = load_all()
CASES = [pytest.param(way, script, id=f"{way.name}-{script.id}") for way in WAYS for script in SCRIPTS if way.takes(script)]


class Stage:
    """The cluster, and for each script what PostgreSQL itself says to it."""

    def __init__(self, cluster: Cluster):
        self.cluster = cluster
        self._admin = cluster.primary.connect(dbname="test")
        self._admin.execute("DROP TABLE IF EXISTS items; CREATE TABLE items (id int, name text)")
        self._direct: dict[str, list[str]] = {}

    def close(self) -> None:
        self._admin.close()

    def ask(self, sql: str) -> bool:
        return self._admin.execute(sql).fetchone()[0]

    def prepare(self, script: Script) -> None:
        """As each script expects to find it, on all nodes; what an earlier play holds has to be gone."""
        for name, in self._admin.execute("SELECT gid FROM pg_prepared_xacts").fetchall():
            self._admin.execute(f"ROLLBACK PREPARED '{name}'")
        wait_for(lambda: self.ask("SELECT count(*) = 0 FROM pg_locks WHERE locktype = 'advisory'"), "locks to be released")
        self._admin.execute("TRUNCATE items; INSERT INTO items VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        for statement in script.setup:
            self._admin.execute(statement)
        self.cluster.wait_replayed()

    def direct(self, script: Script) -> list[str]:
        if script.id not in self._direct:
            self.prepare(script)
            self._direct[script.id] = play(script, self.cluster.primary.port, self.ask, self.cluster.wait_replayed)
        return self._direct[script.id]

    def through(self, script: Script, proxy: Pgweir, disturbed: bool) -> list[str]:
        self.prepare(script)
        with contextlib.ExitStack() as stack:
            between = lambda: None  # noqa: E731
            if disturbed:
                between = stack.enter_context(Disturber(proxy.port, zlib.crc32(script.id.encode()))).disturb
            return play(script, proxy.port, self.ask, self.cluster.wait_replayed, between)


@pytest.fixture(scope="module")
def stage(cluster):
    with contextlib.closing(Stage(cluster)) as made:
        yield made


@pytest.fixture(scope="module")
def proxies(cluster):
    """proxies(way): started when first asked for."""
    running: dict[str, Pgweir] = {}

    def proxy(way: Way) -> Pgweir:
        if way.name not in running:
            made = Pgweir(cluster.nodes, start=False, pool=way.pool)
            refused = made.check()
            if way.pool["mode"] != "session" and refused.returncode != 0 and "pool.mode" in refused.stdout:
                made.close()
                pytest.skip(f"pool.mode {way.pool['mode']} is not built yet")
            running[way.name] = made
            made.start()
            made.wait_standby_read()
        return running[way.name]

    yield proxy
    for one in running.values():
        one.close()


@pytest.mark.parametrize("way, script", CASES)
def test_the_same_is_said(stage, proxies, way: Way, script: Script):
    proxy = proxies(way)
    direct = stage.direct(script)
    through = stage.through(script, proxy, way.disturbed)
    if script.own_errors:
        direct, through = without_details(direct), without_details(through)
    if script.differs:
        assert through != direct, f"no longer true: {script.differs}"
        pytest.xfail(script.differs)
    assert through == direct, "\n" + "\n".join(difflib.unified_diff(direct, through, "direct", "through", lineterm="", n=3))


def test_there_are_enough_scripts():
    assert len(SCRIPTS) >= 120
    assert len({script.id for script in SCRIPTS}) == len(SCRIPTS)


@pytest.mark.parametrize("script", [pytest.param(script, id=script.id) for script in SCRIPTS])
def test_a_script_says_the_same_twice(stage, script: Script):
    """A script that PostgreSQL itself answers differently each time would show nothing; nor one that nobody answers."""
    first = stage.direct(script)
    stage.prepare(script)
    assert play(script, stage.cluster.primary.port, stage.ask, stage.cluster.wait_replayed) == first
    assert first and not any("silence" in line for line in first), first


def test_the_disturber_makes_connections_change_hands(stage, proxies):
    way = next(way for way in WAYS if way.disturbed)
    proxy = proxies(way)
    script = parse("disturber", "== pids\n" + "Query SELECT pg_backend_pid(), txid_current() > 0\n< Z\n" * 30)[0]
    rows = {line.split(",")[0] for line in stage.through(script, proxy, disturbed=True) if line.startswith("DataRow")}
    assert len(rows) > 1, "every statement met the same server connection"
