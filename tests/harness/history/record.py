"""What the clients did and saw, as values. Nothing here judges.

A key is a row with a counter. Each write adds one to it and returns the new version, so versions tell the order of
the writes of a key. Times are seconds of CLOCK_MONOTONIC since the beginning of the run: `invoke` is read before a
statement is sent, `complete` after its answer has come. What completed before something else was invoked was first.

A session is one connection. Who connects again is a new session: nothing is promised across the two.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

NOT_THERE = -1  # in place of a version: the row was missing in the answer


class Write(NamedTuple):
    """An increment. `version` is None when it is not known whether it was done."""
    session: int
    invoke: float
    complete: float
    key: int
    version: int | None


class Read(NamedTuple):
    """One statement: the versions of one or several keys, and the name of the node that answered."""
    session: int
    invoke: float
    complete: float
    node: str
    seen: tuple[tuple[int, int], ...]


class Failure(NamedTuple):
    """A statement or a login that ended with an error. A write in doubt is a `Write` too."""
    session: int
    at: float
    doing: str
    error: str  # SQLSTATE, or the name of the exception
    text: str


class Incident(NamedTuple):
    begin: float
    end: float
    node: str
    kind: str


_KINDS = {"writes": Write, "reads": Read, "failures": Failure, "incidents": Incident}


@dataclass
class History:
    writes: list[Write] = field(default_factory=list)
    reads: list[Read] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    incidents: list[Incident] = field(default_factory=list)
    final: dict[int, int] = field(default_factory=dict)  # by key, the version on the primary when all was over

    def errors(self) -> dict[str, int]:
        return dict(Counter(f"{failure.doing} {failure.error}" for failure in self.failures))

    def reads_on(self, nodes: set[str]) -> int:
        return sum(read.node in nodes for read in self.reads)

    def save(self, path: Path) -> None:
        """As lines of JSON: what it is, then its values."""
        with open(path, "w") as file:
            for kind in _KINDS:
                file.writelines(f"{json.dumps([kind, *entry])}\n" for entry in getattr(self, kind))
            file.write(f"{json.dumps(['final', *self.final.items()])}\n")

    @staticmethod
    def load(path: Path) -> History:
        history = History()
        with open(path) as file:
            for line in file:
                kind, *values = json.loads(line)
                if kind == "final":
                    history.final = dict(map(tuple, values))
                    continue
                if kind == "reads":
                    values[-1] = tuple(map(tuple, values[-1]))
                getattr(history, kind).append(_KINDS[kind](*values))
        return history
