"""Faithful forwarding: the same bytes, sent directly and through pgweir, are answered by the same bytes.

A script is a list of steps: what to send, and the kind of message that ends the answer. The only difference allowed is
what must differ: process ids in notifications.
"""

import fcntl
import re
import struct
from pathlib import Path

import pytest

from harness import wire
from harness.waiting import wait_for
from harness.wire import (COPY_DONE, FLUSH, SYNC, Message, Wire, bind, close, copy_data, copy_fail, describe, execute,
                          function_call, parse, query)

INT4PL = 177  # pg_proc.oid of int4pl(int4, int4); fixed in the catalog
INT4DIV = 154


def int4(value: int) -> bytes:
    return struct.pack("!i", value)


def simple(*texts: str) -> list[tuple[bytes, str]]:
    return [(query(text), "Z") for text in texts]


def extended(text: str, *values: bytes | None, types=()) -> bytes:
    return parse(text, types=types) + bind(values=values) + describe("P") + execute() + SYNC


SCRIPTS: dict[str, list[tuple[bytes, str]]] = {
    # --- simple
    "select": simple("SELECT 1 AS one, 'two' AS two, NULL AS three"),
    "rows": simple("SELECT n, repeat('x', n % 97) FROM generate_series(1, 3000) n"),
    "table": simple("SELECT * FROM items ORDER BY id", "INSERT INTO items VALUES (100, 'new')", "TABLE items"),
    "no rows": simple("SELECT * FROM items WHERE false"),
    "no columns": simple("SELECT FROM items"),
    "several statements": simple("SELECT 1; SELECT 2; SELECT 3"),
    "several, one writes": simple("SELECT 1; INSERT INTO items VALUES (101, 'b'); SELECT count(*) FROM items"),
    "several, error in the middle": simple("INSERT INTO items VALUES (102, 'c'); SELECT 1/0; SELECT 3",
                                           "SELECT count(*) FROM items"),
    "several with a transaction": simple("BEGIN; INSERT INTO items VALUES (103, 'd'); COMMIT; SELECT count(*) FROM items"),
    "several that leave a transaction open": simple("SELECT 1; BEGIN; SELECT 2", "SELECT 3", "COMMIT"),
    "empty": simple("", ";", "  ", "-- nothing", ";;", "/* nothing */"),
    "syntax error": simple("SELEKT 1", "SELECT 'open", 'SELECT "open', "SELECT $$open", "SELECT /* open"),
    "errors": simple("SELECT 1/0", "SELECT * FROM missing", "SELECT missing FROM items", "SELECT 'x'::int"),
    "error after rows": simple("SELECT 1 / (500 - n) FROM generate_series(1, 1000) n"),
    "quoting": simple("SELECT 'it''s', E'a\\'b', $q$ ; $q$, U&'\\0041', \"name\" FROM items LIMIT 1"),
    "old quoting": simple("SET standard_conforming_strings = off", "SELECT 'a\\'; b'", "SELECT 'x\\\\'",
                          "RESET standard_conforming_strings"),
    "comments": simple("/* a /* nested */ one */ SELECT 1 -- the end", "--x\nSELECT 2"),
    "notice": simple("DO $$ BEGIN RAISE NOTICE 'heard'; RAISE WARNING 'too'; END $$", "DROP TABLE IF EXISTS missing"),
    "notify": simple("LISTEN news", "NOTIFY news, 'hello'", "UNLISTEN news"),
    "settings": simple("SET work_mem = '3MB'", "SHOW work_mem", "RESET work_mem", "SHOW work_mem",
                       "SET client_encoding = 'LATIN1'", "SELECT U&'\\00e9'", "SET datestyle = 'German'",
                       "SELECT date '2024-02-29'", "SET nonsense = 1", "SELECT set_config('work_mem', '4MB', false)"),
    "transaction": simple("BEGIN", "INSERT INTO items VALUES (104, 'e')", "SELECT count(*) FROM items", "COMMIT"),
    "rollback": simple("BEGIN", "DELETE FROM items", "SELECT count(*) FROM items", "ROLLBACK", "SELECT count(*) FROM items"),
    "failed transaction": simple("BEGIN", "SELECT 1/0", "SELECT 1", "SELECT 2; SELECT 3", "COMMIT", "SELECT 1"),
    "savepoints": simple("BEGIN", "SAVEPOINT a", "SELECT 1/0", "ROLLBACK TO a", "SELECT 1", "RELEASE a", "COMMIT"),
    "transaction warnings": simple("COMMIT", "ROLLBACK", "BEGIN", "BEGIN", "COMMIT", "SAVEPOINT x", "END"),
    "read only": simple("BEGIN READ ONLY", "SELECT count(*) FROM items", "INSERT INTO items VALUES (1, 'x')", "ROLLBACK"),
    "read only, committed": simple("START TRANSACTION READ ONLY", "SELECT count(*) FROM items", "SHOW transaction_read_only",
                                   "COMMIT"),
    "isolation": simple("BEGIN ISOLATION LEVEL SERIALIZABLE", "SHOW transaction_isolation", "SELECT 1", "COMMIT AND CHAIN",
                        "SHOW transaction_isolation", "ROLLBACK"),
    "set transaction": simple("BEGIN", "SET TRANSACTION READ ONLY", "SHOW transaction_read_only", "SELECT 1", "COMMIT"),
    "two phase": simple("BEGIN", "INSERT INTO items VALUES (105, 'f')", "PREPARE TRANSACTION 'both'", "COMMIT PREPARED 'both'"),
    "cursor": simple("BEGIN", "DECLARE c CURSOR FOR SELECT id FROM items ORDER BY id", "FETCH 2 FROM c", "MOVE 1 FROM c",
                     "FETCH ALL FROM c", "CLOSE c", "FETCH 1 FROM c", "ROLLBACK"),
    "cursor with hold": simple("BEGIN", "DECLARE h CURSOR WITH HOLD FOR SELECT id FROM items ORDER BY id", "COMMIT",
                               "FETCH 2 FROM h", "CLOSE h"),
    "sql prepare": simple("PREPARE p(int) AS SELECT $1 + 1", "EXECUTE p(41)", "EXECUTE p('x')", "DEALLOCATE p", "EXECUTE p(1)",
                          "PREPARE w(int) AS INSERT INTO items VALUES ($1, 'w')", "EXECUTE w(106)", "DEALLOCATE ALL"),
    "temporary": simple("CREATE TEMP TABLE mine AS SELECT 7 AS seven", "SELECT seven + 0 AS seven FROM mine", "DROP TABLE mine"),
    "returning": simple("UPDATE items SET name = upper(name) WHERE id = 1 RETURNING *", "DELETE FROM items RETURNING id"),
    "explain": simple("EXPLAIN (COSTS off) SELECT * FROM items", "EXPLAIN (COSTS off) DELETE FROM items"),
    "discard": simple("SET work_mem = '3MB'", "DISCARD ALL", "SHOW work_mem"),
    "long query": simple("SELECT length('" + "x" * 300_000 + "')", "SELECT 1 -- " + "y" * 200_000),
    "wide row": simple("SELECT repeat('x', 1000000), repeat('y', 100000)"),
    # --- extended
    "extended": [(extended("SELECT $1::int + 1", b"41"), "Z")],
    "extended write": [(extended("INSERT INTO items VALUES ($1, $2) RETURNING id", b"110", b"x"), "Z")],
    "extended null": [(extended("SELECT $1::text IS NULL, $2::text", None, b""), "Z")],
    "extended binary": [(parse("SELECT $1::int4 * 2", types=[23]) + bind(values=[int4(21)], binary=True, binary_result=True)
                         + execute() + SYNC, "Z")],
    "extended empty": [(extended(""), "Z"), (extended("-- nothing"), "Z")],
    "extended errors": [(extended("SELEKT"), "Z"), (extended("SELECT 1/0"), "Z"), (extended("SELECT $1::int", b"x"), "Z"),
                        (extended("SELECT 1; SELECT 2"), "Z"), (extended("SELECT $1"), "Z")],
    "describe statement": [(parse("SELECT id, name FROM items WHERE id = $1", "s") + describe("S", "s") + SYNC, "Z"),
                           (describe("S", "s") + SYNC, "Z"), (parse("INSERT INTO items VALUES ($1, $2)", "i") +
                                                              describe("S", "i") + SYNC, "Z")],
    "named statement": [(parse("SELECT $1::int", "s") + SYNC, "Z")] +
                       [(bind(statement="s", values=[str(n).encode()]) + execute() + SYNC, "Z") for n in range(5)] +
                       [(close("S", "s") + SYNC, "Z"), (bind(statement="s", values=[b"1"]) + execute() + SYNC, "Z")],
    "duplicate statement": [(parse("SELECT 1", "d") + SYNC, "Z"), (parse("SELECT 2", "d") + SYNC, "Z"),
                            (bind(statement="d") + execute() + SYNC, "Z")],
    "failed parse leaves no statement": [(parse("SELECT missing", "bad") + SYNC, "Z"),
                                         (bind(statement="bad") + execute() + SYNC, "Z"),
                                         (parse("SELECT 1", "bad") + SYNC, "Z"), (bind(statement="bad") + execute() + SYNC, "Z")],
    "unnamed statement again": [(parse("SELECT 1") + SYNC, "Z"), (bind() + execute() + SYNC, "Z"),
                                (parse("SELECT 2") + bind() + execute() + SYNC, "Z"), (bind() + execute() + SYNC, "Z")],
    "simple query ends the unnamed statement": [(parse("SELECT 1") + SYNC, "Z"), *simple("SELECT 5"),
                                                (bind() + execute() + SYNC, "Z")],
    "missing statement": [(bind(statement="none") + SYNC, "Z"), (describe("S", "none") + SYNC, "Z"),
                          (describe("P", "none") + SYNC, "Z"), (execute("none") + SYNC, "Z"), (close("S", "none") + SYNC, "Z")],
    "only sync": [(SYNC, "Z"), (SYNC + SYNC, "Z"), (b"", "Z")],
    "pipeline": [(b"".join(extended(f"SELECT {n}") for n in range(10)), "Z")] + [(b"", "Z")] * 9,
    "pipeline that reads and writes": [(extended("SELECT 1") + extended("INSERT INTO items VALUES (120, 'x')") +
                                        extended("SELECT count(*) FROM items") + query("SELECT 4"), "Z")] + [(b"", "Z")] * 3,
    "pipeline with an error": [(extended("SELECT 1") + extended("SELECT 1/0") + extended("SELECT 3"), "Z"), (b"", "Z"),
                               (b"", "Z")],
    "error skips to sync": [(parse("SELECT 1/0") + bind() + execute() + parse("INSERT INTO items VALUES (121, 'x')") + bind() +
                             execute() + FLUSH + SYNC, "Z"), *simple("SELECT count(*) FROM items")],
    "error skips queries too": [(parse("SELEKT") + query("SELECT 1") + SYNC, "Z")],
    "one implicit transaction": [(parse("INSERT INTO items VALUES (122, 'x')") + bind() + execute() + parse("SELECT 1/0") +
                                  bind() + execute() + SYNC, "Z"), *simple("SELECT count(*) FROM items")],
    "two statements before sync": [(parse("SELECT 1", "a") + parse("INSERT INTO items VALUES (123, 'x')", "b") +
                                    bind("pa", "a") + bind("pb", "b") + execute("pb") + execute("pa") + SYNC, "Z")],
    "flush": [(parse("SELECT $1::int", "f") + FLUSH, "1"), (describe("S", "f") + FLUSH, "T"),
              (bind(statement="f", values=[b"5"]) + FLUSH, "2"), (execute() + FLUSH, "C"), (SYNC, "Z")],
    "flush and error": [(parse("SELECT 1 / (n - 1) FROM generate_series(1, 2) n") + bind() + FLUSH, "2"), (execute() + FLUSH, "E"), (execute() + SYNC, "Z")],
    "portal with a row limit": [(query("BEGIN"), "Z"), (parse("SELECT n FROM generate_series(1, 7) n") + bind("p") +
                                                        execute("p", 3) + FLUSH, "s"),
                                (execute("p", 3) + FLUSH, "s"), (execute("p", 3) + SYNC, "Z"), (execute("p", 1) + SYNC, "Z"),
                                (close("P", "p") + SYNC, "Z"), *simple("COMMIT")],
    "portal suspended, then sync": [(parse("SELECT id FROM items") + bind("p") + execute("p", 1) + SYNC, "Z"),
                                    (execute("p", 1) + SYNC, "Z")],
    "portal over several exchanges": [*simple("BEGIN"), (parse("SELECT id FROM items ORDER BY id") + bind("p") +
                                                         execute("p", 1) + SYNC, "Z"), *simple("SELECT 'between'"),
                                      (execute("p", 1) + SYNC, "Z"), (execute("p") + SYNC, "Z"), *simple("COMMIT")],
    "extended transaction": [(extended("BEGIN"), "Z"), (extended("SELECT 1"), "Z"),
                             (extended("INSERT INTO items VALUES (124, 'x')"), "Z"), (extended("ROLLBACK"), "Z")],
    "extended read only": [(extended("BEGIN READ ONLY"), "Z"), (extended("SELECT count(*) FROM items"), "Z"),
                           (extended("DELETE FROM items"), "Z"), (extended("ROLLBACK"), "Z")],
    "begin and more before sync": [(parse("BEGIN") + bind() + execute() + parse("INSERT INTO items VALUES (125, 'x')") + bind() +
                                    execute() + parse("COMMIT") + bind() + execute() + SYNC, "Z")],
    "failed extended transaction": [(extended("BEGIN"), "Z"), (extended("SELECT 1/0"), "Z"), (extended("SELECT 1"), "Z"),
                                    (extended("COMMIT"), "Z")],
    "extended settings": [(extended("SET work_mem = '3MB'"), "Z"), (extended("SHOW work_mem"), "Z")],
    # --- COPY
    "copy in": [(query("COPY items FROM STDIN"), "G"), (copy_data(b"200\tone\n") + copy_data(b"201\tt") + copy_data(b"wo\n") +
                                                      COPY_DONE, "Z"), *simple("SELECT * FROM items ORDER BY id")],
    "copy in, nothing": [(query("COPY items FROM STDIN"), "G"), (COPY_DONE, "Z")],
    "copy in, fail": [(query("COPY items FROM STDIN"), "G"), (copy_data(b"200\tone\n") + copy_fail("changed my mind"), "Z"),
                      *simple("SELECT count(*) FROM items")],
    "copy in, bad data": [(query("COPY items FROM STDIN"), "G"),
                          (copy_data(b"not a number\tx\n") + copy_data(b"1\ty\n") * 50 + COPY_DONE, "Z"), *simple("SELECT 1")],
    "copy in, flush and sync are ignored": [(query("COPY items FROM STDIN"), "G"),
                                            (FLUSH + SYNC + copy_data(b"202\tx\n") + SYNC + COPY_DONE, "Z"), *simple("SELECT 1")],
    "copy in, all at once": [(query("COPY items FROM STDIN") + copy_data(b"203\tx\n") + COPY_DONE, "Z"), *simple("SELECT 1")],
    "copy in, extended, all at once with its Syncs": [
        (query("SELECT 1") + parse("COPY items FROM STDIN") + bind() + execute() + SYNC + copy_data(b"206\tx\n") + COPY_DONE + SYNC,
         "Z"), (b"", "Z"), *simple("SELECT count(*) FROM items WHERE id = 206")],
    "copy in, extended, fails all at once with its Syncs": [
        (query("SELECT 1") + parse("COPY items FROM STDIN") + bind() + execute() + SYNC + copy_fail("no") + SYNC, "Z"), (b"", "Z"),
        *simple("SELECT 1")],
    "copy in, extended, all at once with more behind it": [
        (query("SELECT 1") + parse("COPY items FROM STDIN") + bind() + execute() + SYNC + copy_data(b"207\tx\n") + COPY_DONE +
         extended("SELECT 2"), "Z"), (b"", "Z"), *simple("SELECT 1")],
    "copy in, then more statements": [(query("COPY items FROM STDIN; SELECT count(*) FROM items; COPY items FROM STDIN"), "G"),
                                      (copy_data(b"204\tx\n") + COPY_DONE, "G"), (copy_data(b"205\tx\n") + COPY_DONE, "Z")],
    "copy in, refused": simple("COPY missing FROM STDIN", "COPY items (nothing) FROM STDIN"),
    "copy in, many": [(query("COPY items FROM STDIN"), "G"),
                      (b"".join(copy_data(b"%d\t%s\n" % (n, b"x" * 100)) for n in range(1000, 6000)) + COPY_DONE, "Z")],
    "copy in, extended": [(parse("COPY items FROM STDIN") + bind() + execute() + SYNC, "G"),
                          (copy_data(b"206\tx\n") + COPY_DONE + SYNC, "Z"), *simple("SELECT count(*) FROM items")],
    "copy in, extended, error": [(parse("COPY items FROM STDIN") + bind() + execute() + FLUSH, "G"),
                                 (copy_data(b"bad\n") + COPY_DONE + SYNC, "Z"), *simple("SELECT count(*) FROM items")],
    "copy in, transaction": [*simple("BEGIN"), (query("COPY items FROM STDIN"), "G"), (copy_data(b"207\tx\n") + COPY_DONE, "Z"),
                             *simple("ROLLBACK", "SELECT count(*) FROM items")],
    "copy out": simple("COPY items TO STDOUT", "COPY (SELECT n, 'x' FROM generate_series(1, 5000) n) TO STDOUT (FORMAT csv)"),
    "copy out, extended": [(extended("COPY items TO STDOUT"), "Z")],
    "copy out, error on the way": simple("COPY (SELECT 1 / (500 - n) FROM generate_series(1, 1000) n) TO STDOUT"),
    "copy out, binary": simple("COPY items TO STDOUT (FORMAT binary)"),
    # --- the rest
    "function call": [(function_call(INT4PL, [int4(40), int4(2)]), "Z"), (function_call(INT4PL, [None, int4(2)]), "Z")],
    "function call, errors": [(function_call(INT4DIV, [int4(1), int4(0)]), "Z"), (function_call(4_000_000, []), "Z"),
                              (function_call(INT4PL, [int4(1)]), "Z"), *simple("SELECT 1")],
    "function call in a transaction": [*simple("BEGIN"), (function_call(INT4PL, [int4(40), int4(2)]), "Z"), *simple("COMMIT")],
}

