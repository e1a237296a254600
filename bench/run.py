"""`./dev bench`: the same pgbench load directly, through PgBouncer and through pgweir, in turns, on one machine.

Shows what a proxy costs beside a direct connection, not how fast PostgreSQL is. bench/README.md says how to read it.
Never prints a number from a run in which a transaction failed.
"""

from __future__ import annotations

import argparse
import os
import re
import statistics
import subprocess
import sys
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.cluster import BIN, Cluster
from harness.proxy import Pgweir
from pgbouncer import PgBouncer

LOADS = {
    "select-only, simple": ["-S", "-M", "simple"],
    "select-only, extended": ["-S", "-M", "extended"],
    "select-only, prepared": ["-S", "-M", "prepared"],
    "select-only, a connection each": ["-S", "-C"],
    "tpcb-like, simple": ["-M", "simple"],
    "tpcb-like, prepared": ["-M", "prepared"],
}


@dataclass
class Way:
    """How the load reaches the servers. `proxy_pid` is None when nothing stands between."""
    name: str
    server: Any
    proxy_pid: int | None = None


@dataclass
class Run:
    transactions: int
    tps: float
    latency_ms: float
    proxy_cpu_seconds: float | None


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads so far (proc(5), fields 14 and 15)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def pgbench(server, *options: str) -> str:
    command = [BIN / "pgbench", "-h", server.host, "-p", str(server.port), "-U", "postgres", *options, "test"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        sys.exit(f"pgbench {' '.join(options)} failed:\n{done.stdout}")
    return done.stdout


def measure(way: Way, options: list[str], clients: int, seconds: int) -> Run:
    before = cpu_seconds(way.proxy_pid) if way.proxy_pid else 0.0
    text = pgbench(way.server, "-n", "-T", str(seconds), "-c", str(clients), "-j", "2", *options)
    used = cpu_seconds(way.proxy_pid) - before if way.proxy_pid else None

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else sys.exit(f"pgbench said something unexpected:\n{text}")
    if number(r"number of failed transactions: (\d+)") != 0:
        sys.exit(f"transactions failed {way.name}:\n{text}")
    return Run(int(number(r"transactions actually processed: (\d+)")), number(r"tps = ([\d.]+)"),
               number(r"latency average = ([\d.]+) ms"), used)


def table_rows(load: str, ways: list[Way], runs: dict[str, list[Run]]) -> list[str]:
    direct = statistics.median(run.tps for run in runs[ways[0].name])
    rows = []
    for way in ways:
        rates = [run.tps for run in runs[way.name]]
        median = statistics.median(rates)
        cpu = "-"
        if way.proxy_pid:
            cpu = f"{statistics.median(run.proxy_cpu_seconds * 1e5 / run.transactions for run in runs[way.name]):.2f} s"
        latency = statistics.median(run.latency_ms for run in runs[way.name])
        rows.append(f"| {load} | {way.name} | {median:.0f} | {min(rates):.0f} .. {max(rates):.0f} | "
                    f"{median / direct:.2f} | {latency:.3f} ms | {cpu} |")
    return rows


def start_ways(stack: ExitStack, cluster: Cluster, arguments) -> list[Way]:
    bouncer = stack.enter_context(PgBouncer(cluster.primary, mode="session", pool_size=arguments.clients + 2))

    def pgweir(reads: str) -> Pgweir:
        return stack.enter_context(
            Pgweir(cluster.nodes, workers=arguments.workers, log={"level": "info", "connections": False},
                   pool={"size": arguments.clients + 2}, routing={"reads": reads},
                   monitor={"interval": "1s", "timeout": "3s", "lag_interval": "20ms"}))
    primary_only, split = pgweir("primary"), pgweir("standbys")
    split.wait_standby_read("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
    return [Way("direct", cluster.primary), Way("PgBouncer", bouncer, bouncer.pid),
            Way("pgweir, primary only", primary_only, primary_only.pid),
            Way("pgweir, reads on standbys", split, split.pid)]


def run(arguments) -> None:
    loads = {name: options for name, options in LOADS.items() if arguments.load in name}
    if not loads:
        sys.exit(f"no load has '{arguments.load}' in its name; there are: {'; '.join(LOADS)}")
    with ExitStack() as stack:
        cluster = stack.enter_context(Cluster(standbys=2))
        pgbench(cluster.primary, "-i", "-q", "-s", str(arguments.scale))
        cluster.wait_replayed()
        ways = start_ways(stack, cluster, arguments)
        for way in ways:
            measure(way, LOADS["select-only, prepared"], arguments.clients, 1)  # fills caches, opens connections
        print(f"{os.cpu_count()} cores, {arguments.clients} clients, scale {arguments.scale}, {arguments.workers} pgweir "
              f"workers, {arguments.rounds} rounds of {arguments.seconds} s, medians\n")
        print("| load | way | tps | from .. to | of direct | latency | proxy CPU per 100k transactions |\n"
              "|---|---|--:|--:|--:|--:|--:|", flush=True)
        for load, options in loads.items():
            runs: dict[str, list[Run]] = {way.name: [] for way in ways}
            for number in range(arguments.rounds):
                # Each way comes first and last about as often, so that a drift of the machine hits all alike.
                shift = number % len(ways)
                for way in ways[shift:] + ways[:shift]:
                    runs[way.name].append(measure(way, options, arguments.clients, arguments.seconds))
            print("\n".join(table_rows(load, ways, runs)), flush=True)
        reads = ", ".join(f"{name} {count}" for name, count in ways[-1].server.reads().items())
        print(f"\nReads by node, last way: {reads}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__)
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each load and way (default 3)")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="threads of pgweir (default: the cores)")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables (default 10)")
    parser.add_argument("--load", default="", help="only loads with this in their name")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.seconds, arguments.rounds, arguments.clients, arguments.workers, arguments.scale) < 1:
        parser.error("numbers begin at 1")
    os.environ["PGWEIR_BINARY"] = str((arguments.build / "src/pgweir").resolve())
    run(arguments)
    return 0


if __name__ == "__main__":
    sys.exit(main())
