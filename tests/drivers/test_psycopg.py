"""psycopg 3, sync and async."""

import asyncio
import random
import threading
from contextlib import contextmanager
from decimal import Decimal

import psycopg
import pytest
from psycopg import errors, sql

from arena import ACCOUNTS, BALANCE, CLIENTS, DATABASE, TIME_LIMIT, USER, in_parallel, label
from harness.waiting import SCALE

ROUNDS = 5


def parameters(arena, number: int, **more) -> dict:
    return {"host": arena.host, "port": arena.port, "dbname": DATABASE, "user": USER, "connect_timeout": 30,
            "application_name": f"psycopg-{number}", "options": f"-c search_path=c{number}", **more}


class Together:
    """`together(number)` connects and goes on when all connections stand."""

    def __init__(self, arena, **more):
        self._arena = arena
        self._more = more
        self._barrier = threading.Barrier(CLIENTS)

    @contextmanager
    def __call__(self, number: int):
        with psycopg.connect(**parameters(self._arena, number, **self._more)) as connection:
            self._barrier.wait(TIME_LIMIT * SCALE)
            try:
                yield connection
            except BaseException:
                connection.close()  # not a commit or rollback that would hide the failure
                raise


def check_identity(connection, number: int) -> None:
    row = connection.execute("SELECT number, label, who(), current_setting('application_name'), "
                             "current_setting('search_path') FROM me").fetchone()
    assert row == (number, label(number), number, f"psycopg-{number}", f"c{number}")


def test_settings_stay_with_their_connection(arena):
    together = Together(arena, autocommit=True)

    def work(number):
        with together(number) as connection:
            connection.execute(f"SET TimeZone = 'Etc/GMT+{number % 12}'")
            connection.execute("SELECT set_config('drivers.number', %s, false)", [str(number)])
            for step in range(ROUNDS):
                check_identity(connection, number)
                assert connection.execute("SHOW TimeZone").fetchone() == (f"Etc/GMT+{number % 12}",)
                assert connection.execute("SELECT current_setting('drivers.number')").fetchone() == (str(number),)
                with connection.transaction():
                    connection.execute("SET LOCAL work_mem = '1234kB'")
                    connection.execute(f"SET LOCAL application_name = 'local-{number}'")
                    local = connection.execute("SELECT current_setting('work_mem'), "
                                               "current_setting('application_name')")
                    assert local.fetchone() == ("1234kB", f"local-{number}")
                assert connection.execute("SHOW work_mem").fetchone() != ("1234kB",)
                with pytest.raises(ZeroDivisionError), connection.transaction():
                    connection.execute(f"SET TimeZone = 'Etc/GMT-{step}'")
                    raise ZeroDivisionError
                with connection.transaction(force_rollback=True):
                    connection.execute("SET ROLE other_driver")
                    assert connection.execute("SELECT current_user").fetchone() == ("other_driver",)
                assert connection.execute("SELECT current_user, current_setting('TimeZone')").fetchone() \
                    == (USER, f"Etc/GMT+{number % 12}")
                assert connection.info.parameter_status("TimeZone") == f"Etc/GMT+{number % 12}"
                assert connection.info.parameter_status("application_name") == f"psycopg-{number}"
            connection.execute("RESET ALL")
            check_identity(connection, number)
            assert connection.execute("SHOW TimeZone").fetchone() == ("UTC",)
    in_parallel(work)


@pytest.mark.parametrize("threshold", [0, 1, 5, None], ids=lambda value: f"threshold_{value}")
def test_prepared_statements(arena, threshold):
    """The driver names them _pg3_0, _pg3_1, ... on every connection; each connection begins with another text."""
    together = Together(arena, autocommit=True, prepare_threshold=threshold)

    def work(number):
        with together(number) as connection:
            for step in range(12):
                for offset in range(3):
                    row = connection.execute(f"SELECT {number} * 1000 + %s::int, label FROM me",
                                             [step + (number + offset) % 3]).fetchone()
                    assert row == (number * 1000 + step + (number + offset) % 3, label(number))
                check_identity(connection, number)
    in_parallel(work)


