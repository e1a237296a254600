"""psycopg2: simple protocol only, named cursors as SQL, COPY, autocommit."""

import io
import random
import select
import threading
from contextlib import contextmanager
from decimal import Decimal

import psycopg2
import psycopg2.extras
import pytest
from psycopg2 import errors, extensions

from arena import ACCOUNTS, CLIENTS, DATABASE, TIME_LIMIT, USER, in_parallel, label
from harness.waiting import SCALE

ROUNDS = 5


class Together:
    """`together(number)` connects and goes on when all connections stand."""

    def __init__(self, arena):
        self._arena = arena
        self._barrier = threading.Barrier(CLIENTS)

    @contextmanager
    def __call__(self, number: int, autocommit: bool = False):
        connection = psycopg2.connect(
            host=self._arena.host, port=self._arena.port, dbname=DATABASE, user=USER, connect_timeout=30,
            application_name=f"psycopg2-{number}", options=f"-c search_path=c{number}")
        try:
            connection.autocommit = autocommit
            self._barrier.wait(TIME_LIMIT * SCALE)
            yield connection
        finally:
            connection.close()


def rows(connection, statement: str, values=None) -> list[tuple]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return cursor.fetchall() if cursor.description else []


def check_identity(connection, number: int) -> None:
    assert rows(connection, "SELECT number, label, who(), current_setting('application_name') FROM me") \
        == [(number, label(number), number, f"psycopg2-{number}")]


def test_autocommit_and_settings(arena):
    together = Together(arena)

    def work(number):
        with together(number, autocommit=True) as connection:
            for step in range(ROUNDS):
                rows(connection, "SET TimeZone = %s", [f"Etc/GMT-{number % 12}"])
                connection.set_client_encoding("LATIN1" if (number + step) % 2 else "UTF8")
                assert rows(connection, "SELECT 'é' || number FROM me") == [(f"é{number}",)]
                assert rows(connection, "SHOW client_encoding") == [("LATIN1" if (number + step) % 2 else "UTF8",)]
                rows(connection, "INSERT INTO items (id, name) VALUES (%s, %s)", [step, f"é{number}"])
                with pytest.raises(errors.DivisionByZero):
                    rows(connection, "DELETE FROM items; SELECT 1 / 0")
                check_identity(connection, number)
                assert rows(connection, "SELECT count(*), min(name) FROM items") == [(step + 1, f"é{number}")]
                assert rows(connection, "SHOW TimeZone") == [(f"Etc/GMT-{number % 12}",)]
                assert connection.get_parameter_status("TimeZone") == f"Etc/GMT-{number % 12}"
    in_parallel(work)


def test_sql_prepared_statements(arena):
    together = Together(arena)

    def work(number):
        with together(number, autocommit=True) as connection:
            rows(connection, f"PREPARE same (int) AS SELECT {number} * 1000 + $1, label FROM me")
            for step in range(ROUNDS):
                assert rows(connection, "EXECUTE same (%s)", [step]) \
                    == [(number * 1000 + step, label(number))]
                with pytest.raises(errors.DuplicatePreparedStatement):
                    rows(connection, "PREPARE same AS SELECT 1")
                rows(connection, f"PREPARE other{step % 2} AS SELECT {number} + {step}")
                assert rows(connection, f"EXECUTE other{step % 2}") == [(number + step,)]
                rows(connection, f"DEALLOCATE other{step % 2}")
                with pytest.raises(errors.InvalidSqlStatementName):
                    rows(connection, f"EXECUTE other{step % 2}")
                check_identity(connection, number)
    in_parallel(work)


