"""`./dev bench`: the same loads directly, through other proxies and through pgweir, in turns, on one machine.

Shows what a proxy costs beside a direct connection, not how fast PostgreSQL is. bench/README.md says how to read it.
Never prints a number from a run in which a transaction failed.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import fnmatch
import json
import os
import sys
import tempfile
from pathlib import Path

import loads
import measure
import report
from harness.certificates import Authority
from harness.cluster import Cluster
from ways import WAYS, Way, World, available

TRACED = 4000  # transactions of all clients, under strace


def chosen(table: dict, patterns: list[str], what: str) -> list:
    """The rows that match any pattern, in the order of the table."""
    found = [row for name, row in table.items() if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)]
    if not found:
        sys.exit(f"no {what} matches {' '.join(patterns)}; there are: {' '.join(table)}")
    return found


class Bench:
    def __init__(self, arguments, world: World, rows_file: Path):
        self._arguments, self._world, self._rows_file = arguments, world, rows_file

    def measure(self, way: Way, load: loads.Load) -> measure.Sample:
        with way.start(self._world, load.scram) as (server, pid):
            server = load.server(way.name, server)
            load.warm_up(server)
            sample = load.measure(server, pid, self._arguments.seconds, self._rows_file)
        loads.clean_up(self._world)
        return sample

    def system_calls(self, way: Way, load: loads.Load) -> dict[str, float]:
        with way.start(self._world, load.scram) as (server, pid):
            assert pid is not None
            server = load.server(way.name, server)
            load.warm_up(server)
            return measure.system_calls(server, pid, load.pgbench_options(), TRACED // load.clients)

    def results(self, load: loads.Load, ways: list[Way]) -> report.Results:
        samples: dict[str, list[measure.Sample]] = {way.name: [] for way in ways}
        for number in range(self._arguments.rounds):
            # Each way comes first and last about as often, so that a drift of the machine hits all alike.
            shift = number % len(ways)
            for way in ways[shift:] + ways[:shift]:
                samples[way.name].append(self.measure(way, load))
        calls = {}
        if self._arguments.calls and load.kind == "transactions":
            calls = {way.name: self.system_calls(way, load) for way in ways if way.name != "direct"}
        return report.Results(load, samples, calls)


def run(arguments, ways: list[Way], asked: list[loads.Load]) -> None:
    facts = {**report.machine(), "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
             "rounds": arguments.rounds, "seconds": arguments.seconds, "scale": arguments.scale,
             "sockets": "unix" if arguments.socket else "tcp", "tls": "clients" if arguments.tls else "none"}
    print(", ".join(f"{name} {value}" for name, value in facts.items()) + "; medians\n")
    print("\n".join(f"- {way.name}: {way.text}" for way in ways) + "\n", flush=True)
    by_load: dict[str, dict] = {}
    with contextlib.ExitStack() as stack:
        tls, own_tls, settings = None, None, ""
        if arguments.tls:
            authority = stack.enter_context(Authority())
            own_tls = authority.issue("bench", "/CN=localhost", names="IP:127.0.0.1")
            tls = tuple(authority.for_servers(*own_tls))
            settings = f"ssl = on\nssl_cert_file = '{tls[0]}'\nssl_key_file = '{tls[1]}'\n"
        cluster = stack.enter_context(Cluster(standbys=2, settings=settings))
        directory = stack.enter_context(tempfile.TemporaryDirectory(prefix="pgweir-r-"))
        world = World(cluster, arguments.build, over_sockets=arguments.socket, tls=tls, own_tls=own_tls)
        measure.make_tables(measure.Server(cluster.primary.host, cluster.primary.port), arguments.scale)
        rows_file = loads.make_tables(world, Path(directory))
        world.prepare()
        cluster.wait_replayed()
        bench = Bench(arguments, world, rows_file)
        for load in asked:
            results = bench.results(load, ways)
            by_load[load.name] = report.as_json(results)
            print(report.markdown(results), flush=True)
            # After each load: a run that is broken off leaves what it has.
            arguments.json.write_text(json.dumps({**facts, "loads": by_load}, indent=1) + "\n")
    print(f"wrote {arguments.json}")


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ways", nargs="+", default=["*"], metavar="PATTERN", help=f"of {' '.join(WAYS)}")
    parser.add_argument("--loads", nargs="+", default=["*"], metavar="PATTERN", help=f"of {' '.join(loads.LOADS)}")
    parser.add_argument("--seconds", type=int, default=5, help="of each measurement (default 5)")
    parser.add_argument("--rounds", type=int, default=5, help="measurements of each load and way (default 5)")
    parser.add_argument("--scale", type=int, default=10, help="of pgbench's tables (default 10)")
    parser.add_argument("--socket", action="store_true", help="Unix sockets between all of them, instead of TCP")
    parser.add_argument("--tls", action="store_true", help="between the clients and what they connect to; not behind proxies")
    parser.add_argument("--no-calls", dest="calls", action="store_false", help="do not count system calls")
    parser.add_argument("--json", type=Path, help="where the numbers go (default: bench.json in the build directory)")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if min(arguments.seconds, arguments.rounds, arguments.scale) < 1:
        parser.error("numbers begin at 1")
    if arguments.tls and arguments.socket:
        parser.error("there is no TLS on Unix sockets")
    if arguments.calls and not measure.can_trace():
        print("System calls are not counted: strace is not installed.\n")
        arguments.calls = False
    arguments.build = arguments.build.resolve()
    arguments.json = arguments.json or arguments.build / "bench.json"
    os.environ["PGWEIR_BINARY"] = str(arguments.build / "src/pgweir")
    table = {name: way for name, way in available().items() if not arguments.tls or name not in ("floor", "pgpool")}
    ways, asked = chosen(table, arguments.ways, "way"), chosen(loads.LOADS, arguments.loads, "load")
    run(arguments, ways, asked)
    return 0


if __name__ == "__main__":
    sys.exit(main())
