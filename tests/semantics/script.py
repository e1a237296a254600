"""What a semantic is: a named script of steps on one client connection (or two), with values of its own per client.

A script is a generator function of one argument, the client's values (`Me`). It yields steps: a text is one simple
query, bytes are raw messages that end with a Sync, the helpers below make the rest. Between any two steps other clients
run and the server connection may be another one: every step boundary is a gap.

A script must not show what is never equal on two connections: process ids (pg_backend_pid), oids of user objects, the
name of the database, clocks, and whether a connection has ever had a temporary schema (current_schemas(true)). Objects
that it makes carry `me.n` in their name, so that instances are independent. What is global to the servers, such as the
name of a prepared transaction, carries `SIDE`, which stands for another word on each side of the comparison.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Callable, Iterator, Union

from harness.wire import SYNC, bind, describe, execute, parse, query


@dataclass(frozen=True)
class Step:
    data: bytes
    shown: str
    actor: int = 0
    ready: int = 1  # how many ReadyForQuery end the answer
    until: str = ""  # instead: the kind of message that ends it; for exchanges without a Sync
    heard: int | None = None  # sends nothing: waits until so many notifications have come in all
    pins: bool | None = None  # True: from here on the session may be bound to its server connection; False: no more
    fresh: bytes = b""  # "cached plan must not change result type" is healed: the answer is that of these messages


SIDE = "@side"

Yielded = Union[str, bytes, Step]


def step_of(yielded: Yielded) -> Step:
    if isinstance(yielded, Step):
        return yielded
    if isinstance(yielded, str):
        return Step(query(yielded), yielded)
    return Step(yielded, shown_messages(yielded))


def shown_messages(data: bytes) -> str:
    """Frontend messages for people."""
    parts, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at + 1:at + 5], "big")
        body = data[at + 5:at + 1 + size]
        parts.append(chr(data[at]) + (f"({body!r})" if body else ""))
        at += 1 + size
    return " ".join(parts).replace("\\x00", "·")


def pins(yielded: Yielded) -> Step:
    """From this step on the session may be bound to its server connection."""
    return dataclasses.replace(step_of(yielded), pins=True)


def frees(yielded: Yielded) -> Step:
    """After this step there is no reason left to stay bound. Said only where that is beyond doubt."""
    return dataclasses.replace(step_of(yielded), pins=False)


def other(yielded: Yielded) -> Step:
    """A step of the script's second client."""
    return dataclasses.replace(step_of(yielded), actor=1)


def heard(count: int, actor: int = 0) -> Step:
    return Step(b"", f"<waits for {count} notifications>", actor=actor, heard=count)


def several(data: bytes, ready: int) -> Step:
    """A pipeline with several Syncs, or several queries sent at once."""
    return Step(data, shown_messages(data), ready=ready)


def flushed(data: bytes, until: str) -> Step:
    """Messages that end with a Flush: the answer ends with a message of this kind."""
    return Step(data, shown_messages(data), until=until)


def healed(name: str, text: str, *values: bytes) -> Step:
    """Runs the statement of this name; should its plan be out of date, the answer is that of the text prepared anew."""
    run = bind("", name, values) + describe("P") + execute() + SYNC
    return Step(run, shown_messages(run), fresh=parse(text) + bind("", "", values) + describe("P") + execute() + SYNC)


def ext(text: str, *values: bytes | None, types: tuple[int, ...] = ()) -> bytes:
    """One statement by the extended protocol, as drivers do it."""
    return parse(text, "", types) + bind("", "", values) + describe("P") + execute() + SYNC


def run(name: str, *values: bytes | None) -> bytes:
    """A statement that was prepared before."""
    return bind("", name, values) + describe("P") + execute() + SYNC


MOMENT = "SELECT timestamptz '2024-03-31 12:34:56.789+00' AS moment"
SPAN = "SELECT interval '1 year 2 months 3 days 4:05:06' AS span"


def shows(*names: str) -> str:
    return "SELECT " + ", ".join(f"current_setting('{name}')" for name in names)


ZONES = ("Asia/Tokyo", "America/New_York", "Europe/Berlin", "Australia/Adelaide", "Asia/Kolkata", "America/St_Johns",
         "Pacific/Auckland", "Africa/Nairobi", "Asia/Kathmandu", "America/Caracas", "Europe/Lisbon", "Pacific/Honolulu",
         "Asia/Tehran")
DATE_STYLES = ("ISO, DMY", "SQL, DMY", "Postgres, MDY", "German, DMY", "SQL, MDY", "ISO, YMD", "Postgres, DMY")
INTERVAL_STYLES = ("sql_standard", "postgres_verbose", "iso_8601", "postgres")
WORDS = ("plain", "with space", "o'clock", "back\\slash", 'double"quote', "comma, and ; semicolon", "größe", "日本語",
         "percent % _", "$1 $$ $tag$", "{brace}", "tab\there", "two\nlines", "--dash", "/* no comment */", "")
SCHEMAS = 8
ROLES = 4


@dataclass(frozen=True)
class Me:
    """The values of one client. Numbers next to each other give values that differ."""
    n: int

    @property
    def zone(self) -> str:
        return ZONES[self.n % len(ZONES)]

    @property
    def date_style(self) -> str:
        return DATE_STYLES[self.n % len(DATE_STYLES)]

    @property
    def interval_style(self) -> str:
        return INTERVAL_STYLES[self.n % len(INTERVAL_STYLES)]

    @property
    def word(self) -> str:
        return f"{WORDS[self.n % len(WORDS)]}{self.n}"

    @property
    def literal(self) -> str:
        """The word as an SQL literal that means the same whatever standard_conforming_strings says."""
        doubled = self.word.replace("\\", "\\\\").replace("'", "''")
        return f" E'{doubled}'"

    @property
    def schema(self) -> str:
        return f"s{self.n % SCHEMAS}"

    @property
    def next_schema(self) -> str:
        return f"s{(self.n + 1) % SCHEMAS}"

    @property
    def role(self) -> str:
        """A role that may use `schema` and `own`, and no other."""
        return f"semantic_{self.n % ROLES}"

    @property
    def memory(self) -> str:
        """For work_mem: never in whole megabytes."""
        return f"{5001 + 2 * self.n}kB"

    @property
    def milliseconds(self) -> str:
        """A long time, for timeouts that shall not fire."""
        return f"{600001 + 2 * self.n}ms"

    def own(self, name: str) -> str:
        return f"own.{name}_{self.n}"

    def key(self, number: int = 0) -> int:
        """Of an advisory lock or large object that nobody else has."""
        return 1_000_000 + 100 * self.n + number


Script = Callable[[Me], Iterator[Yielded]]


@dataclass(frozen=True)
class Semantic:
    name: str
    script: Script
    startup: Callable[[Me], dict[str, str]]
    clients: int  # connections that its steps name
    stateless: bool  # a pooler that carries nothing would not be noticed by it
    # Equal as long as no other client writes on its connection, or changes the schema (docs/pooling.md, "What differs").
    alone: bool


SEMANTICS: dict[str, Semantic] = {}


def semantic(*, startup: Callable[[Me], dict[str, str]] = lambda me: {}, clients: int = 1,
             stateless: bool = False, alone: bool = False) -> Callable[[Script], Script]:
    """Enters a script in the list. `stateless`, `alone`: see `Semantic`."""
    def enter(script: Script) -> Script:
        name = script.__name__
        assert name not in SEMANTICS, f"{name} is there twice"
        assert clients in (1, 2)  # more could block each other: see player.py
        SEMANTICS[name] = Semantic(name, script, startup, clients, stateless, alone)
        return script
    return enter