def test_prepared_statements_are_thrown_away(arena):
    """With room for two, the driver says DEALLOCATE all the time; after a rollback, DEALLOCATE ALL."""
    together = Together(arena, autocommit=True, prepare_threshold=0)

    def work(number):
        with together(number) as connection:
            connection.prepared_max = 2
            for step in range(30):
                text = f"SELECT {number}, {(number + step) % 7}, %s::text"
                assert connection.execute(text, [f"v{step}"]).fetchone() == (number, (number + step) % 7, f"v{step}")
                if step % 10 == 9:
                    with pytest.raises(errors.DivisionByZero), connection.transaction():
                        connection.execute("CREATE TABLE never (id int)")
                        connection.execute("SELECT 1 / %s::int", [0])
            check_identity(connection, number)
    in_parallel(work)


def test_a_statement_survives_a_change_of_its_table(arena):
    together = Together(arena, autocommit=True, prepare_threshold=0)

    def work(number):
        with together(number) as connection:
            connection.execute("CREATE TABLE changing (id int)")
            connection.execute("INSERT INTO changing VALUES (%s)", [number])
            for step in range(3):
                connection.execute(f"ALTER TABLE changing ADD COLUMN more{step} text DEFAULT 'm{number}'")
                row = connection.execute(f"SELECT id, more{step} FROM changing").fetchone()
                assert row == (number, f"m{number}")
            connection.execute("DROP TABLE changing")
    in_parallel(work)


def test_transactions_and_savepoints(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for step in range(ROUNDS):
                with connection.transaction():
                    connection.execute("INSERT INTO items (id, name) VALUES (%s, 'kept')", [step * 10])
                    for inner in range(1, 4):
                        with pytest.raises(errors.UniqueViolation), connection.transaction():
                            connection.execute("INSERT INTO items (id, name) VALUES (%s, 'lost')", [step * 10 + inner])
                            connection.execute("INSERT INTO items (id, name) VALUES (%s, 'twice')", [step * 10])
                        with connection.transaction(f"inner{inner}"):
                            connection.execute("INSERT INTO items (id, name) VALUES (%s, %s)",
                                               [step * 10 + inner, f"c{number}"])
                with connection.transaction(force_rollback=True):
                    connection.execute("DELETE FROM items")
                with pytest.raises(errors.SyntaxError):
                    connection.execute("SELEC 1")
                with pytest.raises(errors.InFailedSqlTransaction):
                    connection.execute("SELECT 1")
                connection.rollback()
                assert connection.execute("SELECT count(*), count(*) FILTER (WHERE name = %s) FROM items",
                                          [f"c{number}"]).fetchone() == ((step + 1) * 4, (step + 1) * 3)
                connection.commit()
    in_parallel(work)


@pytest.mark.parametrize("threshold", [0, None], ids=["prepared", "unprepared"])
def test_transfers(arena, threshold):
    together = Together(arena, prepare_threshold=threshold)

    def work(number):
        dice = random.Random(number)
        with together(number) as connection:
            for step in range(20):
                source, target = dice.sample(range(1, ACCOUNTS + 1), 2)
                amount = dice.randrange(1, 100)
                for account, change in sorted([(source, -amount), (target, amount)]):
                    [(before,)] = connection.execute("SELECT balance FROM bank.accounts WHERE id = %s FOR UPDATE",
                                                     [account])
                    [(after,)] = connection.execute("UPDATE bank.accounts SET balance = balance + %s WHERE id = %s "
                                                    "RETURNING balance", [change, account])
                    assert after == before + change
                connection.execute("INSERT INTO bank.transfers VALUES (%s, %s, %s, %s)",
                                   [number, source, target, amount])
                if step % 4 == 3:
                    connection.rollback()
                else:
                    connection.commit()
    in_parallel(work)
    arena.check_bank(CLIENTS * 15)


@pytest.mark.parametrize("end", ["on_commit_drop", "drop", "leave"])
def test_temporary_tables(arena, end):
    """The same name on all connections, which need a server connection of their own as long as the table is there."""
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for step in range(3):
                if end != "leave" or step == 0:
                    on_commit = "ON COMMIT DROP" if end == "on_commit_drop" else ""
                    connection.execute(f"CREATE TEMP TABLE same (v int) {on_commit}")
                for _ in range(5):
                    connection.execute("INSERT INTO same VALUES (%s)", [number])
                    if end != "on_commit_drop":
                        connection.commit()
                expected = 5 * (step + 1) if end == "leave" else 5
                assert connection.execute("SELECT count(*), min(v), max(v) FROM same").fetchone() \
                    == (expected, number, number)
                check_identity(connection, number)
                if end == "drop":
                    connection.execute("DROP TABLE same")
                connection.commit()
                if end != "leave":
                    with pytest.raises(errors.UndefinedTable):
                        connection.execute("SELECT * FROM same")
                    connection.rollback()
    in_parallel(work)


def test_advisory_locks(arena):
    """A counter that only the holder of the lock reads and writes: no update is lost."""
    together = Together(arena, autocommit=True)

    def work(number):
        with together(number) as connection:
            for _ in range(ROUNDS):
                connection.execute("SELECT pg_advisory_lock(4711)")
                with connection.transaction():
                    [(balance,)] = connection.execute("SELECT balance FROM bank.accounts WHERE id = 1").fetchall()
                    connection.execute("UPDATE bank.accounts SET balance = %s WHERE id = 1", [balance + 1])
                assert connection.execute("SELECT pg_advisory_unlock(4711)").fetchone() == (True,)
                check_identity(connection, number)
            assert connection.execute("SELECT pg_advisory_unlock(4711)").fetchone() == (False,)
    in_parallel(work)
    assert arena.sql("SELECT balance FROM bank.accounts WHERE id = 1") == [(BALANCE + CLIENTS * ROUNDS,)]
    assert arena.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]


