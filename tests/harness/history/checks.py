"""Whether a history is one that a level of `routing.consistency` allows. Pure: a history in, violations out.

Each check is a row of CHECKS, with the lowest level that promises it. Most of them rest on two facts about a version V
of a key K, which `Facts` has ready:

begun(K, V)         no state of the database that has V is older than this moment: a write up to V was sent then
overtaken(K, V)     every state of the database as of this moment has more than V: a later write was acknowledged then

A check never takes for wrong what could be right: where the order of two statements is not known, both are allowed. One
statement shows at most one violation of a check.
"""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from itertools import accumulate
from typing import Callable, Iterator, NamedTuple

from .record import NOT_THERE, History, Read, Write

LEVELS = ("eventual", "session", "strict")  # each promises what those before it promise, and more


class Violation(NamedTuple):
    at: float  # when the statement that shows it was sent
    session: int
    text: str


class Facts:
    """What the writes of a history say, in tables by key and version."""

    def __init__(self, history: History):
        self.acknowledged: dict[int, dict[int, Write]] = defaultdict(dict)
        self.twice: list[Write] = []  # acknowledged with a version that another write has
        self.in_doubt: dict[int, list[Write]] = defaultdict(list)
        for write in history.writes:
            if write.version is None:
                self.in_doubt[write.key].append(write)
            elif write.version in self.acknowledged[write.key]:
                self.twice.append(write)
            else:
                self.acknowledged[write.key][write.version] = write
        self._begun: dict[int, list[float]] = {}
        self._overtaken: dict[int, list[float]] = {}
        for key, known in self.acknowledged.items():
            row = [known.get(version) for version in range(max(known, default=0) + 1)]
            self._begun[key] = list(accumulate((write.invoke if write else -math.inf for write in row), max))
            behind = list(accumulate((write.complete if write else math.inf for write in reversed(row)), min))
            self._overtaken[key] = behind[-2::-1]  # [V]: the least of what comes after V
        self._by_session: dict[int, list[Read | Write]] = defaultdict(list)
        for entry in sorted([*history.writes, *history.reads], key=lambda entry: entry.invoke):
            self._by_session[entry.session].append(entry)

    def begun(self, key: int, version: int) -> float:
        row = self._begun.get(key)
        return row[min(version, len(row) - 1)] if row and version > 0 else -math.inf

    def overtaken(self, key: int, version: int) -> float:
        row, at = self._overtaken.get(key, []), max(version, 0)
        return row[at] if at < len(row) else math.inf

    def age(self, read: Read) -> float:
        """Of this read's state, not less than this: the latest moment at which one of its versions was begun."""
        return max((self.begun(key, version) for key, version in read.seen), default=-math.inf)

    def oldest(self, read: Read) -> tuple[float, int, int]:
        """What is longest out of date in it: since when, the key and the version."""
        return min(((self.overtaken(key, version), key, version) for key, version in read.seen),
                   default=(math.inf, -1, -1))

    def sessions(self) -> Iterator[list[Read | Write]]:
        """What each session did, in order: a session does one thing at a time."""
        yield from self._by_session.values()


def _violation(read: Read, text: str) -> Violation:
    return Violation(read.invoke, read.session, f"{read.node} at {read.invoke:.4f} s, session {read.session}: {text}")


def possible(history: History, facts: Facts) -> Iterator[Violation]:
    """No read shows what nobody has written, or what nobody had begun to write when the answer came."""
    unexplained: dict[int, set[int]] = defaultdict(set)  # by key, versions that only a write in doubt can have made

    def wrong(read: Read, key: int, version: int) -> str | None:
        if version == NOT_THERE:
            return f"key {key} is not there"
        if write := facts.acknowledged[key].get(version):
            early = write.invoke > read.complete
            return f"key {key} has version {version}, begun only at {write.invoke:.4f} s" if early else None
        if version == 0:
            return None
        unexplained[key].add(version)
        doubtful = sum(write.invoke < read.complete for write in facts.in_doubt[key])
        nobodys = len(unexplained[key]) > doubtful
        return f"key {key} has version {version}, which nobody has written" if nobodys else None

    for read in sorted(history.reads, key=lambda read: read.complete):
        if texts := [text for each in read.seen if (text := wrong(read, *each))]:
            yield _violation(read, texts[0])


