"""LISTEN and NOTIFY in transaction mode: through one shared connection (pool.listen: shared), or by a pin.

Nobody waits to see that something does not come: a later notification on the same connection comes first, or not at all.
"""

import threading
from contextlib import ExitStack

import pytest

from harness.waiting import wait_for
from harness.wire import SYNC, Message, Wire, bind, describe, execute, parse, query

LISTENER = "pgweir listener"


class Client(Wire):
    """Logged in as `app`; keeps apart the notifications that come with an answer."""

    def __init__(self, proxy, **parameters: str):
        super().__init__(proxy.port)
        assert self.login(**({"user": "app", "database": "test"} | parameters))[-1].kind == "Z"
        self.early: list[tuple[str, str]] = []

    def says(self, text: str) -> list[Message]:
        """All messages of the answer, without the notifications."""
        found = self.ask(query(text))
        self.early += [heard_in(one) for one in found if one.kind == "A"]
        return [one for one in found if one.kind != "A"]

    def tag(self, text: str) -> str:
        (tag,) = [one.tag for one in self.says(text) if one.kind == "C"]
        return tag

    def value(self, text: str) -> str:
        (row,) = [one.values for one in self.says(text) if one.kind == "D"]
        return row[0].decode()

    def hears(self, count: int) -> list[tuple[str, str]]:
        """The next notifications, channel and payload."""
        while len(self.early) < count:
            self.early.append(heard_in(self.read()))
        found, self.early = self.early[:count], self.early[count:]
        return found

    def hears_nothing_more(self) -> None:
        """What was notified before comes before this."""
        assert self.tag("LISTEN fence") == "LISTEN"
        self.says("NOTIFY fence")
        assert self.hears(1) == [("fence", "")]
        assert self.tag("UNLISTEN fence") == "UNLISTEN"


def heard_in(message: Message) -> tuple[str, str]:
    assert message.kind == "A", message
    channel, payload, rest = message.body[4:].split(b"\0")
    assert rest == b""
    return channel.decode(), payload.decode()


@pytest.fixture
def shared(make_proxy):
    """Two server connections per pool: one to listen, one for everything else."""
    return make_proxy(workers=1, pool={"mode": "transaction", "listen": "shared", "size": 2, "queue_timeout": "10s"})


@pytest.fixture
def clients():
    with ExitStack() as stack:
        yield lambda proxy, **parameters: stack.enter_context(Client(proxy, **parameters))


def backends(cluster) -> list[tuple[int, str]]:
    return cluster.primary.sql("SELECT pid, application_name FROM pg_stat_activity"
                               " WHERE usename = 'app' AND backend_type = 'client backend'")


def listeners(cluster) -> list[int]:
    return [pid for pid, name in backends(cluster) if name == LISTENER]


def pins(proxy) -> list[str]:
    return [row[5] for row in proxy.sql("SHOW pins")]


def test_twenty_listen_through_one_connection_each_in_order(shared, cluster, clients):
    everybody = [clients(shared) for _ in range(20)]
    for one in everybody:
        assert one.tag("LISTEN news") == "LISTEN"
    sender = clients(shared)
    for number in range(5):
        sender.says(f"NOTIFY news, '{number}'")
    cluster.primary.sql("NOTIFY news, 'outside'")
    for one in everybody:
        assert one.hears(6) == [("news", str(number)) for number in range(5)] + [("news", "outside")]
    for one in everybody:
        one.hears_nothing_more()
    assert len(listeners(cluster)) == 1 and len(backends(cluster)) <= 2
    assert pins(shared) == []
    for one in everybody:
        one.socket.close()
    wait_for(lambda: not listeners(cluster), "the connection to go back")
    assert sender.value("/* pgweir: primary */ SELECT count(*) FROM pg_listening_channels()") == "0"


def test_each_database_and_user_has_its_own(shared, cluster, clients):
    one, other, elsewhere = clients(shared), clients(shared, user="traced"), clients(shared, database="postgres")
    for client in (one, other, elsewhere):
        client.says("LISTEN news")
    elsewhere.says("NOTIFY news, 'not here'")
    assert elsewhere.hears(1) == [("news", "not here")]
    one.says("NOTIFY news, 'here'")
    assert one.hears(1) == other.hears(1) == [("news", "here")]
    elsewhere.hears_nothing_more()


