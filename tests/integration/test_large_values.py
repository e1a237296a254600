"""A value as large as PostgreSQL allows passes in both directions while pgweir's memory stays bounded."""

import os
import struct

import pytest

from harness import wire
from harness.wire import Wire

SIZE = 1_073_000_000  # PostgreSQL refuses messages and values of 2^30 bytes
BYTEA = 17
MEMORY_LIMIT = 200 << 20
PIECE = b"x" * (1 << 20)

pytestmark = pytest.mark.slow


@pytest.fixture
def bounded(make_proxy):
    proxy = make_proxy()
    yield proxy
    if os.environ.get("PGWEIR_SANITIZE", "none") == "none":  # sanitizers keep freed memory
        assert proxy.memory_peak() < MEMORY_LIMIT


def connect(proxy) -> Wire:
    client = Wire(proxy.port, timeout=120)
    client.login()
    return client


def send_filler(client: Wire, size: int) -> None:
    for at in range(0, size, len(PIECE)):
        client.send(PIECE[:min(len(PIECE), size - at)])


def test_client_to_server(bounded):
    with connect(bounded) as client:
        body_before = b"\0" + b"\0" + struct.pack("!HHHI", 1, 1, 1, SIZE)
        body_after = struct.pack("!HH", 1, 0)
        length = 4 + len(body_before) + SIZE + len(body_after)
        client.send(wire.parse("SELECT octet_length($1)", types=[BYTEA]), b"B", struct.pack("!I", length), body_before)
        send_filler(client, SIZE)
        found = client.ask(body_after, wire.execute(), wire.SYNC)
    assert [m.values for m in found if m.kind == "D"] == [[str(SIZE).encode()]]


def test_server_to_client(bounded):
    with connect(bounded) as client:
        client.send(wire.query(f"SELECT repeat('x', {SIZE})"))
        assert client.read().kind == "T"
        row = skip_row(client)
        assert row == SIZE
        assert [m.kind for m in client.read_until("Z")] == ["C", "Z"]


def skip_row(client: Wire) -> int:
    """Reads a DataRow of one column and returns the size of its value."""
    client._need(11)
    kind, length, columns, size = struct.unpack_from("!cIHI", client._buffer)
    assert (kind, columns, length) == (b"D", 1, size + 10)
    left = size - (len(client._buffer) - 11)
    assert left > 0
    client._buffer.clear()
    scratch = bytearray(1 << 20)
    while left:
        got = client.socket.recv_into(scratch, min(left, len(scratch)))
        assert got and scratch.count(b"x", 0, got) == got
        left -= got
    return size


def test_copy_in_of_one_huge_message(bounded, cluster):
    size = 500_000_000
    cluster.primary.sql("DROP TABLE IF EXISTS huge")
    with connect(bounded) as client:
        client.rows("BEGIN")
        client.rows("CREATE TEMP TABLE huge (id int, line text)")
        client.rows("ALTER TABLE huge ALTER line SET STORAGE EXTERNAL")
        client.send(wire.query("COPY huge FROM STDIN"))
        assert client.read().kind == "G"
        client.send(b"d", struct.pack("!I", 4 + 2 + size + 1), b"1\t")
        send_filler(client, size)
        assert [m.tag for m in client.ask(b"\n", wire.COPY_DONE) if m.kind == "C"] == ["COPY 1"]
        assert client.rows("SELECT length(line) FROM huge") == [[str(size).encode()]]
        client.rows("ROLLBACK")