def once(history: History, facts: Facts) -> Iterator[Violation]:
    """What was acknowledged is there, once; what nobody asked for is not."""
    for write in facts.twice:
        yield Violation(write.invoke, write.session, f"two writes have made version {write.version} of key {write.key}")
    for key in facts.acknowledged.keys() | history.final.keys():
        known = facts.acknowledged[key]
        last = history.final.get(key, max(known, default=0))
        for version, write in known.items():
            if version > last:
                yield Violation(write.invoke, write.session,
                                f"version {version} of key {key} is lost: it has {last} in the end")
        nobodys = [version for version in range(1, last + 1) if version not in known]
        for version in nobodys[len(facts.in_doubt[key]):]:
            yield Violation(math.inf, -1, f"key {key} had version {version}, made by no write that was sent")


def snapshot(history: History, facts: Facts) -> Iterator[Violation]:
    """One statement shows one state: with a write, it shows whatever was acknowledged before that write was begun."""
    for read in history.reads:
        since, key, version = facts.oldest(read)
        if since < (age := facts.age(read)):
            yield _violation(read, f"key {key} has version {version}, out of date since {since:.4f} s, beside "
                                   f"something begun at {age:.4f} s")


def own_writes(_: History, facts: Facts) -> Iterator[Violation]:
    """A session's reads see what the session has written."""
    for entries in facts.sessions():
        own: dict[int, int] = {}
        for entry in entries:
            if isinstance(entry, Write):
                if entry.version is not None:
                    own[entry.key] = entry.version
                continue
            if older := [(key, version) for key, version in entry.seen if version < own.get(key, NOT_THERE)]:
                key, version = older[0]
                yield _violation(entry, f"key {key} has version {version}, after its own write of {own[key]}")


def monotonic(_: History, facts: Facts) -> Iterator[Violation]:
    """A session never reads an older version of a key than it has read before."""
    for entries in facts.sessions():
        before: dict[int, int] = {}
        for entry in entries:
            if isinstance(entry, Write):
                continue
            if older := [(key, version) for key, version in entry.seen if version < before.get(key, NOT_THERE)]:
                key, version = older[0]
                yield _violation(entry, f"key {key} has version {version}, after a read of {before[key]}")
            before.update((key, max(version, before.get(key, NOT_THERE))) for key, version in entry.seen)


def forward(_: History, facts: Facts) -> Iterator[Violation]:
    """A session never reads a state older than one that it has seen or made, whatever the keys were."""
    for entries in facts.sessions():
        reached = -math.inf
        for entry in entries:
            if isinstance(entry, Write):
                if entry.version is not None:
                    reached = max(reached, facts.begun(entry.key, entry.version))
                continue
            since, key, version = facts.oldest(entry)
            if since < reached:
                yield _violation(entry, f"key {key} has version {version}, out of date since {since:.4f} s; the "
                                        f"session had got to {reached:.4f} s")
            reached = max(reached, facts.age(entry))


def acknowledged(history: History, facts: Facts) -> Iterator[Violation]:
    """A read sees every write of anybody that was acknowledged before the read was sent."""
    for read in history.reads:
        since, key, version = facts.oldest(read)
        if since < read.invoke:
            milliseconds = (read.invoke - since) * 1000
            yield _violation(read, f"key {key} has version {version}, out of date for {milliseconds:.1f} ms")


@dataclass(frozen=True)
class Check:
    level: str  # the lowest that promises it
    find: Callable[[History, Facts], Iterator[Violation]]

    @property
    def name(self) -> str:
        return self.find.__name__.replace("_", " ")

    def promised_by(self, level: str) -> bool:
        return LEVELS.index(level) >= LEVELS.index(self.level)


CHECKS = (Check("eventual", possible), Check("eventual", once), Check("eventual", snapshot),
          Check("session", own_writes), Check("session", monotonic), Check("session", forward),
          Check("strict", acknowledged))


@dataclass(frozen=True)
class Verdict:
    """By the name of each check, what it has found. What the level does not promise is allowed, and no violation."""
    violations: dict[str, list[Violation]]
    allowed: dict[str, list[Violation]]
    stale_reads: int  # reads that missed something acknowledged before they were sent
    stalest: float  # for how many seconds, at most

    @property
    def clean(self) -> bool:
        return not any(self.violations.values())

    def examples(self, most: int = 5) -> list[str]:
        """The first violations of each check, as lines."""
        return [f"{name}: {each.text}" for name, found in self.violations.items() for each in found[:most]]


def judge(history: History, level: str) -> Verdict:
    facts = Facts(history)
    found = {check: sorted(check.find(history, facts)) for check in CHECKS}
    late = [read.invoke - facts.oldest(read)[0] for read in history.reads]
    stale = [seconds for seconds in late if seconds > 0]
    return Verdict({check.name: what for check, what in found.items() if check.promised_by(level)},
                   {check.name: what for check, what in found.items() if not check.promised_by(level)},
                   len(stale), max(stale, default=0.0))
