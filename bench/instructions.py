"""`./dev bench instructions`: user-space instructions per transaction, a guard against becoming slower bit by bit.

Runs pgweir under callgrind before a real PostgreSQL, with a fixed trace and one client, and compares the worker's thread with
bench/instructions.json. Instructions are not time, but they are the same on every run and on a busy machine. Valgrind does not
see the kernel, where most of a proxy's time goes: `./dev bench` measures that.

Status: 0 within the limit, 1 above it, 77 not compared (no valgrind, or another compiler or libc than in the file).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Callable

from harness import fixed_trace
from harness.cluster import Cluster
from harness.proxy import Pgweir

EXPECTED = Path(__file__).with_name("instructions.json")
LIMIT_PERCENT = 3.0
# In how many pieces a login arrives differs from run to run.
OWN_LIMIT_PERCENT = {"connect": 10.0}
NOT_COMPARED = 77


def write_wrapper(directory: Path, program: Path) -> Path:
    """What stands for pgweir: the program under callgrind, which looks away until told otherwise."""
    wrapper = directory / "pgweir-under-callgrind"
    wrapper.write_text("#!/bin/sh\nexec valgrind --tool=callgrind --instr-atstart=no --separate-threads=yes "
                       f"--log-file='{directory}/valgrind.log' --callgrind-out-file='{directory}/out' '{program}' \"$@\"\n")
    wrapper.chmod(0o755)
    return wrapper


class Callgrind:
    """Steers the callgrind that a proxy runs under. Each dump is one file per thread: out.NUMBER-THREAD."""

    def __init__(self, proxy: Pgweir, directory: Path):
        self._proxy, self._directory, self._dumps = proxy, directory, 0
        self._control("-i", "on")

    def _control(self, *options: str) -> None:
        done = subprocess.run(["callgrind_control", *options, str(self._proxy.pid)], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            sys.exit(f"callgrind_control {' '.join(options)} failed:\n{done.stdout}")

    def of_worker(self, work: Callable[[], None]) -> int:
        """Instructions of the thread that ran most of them: with one worker and a quiet monitor, the worker."""
        self._control("--zero")
        work()
        self._control("--dump")
        self._dumps += 1
        files = list(self._directory.glob(f"out.{self._dumps}-*"))
        if not files:
            sys.exit(f"callgrind left no dump {self._dumps} in {self._directory}")
        return max(int(re.search(r"^summary: (\d+)", file.read_text(), re.M)[1]) for file in files)


def measure(build: Path, directory: Path, expected: dict[str, float]) -> dict[str, float]:
    """By trace. What is not as expected is measured twice more, and the median counts: what a proxy does by the clock (a catalog
    that is read anew) falls into one run and not into another."""
    os.environ["PGWEIR_BINARY"] = str(write_wrapper(directory, (build / "src/pgweir").resolve()))
    with Cluster(standbys=0) as cluster:
        fixed_trace.make_tables(cluster.primary)
        with fixed_trace.one_worker(cluster.nodes) as proxy:
            callgrind = Callgrind(proxy, directory)
            found = {}
            for trace in fixed_trace.TRACES:
                tries = [fixed_trace.per_transaction(proxy, trace, callgrind.of_worker)]
                if trace not in expected or abs(tries[0] / expected[trace] - 1) * 100 > limit_percent(trace):
                    tries += [fixed_trace.per_transaction(proxy, trace, callgrind.of_worker) for _ in range(2)]
                found[trace] = statistics.median(tries)
            return found


def toolchain(build: Path) -> dict[str, str]:
    """What decides the numbers beside our sources."""
    comment = subprocess.run(["readelf", "-p", ".comment", build / "src/pgweir"], stdout=subprocess.PIPE, text=True, check=True).stdout
    compilers = re.findall(r"\]\s+(\S.*)", comment)
    options = {row["name"]: row["value"] for row in json.loads((build / "meson-info/intro-buildoptions.json").read_text())}
    if options["buildtype"] != "release" or options["b_sanitize"] != "none":
        sys.exit("instructions of a build without optimization, or with a sanitizer, say nothing")
    valgrind = subprocess.run(["valgrind", "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return {"compiler": ", ".join(compilers), "libc": " ".join(platform.libc_ver()),
            "machine": platform.machine(), "valgrind": valgrind}


def limit_percent(trace: str) -> float:
    return OWN_LIMIT_PERCENT.get(trace, LIMIT_PERCENT)


def compare(found: dict[str, float], expected: dict[str, float]) -> int:
    """Prints a table and, last, the counts; returns the exit status."""
    print("| trace | instructions per transaction | expected | difference | |\n|---|--:|--:|--:|---|")
    failed = 0
    for trace, instructions in found.items():
        percent = (instructions / expected[trace] - 1) * 100
        verdict = "ok"
        if percent > limit_percent(trace):
            verdict, failed = f"more than +{limit_percent(trace):.0f} %", failed + 1
        elif percent < -limit_percent(trace):
            verdict = "ok; write it down with --write"
        print(f"| {trace} | {instructions:.0f} | {expected[trace]:.0f} | {percent:+.2f} % | {verdict} |")
    print(f"{len(found) - failed} passed, {failed} failed")
    return 1 if failed else 0


def run(arguments, directory: Path) -> int:
    tools = toolchain(arguments.build)
    known = json.loads(EXPECTED.read_text()) if EXPECTED.exists() else {"toolchain": None}
    if not arguments.write and not arguments.force and known["toolchain"] != tools:
        print(f"skipped: {EXPECTED.name} was written with {known['toolchain']}, this is {tools}; --force compares all the same")
        return NOT_COMPARED
    expected = {} if arguments.write else known["instructions_per_transaction"]
    found = measure(arguments.build, directory, expected)
    if arguments.keep:
        print(f"callgrind's dumps are in {directory}, one per thread: in the order of the table, a short and a long run of each "
              f"trace (three times what was not as expected). The long run of the first: callgrind_annotate {directory}/out.2-03")
    if arguments.write:
        EXPECTED.write_text(json.dumps({"toolchain": tools, "instructions_per_transaction":
                                        {trace: round(count) for trace, count in found.items()}}, indent=2) + "\n")
        print(f"wrote {EXPECTED}: {found}")
        return 0
    return compare(found, expected)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench instructions", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help=f"write {EXPECTED.name} instead of comparing")
    parser.add_argument("--force", action="store_true", help="compare even with another compiler or libc")
    parser.add_argument("--keep", type=Path, help="an empty directory for callgrind's dumps")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if not shutil.which("valgrind"):
        print("skipped: valgrind is not installed")
        return NOT_COMPARED
    if arguments.keep:
        arguments.keep.mkdir(exist_ok=True)
        if any(arguments.keep.iterdir()):
            parser.error(f"{arguments.keep} is not empty")
        return run(arguments, arguments.keep.resolve())
    with tempfile.TemporaryDirectory(prefix="pgweir-i-") as directory:
        return run(arguments, Path(directory))


if __name__ == "__main__":
    sys.exit(main())
