"""`./dev drill [EVENT...]`: what clients notice when something happens to a node. A real cluster, real clients, real disasters.

For each event: a primary and two standbys on a network of their own, pgweir, 10 reading and 10 writing sessions with a
statement every 50 ms, 2 sessions with transactions, and a new connection per second. The event happens; the clients go on
until the nodes have settled; then what they were told is compared with what the primary has. Prints a table, and what
breaks a goal; ends with status 1 if something does. Needs root, for network namespaces.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from .. import network
from ..proxy import merged
from .clients import DISCONNECTED, HUNG, OUT_OF_STEP
from .events import BY_NAME, EVENTS, Event, Timing
from .world import Clients, World, default_of, load, make_world, seconds

# The outcome of a statement with these is not known: it may have been done or not.
IN_DOUBT = ("08007",)


@dataclass
class Pace:
    """How long a drill lets its clients run, in seconds, and what pgweir is told of time (None: its defaults).

    A goal in seconds is multiplied by `factor` and has `spare` added: for machines that do other things meanwhile. What is
    counted has no such allowance.
    """
    before: float = 3.0
    after: float = 2.0
    factor: float = 1.0
    spare: float = 0.0
    monitor: dict[str, Any] = field(default_factory=lambda: {"interval": "1s", "timeout": None, "lag_interval": None})

    def timing(self) -> Timing:
        def told(option: str) -> str:
            return str(self.monitor.get(option) or default_of(f"monitor.{option}"))
        return Timing(seconds(told("interval")), seconds(told("timeout")), int(told("retries")))


@dataclass
class Report:
    event: str
    disconnected: int = 0
    read_errors: dict[str, int] = field(default_factory=dict)  # by SQLSTATE
    write_errors: dict[str, int] = field(default_factory=dict)
    transaction_errors: dict[str, int] = field(default_factory=dict)
    connect_errors: dict[str, int] = field(default_factory=dict)
    connections_failed: list[dict] = field(default_factory=list)
    longest_read: float = 0.0  # seconds, of what ended after the event had begun
    longest_write: float = 0.0
    longest_connect: float = 0.0
    longest_before: float = 0.0  # the same of everything before the event: what this machine costs
    own_delay: float = 0.0  # by which the clients themselves were late, at most
    acknowledged: int = 0
    lost: int = 0
    duplicates: int = 0
    in_doubt: int = 0  # statements and transactions that ended in doubt
    in_doubt_done: int = 0
    settled: float = 0.0  # seconds from the event's end until every node has its new state
    load: str = ""
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)  # whatever must never be
    missed: list[str] = field(default_factory=list)  # goals

    @property
    def longest(self) -> float:
        return max(self.longest_read, self.longest_write, self.longest_connect)


def _errors(records: list[dict]) -> dict[str, int]:
    return dict(Counter(record["error"] for record in records if record["error"]))


def _longest(records: list[dict], begin: float) -> float:
    return max((record["seconds"] for record in records if record["begin"] + record["seconds"] >= begin), default=0.0)


def _judge_writes(report: Report, records: list[dict], present: Counter) -> None:
    """What clients were told of their writes, and what became of them."""
    for record in records:
        there = [present[value] for value in record["ids"]]
        if not record["error"]:
            report.acknowledged += 1
            report.lost += 0 in there
        elif any(word in record["error"] for word in (*IN_DOUBT, DISCONNECTED, HUNG, OUT_OF_STEP)):
            report.in_doubt += 1
            report.in_doubt_done += any(there)
        elif any(there):
            report.problems.append(f"{record['error']} at {record['stage'] or 'the statement'}, as if it had not been done, but "
                                   f"it was: {record['text']}")
        if 0 in there and any(there):
            report.problems.append(f"half a transaction is there: {record}")
        report.duplicates += sum(count > 1 for count in there)


def _judge(report: Report, event: Event, pace: Pace) -> None:
    goal = event.goal
    said = [("sessions disconnected", report.disconnected, 0),
            ("read errors", sum(report.read_errors.values()), goal.read_errors),
            ("new connections that failed", sum(report.connect_errors.values()), 0),
            ("write errors", sum(report.write_errors.values()), goal.write_errors),
            ("acknowledged writes lost", report.lost, 0), ("duplicates", report.duplicates, 0)]
    report.missed += [f"{what}: {count}, at most {most}" for what, count, most in said if most is not None and count > most]
    report.missed += [f"a new connection: {record['error']} {record['text']}" for record in report.connections_failed]
    if goal.longest:
        limit = goal.longest(pace.timing()) * pace.factor + pace.spare
        if report.longest >= limit:
            report.missed.append(f"longest wait {report.longest:.2f} s, under {limit:.2f} s")


def _happen(world: World, event: Event, report: Report) -> None:
    """The event, and the time until the nodes have settled."""
    try:
        event.act(world)
        report.settled = world.wait(lambda rows: event.over(world, rows), "the nodes to settle")
    except (TimeoutError, RuntimeError, psycopg.Error) as problem:
        report.problems.append(f"{type(problem).__name__}: {problem}")


def run(event: Event, pace: Pace, *, synchronous: bool = True, show_log: bool = False) -> Report:
    """One event from beginning to end. What goes wrong with clients and nodes is in the report; what else does is raised."""
    report = Report(event.name, load=load())
    synchronous = synchronous if event.synchronous is None else event.synchronous
    sections = merged({"monitor": pace.monitor, "failover": {"mode": "promote"}}, event.sections)
    with network.private_network() as wires, make_world(wires, synchronous=synchronous, known=list(event.known),
                                                        **sections) as world:
        if event.before:
            event.before(world)
        clients = Clients(world.proxy.port)
        try:
            time.sleep(pace.before)
            begin = time.monotonic()
            _happen(world, event, report)
            time.sleep(pace.after)
            found = clients.finish()
        finally:
            clients.close()
        if event.after:
            try:
                event.after(world)
            except AssertionError as problem:
                report.problems.append(str(problem))
        _compare(report, found, begin, world)
        if show_log:
            print(world.proxy.log(), file=sys.stderr)
        report.notes += world.notes
    _judge(report, event, pace)
    return report


def _compare(report: Report, found: dict[str, Any], begin: float, world: World) -> None:
    records = {kind: findings["records"] for kind, findings in found.items()}
    report.read_errors, report.write_errors = _errors(records["read"]), _errors(records["write"])
    report.transaction_errors, report.connect_errors = _errors(records["transact"]), _errors(records["connect"])
    report.connections_failed = [record for record in records["connect"] if record["error"]]
    report.longest_read, report.longest_write = _longest(records["read"], begin), _longest(records["write"], begin)
    report.longest_connect = _longest(records["connect"], begin)
    report.longest_before = max(record["seconds"] for kind in ("read", "write", "connect") for record in records[kind]
                                if record["begin"] + record["seconds"] < begin)
    report.own_delay = max(findings["own_delay"] for findings in found.values())
    sessions = [(kind, number, session) for kind, findings in found.items() for number, session in enumerate(findings["sessions"])]
    report.disconnected = sum(session["disconnects"] for _, _, session in sessions)
    for kind, number, session in sessions:
        for what, kept in (("its settings", session["settings_kept"]), ("its prepared statement", session["statement_kept"])):
            if not kept:
                report.problems.append(f"{kind} session {number} has not kept {what}")
    primary = world.primary(world.nodes())
    if primary is None:
        report.problems.append("nobody is the primary in the end")
        return
    present = Counter(world.ids(primary))
    _judge_writes(report, records["write"] + records["transact"], present)
    examples = {record["error"]: record["text"] for record in records["write"] + records["read"] + records["transact"] +
                records["connect"] if record["error"]}
    report.notes += [f"{error}: {text}" for error, text in examples.items()]


# --- what is printed ---------------------------------------------------------------------------------------------------


def _count(errors: dict[str, int]) -> str:
    return ", ".join(f"{count} x {error}" for error, count in errors.items()) or "0"


def _time(value: float) -> str:
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.2f} s"


COLUMNS = ["event", "disconnected", "read errors", "write errors", "transactions ended", "longest read", "longest write",
           "longest login", "acknowledged lost", "duplicates", "in doubt (done)"]


def cells(report: Report) -> list[str]:
    return [BY_NAME[report.event].what, str(report.disconnected), _count(report.read_errors), _count(report.write_errors),
            _count(report.transaction_errors), _time(report.longest_read), _time(report.longest_write),
            _time(report.longest_connect), f"{report.lost} of {report.acknowledged}", str(report.duplicates),
            f"{report.in_doubt} ({report.in_doubt_done})"]


def markdown(reports: list[Report]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "|---|" + "--:|" * (len(COLUMNS) - 1)]
    return "\n".join(lines + [f"| {' | '.join(cells(report))} |" for report in reports])


def print_report(report: Report) -> None:
    print(f"\n{report.event}: {'as it should be' if not report.problems + report.missed else 'NOT AS IT SHOULD BE'}")
    for name, cell in zip(COLUMNS[1:], cells(report)[1:]):
        print(f"  {name:20} {cell}")
    print(f"  {'before the event':20} longest wait {_time(report.longest_before)}; clients late by {_time(report.own_delay)}; "
          f"load {report.load}")
    print(f"  {'settled':20} {_time(report.settled)} after the event")
    for what, lines in (("note", report.notes), ("PROBLEM", report.problems), ("MISSED", report.missed)):
        for line in lines:
            print(f"  {what:20} {line}")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev drill", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("event", nargs="*", help="all unless given: " + ", ".join(BY_NAME))
    parser.add_argument("--asynchronous", action="store_true", help="without synchronous_standby_names = 'ANY 1 (...)'")
    parser.add_argument("--markdown", action="store_true", help="print the table at the end in Markdown")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything there")
    parser.add_argument("--log", action="store_true", help="print pgweir's log of each drill to standard error")
    arguments = parser.parse_args()
    if unknown := [name for name in arguments.event if name not in BY_NAME]:
        parser.error(f"unknown: {', '.join(unknown)}; there are: {', '.join(BY_NAME)}")
    if not network.available():
        sys.exit("drill: network namespaces are needed, so root, and `ip` (iproute2)")
    pace = Pace()
    timing = pace.timing()
    print(f"monitor.interval {timing.interval:g} s, monitor.timeout {timing.timeout:g} s x {timing.retries}: a silent node is "
          f"noticed within {timing.detection:g} s")
    reports = []
    for event in [BY_NAME[name] for name in arguments.event] or EVENTS:
        report = run(event, pace, synchronous=not arguments.asynchronous, show_log=arguments.log)
        print_report(report)
        reports.append(report)
        if arguments.json:
            arguments.json.write_text(json.dumps([vars(each) for each in reports], indent=1))
    if arguments.markdown:
        print("\n" + markdown(reports))
    bad = sum(bool(report.problems or report.missed) for report in reports)
    print(f"\n{len(reports) - bad} events as they should be, {bad} not")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