@pytest.mark.parametrize("begin, standby", [("BEGIN", "f"), ("BEGIN READ ONLY", "t")])
def test_delivery_waits_for_the_end_of_a_transaction(shared, clients, begin, standby):
    shared.wait_standby_read(user="app")
    client, witness = clients(shared), clients(shared)
    client.says("LISTEN slow")
    witness.says("LISTEN slow")
    client.says(begin)
    client.says("SELECT count(*) FROM pg_class")
    assert client.value("SELECT pg_is_in_recovery()") == standby
    sender = clients(shared, application_name="sender") if standby == "t" else None
    # In a transaction on the primary the pool's other connection is taken: then the notification comes from outside it.
    if sender:
        sender.says("NOTIFY slow, 'one'")
    else:
        with shared.connect(user="postgres") as outside:
            outside.execute("NOTIFY slow, 'one'")
    assert witness.hears(1) == [("slow", "one")]  # so it is there for the client too
    client.says("SELECT 1")
    assert client.early == []
    end = client.ask(query("COMMIT"))
    assert "".join(one.kind for one in end) == "CAZ"
    assert heard_in(end[1]) == ("slow", "one")
    client.hears_nothing_more()


def test_delivery_waits_in_a_begin_that_no_server_has_seen(shared, clients):
    client, witness = clients(shared), clients(shared)
    for one in (client, witness):
        one.says("LISTEN slow")
    client.says("BEGIN")
    witness.says("NOTIFY slow")
    assert witness.hears(1) == [("slow", "")]
    assert "".join(one.kind for one in client.ask(query("ROLLBACK"))) == "CAZ"


def test_own_notification_comes_after_the_statement(shared, clients):
    client = clients(shared)
    client.says("LISTEN mine")
    client.says("BEGIN")
    client.says("SELECT pg_notify('mine', 'in')")
    client.says("COMMIT")
    client.says("NOTIFY mine, 'out'")
    assert client.hears(2) == [("mine", "in"), ("mine", "out")]


def test_what_was_notified_before_listen_is_not_heard(shared, clients):
    first, second = clients(shared), clients(shared)
    first.says("LISTEN news")
    for number in range(50):
        second.says("UNLISTEN news")
        second.says(f"NOTIFY news, '{number}'")
        second.says("LISTEN news")
    second.hears_nothing_more()
    assert first.hears(50) == [("news", str(number)) for number in range(50)]


def test_channels_are_names(shared, clients):
    client = clients(shared)
    for name in ('News', '"News"', '"with ""quotes"" and; semicolon"', '"select"', "x" * 63):
        client.says(f"LISTEN {name}")
    client.says("NOTIFY news, 'folded'")
    client.says("NOTIFY \"News\", 'kept'")
    client.says("NOTIFY NEWS")
    client.says('NOTIFY "with ""quotes"" and; semicolon"')
    client.says("NOTIFY \"select\", 'a b ''c'' ä'")
    client.says(f"NOTIFY {'x' * 63}, '{'p' * 7999}'")
    assert client.hears(6) == [("news", "folded"), ("News", "kept"), ("news", ""),
                               ('with "quotes" and; semicolon', ""), ("select", "a b 'c' ä"), ("x" * 63, "p" * 7999)]


def test_unlisten_and_discard_all_end_it(shared, cluster, clients):
    client, other = clients(shared), clients(shared)
    other.says("LISTEN b")
    for end, left in [("UNLISTEN a", ["b", "c"]), ("UNLISTEN *", []), ("DISCARD ALL", []), ("UNLISTEN never", list("abc"))]:
        for channel in "abc":
            client.says(f"LISTEN {channel}")
        assert client.tag(end) == ("DISCARD ALL" if end == "DISCARD ALL" else "UNLISTEN")
        for channel in "abc":
            other.says(f"NOTIFY {channel}")
        assert client.tag("LISTEN z") == "LISTEN"
        other.says("NOTIFY z")
        assert client.hears(len(left) + 1) == [(channel, "") for channel in left] + [("z", "")]
        client.says("UNLISTEN *")
        assert other.hears(1) == [("b", "")]
    other.says("UNLISTEN *")
    wait_for(lambda: not listeners(cluster), "the connection to go back")


