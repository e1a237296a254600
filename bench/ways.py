"""The ways in which a load reaches the servers, one row each in WAYS. A way is started for one measurement and ended after it,
so that no other proxy runs, watches nodes or holds connections meanwhile.
"""

from __future__ import annotations

import contextlib
import subprocess
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Callable, Iterator

from harness import ports
from harness.cluster import Cluster, as_server
from harness.proxy import Pgweir
from harness.waiting import wait_for
from measure import Server
from pgbouncer import PgBouncer, own_directory
from pgpool import PROGRAM as PGPOOL, Pgpool

POOL_SIZE = 36  # a few more than the most clients: nobody waits for a connection here (`./dev bench clients` measures that)
SCRAM_USER, SCRAM_PASSWORD = "bench_scram", "open sesame"


@dataclass
class World:
    """What all ways stand on."""
    cluster: Cluster
    build: Path
    over_sockets: bool
    verifier: str = ""  # of SCRAM_USER
    # Certificate and key: clients use TLS, proxies to nodes do not. `tls` belongs to the user of the servers, `own_tls` to us, who run pgweir.
    tls: tuple[Path, Path] | None = None
    own_tls: tuple[Path, Path] | None = None

    @property
    def nodes(self) -> list[SimpleNamespace]:
        """The nodes as a proxy is told of them."""
        return [SimpleNamespace(name=node.name, port=node.port, host=str(node.directory) if self.over_sockets else node.host)
                for node in self.cluster.nodes]

    def prepare(self) -> None:
        """A user who must prove himself on every node, and the tables of the loads that move rows."""
        with self.cluster.primary.connect(dbname="test") as connection:
            connection.execute(f"CREATE ROLE {SCRAM_USER} LOGIN SUPERUSER PASSWORD '{SCRAM_PASSWORD}'")
        self.verifier = self.cluster.primary.sql("SELECT rolpassword FROM pg_authid WHERE rolname = %s", SCRAM_USER)[0][0]
        self.cluster.wait_replayed()
        for node in self.cluster.nodes:
            rules = node.data / "pg_hba.conf"
            rules.write_text(f"host all {SCRAM_USER} 127.0.0.1/32 scram-sha-256\nlocal all {SCRAM_USER} scram-sha-256\n" +
                             rules.read_text())
            node.sql("SELECT pg_reload_conf()")


@dataclass(frozen=True)
class Way:
    name: str
    text: str
    start: Callable[[World, bool], Any]  # a context manager that yields (Server, pid or None); the flag asks for SCRAM


def _server(world: World, proxy: Any, directory: Path) -> Server:
    return Server(str(directory) if world.over_sockets else proxy.host, proxy.port, sslmode="require" if world.tls else "disable")


@contextlib.contextmanager
def _direct(world: World, scram: bool) -> Iterator[tuple[Server, None]]:
    node = world.nodes[0]
    yield Server(node.host, node.port, sslmode="require" if world.tls else "disable"), None


@contextlib.contextmanager
def _floor(world: World, scram: bool) -> Iterator[tuple[Server, int]]:
    node, port, directory = world.nodes[0], ports.take(), own_directory("pgweir-f-")
    server = Server(str(directory) if world.over_sockets else "127.0.0.1", port)
    process = subprocess.Popen(as_server([world.build / "bench/floor", server.host, port, node.host, node.port]))
    try:
        wait_for(lambda: subprocess.run(server.command("pg_isready", "-q")).returncode == 0, "the floor to answer")
        yield server, process.pid
    finally:
        process.terminate()
        process.wait()
        ports.release(port)
        for path in (*directory.iterdir(), directory):
            path.rmdir() if path.is_dir() else path.unlink()


@contextlib.contextmanager
def _pgbouncer(world: World, scram: bool) -> Iterator[tuple[Server, int]]:
    verifiers = {SCRAM_USER: world.verifier} if scram else None
    with PgBouncer(world.nodes[0], mode="transaction", pool_size=POOL_SIZE, verifiers=verifiers, tls=world.tls) as proxy:
        yield _server(world, proxy, proxy.directory), proxy.pid


@contextlib.contextmanager
def _pgpool(world: World, scram: bool) -> Iterator[tuple[Server, int]]:
    with Pgpool(world.nodes, children=POOL_SIZE, passwords={SCRAM_USER: SCRAM_PASSWORD} if scram else None) as proxy:
        yield _server(world, proxy, proxy.directory), proxy.pid


def _pgweir(workers: int, reads: str, mode: str = "transaction", parser: bool = True) -> Callable[[World, bool], Any]:
    @contextlib.contextmanager
    def start(world: World, scram: bool) -> Iterator[tuple[Server, int]]:
        proxy = Pgweir(world.nodes, start=False, workers=workers, pool={"mode": mode, "size": POOL_SIZE},
                       routing={"reads": reads, "parser": parser}, monitor={"interval": "1s", "timeout": "3s", "lag_interval": "20ms"},
                       log={"level": "info", "connections": False})
        if world.tls:
            proxy.write_config(tls={"client": {"mode": "require", "cert_file": str(world.own_tls[0]), "key_file": str(world.own_tls[1])}})
        if scram:
            proxy.login = {"password": SCRAM_PASSWORD}  # of postgres, as whom the harness looks at the nodes
            users = "".join(f'"{user}" "{world.verifier}"\n' for user in ("postgres", SCRAM_USER))
            proxy.write_config(auth={
                "method": "scram-sha-256", "users_file": proxy.write_file("users", users),
                "server_password_file": proxy.write_file("servers", f"*:*:*:{SCRAM_USER}:{SCRAM_PASSWORD}\n")})
        with proxy:
            proxy.start(nodes_up=parser)
            proxy.wait_log(r"\bcatalog_loaded\b" if parser else r"\bprimary\b")
            if reads == "standbys":
                proxy.wait_standby_read("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
            yield _server(world, proxy, proxy.directory), proxy.pid
    return start


WAYS = {way.name: way for way in (
    Way("direct", "no proxy; all to the primary", _direct),
    Way("floor", "bench/floor: forwards bytes, looks at none", _floor),
    Way("pgbouncer", "Debian's PgBouncer, pooling by transaction (prepared: by session)", _pgbouncer),
    Way("pgpool", "Debian's pgpool-II, reads over all nodes", _pgpool),
    Way("pgweir-1", "one worker, `routing.reads: primary`", _pgweir(1, "primary")),
    Way("pgweir-read", "one worker, pooling by session, all to the primary", _pgweir(1, "primary", "session")),
    Way("pgweir-unread", "the same, `routing.parser: off`: statements are not read", _pgweir(1, "primary", "session", False)),
    Way("pgweir-2", "two workers, `routing.reads: primary`", _pgweir(2, "primary")),
    Way("pgweir-reads-1", "one worker, reads over the standbys", _pgweir(1, "standbys")),
    Way("pgweir-reads-2", "two workers, reads over the standbys", _pgweir(2, "standbys")),
)}


def available() -> dict[str, Way]:
    """The ways whose programs are here; says what is missing."""
    if PGPOOL.exists():
        return WAYS
    print(f"pgpool is left out: {PGPOOL} is missing (Debian: pgpool2)\n")
    return {name: way for name, way in WAYS.items() if name != "pgpool"}