# The proxy's parser and PostgreSQL agree on these, but PostgreSQL ends the session: only the error itself is compared.
FATAL = {
    "unknown message": wire.message(b"?", b"what"),
    "message of length 0": b"Q\0\0\0\0",
    "message of length 3": b"S\0\0\0\3",
    "message too long": b"S\x7f\xff\xff\xff",
    "query without an end": wire.message(b"Q", b"SELECT 1"),
}


@pytest.fixture(scope="module")
def items(cluster):
    """items(): the table as each script expects to find it, on all nodes."""
    cluster.primary.sql("DROP TABLE IF EXISTS items; CREATE TABLE items (id int, name text)")

    def reset():  # the table stays, because its number stands in row descriptions
        cluster.primary.sql("TRUNCATE items; INSERT INTO items VALUES (1, 'one'), (2, 'two'), (3, 'three')")
        cluster.wait_replayed()
    reset()
    return reset


def play(client: Wire, script: list[tuple[bytes, str]]) -> list[Message]:
    heard: list[Message] = []
    for data, until in script:
        client.send(data)
        heard += client.read_until(until)
    return [Message("A", m.body[4:]) if m.kind == "A" else m for m in heard]


def replay(port: int, script: list[tuple[bytes, str]]) -> list[Message]:
    with Wire(port, timeout=15) as client:
        assert client.login()[-1].kind == "Z"
        return play(client, script)


