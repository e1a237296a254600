"""`./dev bench clients`: what thousands of clients on a few server connections cost, and how evenly they wait.

Two measurements, each through pgweir (transaction pooling, one and two workers) and through Debian's PgBouncer: memory per
idle client, and the latency of clients that compete for a small pool. bench/README.md says how to read them. Never prints
a number from a run in which a client saw an error.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Callable

from harness.cluster import Cluster
from harness.proxy import Pgweir
from pgbouncer import PgBouncer
from measure import cpu_seconds

POOL_SIZE = 20
SPARE_DESCRIPTORS = 200  # of a proxy, beside its clients' sockets
LOGINS_AT_ONCE = 64


@dataclass
class Way:
    name: str
    start: Callable[[], Any]  # a context manager; what it yields has a port and a pid
    hint: str = ""  # what its statements begin with


class ManyClients:
    """bench/many_clients.cpp at work: logged in when made, gone at the end of the `with`."""

    def __init__(self, program: Path, port: int, count: int):
        self._process = subprocess.Popen([program, str(port), str(count)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True)
        self._answer()

    def _answer(self) -> str:
        line = self._process.stdout.readline()
        if not line:
            sys.exit(f"the clients ended with status {self._process.wait()}: no numbers")
        return line

    def ask(self, command: str) -> str:
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        return self._answer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def allow_descriptors(count: int) -> None:
    """For us and what we start. Beyond the hard limit only root may go."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft >= count:
        return
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (count, max(hard, count)))
    except (ValueError, PermissionError):
        sys.exit(f"{count} open files are needed, {hard} are allowed (ulimit -Hn): fewer --clients, or more of those")


def memory(pid: int) -> int:
    """The proportional set size in bytes: what would be free without this process (proc(5), smaps_rollup)."""
    return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1]) * 1024


