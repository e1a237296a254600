"""What clients and servers do to harm others, one row of the table in docs/security.md ("Abuse") each. Others stand in
test_hostile.py (random bytes, deep statements), test_lying_server.py, test_corners.py and test_large_values.py (those who do
not read), test_startup.py (cancel keys) and test_auth.py (messages before the password).
"""

import contextlib
import os
import random
import resource
import select
import socket
import struct
import threading
import time

import pytest

from harness import wire
from harness.proxy import Pgweir, scram_verifier
from harness.relay import Relay
from harness.waiting import SCALE, wait_for
from harness.wire import Closed, Wire

MB = 1024 * 1024
SEED = 20261129
UNDER_SANITIZER = os.environ.get("PGWEIR_SANITIZE", "none") != "none"


@pytest.fixture(scope="module")
def guarded(cluster):
    """Clients need a password."""
    with Pgweir(cluster.nodes, start=False, workers=1) as proxy:
        users = proxy.write_file("users.txt", f'"postgres" "{scram_verifier("right")}"\n')
        proxy.write_config(auth={"method": "scram-sha-256", "users_file": users})
        proxy.login = {"password": "right"}
        proxy.start()
        yield proxy


def serves(proxy, **login) -> bool:
    with Wire(proxy.port, timeout=10) as client:
        assert client.login(**login)[-1].kind == "Z"
        return client.rows("SELECT 'served'") == [[b"served"]]


def rest_of(client: Wire) -> list[wire.Message]:
    """Everything until the proxy closes, which it must do soon."""
    begin = time.monotonic()
    found = client.read_to_end()
    assert time.monotonic() - begin < 5 * SCALE
    return found


def only_a_fatal_error(found: list[wire.Message]) -> wire.Message:
    assert [one.kind for one in found] == ["E"], found
    assert found[0].fields["S"] == "FATAL"
    return found[0]


# --- before the login --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("length", [0, 1, 3, 4, 7, 10_001, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_lengths_of_a_startup_packet_that_cannot_be(proxy, length):
    before = proxy.memory_peak()
    with Wire(proxy.port) as client:
        client.send(struct.pack("!II", length, wire.PROTOCOL_3_0) + b"user\0postgres\0\0")
        error = only_a_fatal_error(rest_of(client))
        assert (error.sqlstate, error.fields["M"]) == ("08P01", "invalid length of startup packet")
    assert proxy.memory_peak() - before < 8 * MB
    assert serves(proxy)


@pytest.mark.parametrize("body", [
    b"user\0postgres\0", b"user\0postgres", b"user\0", b"user", b"user\0postgres\0database", b"user\0postgres\0\0more\0"])
def test_parameters_without_terminator(proxy, body):
    packet = struct.pack("!I", wire.PROTOCOL_3_0) + body
    with Wire(proxy.port) as client:
        client.send(struct.pack("!I", len(packet) + 4) + packet)
        error = only_a_fatal_error(rest_of(client))
        assert (error.sqlstate, error.fields["M"]) == (
            "08P01", "invalid startup packet layout: expected terminator as last byte")
    assert serves(proxy)


def test_a_second_startup_message(proxy):
    with Wire(proxy.port) as client:
        client.login()
        client.send(wire.startup({"user": "other", "database": "postgres"}))
        error = only_a_fatal_error(rest_of(client))
        assert (error.sqlstate, error.fields["M"]) == ("08P01", "invalid frontend message type 0")
    assert serves(proxy)


@pytest.mark.parametrize("says", [
    wire.query("SELECT 1"), wire.parse("SELECT 1") + wire.SYNC, wire.SYNC, wire.function_call(1, []), wire.copy_data(b"x"),
    wire.startup({"user": "postgres"}), b"p\xff\xff\xff\xff", b"p\0\0\0\0", b"p\x7f\xff\xff\xff" + b"x" * 70_000,
    b"p" + struct.pack("!I", 65_540) + b"x" * 65_536])
