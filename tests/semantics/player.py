"""Plays scripts of many clients, steps interleaved at random, and compares every step with a connection of its own.

Each client has two connections: one through the pooler, one straight to PostgreSQL, to another database with the same
content. A step runs on the direct connection first, then on the other, and both answers must be equal. So even what
several clients do to each other happens in the same order on both sides.

Steps of several clients may be under way at once through the pooler (a burst). No step may wait for a server connection
that nobody gives back: a client in a transaction, or bound to its connection, is a holder, and
- when all server connections have a holder, only holders go on;
- in a burst of several that are no holders one server connection is left over to go around;
- fewer scripts of two clients are active than there are server connections: should all be stuck with one holder each,
  there is still a connection for the other client of one of them.
"""

from __future__ import annotations

import random
import re
import struct
from collections import deque
from dataclasses import dataclass, field
from typing import Callable, Protocol

from harness import wire
from harness.wire import Closed, Message, Wire

from script import SIDE, Me, Semantic, Step, step_of

# --- what is compared --------------------------------------------------------------------------------------------------

_SOURCE_PLACE = "FLR"  # file, line and routine in the server's sources: no application looks there
# At login pgweir adds to an error of a server which node it was.
_NODE = re.compile(r"; D=Server: node \"\w+\" \(\S+\)\.")
_TEMPORARY_SCHEMA = re.compile(r"pg_(toast_)?temp_\d+")


def shown(got: Message) -> str:
    """A message as text, without what may differ between two connections."""
    if got.kind == "T":
        return f"T {_columns(got.body)}"
    if got.kind == "D":
        return f"D {got.values}"
    if got.kind == "C":
        return f"C {got.tag}"
    if got.kind in "EN":
        # V repeats S in English; pairs in the order in which the server sends them.
        fields = "; ".join(f"{code}={text}" for code, text in got.fields.items() if code not in _SOURCE_PLACE)
        return _TEMPORARY_SCHEMA.sub(r"pg_\1temp_N", f"{got.kind} {fields}")
    return f"{got.kind} {got.body!r}" if got.body else got.kind


def _columns(body: bytes) -> list[tuple]:
    """Name, type, size, modifier and format of each column; the table's oid is another one in another database."""
    count, = struct.unpack_from("!H", body)
    found, at = [], 2
    for _ in range(count):
        end = body.index(b"\0", at)
        _, _, kind, size, modifier, form = struct.unpack_from("!IhIhih", body, end + 1)
        found.append((body[at:end].decode(errors="replace"), kind, size, modifier, form))
        at = end + 19
    return found


@dataclass
class Answer:
    messages: list[str]
    status: str  # I, T, E; - in the middle of an exchange, x when the connection is gone
    parameters: dict[str, str]

    def __str__(self) -> str:
        lines = self.messages + [f"transaction status {self.status}"]
        return "\n".join(f"      {line}" for line in lines)


class Peer(Protocol):
    """One client's connection."""
    def login(self, parameters: dict[str, str]) -> Answer: ...
    def send(self, step: Step) -> None: ...
    def answer(self, step: Step) -> Answer: ...
    def leave(self, gently: bool) -> None: ...


class WirePeer:
    """A client that has a connection, to the pooler or to PostgreSQL."""

    def __init__(self, port: int, database: str, user: str, side: str, patience: float = 20.0):
        """`patience`: seconds until an answer counts as missing."""
        assert len(side) == len(SIDE)  # or the lengths in messages would be wrong
        self.wire = Wire(port, timeout=patience)
        self._side = side
        self._base = {"database": database, "user": user}
        self.parameters: dict[str, str] = {}
        self.status = "-"
        self.heard: list[str] = []

    def login(self, parameters: dict[str, str]) -> Answer:
        self.wire.send(wire.startup(self._base | parameters))
        return self._gather(ready=1, until="")

    def send(self, step: Step) -> None:
        try:
            self.wire.send(step.data.replace(SIDE.encode(), self._side.encode()))
        except ConnectionError:
            pass  # the answer says so

    def answer(self, step: Step) -> Answer:
        if step.heard is None:
            return self._gather(step.ready, step.until)
        messages = []
        while len(self.heard) < step.heard and self.status != "x":
            messages += self._gather(ready=0, until="A").messages
        return Answer(messages + self.heard, self.status, dict(self.parameters))

    def leave(self, gently: bool) -> None:
        if gently:
            try:
                self.wire.send(wire.TERMINATE)
            except ConnectionError:
                pass
        self.wire.socket.close()

    def _gather(self, ready: int, until: str) -> Answer:
        messages: list[str] = []
        heard_now: list[str] = []
        try:
            while True:
                got = self.wire.read()
                if got.kind == "S":
                    name, value, _ = got.body.split(b"\0")
                    self.parameters[name.decode()] = value.decode(errors="backslashreplace")
                elif got.kind == "A":
                    channel, payload, _ = got.body[4:].split(b"\0")  # before them: the pid of who notified
                    heard_now.append(f"A {channel.decode()} {payload.decode()!r}")
                elif got.kind == "Z":
                    self.status = got.body.decode()
                    messages.append(f"Z {self.status}")
                    if self.status != "I":
                        messages += [f"{note} in a transaction" for note in heard_now]
                    ready -= 1
                    if ready == 0:
                        break
                elif got.kind != "K":
                    messages.append(shown(got).replace(self._side, SIDE))
                if got.kind == until:
                    self.status = self.status if until == "A" else "-"
                    break
        except TimeoutError:
            messages.append("no answer")
            self.status = "x"
        except (Closed, ConnectionError):
            messages.append("connection closed")
            self.status = "x"
        self.heard += heard_now
        return Answer(messages, self.status, dict(self.parameters))


