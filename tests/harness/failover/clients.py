"""The clients of a failover drill: one process per group, so that no group's work falsifies the waits of another.

    python3 -m harness.failover.clients read|write|transact|connect PORT SESSIONS

Prints `ready` when all sessions stand, works until a line comes on standard input, then prints one JSON object: `Findings`.
A session that is disconnected connects again, as an application would; what it did is recorded, never hidden. Times are
seconds of CLOCK_MONOTONIC, which all processes of a machine share. `own_delay` is the longest time by which this process
itself was late: waits below it mean nothing.

read      SELECT of one row, whose value is checked; every other session by a prepared statement
write     INSERT of an id that is used once, autocommit; every other session by a prepared statement
transact  BEGIN, two INSERTs, COMMIT
connect   a new connection per second, one SELECT, and away
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import asyncpg

PERIOD = 0.05  # seconds from the start of a session's statement to the start of its next one
ROWS = 100  # of drill_rows; row N has the value VALUE * N
VALUE = 7
IDS_PER_SESSION = 1_000_000
PATIENCE = 60.0  # for one statement; longer than any hold
SETTING = "7777kB"  # of work_mem, in each session
DISCONNECTED = "disconnected"  # in place of an SQLSTATE: the connection ended without an error message of its own
HUNG = "hung"
OUT_OF_STEP = "out of step"
WRONG = "wrong answer"

Connection = asyncpg.Connection


@dataclass
class Record:
    """One statement, transaction or new connection."""
    session: int
    begin: float
    seconds: float
    error: str = ""  # SQLSTATE, or one of the words above
    text: str = ""
    ids: list[int] = field(default_factory=list)
    stage: str = ""  # transactions: the statement that failed


@dataclass
class Session:
    disconnects: int = 0
    settings_kept: bool = True
    statement_kept: bool = True


@dataclass
class Findings:
    records: list[Record] = field(default_factory=list)
    sessions: list[Session] = field(default_factory=list)
    own_delay: float = 0.0


class Group:
    def __init__(self, kind: str, port: int):
        self._kind = kind
        self._port = port
        self._stop = asyncio.Event()
        self.findings = Findings()

    async def _connect(self, name: str) -> Connection:
        return await asyncpg.connect(host="127.0.0.1", port=self._port, user="app", database="test", ssl=False,
                                     timeout=PATIENCE, server_settings={"application_name": name})

    async def _watch_ourselves(self) -> None:
        step = 0.01
        while not self._stop.is_set():
            begin = time.monotonic()
            await asyncio.sleep(step)
            self.findings.own_delay = max(self.findings.own_delay, time.monotonic() - begin - step)

    async def _measured(self, number: int, connection: Connection | None, work, ids: list[int] | None = None) -> Record:
        """Runs `work` and says how it ended. Never raises for what a server or a proxy may do."""
        begin = time.monotonic()
        record = Record(number, begin, 0.0, ids=ids or [])
        try:
            async with asyncio.timeout(PATIENCE):
                await work(record)
        except TimeoutError:
            record.error = HUNG
        except asyncpg.PostgresError as error:
            record.error, record.text = error.sqlstate or DISCONNECTED, str(error)
            if isinstance(error, asyncpg.ConnectionDoesNotExistError) or (connection is None or connection.is_closed()):
                record.error = f"{DISCONNECTED} {record.error}" if record.error != "08003" else DISCONNECTED
        except asyncpg.InternalClientError as error:  # an answer that the protocol does not allow here
            record.error, record.text = OUT_OF_STEP, str(error)
            if connection is not None:
                connection.terminate()
        except (OSError, asyncpg.InterfaceError, EOFError) as error:
            record.error, record.text = DISCONNECTED, f"{type(error).__name__}: {error}"
        record.seconds = time.monotonic() - begin
        self.findings.records.append(record)
        return record

    async def _until_next(self, record: Record, period: float) -> None:
        try:
            async with asyncio.timeout(max(0.0, record.begin + period - time.monotonic())):
                await self._stop.wait()
        except TimeoutError:
            pass

    # --- persistent sessions ---------------------------------------------------------------------------------------

    async def _ready(self, number: int) -> tuple[Connection, Any]:
        connection = await self._connect(f"drill-{self._kind}-{number}")
        await connection.execute(f"SET work_mem = '{SETTING}'")
        statement = await connection.prepare("SELECT value FROM drill_rows WHERE id = $1" if self._kind == "read" else
                                             "INSERT INTO drill_writes (id) VALUES ($1)")
        return connection, statement

    async def _persistent(self, number: int, ready: asyncio.Barrier) -> None:
        session = Session()
        self.findings.sessions.append(session)
        connection, statement = await self._ready(number)
        await ready.wait()
        await asyncio.sleep(PERIOD * number / 10)  # not all at the same moment
        count = 0
        while not self._stop.is_set():
            count += 1
            work = getattr(self, f"_{self._kind}")(number, count, connection, statement)
            record = await self._measured(number, connection, *work)
            if connection.is_closed() or record.error == HUNG:
                session.disconnects += 1
                connection.terminate()
                while not self._stop.is_set():
                    try:
                        connection, statement = await self._ready(number)
                        break
                    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError):
                        await asyncio.sleep(0.1)
            await self._until_next(record, PERIOD)
        if session.disconnects == 0:
            await self._check(connection, statement, session, number)
        if not connection.is_closed():
            await connection.close(timeout=5)

    async def _check(self, connection: Connection, statement: Any, session: Session, number: int) -> None:
        """What an application has set up is still there."""
        async def work(_):
            session.settings_kept = await connection.fetchval("SHOW work_mem") == SETTING
            session.statement_kept = False
            if self._kind == "read":
                session.statement_kept = await statement.fetchval(1) == VALUE
            else:
                await statement.fetch(-1 - number)
                session.statement_kept = True
        record = await self._measured(number, connection, work)
        self.findings.records.remove(record)
        if record.error:
            session.settings_kept = session.settings_kept and not record.error
            print(f"{self._kind} {number}: {record.error} {record.text}", file=sys.stderr)

    def _read(self, number: int, count: int, connection: Connection, statement: Any) -> tuple:
        row = 1 + (count * 13 + number) % ROWS

        async def work(record: Record) -> None:
            if number % 2:
                answer = await statement.fetchval(row)
            else:
                tag = await connection.execute(f"SELECT 1 FROM drill_rows WHERE id = {row} AND value = {VALUE * row}")
                answer = VALUE * row if tag == "SELECT 1" else tag
            if answer != VALUE * row:
                record.error, record.text = WRONG, f"row {row}: {answer}"
        return work,

    def _write(self, number: int, count: int, connection: Connection, statement: Any) -> tuple:
        value = number * IDS_PER_SESSION + count

        async def work(_) -> None:
            if number % 2:
                await statement.fetch(value)
            else:
                await connection.execute(f"INSERT INTO drill_writes (id) VALUES ({value})")
        return work, [value]

    def _transact(self, number: int, count: int, connection: Connection, statement: Any) -> tuple:
        values = [(100 + number) * IDS_PER_SESSION + 2 * count + more for more in (0, 1)]

        async def work(record: Record) -> None:
            try:
                record.stage = "BEGIN"
                await connection.execute("BEGIN")
                for value in values:
                    record.stage = "INSERT"
                    await statement.fetch(value)
                    await asyncio.sleep(PERIOD / 4)
                record.stage = "COMMIT"
                if (tag := await connection.execute("COMMIT")) != "COMMIT":
                    record.error = f"COMMIT answered {tag}"
                record.stage = ""
            except asyncpg.PostgresError:
                if not connection.is_closed() and connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
                raise
        return work, values

    # --- new connections -------------------------------------------------------------------------------------------

    async def _one_connection(self, number: int) -> None:
        async def work(record: Record) -> None:
            connection = await self._connect("drill-connect")
            try:
                answer = await connection.fetchval("SELECT value FROM drill_rows WHERE id = 1")
                if answer != VALUE:
                    record.error, record.text = WRONG, str(answer)
            finally:
                record.seconds = time.monotonic() - record.begin
                connection.terminate()
        await self._measured(number, None, work)

    async def _new_connections(self, period: float) -> None:
        """Each begins in time, whatever became of those before."""
        tasks: list[asyncio.Task] = []
        while not self._stop.is_set():
            begin = time.monotonic()
            tasks.append(asyncio.create_task(self._one_connection(len(tasks))))
            await self._until_next(Record(0, begin, 0.0), period)
        await asyncio.gather(*tasks)

    # --- all of it -------------------------------------------------------------------------------------------------

    async def run(self, sessions: int) -> Findings:
        loop = asyncio.get_running_loop()
        loop.add_reader(sys.stdin.fileno(), self._stop.set)
        barrier = asyncio.Barrier(sessions + 1)
        if self._kind == "connect":
            work = [asyncio.create_task(self._new_connections(1.0 / sessions))]
        else:
            work = [asyncio.create_task(self._persistent(number, barrier)) for number in range(sessions)]
            opened = asyncio.create_task(barrier.wait())
            await asyncio.wait([opened, *work], return_when=asyncio.FIRST_COMPLETED)
            for task in work:
                if task.done():
                    task.result()  # raises: it could not even begin
        print("ready", flush=True)
        watch = asyncio.create_task(self._watch_ourselves())
        await asyncio.gather(*work)
        await watch
        return self.findings


def main() -> None:
    kind, port, sessions = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print(json.dumps(asdict(asyncio.run(Group(kind, port).run(sessions)))), flush=True)


if __name__ == "__main__":
    main()
