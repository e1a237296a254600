"""What a client can do, and what can be done to it, while it waits for a node (failover.hold_timeout): its time is over, it
cancels, it leaves in each of the ways there are, pgweir ends, the configuration changes. Nobody promotes but the tests."""

import contextlib
import signal
import socket
import struct
import time

import pytest

from harness import wire
from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for
from harness.wire import SYNC, Wire, bind, execute, parse, query

HOLD = f"{20 * SCALE:g}s"
SOON = 5 * SCALE

# What a client says that has to wait for the primary, and what it gets when that fails: kinds, and the transaction's state.
WAITS = {
    "simple": ([query("INSERT INTO written VALUES (1)")], "EZ", b"I"),
    "extended": ([parse("INSERT INTO written VALUES (1)"), bind(), execute(), SYNC], "EZ", b"I"),
    "in a transaction": ([query("BEGIN"), query("INSERT INTO written VALUES (1)")], "CZEZ", b"E"),
    "copy": ([query("COPY written FROM STDIN")], "EZ", b"I"),
    "function call": ([wire.function_call(480, [b"1"])], "EZ", b"I"),  # int4(bigint): its argument is too short
}


@contextlib.contextmanager
def away(standbys: int = 1, hold: str = HOLD, **sections):
    """A cluster whose primary has just been found lost, the proxy before it, and what makes clients (logged in before)."""
    failover = {"hold_timeout": hold} | sections.pop("failover", {})
    sections.setdefault("workers", 1)  # what one has been told of a server's parameters, another does not know
    with Cluster(standbys=standbys) as cluster, contextlib.ExitStack() as clients:
        with Pgweir(cluster.nodes, failover=failover, admin={"users": "boss"}, **sections) as proxy:
            proxy.sql("CREATE TABLE written (id int)")
            cluster.wait_replayed()
            with contextlib.closing(proxy.connect()):  # so that its parameters are known
                cluster.primary.kill()
                wait_for(lambda: primary_of(proxy) == "", "the primary to be found away")
            yield cluster, proxy, lambda: clients.enter_context(Client(proxy))
            clients.close()


class Client(Wire):
    """Logged in. Passes over ParameterStatus: who has been welcomed by a standby hears in_hot_standby later."""

    def __init__(self, proxy):
        super().__init__(proxy.port)
        self.welcomed = False
        self.welcomed = self.login()[-1].kind == "Z"
        assert self.welcomed

    def read(self) -> wire.Message:
        one = super().read()
        while self.welcomed and one.kind == "S":
            one = super().read()
        return one


def primary_of(proxy) -> str:
    with proxy.connect(user="boss", dbname="pgweir") as console:
        return console.execute("SHOW FAILOVER").fetchone()[3]


def promote(cluster, proxy) -> None:
    cluster.node("pg2").sql("SELECT pg_promote(true)")
    wait_for(lambda: primary_of(proxy) == "pg2", "pg2 to be the primary")


def wait_held(proxy, count: int = 1) -> None:
    wait_for(lambda: proxy.log().count(" held ") >= count, f"{count} clients to wait")


def kinds(messages) -> str:
    return "".join(one.kind for one in messages)


def reset(client) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.socket.close()


LEAVES = {
    "fin": lambda client: client.socket.close(),
    "rst": reset,
    "half-close": lambda client: client.socket.shutdown(socket.SHUT_WR),
    "terminate": lambda client: (client.send(wire.TERMINATE), client.socket.close()),
}


@pytest.mark.parametrize("what", WAITS)
def test_the_time_is_over(what):
    messages, answer, status = WAITS[what]
    with away(hold="300ms") as (cluster, proxy, clients):
        client = clients()
        begin = time.monotonic()
        client.send(*messages)
        found = [client.read() for _ in answer]
        assert kinds(found) == answer and found[-1].body == status
        assert found[-2].sqlstate == "57P03" and "failover.hold_timeout" in found[-2].fields["D"]
        assert 0.2 <= time.monotonic() - begin < SOON
        if status == b"E":
            assert client.ask(query("SELECT 1"))[0].sqlstate == "25P02"
            client.ask(query("ROLLBACK"))
        promote(cluster, proxy)
        assert kinds(client.ask(query("INSERT INTO written VALUES (2)"))) == "CZ"
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(2,)]


@pytest.mark.parametrize("what", WAITS)
def test_it_cancels(what):
    messages, answer, status = WAITS[what]
    with away() as (cluster, proxy, clients):
        client = clients()
        # What is behind it waits in its turn, and is not cancelled.
        client.send(*messages, *([query("ROLLBACK")] if status == b"E" else []), query("INSERT INTO written VALUES (2)"))
        wait_held(proxy)
        with Wire(proxy.port) as other:
            other.send(wire.cancel_request(client.pid, client.key))
            assert other.read_to_end() == []
        found = [client.read() for _ in answer]
        assert kinds(found) == answer and found[-1].body == status and found[-2].sqlstate == "57014"
        if status == b"E":
            assert kinds(client.read_until("Z")) == "CZ"
        wait_held(proxy, 2)
        promote(cluster, proxy)
        assert kinds(client.read_until("Z")) == "CZ"
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(2,)]


