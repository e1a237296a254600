"""A fixed trace: one client, one worker, the same statements each time. What counts per transaction measures with it.

The cost of one transaction is the difference of two runs that differ in length only: logging in and leaving fall out of it.
"""

from __future__ import annotations

import subprocess
from typing import Callable

from .cluster import BIN, Node
from .proxy import Pgweir

# By name, pgbench's options: its SELECT of one row, its transaction of seven statements, a connection for each SELECT.
TRACES = {
    "simple": ("-S", "-M", "simple"),
    "extended": ("-S", "-M", "extended"),
    "prepared": ("-S", "-M", "prepared"),
    "tpcb-simple": ("-M", "simple"),
    "tpcb-prepared": ("-M", "prepared"),
    "connect": ("-S", "-C"),
}
SEED = 1  # of pgbench: the same accounts in the same order
WARM_UP, SHORT, LONG = 300, 200, 1200  # statements or so: see `length`


def length(trace: str, statements: int) -> int:
    """In transactions."""
    return statements if "-S" in TRACES[trace] else statements // 5


def make_tables(node: Node) -> None:
    """pgbench's own, of scale 1."""
    _pgbench(node, "-i", "-q", "-s", "1")


def one_worker(nodes: list[Node], reads: str = "primary") -> Pgweir:
    """A proxy whose monitor is as quiet as it may be: nothing but the trace happens in the worker."""
    proxy = Pgweir(nodes, topology="single" if len(nodes) == 1 else "streaming", workers=1, pool={"size": 4},
                   routing={"reads": reads}, log={"level": "info", "connections": False},
                   monitor={"interval": "5s", "timeout": "20s", "lag_interval": "1s"})
    proxy.wait_log(r"\bcatalog_loaded\b")
    if reads == "standbys":
        proxy.wait_standby_read("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
    return proxy


def run(proxy: Pgweir, trace: str, transactions: int) -> None:
    _pgbench(proxy, "-n", *TRACES[trace], "-c", "1", "-t", str(transactions), f"--random-seed={SEED}")


def per_transaction(proxy: Pgweir, trace: str, count: Callable[[Callable[[], None]], int]) -> float:
    """`count(work)` does the work and says what it cost."""
    run(proxy, trace, length(trace, WARM_UP))
    short, long = length(trace, SHORT), length(trace, LONG)
    less, more = (count(lambda n=n: run(proxy, trace, n)) for n in (short, long))
    return (more - less) / (long - short)


def _pgbench(server, *options: str) -> None:
    command = [BIN / "pgbench", "-h", server.host, "-p", str(server.port), "-U", "postgres", *options, "test"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    failed = "-n" in options and "number of failed transactions: 0 " not in done.stdout
    if done.returncode != 0 or failed:
        raise RuntimeError(f"pgbench {' '.join(options)} failed:\n{done.stdout}")
