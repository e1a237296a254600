"""What a failover drill happens in: a cluster whose nodes can be cut off, pgweir before it, clients, and looking at them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import psycopg

from ..cluster import BIN, Cluster, Node, as_server
from ..network import OUR_ADDRESS, Host, Network
from ..proxy import REPOSITORY, Pgweir, binary_path
from ..waiting import wait_for
from .clients import ROWS, VALUE

ANY_1 = "synchronous_standby_names = 'ANY 1 (pg1, pg2, pg3)'\n"
SESSIONS = {"read": 10, "write": 10, "transact": 2, "connect": 1}
SETTLING = 40.0  # seconds that a cluster has after an event

_TABLES = f"""
CREATE TABLE drill_rows (id int PRIMARY KEY, value int NOT NULL);
INSERT INTO drill_rows SELECT n, {VALUE} * n FROM generate_series(1, {ROWS}) n;
CREATE TABLE drill_writes (id bigint NOT NULL);  -- no key: a duplicate must be visible
GRANT SELECT ON drill_rows TO app;
GRANT SELECT, INSERT ON drill_writes TO app;
"""
# What the role with which pgweir promotes must be allowed: docs/high_availability.md.
_RIGHTS = """
GRANT pg_signal_backend TO pgweir_monitor;
GRANT EXECUTE ON FUNCTION pg_promote, pg_reload_conf TO pgweir_monitor;
GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, default_transaction_read_only TO pgweir_monitor;
"""

Row = dict[str, str]


class Clients:
    """The processes of clients.py. `close` ends them, however things stand."""

    def __init__(self, port: int):
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "tests"), "PYTHONDONTWRITEBYTECODE": "1"}
        self._processes = {
            kind: subprocess.Popen(["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", "/usr/bin/python3", "-m",
                                    "harness.failover.clients", kind, str(port), str(count)],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
            for kind, count in SESSIONS.items()}
        for kind, process in self._processes.items():
            if process.stdout.readline() != "ready\n":
                self.close()
                raise RuntimeError(f"the clients that {kind} did not begin: status {process.wait()}")

    def finish(self) -> dict[str, Any]:
        """By group, what its clients found."""
        for kind, process in self._processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"the clients that {kind} have ended with status {process.returncode}")
            process.stdin.write("stop\n")
            process.stdin.flush()
        found = {kind: process.stdout.read() for kind, process in self._processes.items()}
        return {kind: json.loads(text) for kind, text in found.items()}

    def close(self) -> None:
        for process in self._processes.values():
            if process.poll() is None:
                process.kill()
            process.wait()
            process.stdout.close()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()


class World:
    """One cluster, one pgweir. `notes` is what an event wants to have in the report."""

    def __init__(self, cluster: Cluster, proxy: Pgweir):
        self.cluster = cluster
        self.proxy = proxy
        self.notes: list[str] = []
        self._look: psycopg.Connection | None = None

    # --- looking ---------------------------------------------------------------------------------------------------

    def nodes(self) -> dict[str, Row]:
        """SHOW pool_nodes by node name, in a session that stays."""
        if self._look is None or self._look.closed:
            self._look = self.proxy.connect()
        cursor = self._look.execute("SHOW pool_nodes")
        columns = [column.name for column in cursor.description]
        rows = [dict(zip(columns, row)) for row in cursor.fetchall()]
        names = {str(node.port): node.name for node in self.cluster.nodes}
        return {names[row["port"]]: row for row in rows}

    def wait(self, reached: Callable[[dict[str, Row]], bool], what: str, timeout: float = SETTLING) -> float:
        """Until the nodes are so; how many seconds it took."""
        begin = time.monotonic()
        last: dict[str, Row] = {}

        def look() -> bool:
            nonlocal last
            try:
                last = self.nodes()
            except psycopg.OperationalError:
                return False
            return reached(last)
        try:
            wait_for(look, what, timeout, interval=0.05)
        except TimeoutError:
            states = {name: (row["status"], row["role"]) for name, row in last.items()}
            raise TimeoutError(f"{what}: not within {timeout:.0f} s; nodes {states}") from None
        return time.monotonic() - begin

    def primary(self, rows: dict[str, Row]) -> str | None:
        """The one that pgweir sends writes to."""
        return next((name for name, row in rows.items() if row["role"] == "primary" and row["status"] == "up"), None)

    def ask(self, name: str, statement: str, dbname: str = "test") -> list[tuple]:
        """Asks a node by its Unix socket, which no network cut reaches."""
        node = self.cluster.node(name)
        with psycopg.connect(host=str(self.cluster.directory), port=node.port, user="postgres", dbname=dbname,
                             autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def ids(self, name: str) -> list[int]:
        """Everything that was written, as this node has it."""
        return [value for value, in self.ask(name, "SELECT id FROM drill_writes WHERE id >= 0")]

    # --- doing -----------------------------------------------------------------------------------------------------

    def node(self, name: str) -> Node:
        return self.cluster.node(name)

    def host(self, name: str) -> Host:
        return self.cluster.hosts[name]

    def cut_off_from_pgweir(self, name: str) -> None:
        self.host(name).hide_from(OUR_ADDRESS)

    def power_off(self, name: str) -> None:
        """Nothing tells anybody that it has gone."""
        self.host(name).cut_off()
        self.node(name).kill()

    def power_on(self, name: str) -> None:
        self.host(name).reconnect()
        self.node(name).start()

    def rebuild(self, name: str) -> None:
        """Makes it a standby of the present primary from nothing, as a rejoin command would."""
        node, upstream = self.node(name), self.node(self.primary(self.nodes()))
        node.stop("immediate")
        shutil.rmtree(node.data)
        command = node.within + as_server([BIN / "pg_basebackup", "-h", upstream.host, "-p", upstream.port, "-U", "postgres",
                                           "-D", node.data, "-c", "fast"])
        subprocess.run(command, check=True, cwd=self.cluster.directory, stdin=subprocess.DEVNULL)
        self.cluster.follow(node, upstream)
        node.start()

    def ctl(self, *words: str) -> str:
        """pgweirctl; raises when it fails."""
        tool = binary_path().parent / "ctl/pgweirctl"
        done = subprocess.run([tool, "-h", self.proxy.host, "-p", str(self.proxy.port), "-U", "postgres", *words],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"pgweirctl {' '.join(words)}: {done.stdout}")
        return done.stdout

    def configure_nodes(self, names: list[str]) -> None:
        """Writes these nodes into the configuration, and has it read again."""
        self.proxy.write_config(nodes=entries(self.cluster, names))
        self.proxy.reload()

    def close(self) -> None:
        if self._look is not None:
            self._look.close()


def entries(cluster: Cluster, names: list[str]) -> list[dict[str, Any]]:
    """Of the section `nodes`."""
    return [{"name": node.name, "host": node.host, "port": node.port, "weight": 1, "data_directory": str(node.data)}
            for node in cluster.nodes if node.name in names]


def default_of(option: str) -> str:
    """What an option is when nobody sets it, as the program itself says."""
    text = subprocess.run([binary_path(), "--print-config-reference"], stdout=subprocess.PIPE, text=True, check=True).stdout
    found = re.search(rf"### {re.escape(option)}\n.*?- Default: `([^`]*)`", text, re.S)
    if not found:
        raise RuntimeError(f"{binary_path()} has no option {option}")
    return found[1]


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(us|ms|s|min|h)", text).groups()
    return float(number) * {"us": 1e-6, "ms": 1e-3, "s": 1, "min": 60, "h": 3600}[unit]


@contextlib.contextmanager
def make_world(network: Network, *, synchronous: bool, known: list[str], **sections: Any):
    """Ready for an event: every node up, the catalog read, so that reads go to the standbys."""
    with Cluster(standbys=2, settings=ANY_1 if synchronous else "", network=network) as cluster:
        cluster.primary.sql(_TABLES)
        cluster.primary.sql(_RIGHTS, dbname="postgres")
        cluster.wait_replayed()
        state = {"state_file": str(cluster.directory / "pgweir.state")} if sections["failover"]["mode"] != "observe" else {}
        sections["failover"] = sections["failover"] | state
        with Pgweir(cluster.nodes, nodes=entries(cluster, known),
                    **{"routing": {"reads": "standbys"}, "pool": {"size": 50, "queue_timeout": None},
                       "admin": {"users": "postgres"}, "log": {"level": "info", "connections": None}, **sections}) as proxy:
            world = World(cluster, proxy)
            try:
                proxy.wait_standby_read("SELECT value FROM drill_rows WHERE id = 1", user="app")
                yield world
            finally:
                world.close()


def load() -> str:
    """What else this machine does: the load averages."""
    return Path("/proc/loadavg").read_text().rsplit(" ", 2)[0]