def without_place(found: Message) -> Message:
    """Errors without file, line and routine, which tell nothing to applications."""
    if found.kind not in "EN":
        return found
    kept = {code: text for code, text in found.fields.items() if code not in "FLR"}
    return Message(found.kind, repr(kept).encode())


@pytest.mark.parametrize("name", SCRIPTS)
def test_answers_are_the_same(proxy, cluster, items, name):
    items()
    direct = replay(cluster.primary.port, SCRIPTS[name])
    items()
    through = replay(proxy.port, SCRIPTS[name])
    assert [without_place(m) for m in through] == [without_place(m) for m in direct]
    assert through == direct


@pytest.mark.parametrize("name", FATAL)
def test_violations_end_the_session_with_an_error(proxy, cluster, name):
    replies = []
    for port in (cluster.primary.port, proxy.port):
        with Wire(port) as client:
            client.login()
            client.send(FATAL[name])
            if name == "query without an end":
                replies.append(client.read().sqlstate)
            else:
                found = [m for m in client.read_to_end() if m.kind == "E"]
                replies.append(found[0].sqlstate if found else "closed")
    assert replies[1] == "08P01"
    assert replies[0] in ("08P01", "closed")
    assert proxy.sql("SELECT 1") == [(1,)]


def test_a_query_within_copy_ends_the_session(proxy, cluster, items):
    ends = []
    for port in (cluster.primary.port, proxy.port):
        with Wire(port) as client:
            client.login()
            client.send(query("COPY items FROM STDIN"))
            assert client.read().kind == "G"
            client.send(query("SELECT 1"))
            ends.append([(m.fields["S"], m.sqlstate) for m in client.read_to_end()])
    assert ends[1] == ends[0] and ends[0][-1][0] == "FATAL"
    assert proxy.sql("SELECT 1") == [(1,)]