class CarelessPool:
    """The pooler that this suite is against: hands out a server connection per transaction and carries nothing."""

    def __init__(self, size: int, seed: int, connect: Callable[[], WirePeer]):
        self.idle = [connect() for _ in range(size)]
        self.welcome = [peer.login({}) for peer in self.idle][0]
        self._all = list(self.idle)
        self._random = random.Random(seed)

    def take(self) -> WirePeer:
        return self.idle.pop(self._random.randrange(len(self.idle)))

    def client(self) -> CarelessPeer:
        return CarelessPeer(self)

    def close(self) -> None:
        for peer in self._all:
            peer.leave(gently=True)


class CarelessPeer:
    def __init__(self, pool: CarelessPool):
        self._pool = pool
        self._server: WirePeer | None = None

    def login(self, parameters: dict[str, str]) -> Answer:
        return self._pool.welcome

    def send(self, step: Step) -> None:
        if self._server is None:
            self._server = self._pool.take()
        self._server.send(step)

    def answer(self, step: Step) -> Answer:
        assert self._server is not None
        if step.heard is not None and len(self._server.heard) < step.heard:
            found = Answer(["nothing to hear"], self._server.status, self._server.parameters)
        else:
            found = self._server.answer(step)
        if self._server.status == "I":
            self._pool.idle.append(self._server)
            self._server = None
        return found

    def leave(self, gently: bool) -> None:
        if self._server is not None:
            self._server.send(step_of("ROLLBACK"))
            self._server.answer(step_of("ROLLBACK"))
            self._pool.idle.append(self._server)


# --- the play ----------------------------------------------------------------------------------------------------------

@dataclass
class Actor:
    direct: WirePeer
    pooled: Peer
    bound: bool = False

    @property
    def holds(self) -> bool:
        return self.bound or self.direct.status in "TE-"


@dataclass
class Part:
    """One run of one script."""
    semantic: Semantic
    me: Me
    startup: dict[str, str]
    steps: list[Step]
    at: int = 0
    actors: list[Actor] = field(default_factory=list)

    @property
    def next_step(self) -> Step:
        return self.steps[self.at]

    @property
    def next_actor(self) -> Actor:
        return self.actors[self.next_step.actor]

    @property
    def holders(self) -> int:
        return sum(actor.holds for actor in self.actors)


@dataclass(frozen=True)
class Difference:
    semantic: str
    text: str


@dataclass
class Stage:
    """Where the scripts are played."""
    direct: Callable[[], WirePeer]
    pooled: Callable[[], Peer]
    size: int  # server connections of the pooler
    queues: bool = True  # whether clients may wait for a server connection, so that several steps run at once
    respects_bonds: bool = True  # whether a step that `pins` makes its client a holder
    heals: bool = True  # whether the pooler must, rather than may, heal plans that are out of date


