"""The clients whose history is checked: sessions that write and read counters, through pgweir, and note what they saw.

The happy path: `Sessions.start` makes the sessions in a thread of its own, `finish` ends them and gives the history
back. Every statement is autocommit. Writes and reads come by the simple protocol, with parameters, and prepared; some
writes are hidden in a function. Half of the reads ask for what has just been written, by whomever: that is where
staleness shows.

A session that loses its connection goes on as a new session. What it was told is written down, never hidden.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import psycopg

from ..proxy import Pgweir
from .record import NOT_THERE, Failure, History, Read, Write

KEYS = 16
# The table has its counters in rows of one page; the function says which node answers. It is STABLE and in PL/pgSQL, so
# that a statement with it remains a read that may run anywhere: pgweir knows the built-in ones as bound to one node.
SCHEMA = f"""
CREATE TABLE history_keys (id int PRIMARY KEY, version int NOT NULL) WITH (fillfactor = 20);
INSERT INTO history_keys SELECT n, 0 FROM generate_series(0, {KEYS - 1}) n;
CREATE FUNCTION history_node() RETURNS text LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN current_setting('cluster_name'); END $$;
CREATE FUNCTION history_write(key int) RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$ DECLARE made int;
     BEGIN
       UPDATE history_keys SET version = version + 1 WHERE id = key RETURNING version INTO made;
       RETURN made;
     END $$;
