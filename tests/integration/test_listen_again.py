"""When the server connection that listens for a client is lost: the client stays, listens again on the primary that there
is then, and is told that something may be missing. Nobody here promotes but the tests themselves."""

import contextlib

import pytest

from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import SCALE, wait_for
from harness.wire import Message, Wire, query

LOST = "notifications may have been lost while the server connection was replaced"
MODES = ["pin", "shared", "session"]


class Client(Wire):
    """Logged in as `app`; keeps apart what comes without being asked for."""

    def __init__(self, proxy):
        super().__init__(proxy.port)
        assert self.login(user="app", database="test")[-1].kind == "Z"
        self.unasked: list[Message] = []

    def says(self, text: str) -> list[Message]:
        found = self.ask(query(text))
        self.unasked += [one for one in found if one.kind in "AN"]
        return [one for one in found if one.kind not in "AN"]

    def done(self, text: str) -> str:
        (tag,) = [one.tag for one in self.says(text) if one.kind == "C"]
        return tag

    def fails(self, text: str) -> dict[str, str]:
        (error,) = [one for one in self.says(text) if one.kind == "E"]
        return error.fields

    def next(self) -> str:
        """What comes next without being asked for: a notification as channel=payload, or the text of a notice."""
        one = self.unasked.pop(0) if self.unasked else self.read()
        if one.kind == "N":
            assert one.fields["S"] == "NOTICE"
            return one.fields["M"]
        assert one.kind == "A", one
        channel, payload, rest = one.body[4:].split(b"\0")
        assert rest == b""
        return f"{channel.decode()}={payload.decode()}"


@contextlib.contextmanager
def listening(how: str, standbys: int = 1, **sections):
    """A cluster, a proxy and what makes clients. `how`: pool.listen, or the pool mode `session`."""
    pool = {"mode": "session" if how == "session" else "transaction", "listen": "shared" if how == "shared" else "pin"}
    failover = {"hold_timeout": f"{20 * SCALE:g}s"} | sections.pop("failover", {})
    with Cluster(standbys=standbys) as cluster, contextlib.ExitStack() as clients:
        with Pgweir(cluster.nodes, pool=pool, failover=failover, admin={"users": "boss"}, **sections) as proxy:
            cluster.primary.sql("CREATE TABLE written (id int); GRANT ALL ON written TO app")
            cluster.wait_replayed()
            wait_for(lambda: "catalog_not_loaded" not in proxy.route("SELECT count(*) FROM pg_class"), "the catalog to be read")
            yield cluster, proxy, lambda: clients.enter_context(Client(proxy))
            clients.close()


def primary_of(proxy) -> str:
    with proxy.connect(user="boss", dbname="pgweir") as console:
        return console.execute("SHOW FAILOVER").fetchone()[3]


def pins(proxy) -> list[str]:
    with proxy.connect(user="boss", dbname="pgweir") as console:
        return [f"{row[4]} {row[5]}" for row in console.execute("SHOW pins").fetchall()]


def lose_primary(cluster, proxy) -> None:
    cluster.primary.kill()
    wait_for(lambda: not primary_of(proxy), "the primary to be found away")


def promote(cluster, proxy) -> None:
    cluster.node("pg2").sql("SELECT pg_promote(true)")
    wait_for(lambda: primary_of(proxy) == "pg2", "pg2 to be the primary")


def listen(client, how: str, proxy, *channels: str) -> None:
    for channel in channels:
        assert client.done(f"LISTEN {channel}") == "LISTEN"
    if how != "shared":
        wait_for(lambda: "pg1 listen" in pins(proxy), "the pin")


@pytest.mark.parametrize("how, end", [("pin", "kill"), ("pin", "fast"), ("pin", "promoted"), ("shared", "immediate"),
                                      ("shared", "promoted"), ("session", "kill")])
def test_an_idle_listener_hears_what_is_sent_after_the_failover(how, end):
    with listening(how) as (cluster, proxy, clients):
        many = [clients() for _ in range(3)]
        for client in many:
            listen(client, how, proxy, "news", '"Quoted ""name"""')
        cluster.primary.sql("NOTIFY news, 'before'")
        for client in many:
            assert client.next() == "news=before"
        if end == "kill":
            lose_primary(cluster, proxy)
        elif end != "promoted":
            cluster.primary.stop(end)
        promote(cluster, proxy)
        for client in many:
            assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'after'")
        cluster.node("pg2").sql("NOTIFY \"Quoted \"\"name\"\"\"")
        for client in many:
            assert [client.next(), client.next()] == ["news=after", 'Quoted "name"=']
            assert client.done("INSERT INTO written VALUES (1)") == "INSERT 0 1"
            assert client.unasked == []
        assert pins(proxy) == ([] if how == "shared" else ["pg2 listen"] * 3)