def test_messages_before_the_login_is_done(guarded, says):
    before = guarded.memory_peak()
    with Wire(guarded.port) as client:
        client.send(wire.startup({"user": "postgres", "database": "test"}))
        assert client.read().kind == "R"
        with contextlib.suppress(ConnectionError):
            client.send(says)
        found = rest_of(client)
        assert all(one.kind == "E" for one in found) and len(found) <= 1, found
    assert guarded.memory_peak() - before < 8 * MB
    assert guarded.sql("SELECT 1") == [(1,)]


def test_a_login_said_byte_by_byte_ends_in_time(make_proxy):
    """The time is that of the login as a whole: a byte now and then does not prolong it."""
    proxy = make_proxy(auth={"login_timeout": "2s"})
    packet = wire.startup({"user": "postgres", "database": "test", "application_name": "x" * 200})
    slow = [socket.create_connection((proxy.host, proxy.port)) for _ in range(100)]
    begin, alive, said = time.monotonic(), list(slow), 0
    before = proxy.memory_peak()
    while alive and time.monotonic() - begin < 20 * SCALE:
        for client in list(alive):
            try:
                client.send(packet[said % (len(packet) - 1):][:1])
                if select.select([client], [], [], 0)[0] and not client.recv(100):
                    alive.remove(client)
            except ConnectionError:
                alive.remove(client)
        said += 1
        assert serves(proxy)
        time.sleep(0.05)
    assert not alive
    assert time.monotonic() - begin >= 1.8
    assert proxy.memory_peak() - before < 16 * MB
    for client in slow:
        client.close()


