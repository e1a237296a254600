"""asyncpg: it prepares everything under the same names on all connections, asks for types on its own, and resets a
connection with one multi-statement query when its pool takes it back."""

import asyncio
import random
from decimal import Decimal

import asyncpg
import pytest

from arena import ACCOUNTS, CLIENTS, DATABASE, TIME_LIMIT, USER, label
from harness.waiting import SCALE

ROUNDS = 5


def settings(arena, number: int) -> dict:
    return {"host": arena.host, "port": arena.port, "database": DATABASE, "user": USER, "timeout": 30, "ssl": False,
            "server_settings": {"application_name": f"asyncpg-{number}", "search_path": f"c{number}"}}


def together(arena, work, **more) -> None:
    """Runs work(number, connection) on all connections at once, each begun when all stand."""
    everyone = asyncio.Event()
    connected = 0

    async def one(number):
        nonlocal connected
        connection = await asyncpg.connect(**settings(arena, number), **more)
        try:
            connected += 1
            if connected == CLIENTS:
                everyone.set()
            await everyone.wait()
            await work(number, connection)
            await connection.close(timeout=10)
        finally:
            connection.terminate()

    run(asyncio.gather, one)


def run(gather, one) -> None:
    async def main():
        await asyncio.wait_for(gather(*map(one, range(CLIENTS))), TIME_LIMIT * SCALE)
    asyncio.run(main())


async def check_identity(connection, number: int) -> None:
    row = await connection.fetchrow("SELECT number, label, who(), current_setting('application_name') FROM me")
    assert tuple(row) == (number, label(number), number, f"asyncpg-{number}")


@pytest.mark.parametrize("cache", [100, 2, 0], ids=lambda size: f"cache_{size}")
def test_automatic_prepared_statements(arena, cache):
    async def work(number, connection):
        await connection.execute(f"SET TimeZone = 'Etc/GMT+{number % 12}'")
        for step in range(ROUNDS):
            for offset in range(4):
                text = f"SELECT {number} * 1000 + $1::int, {(number + offset) % 4}, label FROM me"
                row = await connection.fetchrow(text, step)
                assert tuple(row) == (number * 1000 + step, (number + offset) % 4, label(number))
            await check_identity(connection, number)
            assert await connection.fetchval("SHOW TimeZone") == f"Etc/GMT+{number % 12}"
            with pytest.raises(asyncpg.DivisionByZeroError):
                await connection.fetchval("SELECT 1 / $1::int", 0)
    together(arena, work, statement_cache_size=cache)


def test_prepared_by_hand(arena):
    async def work(number, connection):
        statement = await connection.prepare(f"SELECT {number} * 1000 + $1::int AS value, label FROM me")
        assert [parameter.name for parameter in statement.get_parameters()] == ["int4"]
        assert [(a.name, a.type.name) for a in statement.get_attributes()] \
            == [("value", "int4"), ("label", "int4" if number % 2 else "text")]
        for step in range(ROUNDS):
            assert await statement.fetchval(step) == number * 1000 + step
            async with connection.transaction():
                assert [row[0] async for row in statement.cursor(step, prefetch=1)] == [number * 1000 + step]
        assert "me" in str(await statement.explain(1))
    together(arena, work)


def test_types_are_introspected(arena):
    """Enums, composites, domains and arrays of each schema have their own OIDs and their own values."""
    async def work(number, connection):
        mood = f"mood{number}"
        for _ in range(2):
            row = await connection.fetchrow("SELECT $1::mood, $2::point3, $3::small, $4::mood[], $5::point3[]",
                                            mood, (number, "y", "calm"), number, [mood, "calm"], [(1, "a", mood), None])
            assert row[0] == mood and tuple(row[1]) == (number, "y", "calm") and row[2] == number
            assert row[3] == [mood, "calm"] and tuple(row[4][0]) == (1, "a", mood) and row[4][1] is None
            with pytest.raises(asyncpg.CheckViolationError):
                await connection.fetchval("SELECT $1::small", 1000 + number)
            with pytest.raises(asyncpg.InvalidTextRepresentationError):
                await connection.fetchval("SELECT $1::mood", f"mood{(number + 1) % CLIENTS}")
            await connection.reload_schema_state()
    together(arena, work)


