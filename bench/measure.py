"""What `./dev bench` reads from a run: rates and latencies from pgbench, processor time and system calls of the proxy.

Never returns a number from a run in which a transaction failed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from harness.cluster import BIN
from harness.waiting import wait_for


@dataclass
class Server:
    """Where a load connects to: a proxy or a node. `host` is an address or the directory of a Unix socket."""
    host: str
    port: int
    user: str = "postgres"
    password: str = ""
    database: str = "test"
    sslmode: str = "disable"

    def command(self, tool: str, *options: str) -> list[str]:
        return [str(BIN / tool), "-h", self.host, "-p", str(self.port), "-U", self.user, *options]

    def environment(self) -> dict[str, str]:
        return os.environ | {"PGPASSWORD": self.password, "PGDATABASE": self.database, "PGOPTIONS": "", "PGSSLMODE": self.sslmode,
                             "PGGSSENCMODE": "disable"}


@dataclass
class Sample:
    """One measurement of one way. `amount` is in the load's unit: transactions, or bytes of values."""
    amount: float
    seconds: float
    cpu_seconds: float | None = None  # of the proxy; None without one
    latencies_ms: dict[str, float] = field(default_factory=dict)  # p50, p99

    @property
    def rate(self) -> float:
        return self.amount / self.seconds


# --- processes ---------------------------------------------------------------------------------------------------


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                children.setdefault(int(_stat(int(entry.name))[1]), []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _stat(pid: int) -> list[str]:
    """The fields of proc(5), stat, from the third on."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def cpu_seconds(pid: int) -> float:
    """User and system time so far of the process and its descendants, in steps much finer than the 10 ms of proc(5), stat.

    /proc/PID/task/TID/schedstat has the nanoseconds of each thread; children that have ended are in their parent's stat."""
    nanoseconds = ticks = 0
    for one in family(pid):
        with contextlib.suppress(OSError):
            ticks += sum(int(value) for value in _stat(one)[13:15])
            nanoseconds += sum(int((task / "schedstat").read_text().split()[0]) for task in Path(f"/proc/{one}/task").iterdir())
    return nanoseconds / 1e9 + ticks / os.sysconf("SC_CLK_TCK")


# --- pgbench and psql --------------------------------------------------------------------------------------------


def _run(server: Server, command: list[str], **more) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=server.environment(), **more)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    return done.stdout


def make_tables(server: Server, scale: int) -> None:
    _run(server, server.command("pgbench", "-i", "-q", "-s", str(scale)))


def pgbench(server: Server, *options: str) -> tuple[int, float]:
    """Transactions and transactions per second."""
    text = _run(server, server.command("pgbench", "-n", *options))

    def number(pattern: str) -> float:
        found = re.search(pattern, text)
        return float(found[1]) if found else sys.exit(f"pgbench said something unexpected:\n{text}")
    if number(r"number of failed transactions: (\d+)") != 0:
        sys.exit(f"transactions failed:\n{text}")
    return int(number(r"transactions actually processed: (\d+)")), number(r"tps = ([\d.]+)")


def run_pgbench(server: Server, pid: int | None, options: list[str], seconds: int, sampling: float) -> Sample:
    """`sampling`: the share of the transactions whose latency is written down."""
    with tempfile.TemporaryDirectory(prefix="pgweir-l-") as directory:
        before = cpu_seconds(pid) if pid else None
        transactions, rate = pgbench(server, *options, "-T", str(seconds), "--log", f"--log-prefix={directory}/log",
                                     f"--sampling-rate={sampling}")
        used = cpu_seconds(pid) - before if pid else None
        # The third column is the latency in microseconds (PostgreSQL documentation, pgbench, "Per-Transaction Logging").
        times = sorted(int(line.split()[2]) for file in Path(directory).iterdir() for line in file.read_text().splitlines())
    latencies = {name: times[int(len(times) * part)] / 1000 for name, part in (("p50", 0.5), ("p99", 0.99)) if times}
    return Sample(transactions, transactions / rate, used, latencies)


def run_psql(server: Server, pid: int | None, script: str, amount: float) -> Sample:
    """A whole psql session; what it prints is thrown away. `amount`: what it moves."""
    before = cpu_seconds(pid) if pid else None
    begin = time.monotonic()
    done = subprocess.run(server.command("psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"), input=script, stdout=subprocess.DEVNULL,
                          stderr=subprocess.PIPE, text=True, env=server.environment())
    seconds = time.monotonic() - begin
    if done.returncode != 0:
        sys.exit(f"psql failed:\n{done.stderr[-4000:]}")
    return Sample(amount, seconds, cpu_seconds(pid) - before if pid else None)


# --- system calls ------------------------------------------------------------------------------------------------


class _Strace:
    """`strace -c` on a process with all its threads and descendants, for the time of a `with`."""

    def __init__(self, pid: int, directory: Path):
        self._file = directory / "calls"
        pids = [word for one in family(pid) for word in ("-p", str(one))]
        self._process = subprocess.Popen(["strace", "-f", "-c", "-U", "calls,name", "-o", self._file, *pids], stderr=subprocess.PIPE,
                                         text=True, start_new_session=True)
        self._traced = [task for one in family(pid) for task in Path(f"/proc/{one}/task").iterdir()]

    def __enter__(self) -> _Strace:
        wait_for(self._attached, "strace to attach", timeout=20)
        self.begin = time.monotonic()
        return self

    def _attached(self) -> bool:
        if self._process.poll() is not None:
            sys.exit(f"strace ended:\n{self._process.stderr.read()}")
        return all(re.search(r"^TracerPid:\s+[1-9]", (task / "status").read_text(), re.M) for task in self._traced)

    def __exit__(self, *_) -> None:
        self.seconds = time.monotonic() - self.begin
        self._process.send_signal(signal.SIGINT)
        self._process.stderr.read()
        self._process.wait()
        rows = (line.split() for line in self._file.read_text().splitlines())
        self.calls = Counter({row[1]: int(row[0]) for row in rows if len(row) == 2 and row[0].isdigit() and row[1] != "total"})


def can_trace() -> bool:
    return shutil.which("strace") is not None


def system_calls(server: Server, pid: int, options: list[str], transactions: int) -> dict[str, float]:
    """System calls of the proxy per transaction, by name; rare ones are left out.

    The difference of a short and a long run, without what the proxy does when nobody asks anything of it: neither logins nor
    the monitor are in it. The proxy is much slower meanwhile, so that several clients' messages meet in one pass more often.
    """
    runs = []
    with tempfile.TemporaryDirectory(prefix="pgweir-t-") as directory:
        with _Strace(pid, Path(directory)) as idle:
            time.sleep(1.0)  # this is the measurement, not a wait
        for count in (transactions // 5, transactions):
            with _Strace(pid, Path(directory)) as trace:
                done, _ = pgbench(server, *options, "-t", str(count))
            runs.append((done, trace))
    (less, short), (more, long) = runs
    share = (long.seconds - short.seconds) / idle.seconds
    calls = {name: (long.calls[name] - short.calls[name] - idle.calls[name] * share) / (more - less) for name in long.calls}
    return {name: round(count, 3) for name, count in sorted(calls.items(), key=lambda row: -row[1]) if count >= 0.01}


def median(values) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
