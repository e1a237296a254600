"""`./dev history`: whether reads are as fresh as `routing.consistency` promises, with real clients on a real cluster.

A primary and two standbys, pgweir, and 24 sessions that increment and read counters. Meanwhile the standbys' replay is
delayed and paused, their WAL receivers are ended, and with --restarts they are restarted. Then the history is checked.
Ends with status 1 if it has anything that the level does not allow. What it allows is counted all the same.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..cluster import Cluster
from ..proxy import Pgweir
from .checks import LEVELS, Verdict, judge
from .record import History
from .sessions import KEYS, READ, SCHEMA, Mix, Sessions
from .trouble import Trouble

SHOWN = 5  # violations of each check, and errors, that are printed
_SET = "SET pgweir.consistency = '{}'"
HISTORY, REPORT = "history.jsonl", "report.json"  # files that are kept


@dataclass(frozen=True)
class Plan:
    level: str
    seconds: float
    seed: int
    restarts: bool = False
    by_set: bool = False  # the sessions ask for the level, the configuration says the lowest
    mix: Mix = Mix()


def prepare(cluster: Cluster) -> None:
    """Makes the counters anew."""
    cluster.primary.sql("DROP TABLE IF EXISTS history_keys; DROP FUNCTION IF EXISTS history_node, history_write")
    cluster.primary.sql(SCHEMA)
    cluster.wait_replayed()


def _sections(plan: Plan) -> dict[str, Any]:
    """Of pgweir's configuration: as it comes, but for a limit on lag, which would keep the worst standbys out of it."""
    level = LEVELS[0] if plan.by_set else plan.level
    return {"routing": {"consistency": level, "max_replica_lag": 0}, "log": {"level": "info", "connections": None},
            "monitor": {"interval": None, "timeout": None, "lag_interval": None}}


def make_history(cluster: Cluster, plan: Plan, keep: Path | None = None) -> History:
    """One run, on a cluster that is ready (`prepare`) and is left whole."""
    with Pgweir(cluster.nodes, **_sections(plan)) as proxy:
        try:
            proxy.wait_standby_read(READ.format("ARRAY[1]"), user="app")
            sessions = Sessions(proxy, plan.seed, plan.mix, said_first=_SET.format(plan.level) if plan.by_set else "")
            sessions.start()
            trouble = Trouble(cluster.standbys, plan.seed, restarts=plan.restarts, now=sessions.now)
            try:
                trouble.until(plan.seconds, sessions.alive)
            finally:
                history = sessions.finish()
            history.incidents = trouble.incidents
            history.final = dict(cluster.primary.sql("SELECT id, version FROM history_keys"))
        finally:
            if keep:
                for path in (proxy.log_path, proxy.config_path, *(node.log_path for node in cluster.nodes)):
                    shutil.copy(path, keep / path.name)
    if keep:
        history.save(keep / HISTORY)
    return history


# --- what is printed -------------------------------------------------------------------------------------------------


def _share(part: int, whole: int) -> str:
    return f"{100 * part / whole:.1f} %" if whole else "-"


def _count(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "none"


def report(history: History, verdict: Verdict, standbys: set[str]) -> dict[str, Any]:
    """By what it is called, what is found."""
    reads, on_standbys, stale = len(history.reads), history.reads_on(standbys), verdict.stale_reads
    return {"writes": len(history.writes), "reads": reads,
            "reads on standbys": f"{on_standbys} ({_share(on_standbys, reads)})",
            "incidents": f"{len(history.incidents)} ({_count(Counter(each.kind for each in history.incidents))})",
            "errors": _count(history.errors()),
            "reads that missed something acknowledged": f"{stale} ({_share(stale, reads)})",
            "out of date by at most": f"{verdict.stalest * 1000:.0f} ms",
            "violations": _count({name: len(what) for name, what in verdict.violations.items()}),
            "allowed by this level": _count({name: len(what) for name, what in verdict.allowed.items()})}


def _tell(history: History, level: str, standbys: set[str], keep: Path | None) -> int:
    verdict = judge(history, level)
    found = report(history, verdict, standbys)
    for name, value in found.items():
        print(f"{name:42} {value}")
    failures = sorted({f"{failure.doing} {failure.error}: {failure.text}" for failure in history.failures})
    examples = failures[:SHOWN] + verdict.examples(SHOWN)
    print("".join(f"  {line}\n" for line in examples), end="")
    if keep:
        (keep / REPORT).write_text(json.dumps({"level": level, **found, "examples": examples}, indent=1))
    print(f"{level}: {'as promised' if verdict.clean else 'NOT AS PROMISED'}", flush=True)
    return 0 if verdict.clean else 1


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev history", description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--consistency", choices=LEVELS, default="session", help="default: %(default)s")
    parser.add_argument("--restarts", action="store_true", help="restart standbys too")
    parser.add_argument("--by-set", action="store_true", help="the sessions say SET pgweir.consistency")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="leave the history, the logs and the report there")
    parser.add_argument("--again", type=Path, metavar="FILE", help=f"check a {HISTORY} that was kept, and make none")
    arguments = parser.parse_args()
    standbys = {"pg2", "pg3"}
    if arguments.again:
        return _tell(History.load(arguments.again), arguments.consistency, standbys, None)
    if arguments.keep:
        arguments.keep.mkdir(parents=True, exist_ok=True)
    plan = Plan(arguments.consistency, arguments.seconds, arguments.seed, arguments.restarts, arguments.by_set)
    print(f"consistency {plan.level}, seed {plan.seed}, {plan.seconds:g} s, {plan.mix.sessions} sessions, {KEYS} keys",
          flush=True)
    with Cluster(standbys=2) as cluster:
        prepare(cluster)
        history = make_history(cluster, plan, arguments.keep)
    return _tell(history, plan.level, standbys, arguments.keep)


if __name__ == "__main__":
    sys.exit(main())
