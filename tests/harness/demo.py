"""`./dev demo`: a primary, two standbys, pgweir in front, some traffic, and a live view of where it goes.

Everything lives in temporary directories and on loopback, and is gone when the demo ends: after --seconds, with Ctrl-C or
with SIGTERM. Ends with status 0 only when no client saw an error or a stale read.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import psycopg

from . import ports
from .cluster import Cluster
from .proxy import Pgweir

ACCOUNTS = 1000
READS_PER_WRITE = 4
COLUMNS = ["node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role", "pg_role", "select_cnt",
           "replication_delay", "replication_state"]


@dataclass
class Tally:
    """What one client saw. Written by its thread only."""
    reads: int = 0
    writes: int = 0
    checks: int = 0
    stale: int = 0
    errors: int = 0
    last_error: str = ""


def _work(proxy: Pgweir, number: int, tally: Tally, stop: threading.Event, pause: float) -> None:
    """One application: reads, writes, and after each write a look whether it reads what it wrote."""
    choose = random.Random(number)
    while not stop.is_set():
        try:
            with proxy.connect(user="app", application_name=f"demo-{number}") as session:
                while not stop.wait(pause):
                    account = choose.randrange(ACCOUNTS)
                    if choose.randrange(READS_PER_WRITE + 1):
                        session.execute("SELECT balance FROM accounts WHERE id = %s", [account])
                        tally.reads += 1
                        continue
                    # Rows of other clients are left alone, so that what was written must be what is read.
                    account = account - account % 10 + number
                    wrote = session.execute("UPDATE accounts SET balance = balance + 1 WHERE id = %s RETURNING balance",
                                            [account]).fetchone()
                    read = session.execute("SELECT balance FROM accounts WHERE id = %s", [account]).fetchone()
                    tally.writes += 1
                    tally.checks += 1
                    tally.stale += read[0] < wrote[0]
        except psycopg.Error as error:
            tally.errors += 1
            tally.last_error = str(error).strip()
            stop.wait(0.2)


class View:
    """`SHOW pool_nodes`, drawn again and again on a terminal, or one line a second into a pipe."""

    def __init__(self, header: str, cluster: Cluster):
        self._header = header
        self._cluster = cluster
        self._live = sys.stdout.isatty()
        self._before: tuple[float, dict[str, int], int] | None = None
        self.worst_delay = 0

    def _writes_at_primary(self) -> int:
        row = self._cluster.primary.sql("SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'accounts'")
        return int(row[0][0])

    def draw(self, proxy: Pgweir, tallies: list[Tally]) -> None:
        nodes = proxy.pool_nodes()
        writes = self._writes_at_primary()
        reads = {node["name"]: int(node["select_cnt"]) for node in nodes}
        now = time.monotonic()
        before = self._before or (now - 1, reads, writes)
        self._before = (now, reads, writes)
        seconds = max(now - before[0], 1e-6)
        self.worst_delay = max([self.worst_delay] + [_leading_number(n["replication_delay"]) for n in nodes])
        rows = [[node["name"]] + [node[c] or "" for c in COLUMNS] + [
            f"{(reads[node['name']] - before[1].get(node['name'], 0)) / seconds:.0f}",
            f"{(writes - before[2]) / seconds:.0f}" if node["role"] == "primary" else "0"] for node in nodes]
        if self._live:
            self._draw_table(rows, tallies)
        else:
            line = "  ".join(f"{row[0]} {row[4]} {row[7]} reads={row[9]} ({row[-2]}/s) writes/s={row[-1]}" for row in rows)
            print(f"{line}  errors={sum(t.errors for t in tallies)}", flush=True)

    def _draw_table(self, rows: list[list[str]], tallies: list[Tally]) -> None:
        table = [["name", *COLUMNS, "reads/s", "writes/s"], *rows]
        widths = [max(len(str(row[i])) for row in table) for i in range(len(table[0]))]
        lines = ["  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip() for row in table]
        lines.insert(1, "  ".join("-" * width for width in widths))
        summary = (f"reads {sum(t.reads for t in tallies)}   writes {sum(t.writes for t in tallies)}   "
                   f"own writes read back {sum(t.checks for t in tallies)}, stale {sum(t.stale for t in tallies)}   "
                   f"errors {sum(t.errors for t in tallies)}")
        screen = [self._header, "", *lines, "", summary, "", "Ctrl-C stops and removes everything."]
        print("\x1b[H" + "\n".join(line + "\x1b[K" for line in "\n".join(screen).split("\n")) + "\x1b[J", end="", flush=True)


def _leading_number(text: str | None) -> int:
    digits = "".join(c for c in (text or "").split(" ")[0] if c.isdigit())
    return int(digits) if digits else 0


def _proxy_port() -> int:
    return next(port for port in range(6432, 6532) if ports.reserve(port))


def _prepare(cluster: Cluster) -> None:
    with cluster.primary.connect(dbname="test", user="app") as session:
        session.execute("CREATE TABLE accounts (id integer PRIMARY KEY, balance bigint NOT NULL) WITH (fillfactor = 50)")
        session.execute(f"INSERT INTO accounts SELECT n, 0 FROM generate_series(0, {ACCOUNTS - 1}) n")
    cluster.primary.sql("VACUUM ANALYZE accounts")
    cluster.wait_replayed()


def run(seconds: float | None, clients: int, pause: float) -> int:
    print("Starting a primary and two standbys ...", flush=True)
    stop, tallies = threading.Event(), [Tally() for _ in range(clients)]
    with Cluster(standbys=2) as cluster:
        _prepare(cluster)
        with Pgweir(cluster.nodes, port=_proxy_port(), log={"level": "info"}, monitor={"interval": "1s"}) as proxy:
            header = (f"pgweir in front of " + ", ".join(f"{n.name} (port {n.port})" for n in cluster.nodes) +
                      f"\nTry it:  psql -h {proxy.host} -p {proxy.port} -U postgres test"
                      f"\nLog:     {proxy.log_path}")
            print(("\x1b[2J\x1b[H" if sys.stdout.isatty() else "") + header, flush=True)
            threads = [threading.Thread(target=_work, args=(proxy, n, tallies[n], stop, pause), daemon=True)
                       for n in range(clients)]
            view, begin = View(header, cluster), time.monotonic()
            try:
                for thread in threads:
                    thread.start()
                while seconds is None or time.monotonic() - begin < seconds:
                    time.sleep(0.5 if sys.stdout.isatty() else 1.0)
                    view.draw(proxy, tallies)
            except KeyboardInterrupt:
                pass
            finally:
                signal.signal(signal.SIGINT, signal.SIG_IGN)
                stop.set()
                for thread in threads:
                    thread.join(timeout=10)
            return _summary(proxy, tallies, view, time.monotonic() - begin)


def _summary(proxy: Pgweir, tallies: list[Tally], view: View, seconds: float) -> int:
    reads, writes = sum(t.reads for t in tallies), sum(t.writes for t in tallies)
    stale, errors = sum(t.stale for t in tallies), sum(t.errors for t in tallies)
    print(f"\n\n{seconds:.0f} s: {reads + writes + sum(t.checks for t in tallies)} transactions "
          f"({reads} reads, {writes} writes, each read back by its session)")
    print("reads per node: " + ", ".join(f"{name} {count}" for name, count in proxy.reads().items()))
    print(f"stale reads of own writes: {stale}\nerrors: {errors}")
    print(f"largest replication delay seen: {view.worst_delay} bytes")
    for message in sorted({t.last_error for t in tallies if t.last_error}):
        print(f"  {message}")
    return 0 if reads and writes and not errors and not stale else 1


def _terminated(*_) -> None:
    raise KeyboardInterrupt


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev demo", description=__doc__)
    parser.add_argument("--seconds", type=float, help="end after this time (default: run until Ctrl-C)")
    parser.add_argument("--clients", type=int, default=4, choices=range(1, 11), metavar="1..10")
    parser.add_argument("--pause", type=float, default=0.01, help="seconds between the statements of a client")
    parser.add_argument("--binary", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["PGWEIR_BINARY"] = str(arguments.binary.resolve())
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminated)
    try:
        return run(arguments.seconds, arguments.clients, arguments.pause)
    except KeyboardInterrupt:
        print("\nstopped before it was up", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