def test_copy_data_outside_of_copy_is_ignored(proxy, cluster):
    script = [(copy_data(b"x") + COPY_DONE + copy_fail("y") + query("SELECT 1"), "Z")]
    assert replay(proxy.port, script) == replay(cluster.primary.port, script)


def test_terminate_closes(proxy):
    with Wire(proxy.port) as client:
        client.login()
        client.send(wire.TERMINATE)
        assert client.read_to_end() == []


def test_all_scripts_in_one_session(proxy, cluster, items):
    """What one script leaves behind must not change the next; some state (settings) stays, on both sides alike."""
    everything = [step for name, script in SCRIPTS.items() for step in script]
    items()
    direct = replay(cluster.primary.port, everything)
    items()
    through = replay(proxy.port, everything)
    assert [without_place(m) for m in through] == [without_place(m) for m in direct]


# Reads only, so that it may be repeated; every kind of message of an ordinary client is in it.
SPLIT = (query("SELECT 1; SELECT 'two'") + parse("SELECT $1::int", "s") + describe("S", "s") +
         bind(statement="s", values=[b"3"]) + describe("P") + execute() + close("S", "s") + SYNC + query("SELECT 1/0"))
SIOCOUTQ = 0x5411  # bytes sent that the peer's kernel has not acknowledged yet