GRANT SELECT, UPDATE ON history_keys TO app;
"""
READ = "SELECT id, version, history_node() FROM history_keys WHERE id = ANY ({})"
WRITES = ("UPDATE history_keys SET version = version + 1 WHERE id = {} RETURNING version", "SELECT history_write({})")
LOGIN_PAUSE = 0.1  # seconds before a refused login is tried again

# SQLSTATE classes that leave it open whether a write was done: the connection, the operator, an internal error.
_IN_DOUBT = ("08", "57", "XX")


@dataclass(frozen=True)
class Mix:
    """Who does what. Times are in seconds."""
    sessions: int = 24
    writers: int = 8  # of the sessions; the others only read
    writes: float = 0.9  # share of a writer's statements, in a burst; otherwise it reads
    burst: float = 0.08  # how long writers write, again and again
    rest: float = 0.12  # between two bursts: standbys become fresh, and the next write ends that
    reads_back: float = 0.6  # how often a writer reads the key that it has written, at once
    pause: float = 0.012  # between two statements, on average


@dataclass
class _Recent:
    """Keys that were written lately: what readers like to ask for."""
    keys: deque[int] = field(default_factory=lambda: deque(maxlen=3))


class _Session:
    """One client and its connections."""

    def __init__(self, owner: Sessions, number: int):
        self._owner = owner
        self._number = number
        self._writer = number < owner.mix.writers
        self._choose = random.Random(f"{owner.seed} session {number}")
        self._id = -1
        self._connection: psycopg.AsyncConnection | None = None

    async def run(self) -> None:
        while not self._owner.stopping:
            try:
                if self._connection is None or self._connection.closed:
                    self._id = self._owner.next_id()
                    self._connection = await self._owner.connect(self._number)
            except psycopg.Error as error:
                self._failed("login", error)
                await asyncio.sleep(LOGIN_PAUSE)
                continue
            await self._next()
            await asyncio.sleep(self._choose.expovariate(1 / self._owner.mix.pause))
        if self._connection is not None:
            await self._connection.close()

    async def _next(self) -> None:
        choose, mix = self._choose, self._owner.mix
        if self._writer and self._owner.now() % (mix.burst + mix.rest) < mix.burst and choose.random() < mix.writes:
            key = choose.randrange(KEYS)
            if await self._write(key) and choose.random() < mix.reads_back:
                await self._read([key])
        else:
            await self._read(self._keys_to_read())

    def _keys_to_read(self) -> list[int]:
        choose, recent = self._choose, list(self._owner.recent.keys)
        if recent and choose.random() < 0.5:
            return recent[-choose.randint(1, len(recent)):]
        return choose.sample(range(KEYS), choose.choice((1, 1, 2, 4, KEYS)))

    async def _ask(self, statement: str, value: int | list[int]) -> list[tuple]:
        """By the simple protocol, with a parameter, or prepared."""
        way = self._choose.randrange(3)
        if way == 0:
            literal = str(value) if isinstance(value, int) else f"ARRAY[{', '.join(map(str, value))}]"
            cursor = await self._connection.execute(statement.format(literal), prepare=False)
        else:
            parameter = "%s::int" if isinstance(value, int) else "%s::int[]"
            cursor = await self._connection.execute(statement.format(parameter), [value], prepare=way == 1)
        return await cursor.fetchall()

    async def _write(self, key: int) -> bool:
        invoke = self._owner.now()
        try:
            (version,), = await self._ask(self._choose.choice(WRITES), key)
        except psycopg.Error as error:
            self._failed("write", error)
            if not error.sqlstate or error.sqlstate.startswith(_IN_DOUBT):
                self._owner.history.writes.append(Write(self._id, invoke, self._owner.now(), key, None))
            return False
        self._owner.history.writes.append(Write(self._id, invoke, self._owner.now(), key, version))
        self._owner.recent.keys.append(key)
        return True

    async def _read(self, keys: list[int]) -> None:
        invoke = self._owner.now()
        try:
            rows = await self._ask(READ, keys)
        except psycopg.Error as error:
            return self._failed("read", error)
        complete = self._owner.now()
        found = {key: version for key, version, _ in rows}
        node = rows[0][2] if rows else ""
        seen = tuple((key, found.get(key, NOT_THERE)) for key in dict.fromkeys(keys))
        self._owner.history.reads.append(Read(self._id, invoke, complete, node, seen))

    def _failed(self, doing: str, error: psycopg.Error) -> None:
        self._owner.history.failures.append(
            Failure(self._id, self._owner.now(), doing, error.sqlstate or type(error).__name__, str(error).strip()))


class Sessions:
    """All of them, on one event loop in a thread. `history` is theirs until `finish` has returned."""

    def __init__(self, proxy: Pgweir, seed: int, mix: Mix, said_first: str = ""):
        self.seed = seed
        self.mix = mix
        self.history = History()
        self.recent = _Recent()
        self.stopping = False
        self._proxy = proxy
        self._said_first = said_first  # by each session
        self._begin = time.monotonic()
        self._ids = 0
        self._problem: BaseException | None = None
        self._thread = threading.Thread(target=self._work, name="sessions", daemon=True)

    def now(self) -> float:
        return time.monotonic() - self._begin

    def next_id(self) -> int:
        self._ids += 1
        return self._ids

    async def connect(self, number: int) -> psycopg.AsyncConnection:
        connection = await psycopg.AsyncConnection.connect(
            host=self._proxy.host, port=self._proxy.port, user="app", dbname="test", autocommit=True,
            connect_timeout=20, application_name=f"history-{number}")
        if self._said_first:
            await connection.execute(self._said_first)
        return connection

    def _work(self) -> None:
        async def everybody() -> None:
            await asyncio.gather(*(_Session(self, number).run() for number in range(self.mix.sessions)))
        try:
            asyncio.run(everybody())
        except BaseException as problem:  # is raised again where somebody looks
            self._problem = problem

    def start(self) -> None:
        self._thread.start()

    def alive(self) -> None:
        """Raises what has ended the sessions before their time."""
        if self._problem is not None:
            raise RuntimeError("the sessions have ended") from self._problem

    def finish(self, timeout: float = 60.0) -> History:
        self.stopping = True
        self._thread.join(timeout)
        self.alive()
        if self._thread.is_alive():
            raise TimeoutError(f"a session has waited for more than {timeout:.0f} s")
        return self.history
