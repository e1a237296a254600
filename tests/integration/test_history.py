"""How fresh reads are on real servers whose standbys are kept behind: short runs of `./dev history`, fixed seeds."""

import pytest

from harness.history.checks import CHECKS, judge
from harness.history.run import Plan, make_history, prepare, report
from harness.history.trouble import RESTART

SECONDS = 7.0
STANDBYS = {"pg2", "pg3"}


@pytest.fixture(scope="module")
def counters(cluster):
    yield cluster
    cluster.primary.sql("DROP TABLE IF EXISTS history_keys; DROP FUNCTION IF EXISTS history_node, history_write")
    cluster.heal()


def judged(cluster, level: str, seed: int, **more):
    """The history of one run and the verdict on it, which are printed."""
    plan = Plan(level, SECONDS, seed, **more)
    prepare(cluster)
    history = make_history(cluster, plan)
    verdict = judge(history, level)
    print(f"{plan}: {report(history, verdict, STANDBYS)}")
    assert history.writes and history.incidents
    return history, verdict


@pytest.mark.plain
@pytest.mark.parametrize("level, seed, restarts", [("session", 1, False), ("strict", 35, True)])
def test_reads_are_as_fresh_as_promised(counters, level, seed, restarts):
    history, verdict = judged(counters, level, seed, restarts=restarts)
    assert verdict.examples() == []
    assert any(incident.kind == RESTART.name for incident in history.incidents) == restarts
    # An immediate stop sends the rows it has, and then nothing can run again.
    assert history.errors().keys() <= ({"read 40001"} if restarts else set())
    assert history.reads_on(STANDBYS) > 0


def test_stale_reads_are_found(counters):
    """The same clients where nothing is promised: whatever can be stale is, so the tests above can fail."""
    _, verdict = judged(counters, "eventual", 4)
    assert verdict.examples() == []
    assert {name for name, found in verdict.allowed.items() if found} == {
        check.name for check in CHECKS if not check.promised_by("eventual")}
