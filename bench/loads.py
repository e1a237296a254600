"""The loads, one row each in LOADS: what is asked of a way, and how it is counted."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

from measure import Sample, Server, pgbench, run_pgbench, run_psql
from ways import SCRAM_PASSWORD, SCRAM_USER, World

ROWS, ROW_BYTES = 100_000, 100
MEGABYTES = 100  # moved by each measurement of the loads that move rows

# The latency of every transaction of pgbench is written down up to this many a second, roughly; of more, a share.
LOGGED_PER_SECOND = 2000

_ONE = str(Path(__file__).with_name("one.sql"))  # SELECT 1


@dataclass(frozen=True)
class Load:
    """`kind` says what is counted: transactions, connections (a transaction each), or bytes."""
    name: str
    kind: str
    options: tuple[str, ...] = ()  # of pgbench
    clients: int = 1
    expected_rate: int = LOGGED_PER_SECOND  # transactions per second, the order of magnitude
    scram: bool = False
    needs_session: bool = False  # PgBouncer 1.18 has no prepared statements when it pools by transaction
    script: str = ""  # of psql, for bytes; {file} has the rows

    def server(self, way: str, server: Server) -> Server:
        """The server that a way gave, as this load uses it."""
        if self.scram:
            server = replace(server, user=SCRAM_USER, password=SCRAM_PASSWORD)
        if self.needs_session and way == "pgbouncer":
            server.database = "test_session"
        return server

    def pgbench_options(self) -> list[str]:
        return [*self.options, "-c", str(self.clients), "-j", str(min(2, self.clients))]

    def warm_up(self, server: Server) -> None:
        """Opens the connections and fills the caches."""
        if self.kind == "bytes":
            run_psql(server, None, "SELECT 1;\n", 0)
        else:
            pgbench(server, *self.pgbench_options(), "-t", "50")

    def measure(self, server: Server, pid: int | None, seconds: int, rows_file: Path) -> Sample:
        if self.kind == "bytes":
            repeated = math.ceil(MEGABYTES * 1_000_000 / (ROWS * ROW_BYTES))
            return run_psql(server, pid, self.script.format(file=rows_file) * repeated, repeated * ROWS * ROW_BYTES)
        sampling = min(1.0, LOGGED_PER_SECOND / self.expected_rate)
        return run_pgbench(server, pid, self.pgbench_options(), seconds, sampling)


def _selects() -> list[Load]:
    return [Load(f"select-{mode}-{clients}", "transactions", ("-S", "-M", mode), clients, 5_000 * min(clients, 4),
                 needs_session=mode == "prepared")
            for mode in ("simple", "extended", "prepared") for clients in (1, 8, 32)]


LOADS = {load.name: load for load in (
    *_selects(),
    Load("one-simple-1", "transactions", ("-f", _ONE), 1, 10_000),
    Load("tpcb-simple-8", "transactions", ("-M", "simple"), 8, 1_000),
    Load("tpcb-prepared-8", "transactions", ("-M", "prepared"), 8, 1_000, needs_session=True),
    Load("connect-trust-8", "connections", ("-S", "-C"), 8, 3_000),
    Load("connect-scram-8", "connections", ("-S", "-C"), 8, 1_000, scram=True),
    Load("rows", "bytes", script="SELECT line FROM bench_rows;\n"),
    Load("copy-out", "bytes", script="COPY bench_rows TO STDOUT;\n"),
    Load("copy-in", "bytes", script="\\copy bench_in FROM '{file}'\n"),
)}


def make_tables(world: World, directory: Path) -> Path:
    """What the loads of bytes read and fill; returns the file with the rows."""
    world.cluster.primary.sql(
        "CREATE TABLE bench_rows AS SELECT rpad(i::text, %s, 'x') AS line FROM generate_series(1, %s) i", ROW_BYTES, ROWS)
    world.cluster.primary.sql("CREATE UNLOGGED TABLE bench_in (line text)")
    file = directory / "rows"
    file.write_text("".join(str(number).ljust(ROW_BYTES, "x") + "\n" for number in range(1, ROWS + 1)))
    return file


def clean_up(world: World) -> None:
    """After each measurement: the next one begins with the same tables."""
    world.cluster.primary.sql("TRUNCATE bench_in")
