"""Random and mutated bytes, before and after the login: no crash, no hang, and the next client is served.

The seed is fixed and printed; PGWEIR_HOSTILE_SEED and PGWEIR_HOSTILE_STRINGS change what is sent.
"""

import os
import random
import socket
import struct
import time

import pytest

from harness import wire
from harness.waiting import SCALE
from harness.wire import Wire

SEED = int(os.environ.get("PGWEIR_HOSTILE_SEED", "20240229"))
STRINGS = int(os.environ.get("PGWEIR_HOSTILE_STRINGS", "100000"))
AT_ONCE = 40
PER_SESSION = 25
SERVED_WITHIN = 10.0  # seconds, for the client after the storm
QUIET_WITHIN = 20.0   # seconds, until a connection that said everything is closed

pytestmark = pytest.mark.slow

LOGIN = {"user": "hostile", "database": "test"}

STARTUPS = [
    wire.SSL_REQUEST, wire.GSSENC_REQUEST, wire.startup(LOGIN), wire.startup(LOGIN, wire.PROTOCOL_3_2),
    wire.startup(LOGIN | {"options": "-c work_mem=1MB", "application_name": "x" * 200, "_pq_.x": "1"}),
    wire.cancel_request(1234, b"\1\2\3\4"), wire.SSL_REQUEST + wire.startup(LOGIN), wire.startup(LOGIN) + wire.query("SELECT 1"),
    wire.startup({"user": "hostile", "database": "test", "replication": "true"}),
]

MESSAGES = [
    wire.query("SELECT 1"), wire.query("SELECT 1; SELECT 'two'; -- three"), wire.query("BEGIN"), wire.query("ROLLBACK"),
    wire.query("SHOW pool_nodes"), wire.query("EXPLAIN ROUTE SELECT 1"), wire.query("COPY (SELECT 1) TO STDOUT"),
    wire.query("CREATE TEMP TABLE t (id int); COPY t FROM STDIN"), wire.query("/* pgweir: node=pg2 */ SELECT $$x$$, E'\\'', \"y\""),
    wire.query("SET search_path = 'x'"), wire.query("PREPARE q AS SELECT 1"), wire.query("EXECUTE q"), wire.query(""),
    wire.parse("SELECT $1::int", "s", [23]), wire.bind("p", "s", [b"1"]), wire.bind("", "", [None, b"x"], binary=True),
    wire.describe("S", "s"), wire.describe("P", "p"), wire.execute("p", 1), wire.execute(), wire.close("S", "s"), wire.close("P", "p"),
    wire.SYNC, wire.FLUSH, wire.copy_data(b"1\n2\n"), wire.COPY_DONE, wire.copy_fail("no"), wire.function_call(177, [b"\0\0\0\1"] * 2),
    wire.message(b"p", b"password\0"), wire.parse("") + wire.bind() + wire.execute() + wire.SYNC,
]

LENGTHS = [0, 1, 3, 4, 5, 7, 8, 255, 10_000, 10_001, 65_536, 0x3FFFFFFF, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF]


def mutate(choose: random.Random, data: bytes, length_at: int) -> bytes:
    """One to three changes of the kinds that parsers get wrong."""
    changed = bytearray(data)
    for _ in range(choose.randint(1, 3)):
        kind = choose.randrange(7)
        at = choose.randrange(len(changed)) if changed else 0
        if kind == 0 and changed:
            changed[at] ^= 1 << choose.randrange(8)
        elif kind == 1 and changed:
            changed[at] = choose.choice([0, 0xFF, 0x7F, 0x80])
        elif kind == 2:
            del changed[at:]
        elif kind == 3:
            changed[at:at] = choose.randbytes(choose.randint(1, 20))
        elif kind == 4 and len(changed) >= length_at + 4:
            struct.pack_into("!I", changed, length_at, choose.choice(LENGTHS))
        elif kind == 5:
            changed += changed[at:]
        elif kind == 6:
            del changed[at:at + choose.randint(1, 8)]
    return bytes(changed)