def test_a_cancel_request_with_another_key_changes_nothing():
    with away() as (cluster, proxy, clients):
        client = clients()
        client.send(query("INSERT INTO written VALUES (1)"))
        wait_held(proxy)
        with Wire(proxy.port) as other:
            other.send(wire.cancel_request(client.pid, bytes(len(client.key))))
            other.read_to_end()
        promote(cluster, proxy)
        assert kinds(client.read_until("Z")) == "CZ"


@pytest.mark.parametrize("leave", LEAVES)
def test_it_leaves(leave):
    """Whatever it has asked for: nothing of it is done later, and its place is free."""
    with away(pool={"max_clients": 12}) as (cluster, proxy, clients):
        leaving = [clients() for _ in WAITS]
        staying = clients()
        for client, (messages, *_) in zip(leaving, WAITS.values()):
            client.send(*messages)
        staying.send(query("INSERT INTO written VALUES (2)"))
        wait_held(proxy, len(leaving) + 1)
        for client in leaving:
            LEAVES[leave](client)
        for client in leaving:
            proxy.wait_log(rf"disconnected session={client.pid} ")
        promote(cluster, proxy)
        assert kinds(staying.read_until("Z")) == "CZ"
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(2,)]
        for _ in range(10):
            assert kinds(clients().ask(query("SELECT 1"))) == "TDCZ"


@pytest.mark.parametrize("leave", ["fin", "rst", "half-close"])
def test_it_leaves_while_its_login_waits(leave):
    with away(standbys=0, pool={"max_clients": 5}) as (cluster, proxy, _):
        logins = [Wire(proxy.port) for _ in range(3)]
        for one in logins:
            one.send(wire.startup({"user": "traced", "database": "test"}))
        wait_held(proxy, 3)
        for one in logins:
            LEAVES[leave](one)
        cluster.primary.start()
        for _ in range(3):
            assert proxy.sql("SELECT 1") == [(1,)]
        wait_for(lambda: proxy.sql("SELECT count(*) FROM pg_class")[0][0] > 0, "clients to be served")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_pgweir_ends(number):
    with away(standbys=0, shutdown={"timeout": "60s"}) as (cluster, proxy, clients):
        held = [clients() for _ in WAITS]
        for client, (messages, *_) in zip(held, WAITS.values()):
            client.send(*messages)
        login = Wire(proxy.port)
        login.send(wire.startup({"user": "traced", "database": "test"}))
        wait_held(proxy, len(held) + 1)
        begin = time.monotonic()
        proxy.signal(number)
        for client in held:
            assert client.read_to_end()[-1].sqlstate == "57P01"
        last = login.read_to_end()[-1]
        assert last.kind == "E" and last.sqlstate in ("57P01", "57P03")
        assert time.monotonic() - begin < SOON
        proxy.wait_exit()


@pytest.mark.parametrize("hold", ["200ms", "0s"])
def test_a_reload_shortens_the_time_of_all(hold):
    with away() as (cluster, proxy, clients):
        held = [clients() for _ in WAITS]
        for client, (messages, *_) in zip(held, WAITS.values()):
            client.send(*messages)
        wait_held(proxy, len(held))
        proxy.write_config(failover={"hold_timeout": hold})
        proxy.reload()
        for client, (_, answer, status) in zip(held, WAITS.values()):
            found = [client.read() for _ in answer]
            assert kinds(found) == answer and found[-1].body == status and found[-2].sqlstate == "57P03"


def test_a_reload_takes_out_the_primary_that_is_waited_for():
    with away() as (cluster, proxy, clients):
        client = clients()
        client.send(query("INSERT INTO written VALUES (1)"))
        wait_held(proxy)
        proxy.write_config(nodes=[node for node in proxy.config["nodes"] if node["name"] != "pg1"])
        proxy.reload()
        promote(cluster, proxy)
        assert kinds(client.read_until("Z")) == "CZ"
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(1,)]
        wait_for(lambda: proxy.log_has(r"node=pg1 .*new_state=disabled"), "pg1 to be taken out")


@pytest.mark.parametrize("instead", [True, False])
def test_a_reload_takes_out_the_standby_that_is_waited_for(instead):
    """With another one in its place reads go on there, without one they wait for as long as they may."""
    routing = {"fallback_to_primary": False, "consistency": "eventual"}
    with Cluster(standbys=2) as cluster:
        hold = HOLD if instead else f"{3 * SCALE:g}s"
        with Pgweir(cluster.nodes[:2], routing=routing, failover={"hold_timeout": hold}) as proxy, Client(proxy) as client:
            all_nodes = proxy.config["nodes"]
            proxy.wait_standby_read()
            cluster.node("pg2").kill()
            proxy.wait_nodes({"pg1": "up", "pg2": "down"})
            client.send(query("SELECT count(*) FROM pg_class"))
            wait_held(proxy)
            pg3 = all_nodes[1] | {"name": "pg3", "port": cluster.node("pg3").port}
            proxy.write_config(nodes=[all_nodes[0], pg3] if instead else all_nodes[:1])
            proxy.reload()
            found = client.read_until("Z")
            if instead:
                assert kinds(found) == "TDCZ"
            else:
                assert found[0].sqlstate == "57P03" and "disabled" in found[0].fields["D"]
                assert kinds(client.ask(query("CREATE TABLE written (id int)"))) == "CZ"  # the primary is there
