"""The checks of harness.history: each finds what is planted for it, nothing else, and nothing in what is allowed."""

import random

import pytest

from harness.history.checks import CHECKS, LEVELS, judge
from harness.history.record import NOT_THERE, Failure, History, Incident, Read, Write

A, B = 1, 2  # sessions
X, Y = 10, 11  # keys


def wrote(session: int, begin: float, key: int, version: int | None, seconds: float = 1.0) -> Write:
    return Write(session, begin, begin + seconds, key, version)


def saw(session: int, begin: float, *seen: tuple[int, int], seconds: float = 1.0, node: str = "pg2") -> Read:
    return Read(session, begin, begin + seconds, node, seen)


def of(*entries: Write | Read, final: dict[int, int] | None = None) -> History:
    return History(writes=[entry for entry in entries if isinstance(entry, Write)],
                   reads=[entry for entry in entries if isinstance(entry, Read)], final=final or {})


def broken(what: History) -> set[str]:
    """The names of the checks that find something."""
    verdict = judge(what, "strict")
    assert verdict.clean == (verdict.examples() == [])
    return {name for name, found in verdict.violations.items() if found}


# By name: what is not allowed, and exactly which checks find it. A stale read often breaks more than one rule.
PLANTED = {
    "value never written": (of(saw(A, 0, (X, 1))), {"possible"}),
    "value of nobody between others":
        (of(wrote(A, 0, X, 1), wrote(A, 2, X, 3), saw(B, 4, (X, 2))), {"possible", "once", "acknowledged"}),
    "value above what was begun": (of(wrote(A, 0, X, 1), saw(B, 2, (X, 2)), wrote(A, 4, X, 2)), {"possible"}),
    "row that is not there": (of(saw(A, 0, (X, NOT_THERE))), {"possible"}),
    "more unknown values than writes in doubt":
        (of(wrote(A, 0, X, None), saw(B, 2, (X, 1)), saw(B, 4, (X, 2))), {"possible"}),
    "value of a write in doubt that is sent later": (of(saw(B, 0, (X, 1)), wrote(A, 2, X, None)), {"possible"}),
    "two writes with one version": (of(wrote(A, 0, X, 1), wrote(B, 2, X, 1)), {"once"}),
    "acknowledged write that is lost": (of(wrote(A, 0, X, 1), wrote(A, 2, X, 2), final={X: 1}), {"once"}),
    "write that was done twice": (of(wrote(A, 0, X, 1), wrote(A, 2, X, 3), final={X: 3}), {"once"}),
    "write that was done again after all": (of(wrote(A, 0, X, 1), final={X: 2}), {"once"}),
    "half of a state":
        (of(wrote(A, 0, X, 1), wrote(A, 2, Y, 1), saw(B, 2.5, (X, 0), (Y, 1))), {"snapshot", "acknowledged"}),
    "own write missed": (of(wrote(A, 0, X, 1), saw(A, 2, (X, 0))), {"own writes", "acknowledged"}),
    "older than before":
        (of(wrote(A, 0, X, 1), saw(B, 0.2, (X, 1), seconds=0.1), saw(B, 0.4, (X, 0), seconds=0.1)), {"monotonic"}),
    "older than before, of another key":
        (of(wrote(A, 0, X, 1), wrote(A, 2, Y, 1), saw(B, 2.2, (Y, 1)), saw(B, 4, (X, 0))), {"forward", "acknowledged"}),
    "older than the own write, of another key":
        (of(wrote(A, 0, X, 1), wrote(B, 2, Y, 1), saw(B, 4, (X, 0))), {"forward", "acknowledged"}),
    "acknowledged write missed": (of(wrote(A, 0, X, 1), saw(B, 1.1, (X, 0))), {"acknowledged"}),
    "write missed that a later one proves":
        (of(wrote(A, 0, X, None), wrote(A, 2, X, 2), saw(B, 4, (X, 0))), {"acknowledged"}),
    "write missed, behind one that is not acknowledged yet":
        (of(wrote(A, 0, X, 1, seconds=9), wrote(B, 1, X, 2), saw(B + 1, 3, (X, 0))), {"acknowledged"}),
}


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_violation_is_found(name):
    planted, expected = PLANTED[name]
    assert broken(planted) == expected


def test_every_check_has_something_planted_for_it():
    assert set().union(*(expected for _, expected in PLANTED.values())) == {check.name for check in CHECKS}


