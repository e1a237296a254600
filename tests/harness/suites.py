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

from .proxy import REPOSITORY, sanitizer_options

INTEGRATION = REPOSITORY / "tests/integration"
SEMANTICS = REPOSITORY / "tests/semantics"
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


_FUZZ = re.compile(r"(\d+) files, (\d+) mutations, seed \d+")


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


def run_pytest(name: str, build: Path, sanitize: str, targets: list[str], expression: str | None,
               processes: int) -> list[Count]:
    print(f"== {name} ({build.name})", flush=True)
    with tempfile.TemporaryDirectory(prefix="pgweir-junit-") as directory:
        report = Path(directory) / "junit.xml"
        command = ["/usr/bin/python3", "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junitxml={report}",
                   "--durations=8", "-n", str(processes), "--dist", "loadfile", *targets]
        if expression:
            command += ["-k", expression]
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
    parser.add_argument("suite", nargs="*",
                        help="unit, integration, semantics, or a file of tests/integration (test_pooling)")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    parser.add_argument("--sanitize", default="none", help=argparse.SUPPRESS)
    parser.add_argument("-k", dest="expression", help="only tests whose name matches")
    parser.add_argument("-n", dest="processes", type=int, default=2, help="integration tests in parallel")
    arguments = parser.parse_args()
    build = (REPOSITORY / arguments.build).resolve()
    suites = arguments.suite or ["unit", "integration", "semantics"]
    counts: list[Count] = []
    if "unit" in suites:
        counts += run_unit(build, arguments.sanitize, arguments.expression)
    targets = [str(INTEGRATION if suite == "integration" else INTEGRATION / f"{Path(suite).stem}.py")
               for suite in suites if suite not in ("unit", "semantics")]
    if targets:
        counts += run_pytest("integration", build, arguments.sanitize, targets, arguments.expression,
                             arguments.processes)
    if "semantics" in suites:
        counts += run_pytest("semantics", build, arguments.sanitize, [str(SEMANTICS)], arguments.expression,
                             arguments.processes)
    if not any(count.passed + count.failed for count in counts):
        print("no test ran", flush=True)
        counts.append(Count("nothing", failed=1))
    print()
    for count in counts:
        skipped = f", {count.skipped} skipped" if count.skipped else ""
        print(f"{count.suite:24} {count.passed} passed, {count.failed} failed{skipped}")
    passed, failed = sum(c.passed for c in counts), sum(c.failed for c in counts)
    print(f"{passed} passed, {failed} failed")
    return 0 if failed == 0 and passed > 0 else 1


if __name__ == "__main__":
    sys.exit(main())