@pytest.mark.parametrize("how", MODES)
def test_a_listener_with_an_open_transaction(how):
    with listening(how) as (cluster, proxy, clients):
        idle, rolling, committing = clients(), clients(), clients()
        for client in (idle, rolling, committing):
            listen(client, how, proxy, "news")
        for client in (rolling, committing):
            client.says("BEGIN")
            client.says("INSERT INTO written VALUES (1)")
        lose_primary(cluster, proxy)
        promote(cluster, proxy)
        assert idle.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'within'")
        assert idle.next() == "news=within"
        assert rolling.fails("INSERT INTO written VALUES (2)")["C"] == "40001"
        assert rolling.done("ROLLBACK") == "ROLLBACK"
        assert committing.fails("COMMIT")["C"] == "40001"
        for client in (rolling, committing):
            assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'after'")
        assert idle.next() == "news=after"
        for client in (rolling, committing):
            heard = client.next()
            # The connection that all share listened before these were out of their transactions.
            if how == "shared":
                assert heard == "news=within"
                heard = client.next()
            assert heard == "news=after"
            assert client.done("INSERT INTO written VALUES (3)") == "INSERT 0 1"
        assert cluster.node("pg2").sql("SELECT id FROM written") == [(3,), (3,)]


@pytest.mark.parametrize("how", MODES)
def test_only_what_is_listened_to_at_the_end_is_listened_to_again(how):
    with listening(how) as (cluster, proxy, clients):
        some, nothing, discarded = clients(), clients(), clients()
        for client in (some, nothing, discarded):
            listen(client, how, proxy, "a", "b", "c")
        some.says("UNLISTEN a")
        for text in ("BEGIN", "UNLISTEN b", "LISTEN d", "ROLLBACK"):
            some.says(text)
        nothing.says("UNLISTEN *")
        discarded.says("DISCARD ALL")
        if how != "shared":
            wait_for(lambda: pins(proxy) == ["pg1 listen"], "the pins to go")
        lose_primary(cluster, proxy)
        promote(cluster, proxy)
        assert some.next() == LOST
        for channel in "abcd":
            cluster.node("pg2").sql(f"NOTIFY {channel}")
        heard = some.next()
        while heard == LOST:  # a new primary may be looked at twice before it is believed
            heard = some.next()
        assert [heard, some.next()] == ["b=", "c="]
        assert some.done("LISTEN z") == "LISTEN"
        some.says("NOTIFY z")
        assert some.next() == "z="
        for client in (nothing, discarded):
            assert client.done("INSERT INTO written VALUES (1)") == "INSERT 0 1"
            assert client.unasked == []


@pytest.mark.parametrize("how", MODES)
def test_listen_comes_before_the_statement_that_waits(how):
    with listening(how) as (cluster, proxy, clients):
        client = clients()
        listen(client, how, proxy, "news")
        lose_primary(cluster, proxy)
        assert client.done("SELECT count(*) FROM pg_class") == "SELECT 1"  # on the standby
        client.send(query("INSERT INTO written VALUES (1)"), query("NOTIFY news, 'own'"))
        proxy.wait_log(" held ")
        promote(cluster, proxy)
        found = client.read_until("Z") + client.read_until("Z")
        assert [one.tag for one in found if one.kind == "C"] == ["INSERT 0 1", "NOTIFY"]
        client.unasked += [one for one in found if one.kind in "AN"]
        assert client.next() == LOST
        if how == "shared":  # another connection than the one that notifies: it may come too late for that
            cluster.node("pg2").sql("NOTIFY news, 'own'")
        assert client.next() == "news=own"


@pytest.mark.parametrize("how", MODES)
def test_listen_waits_for_a_primary(how):
    with listening(how) as (cluster, proxy, clients):
        client, leaving = clients(), clients()
        lose_primary(cluster, proxy)
        client.send(query("LISTEN news"))
        proxy.wait_log(" held ")
        leaving.send(query("LISTEN news"))
        wait_for(lambda: proxy.log().count(" held ") == 2, "both to wait")
        leaving.socket.close()
        promote(cluster, proxy)
        assert [one.kind for one in client.read_until("Z")] == ["C", "Z"]
        cluster.node("pg2").sql("NOTIFY news, 'x'")
        assert client.next() == "news=x"


@pytest.mark.parametrize("how", MODES)
def test_one_that_waits_in_vain_listens_again_all_the_same(how):
    with listening(how, failover={"hold_timeout": "300ms"}) as (cluster, proxy, clients):
        client = clients()
        listen(client, how, proxy, "news")
        lose_primary(cluster, proxy)
        for text in ("LISTEN other", "UNLISTEN news", "INSERT INTO written VALUES (1)"):
            assert client.fails(text)["C"] == "57P03"
        promote(cluster, proxy)
        assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'x'")
        assert client.next() == "news=x"
        for text in ("LISTEN other", "UNLISTEN news"):
            client.done(text)
        for channel in ("news", "other"):
            cluster.node("pg2").sql(f"NOTIFY {channel}, 'later'")
        assert client.next() == "other=later"