# What is allowed, although it may look wrong.
ALLOWED = {
    "nothing": of(),
    "first values": of(saw(A, 0, (X, 0), (Y, 0))),
    "write that is under way, seen": of(wrote(A, 0, X, 1), saw(B, 0.2, (X, 1), seconds=0.1)),
    "write that is under way, not seen": of(wrote(A, 0, X, 1), saw(B, 0.9, (X, 0))),
    "write in doubt, done": of(wrote(A, 0, X, None), saw(B, 2, (X, 1)), final={X: 1}),
    "write in doubt, not done": of(wrote(A, 0, X, None), saw(B, 2, (X, 0)), final={X: 0}),
    "write in doubt, done between others":
        of(wrote(A, 0, X, 1), wrote(A, 2, X, None), wrote(A, 4, X, 3), saw(B, 6, (X, 3))),
    "two at once, in either order": of(wrote(A, 0, X, 2), wrote(B, 0, X, 1), saw(A, 2, (X, 2)), saw(B, 2, (X, 2))),
    "two keys at once, one seen": of(wrote(A, 0, X, 1), wrote(B, 0, Y, 1), saw(3, 0.5, (X, 0), (Y, 1), seconds=0.1)),
    "other session is behind":
        of(wrote(A, 0, X, 1), saw(B, 0.1, (X, 1), seconds=0.1), saw(3, 0.3, (X, 0), seconds=0.1)),
}


@pytest.mark.parametrize("name", ALLOWED)
def test_nothing_is_found_in_what_is_allowed(name):
    assert broken(ALLOWED[name]) == set()


STALE = of(wrote(A, 0, X, 1), saw(B, 1.5, (X, 0)))
BACK = of(wrote(A, 0, X, 1), saw(B, 1.5, (X, 1)), saw(B, 3, (X, 0)))
IMPOSSIBLE = of(saw(A, 0, (X, 1)))


@pytest.mark.parametrize("what, allowing", [(STALE, {"eventual", "session"}), (BACK, {"eventual"}),
                                             (IMPOSSIBLE, set())],
                         ids=["stale", "back in time", "impossible"])
def test_a_level_promises_what_it_promises_and_no_more(what, allowing):
    assert {level for level in LEVELS if judge(what, level).clean} == allowing


def test_what_a_level_allows_is_counted():
    verdict = judge(STALE, "session")
    assert verdict.clean and len(verdict.allowed["acknowledged"]) == 1
    assert (verdict.stale_reads, verdict.stalest) == (1, 0.5)


def test_a_new_session_begins_anew():
    again = of(wrote(A, 0, X, 1), saw(A, 0.1, (X, 1), seconds=0.1), saw(B, 1.5, (X, 0)))
    assert judge(again, "session").clean


def orderly(seed: int) -> History:
    """One database, one thing at a time: nothing can be wrong with it."""
    choose, made, versions = random.Random(seed), History(), dict.fromkeys(range(4), 0)
    for step in range(400):
        key, session = choose.randrange(4), choose.randrange(5)
        if choose.random() < 0.3:
            versions[key] += 1
            made.writes.append(wrote(session, 2.0 * step, key, versions[key]))
        else:
            made.reads.append(saw(session, 2.0 * step, *versions.items()))
    made.final = versions
    return made


@pytest.mark.parametrize("seed", range(5))
def test_of_random_histories_only_the_bent_one_is_found(seed):
    made, choose = orderly(seed), random.Random(seed)
    assert broken(made) == set()
    at = choose.randrange(len(made.reads) // 2, len(made.reads))
    read = made.reads[at]
    key, version = max(read.seen, key=lambda each: each[1])
    older = tuple((each, version - 1 if each == key else value) for each, value in read.seen)
    made.reads[at] = read._replace(seen=older)
    verdict = judge(made, "strict")
    assert [violation.at for violation in verdict.violations["acknowledged"]] == [read.invoke]


def test_a_history_can_be_kept(tmp_path):
    made = orderly(1)
    made.writes.append(wrote(A, 1000.0, 0, None))
    made.failures.append(Failure(A, 1000.0, "write", "08007", "gone"))
    made.incidents.append(Incident(1.0, 2.0, "pg2", "replay paused"))
    made.save(tmp_path / "history")
    assert History.load(tmp_path / "history") == made
