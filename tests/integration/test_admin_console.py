"""The admin database: who comes in, what it answers in both protocols, and what its commands do to the nodes."""

import signal
import subprocess
import threading

import psycopg
import pytest

from harness.cluster import BIN
from harness.waiting import wait_for
from harness.wire import SYNC, Wire, bind, describe, execute, parse, query

ADMIN = {"admin": {"users": "boss", "viewers": "looker"}}


@pytest.fixture(scope="module")
def console_proxy(cluster):
    from harness.proxy import Pgweir

    with Pgweir(cluster.nodes, **ADMIN) as running:
        running.wait_standby_read()
        yield running


def console(proxy, user="boss", **more):
    return psycopg.connect(host=proxy.host, port=proxy.port, user=user, dbname="pgweir", autocommit=True, **more)


def table(connection, text):
    cursor = connection.execute(text)
    names = [column.name for column in cursor.description]
    return [dict(zip(names, row)) for row in cursor.fetchall()]


def test_nodes_as_psql_shows_them(console_proxy, cluster):
    done = subprocess.run([BIN / "psql", "-X", "-A", "-t", "-F", "|", "-h", console_proxy.host, "-p", str(console_proxy.port), "-U", "boss",
                           "-d", "pgweir", "-c", "show nodes;"], capture_output=True, text=True, timeout=30)
    assert done.returncode == 0, done.stderr
    rows = [line.split("|") for line in done.stdout.splitlines()]
    assert [(row[0], row[3]) for row in rows] == [(str(i), str(node.port)) for i, node in enumerate(cluster.nodes)]
    assert [row[4] for row in rows] == ["primary" if node is cluster.primary else "standby" for node in cluster.nodes]
    assert all(row[5] == "up" for row in rows)


def test_lag_in_seconds(console_proxy):
    def lags():
        with console(console_proxy) as session:
            return [float(row["lag_seconds"]) for row in table(session, "SHOW NODES") if row["role"] == "standby" and row["lag_seconds"]]

    found = wait_for(lags, "standbys that are known to be fresh")
    assert all(0 <= lag < 60 for lag in found)


@pytest.mark.parametrize("prepare", [False, True])
def test_drivers_in_a_transaction(console_proxy, prepare):
    with psycopg.connect(host=console_proxy.host, port=console_proxy.port, user="looker", dbname="pgweir") as session:
        for _ in range(3):
            assert len(session.execute("SHOW NODES", prepare=prepare).fetchall()) == 3
        assert session.execute("SHOW FAILOVER").fetchone()[1] == "following"
        session.rollback()
        with pytest.raises(psycopg.errors.SyntaxError):
            session.execute("SELECT 1")
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            session.execute("SHOW NODES")
        session.rollback()
        assert session.execute("SHOW POOL_VERSION").fetchone()[0].startswith("pgweir ")


def test_messages_of_both_protocols(console_proxy):
    with Wire(console_proxy.port) as session:
        session.login(user="boss", database="pgweir")
        assert [m.kind for m in session.ask(query("SHOW POOL_VERSION; BEGIN; SHOW POOL_VERSION; COMMIT"))] == list("TDCCTDCCZ")
        found = session.ask(parse("SHOW POOL_VERSION", "s"), describe("S", "s"), bind("", "s"), execute(), SYNC)
        assert [m.kind for m in found] == list("1tT2DCZ")
        assert [m.kind for m in session.ask(parse("nonsense"), bind(), execute(), SYNC)] == list("EZ")
        # One at a time, whatever is pipelined.
        pipeline = [parse("SHOW EVENTS", ""), bind(), execute(), SYNC] * 2
        session.send(*pipeline)
        assert [m.kind for m in session.read_until("Z") if m.kind != "D"] == list("12CZ")
        assert [m.kind for m in session.read_until("Z") if m.kind != "D"] == list("12CZ")