def unread(proxy_port: int, client_port: int) -> int:
    """Bytes that lie in the proxy's receive queue for this client."""
    wanted = (f":{proxy_port:04X}", f":{client_port:04X}")
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[1].endswith(wanted[0]) and fields[2].endswith(wanted[1]):
            return int(fields[4].split(":")[1], 16)
    raise AssertionError("the connection is gone")


def wait_read(client: Wire, proxy_port: int) -> None:
    """Until the proxy has taken everything that was sent."""
    own_port = client.socket.getsockname()[1]

    def taken() -> bool:
        in_flight, = struct.unpack("i", fcntl.ioctl(client.socket, SIOCOUTQ, b"\0" * 4))
        return in_flight == 0 and unread(proxy_port, own_port) == 0
    wait_for(taken, "the proxy to read", interval=0)


def read_split_answers(client: Wire) -> list[Message]:
    return client.read_until("Z") + client.read_until("Z") + client.read_until("Z")


def test_messages_split_at_every_offset(proxy):
    with Wire(proxy.port) as client:
        client.login()
        client.send(SPLIT)
        expected = read_split_answers(client)
        for offset in range(1, len(SPLIT)):
            client.send(SPLIT[:offset])
            wait_read(client, proxy.port)
            client.send(SPLIT[offset:])
            assert read_split_answers(client) == expected, f"split at {offset}"


