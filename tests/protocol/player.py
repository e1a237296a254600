"""Plays a script against a port and gives back what the other side said, as lines of text (printing.py).

The player is the same for PostgreSQL and for pgweir and knows of no difference between them.
"""

from __future__ import annotations

import struct
from typing import Callable

from harness import sockets, wire
from harness.waiting import wait_for
from harness.wire import Closed, Message, Wire

from .printing import Printer, shown
from .script import DEFAULT_LOGIN, Cancel, Client, Pause, Read, Replayed, Script, Send, Split, Step, Until

TIMEOUT = 15.0  # seconds for one answer


class _Connection:
    """One client of the script."""

    def __init__(self, port: int, printer: Printer):
        self._printer = printer
        self._parameters: list[str] = []  # lines that wait for the next ReadyForQuery
        self.wire = Wire(port, timeout=TIMEOUT)
        self.started = False

    def close(self) -> None:
        self.wire.socket.close()

    def send(self, data: bytes) -> None:
        try:
            self.wire.send(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # that it is closed shows when its answer is read

    def wait_taken(self) -> None:
        wait_for(lambda: sockets.taken_by_peer(self.wire.socket), "the other side to read", interval=0.0002)

    def _lines(self, message: Message) -> list[str]:
        if message.kind == "K":
            self.wire.pid, = struct.unpack_from("!I", message.body)
            self.wire.key = message.body[4:]
        line = self._printer.line(message, self.wire.pid)
        if message.kind == "S":
            self._parameters.append(line)
            return []
        return [*self._take_parameters(), line] if message.kind == "Z" else [line]

    def _take_parameters(self) -> list[str]:
        taken, self._parameters = sorted(self._parameters), []
        return taken

    def read(self, step: Read) -> list[str]:
        lines: list[str] = []
        if step.until == "byte":
            return [f"byte {self.wire.read_byte()!r}"]
        left = step.times
        try:
            while left:
                message = self.wire.read()
                lines += self._lines(message)
                left -= message.kind == step.until
        except (Closed, ConnectionResetError):
            lines += [*self._take_parameters(), "closed"]
        except TimeoutError:
            lines += [*self._take_parameters(), f"silence instead of {step.until}"]
        return lines


class _Play:
    def __init__(self, script: Script, port: int, ask_primary: Callable[[str], bool], wait_replayed: Callable[[], None],
                 between: Callable[[], None]):
        self._script = script
        self._port = port
        self._ask_primary = ask_primary
        self._wait_replayed = wait_replayed
        self._between = between
        self._printer = Printer()
        self._connections: dict[str, _Connection] = {}
        self._name = "one"
        self._lines: list[str] = []

    def run(self) -> list[str]:
        try:
            steps = list(self._script.steps)
            while steps:
                self._step(steps)
            return self._lines
        finally:
            for connection in self._connections.values():
                connection.close()

    def _say(self, lines: list[str]) -> None:
        prefix = f"{self._name}: " if self._script.clients > 1 else ""
        self._lines += [prefix + line for line in lines]

    def _connect(self, first: Step | None) -> _Connection:
        """The current client's connection, logged in unless the script begins with the login itself."""
        connection = self._connections.get(self._name)
        if connection is None:
            connection = self._connections[self._name] = _Connection(self._port, self._printer)
            if not (isinstance(first, Send) and first.starts):
                connection.send(wire.startup(DEFAULT_LOGIN))
                self._say(connection.read(Read("Z")))
        return connection

    def _step(self, steps: list[Step]) -> None:
        match steps[0]:
            case Client(name):
                self._name = name
                steps.pop(0)
            case Split(single_bytes):
                steps.pop(0)
                self._split(steps, single_bytes)
            case Until(sql):
                steps.pop(0)
                wait_for(lambda: self._ask_primary(sql), sql)
            case Cancel():
                steps.pop(0)
                self._cancel()
            case Replayed():
                steps.pop(0)
                self._wait_replayed()
            case Pause():
                steps.pop(0)
                self._connect(None).wait_taken()
            case _:
                self._exchange(steps)

    @staticmethod
    def _take(steps: list[Step], kind: type) -> list:
        taken = []
        while steps and isinstance(steps[0], kind):
            taken.append(steps.pop(0))
        return taken

    def _exchange(self, steps: list[Step]) -> None:
        connection = self._connect(steps[0])
        sends = self._take(steps, Send)
        self._between()
        if sends:
            connection.send(b"".join(send.data for send in sends))
        for read in self._take(steps, Read):
            self._say(connection.read(read))
            self._between()

    def _split(self, steps: list[Step], single_bytes: bool) -> None:
        """The same answer each time, so it is printed once; what differs is printed with its offset."""
        fresh = isinstance(steps[0], Send) and steps[0].starts
        self._connect(steps[0])
        sends, reads = self._take(steps, Send), self._take(steps, Read)
        data = b"".join(send.data for send in sends)
        expected = self._in_pieces([data], reads, fresh)
        self._say(expected)
        cuts = [list(range(len(data) + 1))] if single_bytes else [[0, at, len(data)] for at in range(1, len(data))]
        for cut in cuts:
            found = self._in_pieces([data[a:b] for a, b in zip(cut, cut[1:])], reads, fresh)
            self._between()
            if found != expected:
                self._say([f"split at {cut[1:-1]}:", *found])
        self._say([f"split {len(cuts)} times"])

    def _in_pieces(self, pieces: list[bytes], reads: list[Read], fresh: bool) -> list[str]:
        connection = self._connections[self._name]
        if fresh:
            connection.close()
            connection = self._connections[self._name] = _Connection(self._port, self._printer)
        for number, piece in enumerate(pieces):
            if number:
                connection.wait_taken()
            connection.send(piece)
        return [line for read in reads for line in connection.read(read)]

    def _cancel(self) -> None:
        current = self._connect(None).wire
        with Wire(self._port, timeout=TIMEOUT) as other:
            other.send(wire.cancel_request(current.pid, current.key))
            rest = b"".join(iter(lambda: other.socket.recv(4096), b""))
        self._say([f"cancel request answered by {shown(rest)}"])


def play(script: Script, port: int, ask_primary: Callable[[str], bool], wait_replayed: Callable[[], None],
         between: Callable[[], None] = lambda: None) -> list[str]:
    """What was said, line by line. `between` is called before each send and after each answer."""
    return _Play(script, port, ask_primary, wait_replayed, between).run()