def test_who_comes_in_and_who_may_do_what(console_proxy):
    with pytest.raises(psycopg.OperationalError, match='permission denied for database "pgweir"'):
        console(console_proxy, "stranger")
    with console(console_proxy, "looker") as viewer:
        assert len(table(viewer, "SHOW NODES")) == 3
        for command in ("DETACH pg2", "ATTACH pg2", "SWITCHOVER", "BELIEVE pg2"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                viewer.execute(command)
    with pytest.raises(psycopg.OperationalError, match="replication"):
        console(console_proxy, replication="database")


def test_errors_say_what_there_is(console_proxy, cluster):
    with console(console_proxy) as boss:
        with pytest.raises(psycopg.errors.SyntaxError) as unknown:
            boss.execute("SELECT * FROM pg_class")
        assert "SHOW HELP" in unknown.value.diag.message_hint
        with pytest.raises(psycopg.errors.UndefinedObject) as nobody:
            boss.execute("DETACH nobody")
        assert cluster.nodes[0].name in nobody.value.diag.message_hint
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState):
            boss.execute(f"DETACH {cluster.primary.name}")
        with pytest.raises(psycopg.errors.ObjectNotInPrerequisiteState, match="observe"):
            boss.execute("SWITCHOVER")
        helped = table(boss, "HELP")
        assert "SHOW NODES" in [row["command"] for row in helped]


def test_a_standby_is_taken_out_and_back(make_proxy, cluster):
    proxy = make_proxy(**ADMIN)
    proxy.wait_standby_read()
    name = cluster.standbys[0].name
    with console(proxy) as boss, proxy.connect(autocommit=True) as client:
        def reads():
            """How many of 20 reads have gone to that node."""
            before = proxy.reads()[name]
            for _ in range(20):
                client.execute("SELECT count(*) FROM pg_class")
            return proxy.reads()[name] - before

        wait_for(reads, "reads at the standby")
        running = proxy.connect(autocommit=True)
        results = []
        # What runs there may end: a hint keeps it on the node that is about to be taken out.
        thread = threading.Thread(target=lambda: results.append(running.execute(
            f"/* pgweir: node={name} */ SELECT pg_sleep(1.5), current_setting('port')::int").fetchone()[1]))
        thread.start()
        wait_for(lambda: cluster.standbys[0].sql("SELECT 1 FROM pg_stat_activity WHERE query LIKE '%pg_sleep(1.5)%' AND pid <> pg_backend_pid()"),
                 "the statement to run")
        row = table(boss, f"DETACH {name}")[0]
        assert (row["node"], row["state"], row["reason"]) == (name, "disabled", "taken out by the operator")
        wait_for(lambda: reads() == 0, "reads elsewhere")
        thread.join()
        assert results == [cluster.standbys[0].port]
        assert running.execute("SELECT 1").fetchone() == (1,)
        running.close()
        states = {row["name"]: row["state"] for row in table(boss, "SHOW NODES")}
        assert states[name] == "disabled"
        assert table(boss, f'ATTACH "{name}"')[0]["node"] == name
        wait_for(reads, "reads at the standby again")
        events = [(row["node"], row["after"]) for row in table(boss, "SHOW EVENTS") if row["what"] == "node"]
        assert events.index((name, "disabled")) < len(events) - 1
        assert events[-1] == (name, "up")


def test_it_is_served_when_no_node_is(make_proxy, cluster):
    from harness import ports

    class Nowhere:
        name, host, port = "pg1", "127.0.0.1", ports.take()

    proxy = make_proxy(in_front_of=[Nowhere], start=False, **ADMIN)
    proxy.start(nodes_up=False)
    with console(proxy) as boss:
        row = wait_for(lambda: next((r for r in table(boss, "SHOW NODES") if r["state"] == "down"), None), "the node to be down")
        assert row["reason"]
        assert table(boss, "SHOW FAILOVER")[0]["writes"] == "wait for a primary"
    ports.release(Nowhere.port)


def test_another_name_and_reload(make_proxy):
    proxy = make_proxy(admin={"users": "boss", "database": "desk"})
    with psycopg.connect(host=proxy.host, port=proxy.port, user="boss", dbname="desk", autocommit=True) as boss:
        boss.execute("SHOW NODES", prepare=True)
        proxy.write_config(admin={"users": "chief"})
        proxy.reload()
        proxy.wait_log("reload_done")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            boss.execute("SHOW NODES", prepare=True)


def test_shutdown_ends_it(make_proxy):
    proxy = make_proxy(**ADMIN)
    boss = console(proxy)
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    with pytest.raises(psycopg.OperationalError):
        boss.execute("SHOW NODES")


def test_it_asks_for_the_password_of_everybody_else(make_proxy):
    from harness.proxy import scram_verifier

    proxy = make_proxy(start=False, auth={"method": "scram-sha-256"}, **ADMIN)
    users = proxy.write_file("users", f'"boss" "{scram_verifier("secret")}"\n')
    proxy.write_config(auth={"users_file": users})
    proxy.start(nodes_up=False)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        console(proxy, password="wrong")
    with console(proxy, password="secret") as boss:
        assert len(table(boss, "SHOW NODES")) == 3