def test_transactions_and_levels(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for step in range(ROUNDS):
                level = "REPEATABLE READ" if step % 2 else "READ COMMITTED"
                connection.set_session(isolation_level=level, readonly=False)
                with connection:
                    rows(connection, "INSERT INTO items (id, name) VALUES (%s, 'kept')", [step])
                    rows(connection, "SAVEPOINT same")
                    with pytest.raises(errors.UniqueViolation):
                        rows(connection, "INSERT INTO items (id, name) VALUES (%s, 'twice')", [step])
                    rows(connection, "ROLLBACK TO SAVEPOINT same")
                    assert rows(connection, "SHOW transaction_isolation") == [(level.lower(),)]
                    check_identity(connection, number)
                with pytest.raises(errors.DivisionByZero), connection:
                    rows(connection, "DELETE FROM items")
                    rows(connection, "SELECT 1 / 0")
                assert connection.get_transaction_status() == extensions.TRANSACTION_STATUS_IDLE
                connection.set_session(readonly=True)
                with pytest.raises(errors.ReadOnlySqlTransaction):
                    rows(connection, "DELETE FROM items")
                connection.rollback()
                assert rows(connection, "SELECT count(*) FROM items") == [(step + 1,)]
                connection.rollback()
    in_parallel(work)


@pytest.mark.parametrize("kind", ["plain", "scroll", "with_hold"])
def test_named_cursors(arena, kind):
    together = Together(arena)

    def work(number):
        with together(number) as connection:
            for _ in range(3):
                with connection.cursor("same", scrollable=kind == "scroll", withhold=kind == "with_hold") as cursor:
                    cursor.itersize = 9
                    cursor.execute("SELECT number * 1000 + n FROM me, generate_series(1, %s) n ORDER BY n", [40])
                    assert cursor.fetchone() == (number * 1000 + 1,)
                    if kind == "with_hold":
                        connection.commit()
                        check_identity(connection, number)
                        connection.commit()
                    if kind == "scroll":
                        cursor.scroll(-1)
                        assert cursor.fetchone() == (number * 1000 + 1,)
                    assert [value for value, in cursor] == [number * 1000 + n for n in range(2, 41)]
                connection.commit()
    in_parallel(work)


def test_copy(arena):
    together = Together(arena)

    def work(number):
        lines = "".join(f"{i}\tname{number}\\t{i}\t{number}.{i:02}\t{{{number},{i}}}\n" for i in range(100))
        with together(number) as connection, connection.cursor() as cursor:
            for _ in range(3):
                cursor.copy_expert("COPY items (id, name, price, tags) FROM STDIN", io.StringIO(lines))
                assert cursor.rowcount == 100
                connection.commit()
                out = io.StringIO()
                cursor.copy_expert("COPY (SELECT id, name, price, tags FROM items ORDER BY id) TO STDOUT", out)
                assert out.getvalue() == lines
                with pytest.raises(errors.UniqueViolation):
                    cursor.copy_from(io.StringIO(lines), "items", columns=("id", "name", "price", "tags"))
                connection.rollback()
                out = io.StringIO()
                cursor.copy_to(out, "items", columns=("id",))
                assert sorted(map(int, out.getvalue().split())) == list(range(100))
                check_identity(connection, number)
                cursor.execute("DELETE FROM items")
                connection.commit()
    in_parallel(work)


def test_many_at_once(arena):
    together = Together(arena)

    def work(number):
        with together(number) as connection, connection.cursor() as cursor:
            values = [(i, f"c{number}", Decimal(i) / 4, [number, i]) for i in range(200)]
            insert = "INSERT INTO items (id, name, price, tags) VALUES %s"
            psycopg2.extras.execute_values(cursor, insert, values[:100], page_size=17)
            returned = psycopg2.extras.execute_values(cursor, insert + " RETURNING id, name, price, tags", values[100:],
                                                      page_size=17, fetch=True)
            assert returned == values[100:]
            cursor.executemany("UPDATE items SET name = %s WHERE id = %s", [(f"c{number}-{i}", i) for i in range(50)])
            psycopg2.extras.execute_batch(cursor, "UPDATE items SET name = %s WHERE id = %s",
                                          [(f"c{number}-{i}", i) for i in range(50, 200)], page_size=40)
            connection.commit()
            cursor.execute("SELECT id, name, price, tags FROM items ORDER BY id")
            assert cursor.fetchall() == [(i, f"c{number}-{i}", price, tags) for i, _, price, tags in values]
            connection.commit()
    in_parallel(work)


def test_transfers(arena):
    together = Together(arena)

    def work(number):
        dice = random.Random(number)
        with together(number) as connection:
            for step in range(20):
                source, target = dice.sample(range(1, ACCOUNTS + 1), 2)
                for account, change in sorted([(source, -7), (target, 7)]):
                    rows(connection, "UPDATE bank.accounts SET balance = balance + %s WHERE id = %s", [change, account])
                rows(connection, "INSERT INTO bank.transfers VALUES (%s, %s, %s, 7)", [number, source, target])
                if step % 4 == 3:
                    connection.rollback()
                else:
                    connection.commit()
    in_parallel(work)
    arena.check_bank(CLIENTS * 15)


def test_notifications(arena):
    """One listens, the others notify; what is rolled back is never heard, and each sender's order is kept."""
    together = Together(arena)
    heard = []

    def listen(connection):
        rows(connection, "LISTEN psycopg2")
        listening.set()
        while len(heard) < (CLIENTS - 1) * ROUNDS:
            ready, _, _ = select.select([connection], [], [], TIME_LIMIT * SCALE)
            assert ready, f"heard only {heard}"
            connection.poll()
            heard.extend(note.payload for note in connection.notifies)
            connection.notifies.clear()
        rows(connection, "UNLISTEN psycopg2")

    def work(number):
        with together(number, autocommit=number == 0) as connection:
            if number == 0:
                return listen(connection)
            assert listening.wait(TIME_LIMIT * SCALE)
            for step in range(ROUNDS):
                rows(connection, "SELECT pg_notify('psycopg2', 'never')")
                connection.rollback()
                rows(connection, "SELECT pg_notify('psycopg2', %s)", [f"{number} {step}"])
                connection.commit()
    listening = threading.Event()
    in_parallel(work)
    expected = {(number, step) for number in range(1, CLIENTS) for step in range(ROUNDS)}
    order = [tuple(map(int, payload.split())) for payload in heard]
    assert set(order) == expected and len(order) == len(expected)
    for number in range(1, CLIENTS):
        assert [step for sender, step in order if sender == number] == list(range(ROUNDS))