def test_unlisten_in_a_transaction_counts_when_it_commits(shared, clients):
    client, sender = clients(shared), clients(shared)
    client.says("LISTEN a")
    client.says("BEGIN")
    client.says("UNLISTEN a")
    client.says("ROLLBACK")
    sender.says("NOTIFY a, 'still'")
    assert client.hears(1) == [("a", "still")]
    client.says("BEGIN")
    client.says("UNLISTEN a")
    client.says("COMMIT")
    sender.says("NOTIFY a, 'gone'")
    client.hears_nothing_more()
    assert client.early == []


def test_a_client_that_leaves_is_forgotten(shared, cluster, clients):
    gone, stays = clients(shared), clients(shared)
    gone.says("LISTEN only_mine")
    gone.says("LISTEN ours")
    stays.says("LISTEN ours")
    (pid,) = listeners(cluster)
    gone.socket.close()
    sender = clients(shared)
    sender.says("NOTIFY ours")
    assert stays.hears(1) == [("ours", "")]
    stays.hears_nothing_more()
    assert listeners(cluster) == [pid]


def test_the_end_of_the_listening_connection_is_told_when_it_is_replaced(shared, cluster, clients):
    idle, busy, bystander = clients(shared), clients(shared), clients(shared)
    for one in (idle, busy):
        one.says("LISTEN news")
    busy.says("BEGIN")
    busy.says("SELECT 1")
    cluster.primary.sql(f"SELECT pg_terminate_backend({listeners(cluster)[0]})")
    notice = idle.read()
    assert notice.kind == "N" and notice.fields["M"].startswith("notifications may have been lost")
    assert bystander.tag("LISTEN news") == "LISTEN"
    with shared.connect(user="postgres") as outside:
        outside.execute("NOTIFY news")
    assert idle.hears(1) == bystander.hears(1) == [("news", "")]
    end = busy.ask(query("COMMIT"))  # neither of them within the transaction
    assert "".join(one.kind for one in end) == "CNAZ"


def test_many_notifications_from_four_senders_keep_their_order(shared, clients):
    client = clients(shared)
    client.says("LISTEN many")

    def send(sender: int) -> None:
        with Client(shared) as one:
            for number in range(250):
                one.says(f"NOTIFY many, '{sender} {number}'")

    threads = [threading.Thread(target=send, args=(sender,)) for sender in range(4)]
    for one in threads:
        one.start()
    statements = 0
    while any(one.is_alive() for one in threads):  # a client with work of its own
        assert client.value("SELECT 7") == "7"
        statements += 1
    for one in threads:
        one.join()
    assert statements > 0
    found = [tuple(map(int, payload.split())) for _, payload in client.hears(1000)]
    for sender in range(4):
        assert [number for who, number in found if who == sender] == list(range(250))
    client.hears_nothing_more()


def test_too_many_that_wait_end_the_session(make_proxy, clients):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "listen": "shared", "size": 3},
                       limits={"buffer_high_water": "64kB"})
    client, sender = clients(proxy), clients(proxy)
    client.says("LISTEN flood")
    client.says("BEGIN")
    client.says("SELECT 1")
    for number in range(10):
        sender.says(f"NOTIFY flood, '{number}{'x' * 7000}'")
    *_, last = client.read_to_end()
    assert last.kind == "E" and last.sqlstate == "53400" and "limits.buffer_high_water" in last.fields["H"]


def test_no_connection_is_an_error_of_the_statement(make_proxy, clients):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "listen": "shared", "size": 2, "queue_timeout": "200ms"})
    holders = [clients(proxy) for _ in range(2)]
    for one in holders:
        one.says("BEGIN")
        one.says("CREATE TEMP TABLE IF NOT EXISTS held ()")
    client = clients(proxy)
    error, ready = client.says("LISTEN news")
    assert error.sqlstate == "53300" and ready.kind == "Z"
    for one in holders:
        one.says("ROLLBACK")
    assert client.tag("LISTEN news") == "LISTEN"