def test_cursors_in_transactions(arena):
    async def work(number, connection):
        for _ in range(ROUNDS):
            async with connection.transaction():
                text = "SELECT number * 1000 + n FROM me, generate_series(1, $1::int) n ORDER BY n"
                expected = [number * 1000 + n for n in range(1, 61)]
                assert [row[0] async for row in connection.cursor(text, 60, prefetch=7)] == expected
                cursor = await connection.cursor(text, 60)
                assert (await cursor.fetchrow())[0] == number * 1000 + 1
                assert await cursor.forward(9) == 9
                await check_identity(connection, number)
                assert [row[0] for row in await cursor.fetch(5)] == [number * 1000 + n for n in range(11, 16)]
            with pytest.raises(asyncpg.NoActiveSQLTransactionError):
                await connection.cursor(text, 60)
    together(arena, work)


def test_transactions(arena):
    async def work(number, connection):
        for step in range(ROUNDS):
            async with connection.transaction(isolation="repeatable_read"):
                await connection.execute("INSERT INTO items (id, name) VALUES ($1, $2)", step, f"c{number}")
                with pytest.raises(asyncpg.UniqueViolationError):
                    async with connection.transaction():
                        await connection.execute("INSERT INTO items (id, name) VALUES ($1, 'lost')", 1000)
                        await connection.execute("INSERT INTO items (id, name) VALUES ($1, 'twice')", step)
                assert await connection.fetchval("SHOW transaction_isolation") == "repeatable read"
            with pytest.raises(asyncpg.ReadOnlySQLTransactionError):
                async with connection.transaction(readonly=True):
                    await connection.execute("INSERT INTO items (id, name) VALUES (2000, 'never')")
            rows = await connection.fetch("SELECT id, name FROM items ORDER BY id")
            assert rows == [(i, f"c{number}") for i in range(step + 1)]
    together(arena, work)


def test_copy(arena):
    async def work(number, connection):
        records = [(i, f"näme\t{number}-{i}", Decimal(f"{number}.{i:02}"), [number, i], bytes([number, i]))
                   for i in range(100)]
        for _ in range(3):
            assert await connection.copy_records_to_table("items", records=records) == "COPY 100"
            out = bytearray()

            async def take(data):
                out.extend(data)
            query = "SELECT id, name FROM items WHERE id < $1 ORDER BY id"
            assert await connection.copy_from_query(query, 50, output=take) == "COPY 50"
            assert out.decode() == "".join(f"{i}\tnäme\\t{number}-{i}\n" for i in range(50))
            assert [tuple(row) for row in await connection.fetch("SELECT * FROM items ORDER BY id")] == records
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.copy_records_to_table("items", records=records[:3])
            await check_identity(connection, number)
            await connection.execute("DELETE FROM items")
    together(arena, work)


def test_executemany(arena):
    async def work(number, connection):
        insert = "INSERT INTO items (id, name) VALUES ($1, $2)"
        await connection.executemany(insert, [(i, f"c{number}") for i in range(300)])
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.executemany(insert, [(1000 + i % 10, "lost") for i in range(300)])
        rows = await connection.fetch("SELECT id, name FROM items ORDER BY id")
        assert [tuple(row) for row in rows] == [(i, f"c{number}") for i in range(300)]
        assert await connection.fetch("SELECT id FROM items WHERE id >= 1000") == []
    together(arena, work)