# --- within a session --------------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("how", ["simple", "extended"])
@pytest.mark.parametrize("text", ["long string", "long list", "parentheses", "comments"])
def test_a_statement_of_50_mb(proxy, text, how):
    """It is not parsed: the primary decides. Bounded time, and no memory for more than the statement itself."""
    size = 50 * MB
    statement = {
        "long string": b"SELECT length('" + b"x" * size + b"')",
        "long list": b"SELECT 1 WHERE 1 IN (" + b"2," * (size // 2) + b"1)",
        "parentheses": b"SELECT " + b"(" * (size // 2) + b"1" + b")" * (size // 2),
        "comments": b"/*" * 10 + b"/* x */ " * (size // 8) + b"*/" * 10 + b" SELECT 1",
    }[text]
    if text == "long list":
        statement = statement[:2 * MB] + b"1)"  # the server needs its time for more
    body = statement + b"\0"
    says = wire.message(b"Q", body) if how == "simple" else (
        wire.message(b"P", b"\0" + body + b"\0\0") + wire.bind() + wire.execute() + wire.SYNC)
    with Wire(proxy.port, timeout=60) as client:
        client.login()
        begin = time.monotonic()
        found = client.ask(says)
        assert found[-1].kind == "Z"
        print(f"{text}, {how}: {time.monotonic() - begin:.2f} s, {found[-2]}")
        assert time.monotonic() - begin < 30 * SCALE
        if text == "long string":
            assert [one.values for one in found if one.kind == "D"] == [[str(size).encode()]]
        if text == "parentheses":
            assert [one.sqlstate for one in found if one.kind == "E"][0] in ("42601", "54001", "53200")  # memory exhausted, stack depth
        assert client.rows("SELECT 'served'") == [[b"served"]]
    if not UNDER_SANITIZER:
        assert proxy.memory_peak() < 500 * MB
    assert serves(proxy)


BINDS = {
    "more parameters than there are": b"\0\0\0\0" + b"\xff\xff",
    "a parameter longer than the message": b"\0\0\0\0" + b"\0\1\x7f\xff\xff\xffx",
    "a parameter with a negative length": b"\0\0\0\0" + b"\0\1\x80\0\0\0",
    "more formats than there are": b"\0\0" + b"\xff\xff\0\1",
    "more result formats than there are": b"\0\0" + b"\0\0\0\0\xff\xff",
    "no counts at all": b"\0\0",
}


@pytest.mark.parametrize("what", BINDS)
def test_counts_in_bind_that_lie(proxy, what):
    before = proxy.memory_peak()
    with Wire(proxy.port) as client:
        client.login()
        found = client.ask(wire.parse("SELECT $1::text", types=[25]) + wire.message(b"B", BINDS[what]) + wire.execute() + wire.SYNC)
        errors = [one for one in found if one.kind == "E"]
        assert len(errors) == 1 and errors[0].sqlstate in ("08P01", "22021"), found
        assert not any(one.kind in "2DC" for one in found)
        assert client.rows("SELECT 'served'") == [[b"served"]]
    assert proxy.memory_peak() - before < 8 * MB
    assert serves(proxy)


@pytest.mark.parametrize("body", [b"", b"abc", b"abc\0abc"])
def test_a_bind_without_the_names(proxy, body):
    """pgweir itself cannot read it."""
    with Wire(proxy.port) as client:
        client.login()
        client.send(wire.parse("SELECT 1"), wire.message(b"B", body), wire.execute(), wire.SYNC)
        assert rest_of(client)[-1].sqlstate == "08P01"
    assert serves(proxy)


@pytest.mark.parametrize("length", [0, 3, 0x40000000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF])
def test_lengths_of_messages_that_cannot_be(proxy, length):
    before = proxy.memory_peak()
    with Wire(proxy.port) as client:
        client.login()
        client.send(b"Q" + struct.pack("!I", length) + b"SELECT 1\0")
        assert only_a_fatal_error(rest_of(client)).sqlstate == "08P01"
    assert proxy.memory_peak() - before < 8 * MB
    assert serves(proxy)


def test_many_who_do_not_read_cost_little(make_proxy):
    """Each may have a high-water mark of bytes waiting, and what the kernel holds; the server waits with the rest."""
    count, mark = 20, 256 * 1024
    proxy = make_proxy(workers=1, limits={"buffer_high_water": f"{mark // 1024}kB"}, pool={"size": 30})
    with contextlib.ExitStack() as stack:
        before = proxy.memory_peak()
        for _ in range(count):
            client = stack.enter_context(Wire(proxy.port))
            client.login()
            client.send(wire.query("SELECT repeat('x', 1000000) FROM generate_series(1, 100)"))
            client.read()
        # They are stopped, not served: others are.
        for _ in range(5):
            assert serves(proxy)
        if not UNDER_SANITIZER:
            assert proxy.memory_peak() - before < count * (mark + MB)


def test_errors_reach_only_those_who_made_them(make_proxy):
    """Clients that share two connections, half of them failing all the time, in all the ways there are."""
    proxy = make_proxy(pool={"size": 2}, workers=2)
    wrong: list[str] = []
    print(f"seed {SEED}")

    def run(number: int) -> None:
        choose = random.Random(SEED + number)
        with Wire(proxy.port, timeout=30) as client:
            client.login()
            for round_ in range(150):
                mark = f"{number}_{round_}"
                if number % 2:
                    text = choose.choice([f"SELECT 1/0 AS x{mark}", f"SELECT nothing_{mark}", f"BEGIN; SELECT 1/0; -- {mark}",
                                          f"DO $$BEGIN RAISE 'mark_{mark}'; END$$"])
                    says = wire.query(text) if choose.random() < 0.5 and "BEGIN;" not in text else (
                        wire.parse(text) + wire.bind() + wire.execute() + wire.SYNC)
                    found = client.ask(says)
                    if not any(one.kind == "E" for one in found):
                        wrong.append(f"{text}: {found}")
                    for one in found:
                        if one.kind == "E" and "mark_" in one.fields["M"] and mark not in one.fields["M"]:
                            wrong.append(f"{text}: {one}")
                else:
                    says = wire.query(f"SELECT 'm{mark}'") if choose.random() < 0.5 else (
                        wire.parse(f"SELECT 'm{mark}'") + wire.bind() + wire.execute() + wire.SYNC)
                    found = client.ask(says)
                    if [one.values for one in found if one.kind == "D"] != [[f"m{mark}".encode()]]:
                        wrong.append(f"{mark}: {found}")
    threads = [threading.Thread(target=run, args=(number,)) for number in range(10)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert not wrong, wrong[:5]


def test_guessing_cancel_keys(proxy, cluster):
    """A thousand guesses at the key of a session whose number is known; only the right one counts."""
    choose = random.Random(SEED)
    with Wire(proxy.port) as client:
        client.login()
        client.send(wire.query("SELECT pg_sleep(60) /* guessed */"))
        asleep = lambda: cluster.primary.sql(  # noqa: E731
            "SELECT 1 FROM pg_stat_activity WHERE query LIKE '%%* guessed *%%' AND state = 'active' AND wait_event = 'PgSleep'")
        wait_for(asleep, "the statement to run")
        near = [client.key[:3] + bytes([client.key[3] ^ bit]) for bit in (1, 2, 128)]
        for key in near + [client.key[:2], client.key + b"\0", b"\0" * 4, b"\0" * 32] + [choose.randbytes(4) for _ in range(1000)]:
            if key == client.key:
                continue
            with socket.create_connection((proxy.host, proxy.port)) as guess:
                guess.sendall(wire.cancel_request(client.pid, key))
        assert asleep()
        with socket.create_connection((proxy.host, proxy.port)) as right:
            right.sendall(wire.cancel_request(client.pid, client.key))
        assert "57014" in [one.sqlstate for one in client.read_until("Z") if one.kind == "E"]


# --- many, and no descriptors left -------------------------------------------------------------------------------------


@pytest.fixture
def many_descriptors():
    """As many for this process and the proxies that it starts as the system grants, up to 25,000."""
    old = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (25_000, max(25_000, old[1])))
    yield resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, old)


def resident(proxy) -> int:
    with open(f"/proc/{proxy.pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) * 1024


@pytest.mark.slow
def test_20000_who_say_nothing(make_proxy, many_descriptors):
    count = min(20_000, many_descriptors - 500)
    proxy = make_proxy(auth={"login_timeout": "60s"}, listen={"backlog": 4096}, log={"level": "info", "connections": False})
    path = f"{proxy.directory}/.s.PGSQL.{proxy.port}"
    before = resident(proxy)
    silent = []
    try:
        begin = time.monotonic()
        for _ in range(count):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)  # waits while the queue of the kernel is full
            silent.append(client)
        accepted = lambda: len(os.listdir(f"/proc/{proxy.pid}/fd")) >= count  # noqa: E731
        wait_for(accepted, f"{count} clients to be accepted", timeout=30)
        grown = resident(proxy) - before
        print(f"{count} silent clients in {time.monotonic() - begin:.1f} s: {grown / count:.0f} bytes each")
        assert serves(proxy)
        if not UNDER_SANITIZER:
            assert grown < count * 2600
    finally:
        for client in silent:
            client.close()
    wait_for(lambda: len(os.listdir(f"/proc/{proxy.pid}/fd")) < 200, "them to be forgotten", timeout=30)
    assert serves(proxy)


@pytest.mark.skipif(UNDER_SANITIZER, reason="the sanitizers need a descriptor to look at memory, and report what they cannot see")
def test_without_descriptors_nobody_is_lost(make_proxy):
    """Accepting stops and goes on again; those who are in are served meanwhile; the log has one line about it."""
    proxy = make_proxy(workers=1, pool={"size": 5})
    inside = Wire(proxy.port)
    inside.login()
    inside.rows("SELECT 1")
    used = len(os.listdir(f"/proc/{proxy.pid}/fd"))
    limit = used + 20
    old = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (limit, old[1]))
    path = f"{proxy.directory}/.s.PGSQL.{proxy.port}"
    crowd = []
    try:
        for _ in range(60):
            client = socket.socket(socket.AF_UNIX)
            client.connect(path)
            crowd.append(client)
        proxy.wait_log(r"\baccept_failed\b.*Too many open files")
        begin = time.monotonic()
        while time.monotonic() - begin < 1:
            assert inside.rows("SELECT 'inside'") == [[b"inside"]]
        # It does not spin on what it cannot accept.
        def cpu():
            with open(f"/proc/{proxy.pid}/stat") as stat:
                return sum(map(int, stat.read().rsplit(")", 1)[1].split()[11:13]))
        ticks = cpu()
        time.sleep(1)
        assert cpu() - ticks < 30 * SCALE
        # The last to connect waits in the kernel, and is served as soon as there is room.
        late = crowd.pop()
        for client in crowd:
            client.close()
        late.settimeout(20 * SCALE)
        late.sendall(wire.startup({"user": "postgres", "database": "test"}))
        assert late.recv(1) == b"R"
        late.close()
        proxy.wait_log(r"\baccepting_again\b")
        assert serves(proxy)
        assert proxy.log().count("accept_failed") == 1
    finally:
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, old)
        for client in crowd:
            client.close()
        inside.close() if hasattr(inside, "close") else inside.socket.close()
    assert serves(proxy)


