"""A client's connection: what it is sent, and its answers as text without what may differ between two connections.

ParameterStatus messages are not part of an answer, for they may come at any time: the values known after each step are.
NotificationResponses are kept aside, in their order; one that comes inside a transaction is marked.
"""

from __future__ import annotations

import random
import re
import struct
from dataclasses import dataclass
from typing import Callable, Protocol

from harness import wire
from harness.wire import Closed, Message, Wire

from script import SIDE, Step, step_of

SHOWN_AT_MOST = 400  # characters of a step or a message in a report
NO_ANSWER = "no answer"
_SOURCE_PLACE = "FLR"  # file, line and routine in the server's sources: no application looks there
_TEMPORARY_SCHEMA = re.compile(r"pg_(toast_)?temp_\d+")


def shortened(text: str) -> str:
    return text if len(text) <= SHOWN_AT_MOST else f"{text[:SHOWN_AT_MOST]}... ({len(text)} characters)"


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
        return "\n".join(f"      {shortened(line)}" for line in lines)


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
            messages.append(NO_ANSWER)
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