@pytest.mark.parametrize("how", MODES)
def test_a_connection_that_is_ended_is_replaced_at_once(how):
    with listening(how, standbys=0) as (cluster, proxy, clients):
        client, witness = clients(), clients()
        listen(client, how, proxy, "news")
        for number in range(3):
            cluster.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'app'"
                                " AND (query LIKE 'LISTEN%' OR query LIKE '%pg_listening_channels%' OR query LIKE 'DO %')")
            assert client.next() == LOST
            witness.says(f"NOTIFY news, '{number}'")
            assert client.next() == f"news={number}"


@pytest.mark.parametrize("how", MODES)
def test_a_primary_that_hangs_is_given_up(how):
    with listening(how, monitor={"timeout": f"{500 * SCALE:.0f}ms"}) as (cluster, proxy, clients):
        client = clients()
        listen(client, how, proxy, "news")
        cluster.primary.pause()
        promote(cluster, proxy)
        assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'x'")
        assert client.next() == "news=x"


@pytest.mark.parametrize("how", ["pin", "shared"])
def test_the_same_primary_comes_back(how):
    with listening(how, standbys=0) as (cluster, proxy, clients):
        client = clients()
        listen(client, how, proxy, "news")
        for _ in range(2):
            cluster.primary.restart("fast")
            assert client.next() == LOST
            cluster.primary.sql("NOTIFY news, 'x'")
            assert client.next() == "news=x"


def test_channels_that_no_statement_names_are_listened_to_again():
    with listening("pin") as (cluster, proxy, clients):
        client = clients()
        client.says("DO $$ BEGIN EXECUTE 'LISTEN hidden'; END $$")
        client.says("SET client_encoding = 'LATIN1'")
        client.ask(query("LISTEN äö".encode("latin1")))
        client.says("SET client_encoding = 'UTF8'")
        wait_for(lambda: "pg1 listen" in pins(proxy), "the pin")
        lose_primary(cluster, proxy)
        promote(cluster, proxy)
        assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY hidden, 'x'")
        cluster.node("pg2").sql('NOTIFY "äö"')
        assert [client.next(), client.next()] == ["hidden=x", "äö="]


def test_other_state_that_is_lost_is_told_all_the_same():
    with listening("pin") as (cluster, proxy, clients):
        client = clients()
        listen(client, "pin", proxy, "news")
        client.says("CREATE TEMP TABLE mine (a int)")
        wait_for(lambda: "pg1 temporary_objects" in pins(proxy), "the pin")
        lose_primary(cluster, proxy)
        promote(cluster, proxy)
        assert client.next() == LOST
        error = client.fails("INSERT INTO written VALUES (1)")
        assert error["C"] == "08006" and "temporary" in error["D"] and "listens" not in error["D"]
        cluster.node("pg2").sql("NOTIFY news, 'x'")
        assert client.next() == "news=x"


def test_a_read_of_a_listener_runs_again():
    with listening("pin", standbys=0) as (cluster, proxy, clients):
        client = clients()
        listen(client, "pin", proxy, "news")
        client.send(query("SELECT count(*) FROM generate_series(1, 10000000)"))
        wait_for(lambda: cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE state = 'active'"
                                             " AND query LIKE '%generate_series%' AND pid <> pg_backend_pid()"),
                 "the statement to run")
        cluster.primary.kill()
        cluster.primary.start()
        found = client.read_until("Z")
        assert [one.fields for one in found if one.kind == "E"] == []
        assert [one.values for one in found if one.kind == "D"] == [[b"10000000"]]
        client.unasked += [one for one in found if one.kind in "AN"]
        assert client.next() == LOST


def test_clients_that_leave_meanwhile_leave_nothing_behind():
    with listening("pin") as (cluster, proxy, clients):
        stays, goes = clients(), clients()
        for client in (stays, goes):
            listen(client, "pin", proxy, "news")
        lose_primary(cluster, proxy)
        goes.socket.close()
        proxy.wait_log("disconnected")
        promote(cluster, proxy)
        assert stays.next() == LOST
        assert pins(proxy) == ["pg2 listen"]


def test_a_pool_that_is_full_is_waited_for():
    with listening("pin", workers=1) as (cluster, proxy, clients):
        proxy.write_config(pool={"size": 2, "queue_timeout": "300ms"})
        proxy.reload()
        client = clients()
        listen(client, "pin", proxy, "news")
        holders = [clients(), clients()]
        lose_primary(cluster, proxy)
        for one in holders:
            one.send(query("BEGIN; INSERT INTO written VALUES (1)"))
        promote(cluster, proxy)
        for one in holders:
            # The listener may come first.
            one.read_until("Z")
        for one in holders:
            one.says("ROLLBACK")
        assert client.next() == LOST
        cluster.node("pg2").sql("NOTIFY news, 'x'")
        assert client.next() == "news=x"
