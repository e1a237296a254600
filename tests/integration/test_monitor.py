"""Nodes that die, hang and come back; and what clients notice of it."""

import signal
import time

import pytest

from harness.waiting import SCALE, wait_for
from harness.wire import Closed, Wire, query


@pytest.fixture
def watched(make_proxy, breakable_cluster):
    proxy = make_proxy(failover={"hold_timeout": "300ms"})
    proxy.wait_standby_read(user="traced")
    return proxy


def reads_by_node(proxy, count: int = 40) -> dict[str, int]:
    before = proxy.reads()
    with proxy.connect(user="traced") as session:
        for _ in range(count):
            session.execute("SELECT 1")
    return {name: total - before[name] for name, total in proxy.reads().items() if total > before[name]}


def by_name(proxy) -> dict[str, dict]:
    return {row["name"]: row for row in proxy.pool_nodes()}


def test_a_killed_standby_is_down_and_comes_back(watched, cluster):
    cluster.node("pg2").kill()
    watched.wait_nodes({"pg1": "up", "pg2": "down", "pg3": "up"})
    assert set(reads_by_node(watched)) == {"pg3"}
    cluster.node("pg2").start()
    watched.wait_nodes({"pg2": "up"})
    wait_for(lambda: set(reads_by_node(watched)) == {"pg2", "pg3"}, "reads on both standbys")


def test_a_standby_that_hangs_is_down_and_comes_back(watched, cluster):
    cluster.node("pg3").pause()
    watched.wait_nodes({"pg2": "up", "pg3": "down"})
    assert set(reads_by_node(watched)) == {"pg2"}
    cluster.node("pg3").resume()
    watched.wait_nodes({"pg3": "up"})


def test_without_standbys_the_primary_reads(watched, cluster):
    for node in cluster.standbys:
        node.kill()
    watched.wait_nodes({"pg1": "up", "pg2": "down", "pg3": "down"})
    with watched.connect(user="traced") as session:
        for _ in range(10):
            assert session.execute("SELECT 1").fetchone() == (1,)


def test_reads_survive_the_loss_of_the_primary(watched, cluster):
    with Wire(watched.port) as client:
        client.login(user="traced")
        assert client.rows("SELECT 1") == [[b"1"]]
        cluster.primary.kill()
        # SHOW needs no server, but this harness logs in for each look; so the log is asked.
        watched.wait_log(r"node=pg1\b.*\bdown\b")
        assert client.rows("SELECT 2") == [[b"2"]]
        assert client.rows("SHOW pool_nodes")[0][3] == b"down"
        error = next(m for m in client.ask(query("CREATE TABLE never_made ()")) if m.kind == "E")
        assert error.sqlstate in ("08006", "57P03"), error.fields
        assert "pg1" in " ".join(error.fields.values()) or "primary" in error.fields["M"]
    cluster.primary.start()
    watched.wait_nodes({"pg1": "up"})
    with watched.connect(user="traced") as session:
        session.execute("CREATE TEMP TABLE made (id int)")


def test_an_open_session_works_again_when_the_primary_is_back(watched, cluster):
    with Wire(watched.port) as client:
        client.login(user="traced")
        client.rows("/* pgweir: primary */ SELECT 1")
        cluster.primary.restart("immediate")
        watched.wait_nodes({"pg1": "up"})

        def works() -> bool:
            return client.ask(query("/* pgweir: primary */ SELECT 1"))[-2].kind == "C"
        wait_for(works, "the session to reach the primary again")


def test_a_pgweir_that_is_held_up_does_not_blame_the_nodes(make_proxy):
    """When it goes on, the time of its questions is over, and the answers are there."""
    timeout = 0.3 * SCALE
    proxy = make_proxy(monitor={"timeout": f"{1000 * timeout:.0f}ms", "lag_interval": "1ms"})
    with Wire(proxy.port) as client:
        client.login()
        client.rows("BEGIN")
        backend = client.rows("SELECT pg_backend_pid()")
        for _ in range(5):  # at some of these moments it has asked something
            begin = time.monotonic()
            proxy.signal(signal.SIGSTOP)
            wait_for(lambda: time.monotonic() - begin > 2 * timeout, "more than the monitor's time")
            proxy.signal(signal.SIGCONT)
            assert proxy.sql("SELECT 1") == [(1,)]
        assert client.rows("SELECT pg_backend_pid()") == backend
    assert not proxy.log_has("new_state=down")


def test_the_node_dies_under_a_query(watched, cluster):
    with Wire(watched.port) as client:
        client.login(user="traced")
        # Rows have been delivered, so that it cannot run again elsewhere unnoticed.
        client.send(query("/* pgweir: node=pg2 */ SELECT repeat('x', 1000), pg_sleep(CASE WHEN n > 50 THEN 600 ELSE 0 END) "
                          "FROM generate_series(1, 100) n"))
        assert client.read_until("D")
        wait_for(lambda: cluster.node("pg2").sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep'"), "it to sleep")
        cluster.node("pg2").kill()
        try:
            reply = client.read_until("E")[-1]
            assert reply.sqlstate[:2] in ("08", "57"), reply.fields
        except Closed:  # the node died within a row: there is no place for an error then
            pass
    assert watched.sql("SELECT 1") == [(1,)]


def test_a_terminated_client_connection_degrades_nobody(watched, cluster):
    before = by_name(watched)
    with Wire(watched.port) as client:
        client.login(user="traced")
        for place in ("pg1", "pg2"):
            pid = int(client.rows(f"/* pgweir: node={place} */ SELECT pg_backend_pid()")[0][0])
            cluster.node(place).sql("SELECT pg_terminate_backend(%s)", pid)
    for _ in range(10):
        assert watched.sql("SELECT 1", user="traced") == [(1,)]
    after = by_name(watched)
    for name in before:
        assert after[name]["status"] == "up"
        assert after[name]["last_status_change"] == before[name]["last_status_change"]


def test_state_changes_are_logged_with_old_and_new_state(watched, cluster):
    cluster.node("pg2").kill()
    watched.wait_log(r"node=pg2\b.*\bup\b.*\bdown\b|node=pg2\b.*\bdown\b.*\bup\b")
    line = next(line for line in watched.log().splitlines() if "node=pg2" in line and "down" in line)
    assert "standby" in line and "reason=" in line, line


def test_a_proxy_starts_without_its_standbys(make_proxy, breakable_cluster):
    for node in breakable_cluster.standbys:
        node.kill()
    proxy = make_proxy(start=False)
    proxy.start(nodes_up=False)
    proxy.wait_nodes({"pg1": "up"})
    assert proxy.sql("SELECT 1") == [(1,)]
    breakable_cluster.heal()
    proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"})


def test_without_any_node_the_error_is_clear(make_proxy, breakable_cluster):
    for node in breakable_cluster.nodes:
        node.kill()
    proxy = make_proxy(start=False, pool={"queue_timeout": "1s", "connect_timeout": "1s"}, failover={"hold_timeout": "1s"})
    proxy.start(nodes_up=False)
    with Wire(proxy.port) as client:
        error = client.login()[-1]
        if error.kind == "Z":
            error = next(m for m in client.ask(query("SELECT 1")) if m.kind == "E")
    assert error.sqlstate in ("08006", "57P03")
    breakable_cluster.heal()
    proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"})
    assert proxy.sql("SELECT 1") == [(1,)]


def test_a_wrong_monitor_user_is_said_in_the_log(make_proxy):
    proxy = make_proxy(start=False, monitor={"user": "nobody_at_all"})
    proxy.start(nodes_up=False)
    proxy.wait_log("nobody_at_all")
