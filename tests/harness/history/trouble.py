"""What keeps standbys behind, at random moments: each standby has one incident after the other, by itself.

All of it happens in the thread that calls `Trouble.until`: a server dies with the thread that started it (cluster.py).
The seed decides which incidents there are, in which order, and for how long; the machine decides how exactly they fall.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import time
from dataclasses import dataclass
from typing import Callable

from ..cluster import Node
from .record import Incident


def _delay(node: Node, choose: random.Random) -> None:
    milliseconds = round(choose.uniform(20, 1500))
    node.sql(f"ALTER SYSTEM SET recovery_min_apply_delay = '{milliseconds}ms'")
    node.sql("SELECT pg_reload_conf()")


def _no_delay(node: Node) -> None:
    node.sql("ALTER SYSTEM RESET recovery_min_apply_delay")
    node.sql("SELECT pg_reload_conf()")


def _pause(node: Node, _: random.Random) -> None:
    node.sql("SELECT pg_wal_replay_pause()")


def _resume(node: Node) -> None:
    node.sql("SELECT pg_wal_replay_resume()")


def _end_receiver(node: Node, _: random.Random) -> None:
    """It comes back by itself. SIGTERM: anything harder would restart the whole server."""
    for pid, in node.sql("SELECT pid FROM pg_stat_wal_receiver WHERE pid IS NOT NULL"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)


def _restart(node: Node, choose: random.Random) -> None:
    node.restart(choose.choice(("fast", "immediate")))


def _nothing(_: Node) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    name: str
    weight: int
    act: Callable[[Node, random.Random], None]
    undo: Callable[[Node], None]
    longest: float  # seconds from act to undo


KINDS = (Kind("replay delayed", 4, _delay, _no_delay, 2.0), Kind("replay paused", 4, _pause, _resume, 1.0),
         Kind("receiver ended", 2, _end_receiver, _nothing, 0.2))
RESTART = Kind("standby restarted", 1, _restart, _nothing, 0.2)
CALM = 0.8  # seconds between two incidents of a standby, at most


class _Victim:
    """One standby: what happens to it now, and when the next thing is due."""

    def __init__(self, node: Node, seed: int, kinds: tuple[Kind, ...], now: float):
        self.node = node
        self._kinds = kinds
        self._choose = random.Random(f"{seed} trouble {node.name}")
        self._present: tuple[Kind, float] | None = None
        self.due = now + self._choose.uniform(0, CALM)

    def step(self, now: Callable[[], float]) -> Incident | None:
        """Begins an incident, or ends the present one and returns it."""
        if self._present is not None:
            return self.calm(now)
        kind, = self._choose.choices(self._kinds, [kind.weight for kind in self._kinds])
        self._present = kind, now()
        kind.act(self.node, self._choose)
        self.due = now() + self._choose.uniform(0.1, 1.0) * kind.longest
        return None

    def calm(self, now: Callable[[], float]) -> Incident | None:
        if self._present is None:
            return None
        (kind, begin), self._present = self._present, None
        kind.undo(self.node)
        self.due = now() + self._choose.uniform(0.05, 1.0) * CALM
        return Incident(begin, now(), self.node.name, kind.name)


class Trouble:
    """`now` is the clock of the history."""

    def __init__(self, standbys: list[Node], seed: int, *, restarts: bool, now: Callable[[], float]):
        self._now = now
        self._victims = [_Victim(node, seed, KINDS + ((RESTART,) if restarts else ()), now()) for node in standbys]
        self.incidents: list[Incident] = []

    def until(self, end: float, look: Callable[[], None]) -> None:
        """Makes trouble until that moment, calling `look` now and then, and leaves the standbys in peace."""
        try:
            while self._now() < end:
                look()
                victim = min(self._victims, key=lambda victim: victim.due)
                if (wait := min(victim.due, end) - self._now()) > 0:
                    time.sleep(min(wait, 0.5))
                elif incident := victim.step(self._now):
                    self.incidents.append(incident)
        finally:
            self.incidents += filter(None, (victim.calm(self._now) for victim in self._victims))
