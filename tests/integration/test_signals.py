"""How pgweir ends, reloads, and refuses to start."""

import re
import signal
import subprocess

import psycopg
import pytest

from harness.proxy import binary_path
from harness.waiting import wait_for
from harness.wire import Wire, query


def logged_in(proxy) -> Wire:
    client = Wire(proxy.port)
    assert client.login()[-1].kind == "Z"
    return client


def refused(proxy) -> bool:
    """No new client comes in: nobody listens, or whoever answers says so."""
    try:
        with Wire(proxy.port, timeout=5) as client:
            found = client.login()
            return found[-1].kind == "E" and found[-1].sqlstate.startswith("57")
    except (ConnectionError, TimeoutError):
        return True


def test_sigterm_lets_open_transactions_finish(make_proxy, cluster):
    proxy = make_proxy()
    cluster.primary.sql("DROP TABLE IF EXISTS ended; CREATE TABLE ended (id int)")
    busy, idle = logged_in(proxy), logged_in(proxy)
    busy.rows("BEGIN")
    busy.rows("INSERT INTO ended VALUES (1)")
    proxy.signal(signal.SIGTERM)
    assert idle.read_to_end()[-1].sqlstate == "57P01"
    wait_for(lambda: refused(proxy), "new clients to be refused")
    busy.rows("INSERT INTO ended VALUES (2)")
    assert [m.tag for m in busy.ask(query("COMMIT")) if m.kind == "C"] == ["COMMIT"]
    assert busy.read_to_end()[-1].sqlstate == "57P01"
    assert proxy.wait_exit() == 0
    assert cluster.primary.sql("SELECT count(*) FROM ended") == [(2,)]


def test_sigterm_lets_a_running_statement_finish(make_proxy):
    proxy = make_proxy()
    client = logged_in(proxy)
    client.send(query("SELECT pg_sleep(1), 'done' AS ending"))
    proxy.wait_log("listening")
    proxy.signal(signal.SIGTERM)
    assert [m.values[1] for m in client.read_until("Z") if m.kind == "D"] == [b"done"]
    assert proxy.wait_exit() == 0


def test_sigterm_waits_no_longer_than_told(make_proxy):
    proxy = make_proxy(shutdown={"timeout": "500ms"})
    client = logged_in(proxy)
    client.rows("BEGIN")
    client.rows("SELECT 1")
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit(10) == 0
    assert client.read_to_end()[-1].sqlstate == "57P01"


@pytest.mark.parametrize("state", ["", "BEGIN; SELECT 1", "SELECT 1; BEGIN"])
def test_sigint_ends_at_once_with_57p01(make_proxy, state):
    proxy = make_proxy()
    client, sleeper = logged_in(proxy), logged_in(proxy)
    if state:
        client.ask(query(state))
    sleeper.send(query("SELECT pg_sleep(600)"))
    proxy.signal(signal.SIGINT)
    found = client.read_to_end()
    assert [(m.kind, m.sqlstate, m.fields["S"]) for m in found] == [("E", "57P01", "FATAL")]
    assert sleeper.read_to_end()[-1].sqlstate == "57P01"
    assert proxy.wait_exit(10) == 0


def test_no_server_connection_outlives_pgweir(make_proxy, cluster):
    proxy = make_proxy()
    client = Wire(proxy.port)
    client.login(user="app", application_name="outlives")
    client.ask(query("/* pgweir: primary */ SELECT 1; BEGIN"))
    proxy.signal(signal.SIGINT)
    assert proxy.wait_exit(10) == 0
    wait_for(lambda: cluster.primary.sql("SELECT count(*) FROM pg_stat_activity WHERE application_name = 'outlives'") == [(0,)],
             "the server connections to end")


# --- reload

def test_reload_changes_weights(make_proxy):
    proxy = make_proxy()
    proxy.wait_standby_read(user="app")
    nodes = [dict(node) for node in proxy.config["nodes"]]
    nodes[1]["weight"] = 0
    proxy.write_config(nodes=nodes)
    proxy.reload()
    wait_for(lambda: float(proxy.pool_nodes()[1]["lb_weight"]) == 0, "the new weight")
    before = proxy.reads()
    with proxy.connect(user="app") as session:
        for _ in range(40):
            session.execute("SELECT 1")
    after = proxy.reads()
    assert after["pg2"] == before["pg2"] and after["pg3"] - before["pg3"] == 40


