"""A server that says what cannot be: the client gets all that was right before it, and then an error."""

import contextlib

import pytest

from harness import wire
from harness.proxy import Pgweir
from harness.relay import Relay
from harness.wire import Closed, Wire

MARK, ASKS_FOR_MARK = b"tell a lie", "SELECT 'tell ' || 'a lie'"  # only the answer has it as a whole
SIMPLE = wire.query(ASKS_FOR_MARK)
EXTENDED = wire.parse(ASKS_FOR_MARK) + wire.bind() + wire.describe("P") + wire.execute() + wire.SYNC
CASES = {  # what the client says, the lie, what it gets before the error
    "simple, a length that cannot be": (SIMPLE, b"Z\0\0\0\1", "TDC"),
    "extended, a length that cannot be": (EXTENDED, b"Z\0\0\0\1", "12TDC"),
    "simple, a message of the extended protocol": (SIMPLE, wire.message(b"2"), "TDC"),
    "extended, an unknown message": (EXTENDED, wire.message(b"?", b"x"), "12TDC"),
    "extended, a row behind the end": (EXTENDED, wire.message(b"D", b"\0\0"), "12TDC"),
    "extended, a message that answers nothing": (EXTENDED, wire.message(b"2"), "12TDC"),
}


def lying(lie: bytes):
    """Behind the CommandComplete of an answer with MARK comes `lie` instead of what follows."""
    def change(data: bytes) -> bytes:
        if MARK not in data:
            return data
        complete = data.index(b"C\0\0\0", data.index(MARK))
        return data[:complete + 1 + int.from_bytes(data[complete + 1:complete + 5], "big")] + lie
    return change


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


@pytest.fixture
def proxy(case, cluster):
    relay = Relay(cluster.primary.port, lying(case[1]))
    node = type("Node", (), {"name": "pg1", "host": "127.0.0.1", "port": relay.port})
    with contextlib.closing(relay), Pgweir([node], topology="single", workers=1) as proxy:
        yield proxy


def test_nothing_that_was_said_before_is_lost(proxy, case):
    says, _, before = case
    with Wire(proxy.port) as client:
        client.login()
        client.send(says)
        found = [client.read() for _ in range(len(before) + 1)]
        assert "".join(one.kind for one in found) == before + "E"
        assert found[-3].values == [MARK]
        assert found[-1].fields["S"] == "FATAL"
        with pytest.raises(Closed):
            client.read()
    assert proxy.sql("SELECT 1") == [(1,)]  # by another connection