def hostile_startup(choose: random.Random) -> bytes:
    if choose.random() < 0.2:
        body = choose.randbytes(choose.randint(0, 300))
        return body if choose.random() < 0.5 else struct.pack("!I", len(body) + 4) + body
    return mutate(choose, choose.choice(STARTUPS), 0)


def hostile_message(choose: random.Random) -> bytes:
    if choose.random() < 0.1:
        return choose.randbytes(choose.randint(0, 100))
    if choose.random() < 0.15:
        return wire.message(choose.randbytes(1), choose.randbytes(choose.randint(0, 60)))
    if choose.random() < 0.2:
        return choose.choice(MESSAGES)
    return mutate(choose, choose.choice(MESSAGES), 1)


class Storm:
    """Many connections over the Unix socket, each saying everything it has to say and then listening until the end."""

    def __init__(self, proxy):
        self._path = f"{proxy.directory}/.s.PGSQL.{proxy.port}"
        self._waiting: list[tuple[socket.socket, bytes]] = []

    def say(self, data: bytes) -> None:
        client = socket.socket(socket.AF_UNIX)
        client.settimeout(QUIET_WITHIN * SCALE)
        client.connect(self._path)
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except (BrokenPipeError, ConnectionResetError, OSError):
            pass  # the proxy has seen enough already
        self._waiting.append((client, data))
        if len(self._waiting) >= AT_ONCE:
            self.drain()

    def drain(self) -> None:
        for client, data in self._waiting:
            try:
                while client.recv(65536):
                    pass
            except ConnectionResetError:
                pass
            except TimeoutError:
                raise AssertionError(f"still open {QUIET_WITHIN * SCALE:.0f} s after the last byte: {data[:400].hex()}") from None
            finally:
                client.close()
        self._waiting.clear()


def assert_serves(proxy) -> None:
    begin = time.monotonic()
    assert proxy.running, proxy.log()[-6000:]
    with Wire(proxy.port, timeout=SERVED_WITHIN) as client:
        assert client.login()[-1].kind == "Z"
        assert client.rows("SELECT 'served'") == [[b"served"]]
    assert time.monotonic() - begin < SERVED_WITHIN * SCALE


@pytest.fixture
def target(make_proxy, cluster):
    cluster.primary.sql("ALTER ROLE hostile SET statement_timeout = '2s'")
    return make_proxy(log={"level": "info", "connections": False}, pool={"size": 60})


def test_hostile_startup_packets(target):
    count, choose, storm = STRINGS * 7 // 10, random.Random(SEED), Storm(target)
    print(f"seed {SEED}, {count} strings")
    for number in range(count):
        storm.say(hostile_startup(choose))
        if number % 5000 == 4999:
            storm.drain()
            assert_serves(target)
    storm.drain()
    assert_serves(target)


def test_hostile_messages(target):
    count, choose, storm = STRINGS * 3 // 10, random.Random(SEED + 1), Storm(target)
    print(f"seed {SEED + 1}, {count} strings")
    for number in range(0, count, PER_SESSION):
        storm.say(wire.startup(LOGIN) + b"".join(hostile_message(choose) for _ in range(PER_SESSION)))
        if number % 2500 == 0:
            storm.drain()
            assert_serves(target)
    storm.drain()
    assert_serves(target)


def test_a_client_that_says_nothing_holds_up_nobody(target):
    silent = [socket.create_connection((target.host, target.port)) for _ in range(50)]
    for number, client in enumerate(silent):
        client.sendall(wire.startup(LOGIN)[:number % 20])
    assert_serves(target)
    for client in silent:
        client.close()


@pytest.mark.parametrize("terms", [10_000, 100_000])
def test_deep_and_long_statements(target, terms):
    """Such statements overflow the stack of a parser that is not guarded."""
    for text in ("SELECT " + "+".join(["1"] * terms), "SELECT " + "(" * terms + "1" + ")" * terms,
                 "SELECT " + "NOT " * terms + "true", "SELECT ARRAY[" * terms + "1" + "]" * terms,
                 "SELECT 1 WHERE 1 IN (" + ",".join(["1"] * terms) + ")"):
        with Wire(target.port, timeout=60) as client:
            client.login()
            assert client.ask(wire.query(text))[-1].kind == "Z"
    assert_serves(target)