# --- a server that answers what nobody has asked ---------------------------------------------------------------------


ROW = wire.message(b"T", b"\0\1" + wire.cstring("x") + b"\0" * 6 + struct.pack("!IhiH", 25, -1, -1, 0))
STOLEN = ROW + wire.message(b"D", b"\0\1\0\0\0\6stolen") + wire.message(b"C", b"SELECT 1\0") + wire.message(b"Z", b"I")
UNASKED = {
    "a whole answer": STOLEN,
    "a second ReadyForQuery": wire.message(b"Z", b"I"),
    "an error": wire.message(b"E", b"SERROR\0C22012\0Mstolen\0\0"),
    "half a message": b"D\0\0\0\x20half",
    "half an answer": STOLEN[:40],
}


MARK, ASKS = b"one more lie", "SELECT 'one ' || 'more lie'"


def saying_more(more: bytes):
    """Behind the ReadyForQuery of an answer with MARK comes `more`."""
    def change(data: bytes) -> bytes:
        if MARK not in data:
            return data
        assert data.endswith(wire.message(b"Z", b"I"))
        return data + more
    return change


@pytest.mark.parametrize("waiting", ["while another waits", "before another comes"])
@pytest.mark.parametrize("what", UNASKED)
def test_what_nobody_has_asked_for_reaches_nobody(cluster, what, waiting):
    liar = Relay(cluster.primary.port, saying_more(UNASKED[what]))
    node = type("Node", (), {"name": "pg1", "host": "127.0.0.1", "port": liar.port})
    with contextlib.closing(liar), Pgweir([node], topology="single", workers=1, pool={"size": 1}) as proxy:
        with Wire(proxy.port) as one, Wire(proxy.port) as other:
            one.login()
            other.login()
            if waiting == "while another waits":
                one.ask(wire.query("BEGIN"))
                one.ask(wire.query("SELECT 1"))
                other.send(wire.query("SELECT 'other'"))  # the one connection is taken
                proxy.wait_log("connected")
                time.sleep(0.2)
                one.send(wire.query("COMMIT; " + ASKS))
            else:
                one.send(wire.query(ASKS))
            assert [m.values for m in one.read_until("Z") if m.kind == "D"] == [[MARK]]
            if waiting == "before another comes":
                other.send(wire.query("SELECT 'other'"))
            found = other.read_until("Z")
            assert [m.kind for m in found] == ["T", "D", "C", "Z"] and found[1].values == [b"other"], found
            # Whoever was served by the liar may have been told that it has failed; but nothing else.
            with contextlib.suppress(Closed, ConnectionError):
                rows = one.ask(wire.query("SELECT 'mine'"))
                assert [m.values for m in rows if m.kind == "D"] == [[b"mine"]]
        assert proxy.sql("SELECT 1") == [(1,)]
