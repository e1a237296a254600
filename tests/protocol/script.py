"""Reads the scripts: text in, `Script` values out. The format is described in README.md.

Knows nothing of connections; what a step does is the player's matter. A line it does not understand is an error.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable

from harness import wire

FOLDER = Path(__file__).resolve().parent / "scripts"
DEFAULT_LOGIN = {"user": "postgres", "database": "test"}

TYPES = {"bool": 16, "bytea": 17, "int8": 20, "int2": 21, "int4": 23, "text": 25, "oid": 26, "float8": 701, "date": 1082,
         "numeric": 1700, "unknown": 705, "any": 0}


@dataclass(frozen=True)
class Send:
    """Bytes for the current client. `starts` when they may only be the first of a connection."""
    data: bytes
    starts: bool = False


@dataclass(frozen=True)
class Read:
    """Wait for `times` messages of this kind; or `end`, until the other side closes; or `byte`, one byte."""
    until: str
    times: int = 1


@dataclass(frozen=True)
class Split:
    """The sends that follow are sent again and again, cut in two at each offset, or into single bytes."""
    single_bytes: bool


@dataclass(frozen=True)
class Client:
    name: str


@dataclass(frozen=True)
class Cancel:
    """A CancelRequest for the current client, on a connection of its own."""


@dataclass(frozen=True)
class Until:
    """Ask the primary, directly, until the answer is true."""
    sql: str


@dataclass(frozen=True)
class Replayed:
    """The standbys must have what is committed before the script goes on."""


@dataclass(frozen=True)
class Pause:
    """All that was sent so far must have been taken by the other side before more is sent."""


Step = Send | Read | Split | Client | Cancel | Until | Replayed | Pause


@dataclass
class Script:
    topic: str
    name: str
    setup: list[str] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    own_errors: bool = False  # the errors are pgweir's own, which cannot have all fields of PostgreSQL's
    differs: str = ""         # why pgweir says something else, on purpose

    @property
    def id(self) -> str:
        return f"{self.topic}: {self.name}"

    @property
    def clients(self) -> int:
        return len({step.name for step in self.steps if isinstance(step, Client)} | {"one"})


_ESCAPES = {"n": b"\n", "t": b"\t", "r": b"\r", "\\": b"\\", "0": b"\0"}


def text_bytes(text: str) -> bytes:
    """Resolves `{x*1000}`, then backslash escapes (backslash with n, t, r, 0, backslash, or xHH); UTF-8."""
    text = re.sub(r"\{([^{}]+)\*(\d+)\}", lambda found: found[1] * int(found[2]), text)
    pieces = re.split(r"\\(x[0-9a-fA-F]{2}|.)", text)
    result = pieces[0].encode()
    for escape, plain in zip(pieces[1::2], pieces[2::2]):
        result += (bytes([int(escape[1:], 16)]) if len(escape) == 3 else _ESCAPES[escape]) + plain.encode()
    return result


def value(text: str) -> bytes | None:
    text = text.strip()
    if text == "NULL":
        return None
    if text == "''":
        return b""
    if found := re.fullmatch(r"x'([0-9a-fA-F ]*)'", text):
        return bytes.fromhex(found[1])
    return text_bytes(text)


def _values(text: str | None) -> list[bytes | None]:
    return [] if text is None else [value(part) for part in re.split(r"(?<!\\),", text.strip())]


def _shorts(text: str) -> list[int]:
    return [int(number) for number in text.split(",") if number]


def _counted(numbers: list[int]) -> bytes:
    return struct.pack(f"!H{len(numbers)}H", len(numbers), *numbers)


def _arguments(values: list[bytes | None]) -> bytes:
    encoded = [struct.pack("!i", -1) if one is None else struct.pack("!I", len(one)) + one for one in values]
    return struct.pack("!H", len(values)) + b"".join(encoded)


class _Words:
    """`a b key=value | text`, taken apart; each word must be asked for."""

    def __init__(self, line: str):
        words, bar, text = line.partition("|")
        self.text = text.strip() if bar else None
        self.plain: list[str] = []
        self.keyed: dict[str, str] = {}
        for word in words.split():
            key, equals, content = word.partition("=")
            if equals:
                self.keyed[key] = content
            else:
                self.plain.append(word)

    def keys(self, *allowed: str) -> None:
        if unknown := set(self.keyed) - set(allowed):
            raise ValueError(f"unknown words {sorted(unknown)}")


def _parse(line: str) -> bytes:
    words = _Words(line)
    words.keys("types")
    name = words.plain[0] if words.plain else ""
    types = [TYPES.get(one) if not one.isdigit() else int(one) for one in words.keyed.get("types", "").split(",") if one]
    body = wire.cstring(name) + wire.cstring(text_bytes(words.text or ""))
    return wire.message(b"P", body + struct.pack(f"!H{len(types)}I", len(types), *types))


def _bind(line: str) -> bytes:
    words = _Words(line)
    words.keys("portal", "statement", "formats", "results")
    get = words.keyed.get
    return wire.message(b"B", wire.cstring(get("portal", "")) + wire.cstring(get("statement", "")) +
                        _counted(_shorts(get("formats", ""))) + _arguments(_values(words.text)) +
                        _counted(_shorts(get("results", ""))))


def _target(line: str, make: Callable[[str, str], bytes]) -> bytes:
    kind, *name = line.split()
    assert kind in ("S", "P"), line
    return make(kind, *name)


def _execute(line: str) -> bytes:
    words = _Words(line)
    words.keys("rows")
    return wire.execute(words.plain[0] if words.plain else "", int(words.keyed.get("rows", "0")))


def _function_call(line: str) -> bytes:
    words = _Words(line)
    words.keys("formats", "result")
    return wire.message(b"F", struct.pack("!I", int(words.plain[0])) + _counted(_shorts(words.keyed.get("formats", ""))) +
                        _arguments(_values(words.text)) + struct.pack("!H", int(words.keyed.get("result", "0"))))


def _run(line: str) -> bytes:
    return (wire.message(b"P", wire.cstring("") + wire.cstring(text_bytes(line)) + b"\0\0") + wire.bind() +
            wire.describe("P") + wire.execute())


def _startup(line: str) -> bytes:
    words = _Words(line)
    minor = int(words.keyed.pop("minor", "0"))
    major = int(words.keyed.pop("major", "3"))
    parameters = {key: text_bytes(content.replace("~", " ")).decode() for key, content in words.keyed.items()}
    if "bare" not in words.plain:
        parameters = DEFAULT_LOGIN | parameters
    return wire.startup(parameters, major << 16 | minor)


_SENDERS: dict[str, Callable[[str], bytes]] = {
    "Query": lambda line: wire.message(b"Q", wire.cstring(text_bytes(line))),
    "Parse": _parse,
    "Bind": _bind,
    "Describe": lambda line: _target(line, wire.describe),
    "Execute": _execute,
    "Close": lambda line: _target(line, wire.close),
    "Flush": lambda line: wire.FLUSH,
    "Sync": lambda line: wire.SYNC,
    "Terminate": lambda line: wire.TERMINATE,
    "CopyData": lambda line: wire.copy_data(text_bytes(line)),
    "CopyDone": lambda line: wire.COPY_DONE,
    "CopyFail": lambda line: wire.message(b"f", wire.cstring(text_bytes(line))),
    "FunctionCall": _function_call,
    "Run": _run,
    "Raw": lambda line: bytes.fromhex(line),
    "Message": lambda line: wire.message(line[:1].encode(), text_bytes(line[2:])),
}
_STARTERS: dict[str, Callable[[str], bytes]] = {
    "Startup": _startup,
    "SSLRequest": lambda line: wire.SSL_REQUEST,
    "GSSENCRequest": lambda line: wire.GSSENC_REQUEST,
    "RawStart": lambda line: bytes.fromhex(line),
}


def _read(line: str) -> Read:
    kind, *times = line.split()
    if len(kind) != 1 and kind not in ("end", "byte"):
        raise ValueError(f"what is '{kind}'?")
    return Read(kind, int(times[0].lstrip("x")) if times else 1)


def _step(word: str, rest: str) -> Step:
    if word in _SENDERS:
        return Send(_SENDERS[word](rest))
    if word in _STARTERS:
        return Send(_STARTERS[word](rest), starts=True)
    match word:
        case "<": return _read(rest)
        case "split": return Split(single_bytes=rest == "bytes")
        case "client": return Client(rest)
        case "cancel": return Cancel()
        case "until": return Until(rest)
        case "replayed": return Replayed()
        case "pause": return Pause()
    raise ValueError(f"unknown word '{word}'")


def _logical_lines(text: str) -> list[tuple[int, str]]:
    """Numbered lines without comments and empty ones; a line that begins with a space continues the one before."""
    lines: list[tuple[int, str]] = []
    for number, line in enumerate(text.splitlines(), 1):
        if line[:1] == " " and line.strip() and lines:
            lines[-1] = (lines[-1][0], lines[-1][1] + "\n" + line.strip())
        elif line.strip() and not line.startswith("#"):
            lines.append((number, line.rstrip()))
    return lines


def parse(topic: str, text: str) -> list[Script]:
    scripts: list[Script] = []
    for number, line in _logical_lines(text):
        word, _, rest = line.partition(" ")
        try:
            if word == "==":
                scripts.append(Script(topic, rest.strip()))
            elif word == "setup":
                scripts[-1].setup.append(rest)
            elif word == "own-errors":
                scripts[-1].own_errors = True
            elif word == "differs":
                assert rest, "a reason is needed"
                scripts[-1].differs = rest
            else:
                scripts[-1].steps.append(_step(word, rest))
        except (ValueError, KeyError, IndexError, AssertionError) as problem:
            raise ValueError(f"{topic}, line {number}: {line[:100]}: {problem!r}") from problem
    return scripts


def load_all() -> list[Script]:
    return [script for file in sorted(FOLDER.glob("*.txt")) for script in parse(file.stem, file.read_text())]