class Play:
    """`clients` at a time play the parts; a part that ends makes room for the next."""

    def __init__(self, stage: Stage, seed: int, clients: int, semantics: list[Semantic], copies: int,
                 quitters: float = 0.0, first: int = 0):
        """Clients are numbered from `first`. `quitters`: the share of further copies that leave in the middle."""
        self._stage = stage
        self._seed = seed
        self._random = random.Random(seed)
        self._clients = clients
        # Copies of a script follow one another, with numbers next to each other: they meet.
        shuffled = self._random.sample(semantics, len(semantics))
        self._waiting: deque[Part] = deque()
        for semantic in shuffled:
            numbers = range(first + len(self._waiting), first + len(self._waiting) + copies)
            self._waiting += [self._part(semantic, n) for n in numbers]
            if self._random.random() < quitters:
                part = self._part(semantic, numbers.stop)
                del part.steps[self._random.randrange(len(part.steps)) + 1:]
                self._waiting.append(part)
        self._active: list[Part] = []
        self.differences: list[Difference] = []
        self.steps_compared = 0

    @staticmethod
    def _part(semantic: Semantic, n: int) -> Part:
        me = Me(n)
        return Part(semantic, me, semantic.startup(me), [step_of(yielded) for yielded in semantic.script(me)])

    def run(self) -> None:
        try:
            while self._waiting or self._active:
                self._let_in()
                self._play_burst()
        finally:
            for part in list(self._active):
                self._end(part)

    # A script of two clients must be able to end while all others wait.
    def _may_enter(self, part: Part) -> bool:
        room = self._clients - sum(active.semantic.clients for active in self._active)
        pairs = sum(active.semantic.clients > 1 for active in self._active)
        return part.semantic.clients <= room and (part.semantic.clients == 1 or pairs < max(1, self._stage.size - 1))

    def _let_in(self) -> None:
        for _ in range(len(self._waiting)):
            part = self._waiting.popleft()
            if self._may_enter(part):
                self._active.append(part)
            else:
                self._waiting.append(part)
        assert self._active, "no part can enter"

    @property
    def _holders(self) -> int:
        return sum(part.holders for part in self._active)

    def _play_burst(self) -> None:
        """Picks some clients at random; each takes its next step."""
        wanted = self._random.choice((1, 1, 2, 3, 6)) if self._stage.queues else 1
        holders, newcomers = self._holders, 0
        burst: list[tuple[Part, Answer]] = []
        for part in self._random.sample(self._active, len(self._active)):
            if len(burst) == wanted:
                break
            if not part.actors:
                if not burst and holders < self._stage.size:
                    return self._enter(part)
                continue
            held = part.next_actor.holds
            if not held:
                spare = self._stage.size - holders
                if spare < 1 or (spare == 1 and newcomers > 0):
                    continue
                # With the last connection: alone, for it may keep it.
                wanted = len(burst) + 1 if spare == 1 else wanted
                newcomers += 1
            burst.append((part, self._play_direct(part)))
            if not held and part.next_actor.holds:
                holders += 1
                if holders >= self._stage.size - 1:
                    break
        assert burst, "nobody can go on: the rules of this file are wrong"
        for part, _ in burst:
            part.next_actor.pooled.send(part.next_step)
        for part, expected in burst:
            self._compare(part, expected, part.next_actor.pooled.answer(part.next_step))

    def _enter(self, part: Part) -> None:
        for number in range(part.semantic.clients):
            actor = Actor(self._stage.direct(), self._stage.pooled())
            part.actors.append(actor)
            expected, got = actor.direct.login(part.startup), actor.pooled.login(part.startup)
            got.messages = [_NODE.sub("", line) for line in got.messages]
            step = Step(b"", f"login with {part.startup}", actor=number)
            if not self._same(part, step, expected, got):
                return
            if expected.status == "x":  # refused by both
                return self._end(part)

    def _play_direct(self, part: Part) -> Answer:
        step, actor = part.next_step, part.next_actor
        if step.pins is not None:
            actor.bound = step.pins and self._stage.respects_bonds
        actor.direct.send(step)
        return actor.direct.answer(step)

    def _compare(self, part: Part, expected: Answer, got: Answer) -> None:
        step = part.next_step
        if step.fresh and any("C=0A000" in line for line in expected.messages):
            healed = self._fresh(part, step)
            if self._stage.heals or got.messages == healed.messages:
                expected = healed
        if not self._same(part, step, expected, got):
            return
        part.at += 1
        if part.at == len(part.steps):
            self._end(part)

    def _fresh(self, part: Part, step: Step) -> Answer:
        """What a new connection answers: the text is prepared there, so ParseComplete is left out."""
        peer = self._stage.direct()
        peer.login(part.startup)
        peer.wire.send(step.fresh)
        found = peer.answer(step)
        peer.leave(gently=True)
        return Answer([line for line in found.messages if line != "1"], found.status, found.parameters)

    def _same(self, part: Part, step: Step, expected: Answer, got: Answer) -> bool:
        self.steps_compared += 1
        parameters = {name: (expected.parameters.get(name), got.parameters.get(name))
                      for name in expected.parameters.keys() | got.parameters.keys()
                      if expected.parameters.get(name) != got.parameters.get(name)}
        if expected.messages == got.messages and expected.status == got.status and not parameters:
            return True
        before = [f"      {n}. {s.shown}" for n, s in enumerate(part.steps[:part.at], 1)]
        text = "\n".join([
            f"seed {self._seed}, client {part.me.n}.{step.actor}, semantic {part.semantic.name}, "
            f"step {part.at + 1}: {step.shown}",
            "    direct:", str(expected), "    pooled:", str(got),
            *[f"    parameter {name}: direct {a!r}, pooled {b!r}" for name, (a, b) in parameters.items()],
            "    before it:", *before])
        self.differences.append(Difference(part.semantic.name, text))
        self._end(part)
        return False

    def _end(self, part: Part) -> None:
        self._active.remove(part)
        for actor in part.actors:
            actor.direct.leave(gently=True)
            actor.pooled.leave(gently=self._random.random() < 0.7)


def report(differences: list[Difference], seed: int) -> str:
    names = sorted({difference.semantic for difference in differences})
    return "\n".join([f"{len(differences)} clients could tell the pooler from PostgreSQL (seed {seed}). "
                      f"Semantics: {', '.join(names)}", *[difference.text for difference in differences]])