def test_its_own_pool_resets(arena):
    """Tasks share the driver's pool; each leaves settings, cursors and locks, and none finds those of another."""
    async def main():
        async with asyncpg.create_pool(**settings(arena, 0), min_size=CLIENTS, max_size=CLIENTS) as pool:
            async def task(number):
                for step in range(ROUNDS):
                    async with pool.acquire() as connection:
                        await check_identity(connection, 0)
                        assert await connection.fetchval("SHOW TimeZone") == "UTC"
                        assert await connection.fetchval("SELECT current_setting('drivers.task', true)") in (None, "")
                        await connection.execute(f"SET TimeZone = 'Etc/GMT+{number % 12 + 1}'; "
                                                 f"SET search_path = c{number}")
                        await connection.execute("SELECT set_config('drivers.task', $1, false)", str(number))
                        assert await connection.fetchval("SELECT number FROM c0.me") == 0
                        assert await connection.fetchval("SELECT number FROM me") == number
                        assert await connection.fetchval("SHOW TimeZone") == f"Etc/GMT+{number % 12 + 1}"
                        async with connection.transaction():
                            await connection.execute("INSERT INTO items (id, name) VALUES ($1, $2)", step, str(number))
                        assert await connection.fetchval("SELECT current_setting('drivers.task')") == str(number)
            await asyncio.wait_for(asyncio.gather(*map(task, range(CLIENTS))), TIME_LIMIT * SCALE)
    asyncio.run(main())
    for number in range(CLIENTS):
        expected = [(step, str(number)) for step in range(ROUNDS)]
        assert arena.sql(f"SELECT id, name FROM c{number}.items ORDER BY id") == expected


def test_locks_are_released_by_the_reset(arena):
    """The pool's reset says pg_advisory_unlock_all(): the next task gets the lock at once."""
    async def main():
        async with asyncpg.create_pool(**settings(arena, 0), min_size=4, max_size=4) as pool:
            async def task(number):
                async with pool.acquire() as connection:
                    await connection.execute("SELECT pg_advisory_lock($1)", number % 2)
                    assert await connection.fetchval("SELECT number FROM me") == 0
                    held.append(number)
            held = []
            await asyncio.wait_for(asyncio.gather(*map(task, range(12))), TIME_LIMIT * SCALE)
            assert sorted(held) == list(range(12))
            assert arena.sql("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'") == [(0,)]
    asyncio.run(main())


def test_transfers(arena):
    async def work(number, connection):
        dice = random.Random(number)
        for step in range(20):
            source, target = dice.sample(range(1, ACCOUNTS + 1), 2)
            transaction = connection.transaction()
            await transaction.start()
            for account, change in sorted([(source, -3), (target, 3)]):
                look = "SELECT balance FROM bank.accounts WHERE id = $1 FOR UPDATE"
                before = await connection.fetchval(look, account)
                after = await connection.fetchval("UPDATE bank.accounts SET balance = balance + $1 WHERE id = $2 "
                                                  "RETURNING balance", change, account)
                assert after == before + change
            await connection.execute("INSERT INTO bank.transfers VALUES ($1, $2, $3, 3)", number, source, target)
            await (transaction.rollback() if step % 4 == 3 else transaction.commit())
    together(arena, work)
    arena.check_bank(CLIENTS * 15)


def test_listener(arena):
    heard = []

    async def work(number, connection):
        if number == 0:
            done = asyncio.Event()

            def hear(_connection, _pid, _channel, payload):
                heard.append(payload)
                if len(heard) == (CLIENTS - 1) * ROUNDS:
                    done.set()
            await connection.add_listener("asyncpg", hear)
            listening.set()
            await done.wait()
            await connection.remove_listener("asyncpg", hear)
        else:
            await listening.wait()
            for step in range(ROUNDS):
                await connection.execute("SELECT pg_notify('asyncpg', $1)", f"{number} {step}")
    listening = asyncio.Event()
    together(arena, work)
    order = [tuple(map(int, payload.split())) for payload in heard]
    assert sorted(order) == [(number, step) for number in range(1, CLIENTS) for step in range(ROUNDS)]
    for number in range(1, CLIENTS):
        assert [step for sender, step in order if sender == number] == list(range(ROUNDS))


def test_cancelled_tasks(arena):
    """A task that gives up makes the driver send a cancel request: the connection is good for the next query."""
    async def work(number, connection):
        for step in range(2):
            if number % 5 == 0:
                with pytest.raises(asyncio.TimeoutError):
                    await connection.fetchval("SELECT pg_sleep($1)", 300.0, timeout=0.2)
            else:
                for value in range(10):
                    short = "SELECT $1::int + number FROM me, pg_sleep(0.01)"
                    assert await connection.fetchval(short, value) == value + number
            await check_identity(connection, number)
    together(arena, work)