def machine_ticks() -> tuple[int, int]:
    """Idle and total time of all cores so far (proc(5), stat)."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


# --- the two measurements ----------------------------------------------------------------------------------------


def measure_memory(arguments, program: Path, ways: list[Way]) -> None:
    count = arguments.idle
    print(f"\nMemory of the proxy with {count} idle clients (PSS), pool of {POOL_SIZE}. Bytes per client: what has been "
          "added since before the first of them, divided by their number.\n\n"
          "| way | before | after login | one statement each, in turns | the same, all at once |\n|---|--:|--:|--:|--:|",
          flush=True)
    for way in ways:
        with way.start() as proxy:
            before = memory(proxy.pid)
            cells = []
            with ManyClients(program, proxy.port, count) as clients:
                cells.append(memory(proxy.pid))
                for width in (LOGINS_AT_ONCE, count):
                    clients.ask(f"each {width} SELECT 1")
                    cells.append(memory(proxy.pid))
        print(f"| {way.name} | {before / 1e6:.1f} MB | " +
              " | ".join(f"{(cell - before) / count:.0f} B" for cell in cells) + " |", flush=True)


def measure_waiting(arguments, program: Path, ways: list[Way]) -> None:
    count, statement = arguments.busy, f"SELECT pg_sleep({arguments.sleep / 1000})"
    print(f"\nLatency of {count} clients on a pool of {POOL_SIZE}, each running `{statement}` again and again, "
          f"{arguments.seconds} s.\n\n"
          "| way | statements/s | p50 | p99 | longest | p99/p50 | within a second | per client, least .. most | cores: proxy | "
          "clients | idle |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|", flush=True)
    notes = []
    for way in ways:
        with way.start() as proxy, ManyClients(program, proxy.port, count) as clients:
            for _ in range(arguments.rounds):
                print(waiting_row(way, proxy.pid, arguments, clients, way.hint + statement), flush=True)
            if way.hint:
                reads = ", ".join(f"{name} {count}" for name, count in proxy.reads().items())
                notes.append(f"Reads by node, {way.name}: {reads}")
    print("\n" + "\n".join(notes))


def waiting_row(way: Way, pid: int, arguments, clients: ManyClients, statement: str) -> str:
    proxy_before, (idle_before, _), begin = cpu_seconds(pid), machine_ticks(), time.monotonic()
    got = json.loads(clients.ask(f"load {arguments.warm} {arguments.seconds} {statement}"))
    took = time.monotonic() - begin
    proxy = (cpu_seconds(pid) - proxy_before) / took
    idle = (machine_ticks()[0] - idle_before) / os.sysconf("SC_CLK_TCK") / took
    times = " | ".join(f"{got[key] / 1000:.1f} ms" for key in ("p50_us", "p99_us", "max_us"))
    ratios = f"{got['p99_us'] / got['p50_us']:.2f} | {got['ratio_within_a_second']:.2f}"
    return (f"| {way.name} | {got['statements'] / arguments.seconds:.0f} | {times} | {ratios} | "
            f"{got['least']} .. {got['most']} | {proxy:.2f} | {got['cpu_seconds'] / took:.2f} | {idle:.2f} |")


# --- the ways ----------------------------------------------------------------------------------------------------


def pgweir(nodes: list, workers: int, most_clients: int) -> Pgweir:
    proxy = Pgweir(nodes, workers=workers, topology="single" if len(nodes) == 1 else "streaming",
                   log={"level": "info", "connections": False},
                   pool={"mode": "transaction", "size": POOL_SIZE, "max_clients": most_clients, "queue_timeout": "60s"},
                   monitor={"interval": "1s", "timeout": "3s", "lag_interval": "20ms"})
    # It belongs to the proxy, not to the clients that happen to log in while it is loaded.
    proxy.wait_log(r"\bcatalog_loaded\b")
    return proxy


def single_ways(cluster: Cluster, most_clients: int) -> list[Way]:
    node = cluster.primary
    return [Way("PgBouncer", lambda: PgBouncer(node, mode="transaction", pool_size=POOL_SIZE, most_clients=most_clients)),
            Way("pgweir, 1 worker", lambda: pgweir([node], 1, most_clients)),
            Way("pgweir, 2 workers", lambda: pgweir([node], 2, most_clients))]


def standby_ways(cluster: Cluster, most_clients: int) -> list[Way]:
    def start(workers: int) -> Pgweir:
        proxy = pgweir(cluster.nodes, workers, most_clients)
        proxy.wait_standby_read()
        return proxy
    hint = "/* pgweir: standby */ "
    return [Way("pgweir, 1 worker, two standbys", lambda: start(1), hint),
            Way("pgweir, 2 workers, two standbys", lambda: start(2), hint)]


def run(arguments) -> None:
    most_clients = max(arguments.idle, arguments.busy)
    allow_descriptors(most_clients + SPARE_DESCRIPTORS)
    program = arguments.build / "bench/many_clients"

    def chosen(ways: list[Way]) -> list[Way]:
        return [way for way in ways if arguments.way in way.name]
    with Cluster(standbys=0 if arguments.only == "memory" else 2) as cluster:
        # Health checks and the harness's own questions are clients too.
        room = most_clients + 20
        print(f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
        if arguments.only != "waiting":
            measure_memory(arguments, program, chosen(single_ways(cluster, room)))
        if arguments.only != "memory":
            measure_waiting(arguments, program, chosen(single_ways(cluster, room) + standby_ways(cluster, room)))


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench clients", description=__doc__)
    parser.add_argument("--only", choices=["memory", "waiting"])
    parser.add_argument("--way", default="", help="only ways with this in their name")
    parser.add_argument("--idle", type=int, default=10_000, help="clients whose memory is measured (default 10000)")
    parser.add_argument("--busy", type=int, default=1000, help="clients that wait for the pool (default 1000)")
    parser.add_argument("--sleep", type=float, default=1, help="milliseconds that a statement sleeps (default 1)")
    parser.add_argument("--warm", type=int, default=2, help="seconds of load before the measurement (default 2)")
    parser.add_argument("--seconds", type=int, default=15, help="of each measurement of waiting (default 15)")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of waiting of each way (default 1)")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.idle, arguments.busy, arguments.seconds, arguments.rounds) < 1 or arguments.warm < 0:
        parser.error("numbers begin at 1")
    os.environ["PGWEIR_BINARY"] = str((arguments.build / "src/pgweir").resolve())
    run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