def test_pipelined_listen_keeps_its_place(shared, clients):
    client = clients(shared)
    client.send(query("SELECT 1"), query("LISTEN a"), query("NOTIFY a"), query("UNLISTEN a"), query("SELECT 2"))
    kinds = ""
    while kinds.count("Z") < 5:
        kinds += client.read().kind
    assert kinds.replace("A", "") == "TDCZCZCZCZTDCZ" and kinds.count("A") == 1


def test_extended_protocol(shared, cluster, clients):
    client, sender = clients(shared), clients(shared)

    def kinds(*parts: bytes) -> str:
        return "".join(one.kind for one in client.ask(*parts, SYNC))

    assert kinds(parse("LISTEN news"), bind(), describe("P"), execute()) == "12nCZ"
    assert len(listeners(cluster)) == 1 and pins(shared) == []
    sender.says("NOTIFY news, 'one'")
    assert client.hears(1) == [("news", "one")]
    assert kinds(parse("UNLISTEN news", "off"), describe("S", "off")) == "1tnZ"
    assert kinds(bind("", "off"), execute()) == "2CZ"
    wait_for(lambda: not listeners(cluster), "the connection to go back")
    assert kinds(parse("LISTEN other", "on"), bind("p", "on"), execute("p")) == "12CZ"
    assert kinds(bind("", "off"), execute()) == "2CZ"  # of another channel: changes nothing
    # The statement that no server has seen yet is prepared where it runs.
    client.says("BEGIN")
    assert kinds(bind("", "on"), execute()) == "2CZ"
    client.says("ROLLBACK")
    sender.says("NOTIFY other")
    assert client.hears(1) == [("other", "")]
    client.hears_nothing_more()
    assert pins(shared) == []


@pytest.mark.parametrize("how", ["transaction", "with others", "pipeline"])
def test_what_cannot_be_shared_pins(shared, cluster, clients, how):
    client, sender = clients(shared), clients(shared)
    if how == "transaction":
        for text in ("BEGIN", "LISTEN news", "COMMIT"):
            client.says(text)
    elif how == "with others":
        client.says("LISTEN news; SELECT 1")
    else:
        client.ask(parse("LISTEN news"), bind(), execute(), parse("SELECT 1"), bind(), execute(), SYNC)
    wait_for(lambda: pins(shared) == ["listen"], "the pin")
    sender.says("NOTIFY news")
    assert client.hears(1) == [("news", "")]
    assert not listeners(cluster)
    client.says("UNLISTEN *")
    wait_for(lambda: pins(shared) == [], "the end of the pin")


def test_another_encoding_pins(shared, cluster, clients):
    first, latin = clients(shared, client_encoding="UTF8"), clients(shared, client_encoding="LATIN1")
    first.says("LISTEN news")
    latin.says("LISTEN news")
    wait_for(lambda: pins(shared) == ["listen"], "the pin")
    cluster.primary.sql("NOTIFY news, 'ä'")
    assert first.hears(1) == [("news", "ä")]
    assert latin.read().body.endswith(b"news\0\xe4\0")


def test_another_encoding_later_is_not_served_wrongly(shared, cluster, clients):
    client = clients(shared, client_encoding="UTF8")
    client.says("LISTEN news")
    client.says("SET client_encoding = 'LATIN1'")
    cluster.primary.sql("NOTIFY news, 'plain'")
    assert client.hears(1) == [("news", "plain")]
    cluster.primary.sql("NOTIFY news, 'ä'")
    *_, last = client.read_to_end()
    assert last.kind == "E" and last.sqlstate == "0A000"


def test_listen_pins_by_default(make_proxy, cluster, clients):
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 3})
    client, sender = clients(proxy), clients(proxy)
    assert client.tag("LISTEN news") == "LISTEN"
    wait_for(lambda: pins(proxy) == ["listen"], "the pin")
    assert not listeners(cluster)
    sender.says("NOTIFY news, 'x'")
    assert client.hears(1) == [("news", "x")]
    client.says("UNLISTEN news")
    wait_for(lambda: pins(proxy) == [], "the end of the pin")


def test_a_pool_without_room_is_refused(make_proxy):
    proxy = make_proxy(start=False, workers=4, pool={"mode": "transaction", "listen": "shared", "size": 4})
    assert "pool.listen" in proxy.check().stdout
    proxy.write_config(pool={"size": 5})
    assert proxy.check().returncode == 0, proxy.check().stdout