def test_isolation_and_read_only(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            connection.read_only = number % 2 == 1
            for _ in range(ROUNDS):
                shown = connection.execute("SELECT current_setting('transaction_isolation'), "
                                           "current_setting('transaction_read_only')").fetchone()
                assert shown == ("repeatable read", "on" if number % 2 else "off")
                check_identity(connection, number)
                if number % 2:
                    with pytest.raises(errors.ReadOnlySqlTransaction):
                        connection.execute("INSERT INTO items (id, name) VALUES (1, 'x')")
                    connection.rollback()
                else:
                    connection.commit()
    in_parallel(work)


def test_pipeline(arena):
    together = Together(arena, autocommit=True)

    def work(number):
        with together(number) as connection:
            for step in range(ROUNDS):
                with connection.pipeline() as pipeline:
                    cursors = [connection.execute("SELECT %s::int * 1000 + number, label FROM me", [value])
                               for value in range(10)]
                    pipeline.sync()
                    writes = connection.cursor()
                    writes.executemany("INSERT INTO items (id, name) VALUES (%s, %s) RETURNING id, name",
                                       [(step * 10 + i, f"c{number}") for i in range(10)], returning=True)
                    last = connection.execute("SELECT count(*) FROM items")
                for value, cursor in enumerate(cursors):
                    assert cursor.fetchone() == (value * 1000 + number, label(number))
                for i in range(10):
                    assert writes.fetchone() == (step * 10 + i, f"c{number}")
                    writes.nextset()
                assert last.fetchone() == ((step + 1) * 10,)
    in_parallel(work)


def test_pipeline_with_errors(arena):
    """What follows an error is skipped up to the next sync; the driver may notice at any later step."""
    together = Together(arena, autocommit=True)

    def work(number):
        with together(number) as connection:
            for step in range(ROUNDS):
                with pytest.raises(errors.DivisionByZero), connection.pipeline() as pipeline:
                    good = connection.execute("SELECT %s::int", [number])
                    bad = connection.execute("SELECT 1 / %s::int", [0])
                    connection.execute("INSERT INTO items (id, name) VALUES (%s, 'skipped')", [step])
                    pipeline.sync()
                    bad.fetchone()
                assert good.fetchone() == (number,)
                with connection.pipeline():
                    again = connection.execute("SELECT number FROM me")
                    with connection.transaction():
                        connection.execute("INSERT INTO items (id, name) VALUES (%s, 'kept')", [1000 + step])
                        with pytest.raises(errors.UniqueViolation), connection.transaction():
                            connection.execute("INSERT INTO items (id, name) VALUES (%s, 'lost')", [2000 + step])
                            connection.execute("INSERT INTO items (id, name) VALUES (%s, 'twice')", [1000 + step])
                            connection.execute("SELECT 1").fetchone()
                assert again.fetchone() == (number,)
            assert connection.execute("SELECT array_agg(id ORDER BY id) FROM items").fetchone() \
                == ([1000 + step for step in range(ROUNDS)],)
    in_parallel(work)


@pytest.mark.parametrize("binary", [False, True], ids=["text", "binary"])
def test_server_cursors(arena, binary):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for _ in range(ROUNDS):
                with connection.cursor("same", binary=binary) as cursor:
                    cursor.itersize = 7
                    cursor.execute("SELECT number * 1000 + n FROM me, generate_series(1, 50) n ORDER BY n")
                    assert [value for value, in cursor] == [number * 1000 + n for n in range(1, 51)]
                with connection.cursor("same", scrollable=True) as cursor:
                    cursor.execute("SELECT number * 100 + n FROM me, generate_series(0, %s) n ORDER BY n", [99])
                    cursor.scroll(50)
                    assert cursor.fetchone() == (number * 100 + 50,)
                    cursor.scroll(-10)
                    assert cursor.fetchmany(2) == [(number * 100 + 41,), (number * 100 + 42,)]
                    cursor.scroll(99, mode="absolute")
                    assert cursor.fetchall() == [(number * 100 + 99,)]
                connection.commit()
    in_parallel(work)


def test_cursors_with_hold(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for _ in range(3):
                with connection.cursor("held", withhold=True) as cursor:
                    cursor.execute("SELECT number * 1000 + n FROM me, generate_series(1, 30) n ORDER BY n")
                    assert cursor.fetchmany(10) == [(number * 1000 + n,) for n in range(1, 11)]
                    connection.commit()
                    check_identity(connection, number)
                    connection.commit()
                    assert cursor.fetchall() == [(number * 1000 + n,) for n in range(11, 31)]
                connection.commit()
    in_parallel(work)


@pytest.mark.parametrize("form", ["text", "binary"])
def test_copy_both_ways(arena, form):
    together = Together(arena)

    def work(number):
        rows = [(i, f"näme\t\\{number}-{i}\n", Decimal(f"{number}.{i:02}"), [number, i], bytes([number, i]))
                for i in range(100)]
        rows.append((100, "", None, None, None))
        into = sql.SQL("COPY items FROM STDIN (FORMAT {})").format(sql.SQL(form))
        out = sql.SQL("COPY (SELECT * FROM items ORDER BY id) TO STDOUT (FORMAT {})").format(sql.SQL(form))
        types = ["int4", "text", "numeric", "int4[]", "bytea"]
        with together(number) as connection:
            for _ in range(3):
                with connection.cursor().copy(into) as copy:
                    copy.set_types(types)
                    for row in rows:
                        copy.write_row(row)
                connection.commit()
                with connection.cursor().copy(out) as copy:
                    copy.set_types(types)
                    assert list(copy.rows()) == rows
                with pytest.raises(errors.UniqueViolation), connection.cursor().copy(into) as copy:
                    copy.set_types(types)
                    copy.write_row(rows[0])
                connection.rollback()
                with pytest.raises(errors.QueryCanceled, match="given up"), connection.cursor().copy(into) as copy:
                    copy.set_types(types)
                    copy.write_row((500, "never", None, None, None))
                    raise RuntimeError("given up")
                connection.rollback()
                check_identity(connection, number)
                connection.execute("DELETE FROM items")
                connection.commit()
    in_parallel(work)


def test_two_phase_commit(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for step in range(3):
                for end in (connection.tpc_rollback, connection.tpc_commit):
                    connection.tpc_begin(connection.xid(1, f"psycopg-{number}-{step}", end.__name__))
                    connection.execute("INSERT INTO items (id, name) VALUES (%s, %s)", [step, end.__name__])
                    connection.tpc_prepare()
                    end()
                assert connection.execute("SELECT count(*), min(name) FROM items").fetchone() \
                    == (step + 1, "tpc_commit")
                connection.commit()
    in_parallel(work)


def test_cancel_reaches_the_right_statement(arena):
    together = Together(arena, autocommit=True)

    def cancel_until(connection, ended):
        while not ended.wait(0.2):  # a request that comes before its statement does nothing
            connection.cancel()

    def work(number):
        with together(number) as connection:
            for _ in range(2):
                if number % 5 == 0:
                    ended = threading.Event()
                    canceller = threading.Thread(target=cancel_until, args=(connection, ended), daemon=True)
                    canceller.start()
                    with pytest.raises(errors.QueryCanceled):
                        connection.execute("SELECT pg_sleep(300)")
                    ended.set()
                    canceller.join()
                else:
                    for value in range(10):
                        short = connection.execute("SELECT %s::int + number FROM me, pg_sleep(0.01)", [value])
                        assert short.fetchone() == (value + number,)
            check_identity(connection, number)
    in_parallel(work)


def test_async(arena):
    """All connections on one event loop: prepared, pipelined, cursors, copy, transfers."""
    everyone = asyncio.Event()
    connected = 0

    async def work(number):
        nonlocal connected
        dice = random.Random(number)
        connection = await psycopg.AsyncConnection.connect(**parameters(arena, number, prepare_threshold=0))
        async with connection:
            connected += 1
            if connected == CLIENTS:
                everyone.set()
            await everyone.wait()
            for step in range(ROUNDS):
                async with connection.pipeline():
                    first = await connection.execute("SELECT number, label FROM me")
                    second = await connection.execute("SELECT %s::int * number FROM me", [step])
                assert await first.fetchone() == (number, label(number))
                assert await second.fetchone() == (step * number,)
                async with connection.cursor("same") as cursor:
                    await cursor.execute("SELECT number + n FROM me, generate_series(1, 20) n ORDER BY n")
                    assert [value async for value, in cursor] == [number + n for n in range(1, 21)]
                async with connection.cursor() as cursor:
                    async with cursor.copy("COPY items (id, name) FROM STDIN") as copy:
                        for i in range(10):
                            await copy.write_row((step * 10 + i, f"c{number}"))
                    await connection.commit()
                    async with cursor.copy("COPY items (id, name) TO STDOUT") as copy:
                        rows = [row async for row in copy.rows()]
                    assert sorted(int(row[0]) for row in rows) == list(range(step * 10 + 10))
                    assert {row[1] for row in rows} == {f"c{number}"}
                await connection.commit()
                source, target = dice.sample(range(1, ACCOUNTS + 1), 2)
                async with connection.transaction():
                    for account, change in sorted([(source, -1), (target, 1)]):
                        await connection.execute("UPDATE bank.accounts SET balance = balance + %s WHERE id = %s",
                                                 [change, account])
                    await connection.execute("INSERT INTO bank.transfers VALUES (%s, %s, %s, 1)",
                                             [number, source, target])

    async def main():
        await asyncio.wait_for(asyncio.gather(*map(work, range(CLIENTS))), TIME_LIMIT * SCALE)
    asyncio.run(main())
    arena.check_bank(CLIENTS * ROUNDS)