def test_reload_keeps_sessions(make_proxy):
    proxy = make_proxy()
    client = logged_in(proxy)
    client.rows("BEGIN")
    client.rows("CREATE TEMP TABLE kept (id int)")
    proxy.write_config(log={"routing": True})
    proxy.reload()
    wait_for(lambda: routing_lines(proxy), "routing to be logged")
    client.rows("INSERT INTO kept VALUES (1)")
    client.rows("COMMIT")
    assert client.rows("SELECT * FROM kept") == [[b"1"]]


def routing_lines(proxy) -> list[str]:
    proxy.sql("SELECT 1 AS look_for_me", user="app")
    return [line for line in proxy.log().splitlines() if re.search(r"\broute\b|\brouted\b|\brouting\b", line) and "reason=" in line]


def test_reload_says_what_it_cannot_change(make_proxy):
    proxy = make_proxy(workers=2)
    proxy.write_config(workers=3, listen={"backlog": 77})
    proxy.reload()
    proxy.wait_log(r"(?s)workers.*restart|restart.*workers")
    assert proxy.sql("SELECT 1") == [(1,)]


def test_reload_of_a_bad_file_changes_nothing(make_proxy):
    proxy = make_proxy()
    before = proxy.log()
    proxy.config_path.write_text(proxy.config_path.read_text().replace("workers:", "wokrers:"))
    proxy.reload()
    wait_for(lambda: "wokrers" in proxy.log()[len(before):], "the mistake in the log")
    assert proxy.sql("SELECT 1") == [(1,)]


def test_reload_twenty_times_under_load(make_proxy):
    proxy = make_proxy()
    with proxy.connect() as session:
        for number in range(20):
            proxy.write_config(log={"routing": number % 2 == 0})
            proxy.reload()
            for _ in range(10):
                assert session.execute("SELECT 1").fetchone() == (1,)


# --- start

def test_check_accepts_a_good_file(make_proxy):
    proxy = make_proxy(start=False)
    done = proxy.check()
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("old, new, words", [
    ("workers: 2", "wokrers: 2", ["wokrers"]), ("workers: 2", "workers: many", ["workers", "many"]),
    ("workers: 2", "workers: -1", ["workers"]), ("size: 50", "size: 0", ["pool.size"]),
    ("interval: 100ms", "interval: 100", ["monitor.interval"]), ("reads: standbys", "reads: everywhere", ["routing.reads", "standbys"])])
def test_check_names_file_line_and_key(make_proxy, old, new, words):
    proxy = make_proxy(start=False, workers=2)
    text = proxy.config_path.read_text()
    assert old in text
    proxy.config_path.write_text(text.replace(old, new, 1))
    line = 1 + text[:text.index(old)].count("\n")
    done = proxy.check()
    assert done.returncode != 0
    assert "pgweir.yaml" in done.stdout and re.search(rf"\b{line}\b", done.stdout), done.stdout
    for word in words:
        assert word in done.stdout


def test_a_bad_file_prevents_the_start(make_proxy):
    proxy = make_proxy(start=False)
    proxy.config_path.write_text("nodes: nothing\n")
    done = subprocess.run([binary_path(), "-c", proxy.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=30)
    assert done.returncode not in (0, 66) and "nodes" in done.stdout


def test_a_missing_file_prevents_the_start(tmp_path):
    done = subprocess.run([binary_path(), "-c", tmp_path / "nowhere.yaml"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True, timeout=30)
    assert done.returncode not in (0, 66) and "nowhere.yaml" in done.stdout


def test_a_port_in_use_prevents_the_start(make_proxy, cluster):
    proxy = make_proxy(start=False, listen={"port": cluster.primary.port})
    done = subprocess.run([binary_path(), "-c", proxy.config_path], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                          timeout=30)
    assert done.returncode not in (0, 66) and str(cluster.primary.port) in done.stdout


def test_the_socket_file_goes_with_the_proxy(make_proxy):
    proxy = make_proxy()
    path = proxy.directory / f".s.PGSQL.{proxy.port}"
    assert path.is_socket()
    proxy.signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    assert not path.exists()


def test_a_stale_socket_file_is_no_obstacle(make_proxy):
    proxy = make_proxy()
    proxy.signal(signal.SIGKILL)
    proxy.wait_exit()
    proxy.log_path.unlink()
    proxy.start()
    with psycopg.connect(host=str(proxy.directory), port=proxy.port, user="postgres", dbname="test") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_sigterm_while_a_client_is_leaving(make_proxy):
    """A session must be counted out once, though it ends for two reasons in the same moment. Only many tries show it."""
    for _ in range(80):
        proxy = make_proxy()  # has just logged out of it
        proxy.signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0
