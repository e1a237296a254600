"""Runs the test suites against one build and ends with one line `N passed, N failed` over all of them.

A suite that does not run, crashes, or finds no test counts as failed: silence is never success.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import xml.etree.ElementTree
from dataclasses import dataclass
from pathlib import Path

from . import release
from .certificates import EVERYWHERE
from .proxy import REPOSITORY, sanitizer_options

# Folders of tests/, and how their tests are shared out: a file of the integration tests has proxies of its own.
PYTEST_SUITES = {"integration": "loadfile", "protocol": "load", "semantics": "load", "drivers": "loadfile"}
_DOCTEST = re.compile(r"\[doctest\] test cases:\s*(\d+) \|\s*(\d+) passed \|\s*(\d+) failed \|\s*(\d+) skipped")


@dataclass
class Count:
    suite: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


def _environment(build: Path, sanitize: str) -> dict[str, str]:
    return os.environ | sanitizer_options() | {
        "PGWEIR_BINARY": str(build / "src/pgweir"), "PGWEIR_SANITIZE": sanitize, "PYTHONDONTWRITEBYTECODE": "1"}


# Run only when asked for by name: its status when there is nothing to compare with (bench/instructions.py).
INSTRUCTIONS, NOT_COMPARED = "instructions", 77


def run_instructions(build: Path) -> list[Count]:
    """The callgrind guard; each of its traces is a test."""
    print(f"== {INSTRUCTIONS} ({build.name})", flush=True)
    done = subprocess.run(["/usr/bin/python3", REPOSITORY / "bench/instructions.py", "--build", build], stdout=subprocess.PIPE,
                          text=True)
    print(done.stdout, flush=True)
    if done.returncode == NOT_COMPARED:
        return [Count(INSTRUCTIONS, skipped=1)]
    found = re.search(r"^(\d+) passed, (\d+) failed$", done.stdout, re.M)
    count = Count(INSTRUCTIONS, *map(int, found.groups())) if found else Count(INSTRUCTIONS, failed=1)
    if done.returncode != 0 and count.failed == 0:
        count.failed = 1
    return [count]


_FUZZ = re.compile(r"(\d+) files, (\d+) mutations, seed \d+")
_SIMULATION = re.compile(r"(\d+) schedules")


def _count_program(test: dict) -> Count:
    """One unit test program: its doctest summary, or one failure when it ended in any other way."""
    count = Count(f"unit {test['name']}")
    output = re.sub(r"\x1b\[[0-9;]*m", "", test.get("stdout", ""))
    ended_well = test["result"] == "OK"
    found = _DOCTEST.search(output)
    if found:
        _, count.passed, count.failed, count.skipped = map(int, found.groups())
    elif found := _FUZZ.search(output):  # tests/fuzz/driver.cpp: all its inputs are one test
        count.passed = int(ended_well and int(found[2]) > 0)
    elif found := _SIMULATION.search(output):  # tests/sim: all its schedules are one test
        count.passed = int(ended_well and int(found[1]) > 0)
    if (not ended_well and count.failed == 0) or (ended_well and not found):
        count.failed += 1
    if not ended_well:
        print(f"--- {test['name']}: {test['result']}\n{test.get('stdout', '')}\n{test.get('stderr', '')}", flush=True)
    return count


def run_unit(build: Path, sanitize: str, expression: str | None) -> list[Count]:
    print(f"== unit ({build.name})", flush=True)
    log = build / "meson-logs/testlog.json"
    log.unlink(missing_ok=True)
    command = ["meson", "test", "-C", str(build), "--no-rebuild", "--quiet"]
    if sanitize != "none":
        command += ["--timeout-multiplier", "5"]
    if expression:
        command += [f"--test-args=-tc=*{expression}*"]
    # Meson's own verdict is not asked: the log below has every program.
    subprocess.run(command, env=_environment(build, sanitize), stdout=subprocess.DEVNULL)
    if not log.exists():
        print("meson test left no log", flush=True)
        return [Count("unit", failed=1)]
    return [_count_program(json.loads(line)) for line in log.read_text().splitlines()]


def pytest_targets(asked: list[str]) -> dict[str, list[Path]]:
    """By suite, the folder or the files to run. A name that is no suite is a file in one of them."""
    targets: dict[str, list[Path]] = {}
    for name in asked:
        if name in PYTEST_SUITES:
            targets[name] = [REPOSITORY / "tests" / name]
            continue
        files = [(suite, REPOSITORY / "tests" / suite / f"{Path(name).stem}.py") for suite in PYTEST_SUITES]
        found = [(suite, file) for suite, file in files if file.exists()]
        if not found:
            sys.exit(f"'{name}' is neither a suite nor a file of one")
        for suite, file in found:
            targets.setdefault(suite, []).append(file)
    return targets


def run_pytest(name: str, build: Path, sanitize: str, targets: list[Path], arguments: argparse.Namespace) -> list[Count]:
    print(f"== {name} ({build.name}, PostgreSQL {release.major()})", flush=True)
    with tempfile.TemporaryDirectory(prefix="pgweir-junit-") as directory:
        report = Path(directory) / "junit.xml"
        command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
                   "--durations=8", "-n", str(arguments.processes), "--dist", PYTEST_SUITES[name], *map(str, targets)]
        if arguments.expression:
            command += ["-k", arguments.expression]
        if arguments.quick:
            command += ["-m", "not plain"]
        status = subprocess.run(command, env=_environment(build, sanitize), cwd=REPOSITORY).returncode
        count = Count(name)
        if report.exists():
            suite = xml.etree.ElementTree.parse(report).getroot().find("testsuite")
            total, failures, errors, count.skipped = (int(suite.get(key)) for key in
                                                      ("tests", "failures", "errors", "skipped"))
            count.failed = failures + errors
            count.passed = total - count.failed - count.skipped
        # 0: all passed; 1: failures, counted above; anything else: it did not run as it should.
        if (status != 0 and count.failed == 0):
            count.failed += 1
        return [count]


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev test", description=__doc__)
    parser.add_argument("suite", nargs="*", help=f"unit, {', '.join(PYTEST_SUITES)}, {INSTRUCTIONS}, or a file of one of them (test_pooling)")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--sanitize", default="none", help=argparse.SUPPRESS)
    parser.add_argument("-k", dest="expression", help="only tests whose name matches")
    parser.add_argument("-n", dest="processes", type=int, default=2, help="tests against servers in parallel")
    parser.add_argument("--quick", action="store_true", help="without the tests that are marked `plain`")
    parser.add_argument("--tls", action="store_true", help="TLS between clients and proxies, and proxies and servers")
    parser.add_argument("--pg", choices=release.RELEASES, default=release.RELEASES[0],
                        help="major version of the PostgreSQL servers (default %(default)s)")
    arguments = parser.parse_args()
    build = (REPOSITORY / arguments.build).resolve()
    suites = arguments.suite or ["unit", *PYTEST_SUITES]
    os.environ.update(release.environment(arguments.pg))
    if arguments.tls:
        os.environ[EVERYWHERE] = "1"
    targets = pytest_targets([suite for suite in suites if suite not in ("unit", INSTRUCTIONS)])
    counts: list[Count] = []
    if "unit" in suites:
        counts += run_unit(build, arguments.sanitize, arguments.expression)
    if targets:
        release.server_bin()  # before several processes ask for it, and where its messages are seen
    for name, paths in targets.items():
        counts += run_pytest(name, build, arguments.sanitize, paths, arguments)
    if INSTRUCTIONS in suites:
        counts += run_instructions(build)
    # Asked for nothing but what this machine cannot do, and said so.
    not_compared = suites == [INSTRUCTIONS] and all(count.skipped for count in counts)
    if not not_compared and not any(count.passed + count.failed for count in counts):
        print("no test ran", flush=True)
        counts.append(Count("nothing", failed=1))
    print()
    for count in counts:
        skipped = f", {count.skipped} skipped" if count.skipped else ""
        print(f"{count.suite:24} {count.passed} passed, {count.failed} failed{skipped}")
    passed, failed = sum(c.passed for c in counts), sum(c.failed for c in counts)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and (passed > 0 or not_compared) else 1


if __name__ == "__main__":
    sys.exit(main())