def test_byte_by_byte(proxy):
    with Wire(proxy.port) as client:
        client.login()
        client.send(SPLIT)
        expected = read_split_answers(client)
        for byte in SPLIT:
            client.send(bytes([byte]))
            wait_read(client, proxy.port)
        assert read_split_answers(client) == expected


def test_startup_packet_byte_by_byte(proxy):
    with Wire(proxy.port) as client:
        for byte in wire.SSL_REQUEST:
            client.send(bytes([byte]))
            wait_read(client, proxy.port)
        assert client.read_byte() == b"N"
        for byte in wire.startup({"user": "postgres", "database": "test"}):
            client.send(bytes([byte]))
            wait_read(client, proxy.port)
        assert client.read_until("Z")[-1].body == b"I"


def test_notification_from_another_session(proxy):
    with Wire(proxy.port) as listener:
        listener.login()
        listener.rows("LISTEN elsewhere")
        proxy.sql("NOTIFY elsewhere, 'payload'")
        got = listener.read()
    assert (got.kind, re.split(b"\0", got.body[4:])[:2]) == ("A", [b"elsewhere", b"payload"])


def test_a_reader_that_does_not_read_holds_up_nobody(proxy):
    """Back-pressure: a client that takes nothing must not make the proxy hoard, nor stop the others."""
    before = proxy.memory_peak()
    with Wire(proxy.port) as lazy:
        lazy.login()
        lazy.send(query("SELECT repeat('x', 1000) FROM generate_series(1, 300000)"))
        lazy.read()
        for _ in range(50):
            assert proxy.sql("SELECT 1") == [(1,)]
        assert proxy.memory_peak() - before < 100 << 20
        assert lazy.read_until("Z")[-2].tag == "SELECT 300000"
