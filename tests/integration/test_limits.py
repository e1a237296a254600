"""Limits and times of clients and of server connections: each has its SQLSTATE, its message, and names its key."""

import random
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.waiting import SCALE, wait_for
from harness.wire import FLUSH, SYNC, Wire, bind, execute, parse, query

PRIMARY = "/* pgweir: primary */"
SEED = 20257


@pytest.fixture(scope="module", autouse=True)
def schema(cluster):
    cluster.primary.sql("CREATE TABLE IF NOT EXISTS limited (id int); GRANT ALL ON limited TO app")
    cluster.wait_replayed()


def client_of(proxy, **login: str) -> Wire:
    client = Wire(proxy.port)
    assert client.login(**{"user": "app"} | login)[-1].kind == "Z"
    return client


def refusal(proxy, **login: str) -> wire.Message:
    """What a client is told that may not come in."""
    with Wire(proxy.port) as client:
        found = client.login(**{"user": "app"} | login)[-1]
        assert found.kind == "E", f"it came in: {found}"
        assert found.fields["S"] == "FATAL"
        return found


def last_word(client: Wire) -> wire.Message:
    """The FATAL error with which the proxy ends the session."""
    found = [m for m in client.read_to_end() if m.kind == "E"]
    assert found, "the connection was closed without a word"
    assert found[-1].fields["S"] == "FATAL"
    return found[-1]


def check(error: wire.Message, sqlstate: str, message: str, key: str) -> None:
    assert error.sqlstate == sqlstate
    assert message in error.fields["M"]
    assert key in error.fields.get("H", "") + error.fields.get("D", "")


def reload_with(proxy, **sections) -> None:
    """Changes the configuration of the running proxy; returns when it holds."""
    done = proxy.log().count("reload_done")
    proxy.write_config(**sections)
    proxy.reload()
    wait_for(lambda: proxy.log().count("reload_done") > done, "the reload")


def backends(cluster, user: str = "app") -> list[int]:
    """The server processes that serve this user on the primary, oldest first."""
    return [pid for pid, in cluster.primary.sql(
        "SELECT pid FROM pg_stat_activity WHERE usename = %s AND backend_type = 'client backend' "
        "ORDER BY backend_start", user)]


def proxy_has_read_all(proxy) -> bool:
    """Nothing that clients have sent waits in the kernel."""
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table][1:]
    return all(row[4] == "00000000:00000000" for row in rows
               if row[1].endswith(f":{proxy.port:04X}") and row[3] == "01")


def sleeping(cluster, mark: str) -> bool:
    return bool(cluster.primary.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE %s",
                                    f"%{mark}%"))


# --- how many clients --------------------------------------------------------------------------------------------


def fill(proxy, count: int, **login: str) -> list[Wire]:
    """Clients that are in; a place may become free a little later than its client has left."""
    def come_in():
        client = Wire(proxy.port)
        if client.login(**{"user": "app"} | login)[-1].kind == "Z":
            return client
        client.socket.close()
        return None
    return [wait_for(come_in, "a place") for _ in range(count)]


def test_clients_of_one_database(make_proxy):
    proxy = make_proxy(databases=[{"name": "test", "max_clients": 3}])
    inside = fill(proxy, 2) + fill(proxy, 1, user="traced")
    check(refusal(proxy, user="postgres"), "53300", 'too many connections for database "test"', "databases[].max_clients")
    elsewhere = fill(proxy, 5, database="postgres")  # no limit there
    inside.pop().socket.close()
    inside += fill(proxy, 1)
    check(refusal(proxy), "53300", 'too many connections for database "test"', "databases[].max_clients")
    for client in inside + elsewhere:
        assert client.rows("SELECT 1") == [[b"1"]]
        client.socket.close()


def test_clients_of_one_user(make_proxy):
    proxy = make_proxy(users=[{"name": "app", "max_clients": 2}])
    inside = fill(proxy, 1) + fill(proxy, 1, database="postgres")
    check(refusal(proxy), "53300", 'too many connections for role "app"', "users[].max_clients")
    others = fill(proxy, 3, user="traced")
    reload_with(proxy, users=[{"name": "app", "max_clients": 3}])
    inside += fill(proxy, 1)
    check(refusal(proxy), "53300", 'too many connections for role "app"', "users[].max_clients")
    reload_with(proxy, users=[])
    inside += fill(proxy, 3)
    for client in inside + others:
        client.socket.close()


def test_a_stranger_takes_no_place_of_a_user(make_proxy, cluster):
    """Before it has proved who it is, a client counts for the process and not for the user that it claims to be."""
    from harness.proxy import scram_verifier
    proxy = make_proxy(start=False, users=[{"name": "app", "max_clients": 1}], auth={"method": "scram-sha-256"})
    proxy.write_config(auth={"users_file": proxy.write_file("users.txt", f'"app" "{scram_verifier("secret")}"\n')})
    proxy.login = {"user": "app", "password": "secret"}
    proxy.start(nodes_up=False)
    proxy.wait_log("listening")
    strangers = []
    for _ in range(3):
        stranger = Wire(proxy.port)
        stranger.send(wire.startup({"user": "app", "database": "test"}))
        assert stranger.read().kind == "R"  # it is asked for a password, and says nothing
        strangers.append(stranger)
    with Wire(proxy.port) as client:
        assert wait_for(lambda: client, "")  # the one place is free
        assert client.login(password="secret", user="app")[-1].kind == "Z"
    for stranger in strangers:
        stranger.socket.close()


ENDS = {
    "terminate": lambda client: client.send(wire.TERMINATE),
    "in a transaction": lambda client: client.ask(query("BEGIN; INSERT INTO limited VALUES (1)")),
    "while a statement runs": lambda client: client.send(query("SELECT pg_sleep(1)")),
    "nonsense": lambda client: client.send(b"\0\0\0\0\0\0"),
}


@pytest.mark.parametrize("how", ENDS)
def test_every_way_out_gives_the_place_back(make_proxy, how):
    proxy = make_proxy(pool={"max_clients": 20}, users=[{"name": "app", "max_clients": 2}],
                       databases=[{"name": "test", "max_clients": 2}])
    for _ in range(3):
        inside = fill(proxy, 2)
        for client in inside:
            ENDS[how](client)
            client.socket.close()
    for _ in range(5):
        wait_for(lambda: fill(proxy, 1, user="traced")[0].socket.close() is None, "a place")


# --- server connections ------------------------------------------------------------------------------------------


def test_connections_are_kept_ready_and_opened_again(make_proxy, cluster):
    proxy = make_proxy(pool={"size": 6, "min_idle": 2, "server_idle_timeout": "1s"}, workers=1,
                       users=[{"name": "traced", "min_idle": 0}])
    assert backends(cluster) == []
    with client_of(proxy) as client, client_of(proxy, user="traced") as other:
        client.ask(query(f"BEGIN; {PRIMARY} SELECT 1"))  # it holds its connection, in each pool mode
        other.rows(f"{PRIMARY} SELECT 1")
        pid = int(client.rows(f"{PRIMARY} SELECT pg_backend_pid()")[0][0])
        wait_for(lambda: len(backends(cluster)) == 3, "two more connections")
        lost = [one for one in backends(cluster) if one != pid]
        for one in lost:  # they are idle: nobody notices
            cluster.primary.sql("SELECT pg_terminate_backend(%s)", one)
        wait_for(lambda: len(backends(cluster)) == 3 and not set(lost) & set(backends(cluster)), "others in their place")
        assert len(backends(cluster, "traced")) <= 1  # nothing is kept ready for this one
    wait_for(lambda: len(backends(cluster)) == 2, "the one that is not needed to be closed")
    reload_with(proxy, pool={"min_idle": 0})
    wait_for(lambda: backends(cluster) == [], "the others to be closed too")


def test_a_new_connection_takes_the_place_of_an_old_one(make_proxy, cluster):
    proxy = make_proxy(pool={"size": 1, "server_lifetime": "1s", "server_lifetime_jitter": 0}, workers=1)
    with client_of(proxy) as client:
        pid = client.rows(f"{PRIMARY} SELECT pg_backend_pid()")
        client.rows("BEGIN")
        client.rows(f"{PRIMARY} SELECT pg_sleep(2.5)")
        assert client.rows("SELECT pg_backend_pid()") == pid, "a connection in use was closed"
        client.rows("COMMIT")
    wait_for(lambda: int(pid[0][0]) not in backends(cluster), "the old one to be closed")
    with client_of(proxy) as client:
        assert client.rows(f"{PRIMARY} SELECT pg_backend_pid()") != pid
    wait_for(lambda: backends(cluster) == [], "an idle one to be closed for its age")
    reload_with(proxy, pool={"server_lifetime": 0})
    with client_of(proxy) as client:
        pid = client.rows(f"{PRIMARY} SELECT pg_backend_pid()")
    begin = time.monotonic()
    wait_for(lambda: time.monotonic() - begin > 2.5, "more than the old lifetime")
    assert backends(cluster) == [int(pid[0][0])]


def holders_and_waiter(proxy, holders: int) -> tuple[list[Wire], Wire]:
    """Sessions that hold one connection each in a transaction, and one whose first transaction waits."""
    inside = []
    for _ in range(holders):
        client = client_of(proxy)
        client.ask(query(f"BEGIN; {PRIMARY} SELECT 1"))
        inside.append(client)
    waiting = client_of(proxy)
    waiting.send(query(f"BEGIN; {PRIMARY} SELECT 'served'"))
    return inside, waiting


def served(client: Wire) -> bool:
    return [m.values for m in client.read_until("Z") if m.kind == "D"] == [[b"served"]]


def test_the_reserve(make_proxy, cluster):
    proxy = make_proxy(pool={"size": 2, "reserve": 1, "reserve_timeout": "500ms", "queue_timeout": "2s"}, workers=1)
    begin = time.monotonic()
    inside, waiting = holders_and_waiter(proxy, 2)
    assert served(waiting)
    assert time.monotonic() - begin >= 0.48
    assert len(backends(cluster)) == 3
    with Wire(proxy.port) as late:  # there is one in reserve, not two
        assert late.login(user="app")[-1].kind == "Z"
        found = next(m for m in late.ask(query(f"{PRIMARY} SELECT 1")) if m.kind in "ED")
        check(found, "53300", "became free within 2000 ms", "pool.reserve")
    for client in [*inside, waiting]:
        client.ask(query("ROLLBACK"))
        client.socket.close()
    wait_for(lambda: len(backends(cluster)) == 2, "the reserve to be given up")


def test_a_larger_pool_serves_who_waits_and_a_smaller_one_shrinks(make_proxy, cluster):
    proxy = make_proxy(pool={"size": 1, "queue_timeout": "20s"}, users=[{"name": "app", "pool_size": 1}], workers=1)
    inside, waiting = holders_and_waiter(proxy, 1)
    wait_for(lambda: proxy.sql("SELECT 1") == [(1,)], "another user's pool")
    reload_with(proxy, pool={"size": 3})  # the user's own limit holds
    reload_with(proxy, users=[])
    assert served(waiting)
    assert len(backends(cluster)) == 2
    reload_with(proxy, databases=[{"name": "test", "pool_size": 1}])
    for client in [*inside, waiting]:
        client.ask(query("ROLLBACK"))
        client.socket.close()
    wait_for(lambda: len(backends(cluster)) == 1, "the pool to shrink")


def test_waiting_too_long_names_the_pool_and_its_limit(make_proxy):
    proxy = make_proxy(pool={"size": 2, "queue_timeout": "10s"}, workers=1,
                       users=[{"name": "app", "pool_size": 1, "queue_timeout": "300ms"}])
    inside, waiting = holders_and_waiter(proxy, 1)
    error = next(m for m in waiting.read_until("Z") if m.kind == "E")
    check(error, "53300", 'no server connection to node "pg1" became free within 300 ms', "pool.size")
    assert "limit of 1 " in error.fields["D"]
    inside[0].ask(query("ROLLBACK"))
    waiting.send(query(f"{PRIMARY} SELECT 'served'"))
    inside[0].socket.close()
    assert served(waiting)
    waiting.socket.close()


def test_waiting_is_first_come_first_served_over_all_workers(make_proxy, cluster):
    """40 clients on 2 connections and 4 workers. Each holds its connection for a random time; who comes later than
    another by more than can be blurred on the way is served later."""
    proxy = make_proxy(workers=4, pool={"size": 4, "queue_timeout": "50s"})
    # The first login on each worker needs a server connection of its own.
    for client in [client_of(proxy) for _ in range(4)]:
        client.socket.close()
    reload_with(proxy, pool={"size": 2})
    wait_for(lambda: len(backends(cluster)) <= 2, "the pool to shrink")
    clients = 40
    chance = random.Random(SEED)
    print("seed", SEED)
    holders, waiting = holders_and_waiter(proxy, 2)
    order: list[int] = []
    lock = threading.Lock()

    def work(number: int, client: Wire, hold: float) -> None:
        # One that is served says so at once, holds the connection for a while, and leaves.
        client.read_until("Z")
        with lock:
            order.append(number)
        client.ask(query(f"{PRIMARY} SELECT pg_sleep({hold})"))
        client.socket.close()

    threads = []
    sessions = [waiting]
    for number in range(1, clients):
        client = client_of(proxy)
        client.send(query(f"BEGIN; {PRIMARY} SELECT 1"))
        sessions.append(client)
        # The next one comes when this one stands in the queue: its message has been read.
        wait_for(lambda: proxy_has_read_all(proxy), "the proxy to have read it")
    for number, client in enumerate(sessions):
        threads.append(threading.Thread(target=work, args=(number, client, chance.uniform(0, 0.03))))
        threads[-1].start()
    for client in holders:
        client.socket.close()
    for thread in threads:
        thread.join(40)
    assert sorted(order) == list(range(clients)), "somebody was not served"
    # Two are served at the same time, on different workers, and noted by different threads.
    displaced = max(abs(place - number) for place, number in enumerate(order))
    assert displaced <= 4, order


def test_a_server_that_does_not_answer_a_login(make_proxy, breakable_cluster):
    proxy = make_proxy(pool={"connect_timeout": "500ms"}, monitor={"timeout": "30s"}, failover={"hold_timeout": "0s"}, workers=1)
    breakable_cluster.primary.pause()  # the kernel still accepts for it
    begin = time.monotonic()
    check(refusal(proxy), "08006", "the server did not complete the login in time", "500 ms (pool.connect_timeout)")
    assert time.monotonic() - begin >= 0.48
    reload_with(proxy, pool={"connect_timeout": "1s"})
    check(refusal(proxy), "08006", "the server did not complete the login in time", "1000 ms (pool.connect_timeout)")
    breakable_cluster.primary.resume()
    client_of(proxy).socket.close()


# --- how long clients may take -----------------------------------------------------------------------------------


def test_an_idle_client_is_disconnected(make_proxy):
    proxy = make_proxy(pool={"client_idle_timeout": "300ms"})
    with client_of(proxy) as client:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.0:  # one that is busy is not
            assert client.rows("SELECT 1") == [[b"1"]]
        begin = time.monotonic()
        check(last_word(client), "57P05", "terminating connection due to idle-session timeout", "pool.client_idle_timeout")
        assert 0.28 <= time.monotonic() - begin
    with client_of(proxy) as client:  # one that has never said anything is idle too
        check(last_word(client), "57P05", "idle-session timeout", "pool.client_idle_timeout")
    with client_of(proxy) as client:  # a statement or a transaction is not idleness
        assert client.rows("SELECT pg_sleep(0.6)") == [[b""]]
        client.rows("BEGIN")
        assert client.rows("SELECT pg_sleep(0.6)") == [[b""]]
        client.rows("COMMIT")


def test_statements_that_pgweir_answers_itself_are_a_sign_of_life(make_proxy):
    proxy = make_proxy(pool={"client_idle_timeout": "400ms"})
    with client_of(proxy) as client:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.2:
            client.rows("SHOW pool_version")
        check(last_word(client), "57P05", "idle-session timeout", "pool.client_idle_timeout")


@pytest.mark.parametrize("begin", ["BEGIN", f"BEGIN; {PRIMARY} SELECT 1", "BEGIN; SELECT 1/0"],
                         ids=["not sent yet", "open", "failed"])
def test_idle_in_a_transaction(make_proxy, cluster, begin):
    proxy = make_proxy(pool={"idle_transaction_timeout": "300ms", "size": 1})
    with client_of(proxy) as client:
        client.ask(query(begin))
        check(last_word(client), "25P03", "terminating connection due to idle-in-transaction timeout",
              "pool.idle_transaction_timeout")
    with client_of(proxy) as client:  # its server connection is clean, and free
        assert client.rows(f"{PRIMARY} SELECT txid_current_if_assigned()") == [[None]]
        assert client.rows("SELECT pg_sleep(0.5)") == [[b""]]
        time_idle = time.monotonic()
        wait_for(lambda: time.monotonic() - time_idle > 0.6, "time outside a transaction")
        assert client.rows("SELECT 1") == [[b"1"]]


def test_messages_without_a_sync_are_idle_in_a_transaction(make_proxy):
    proxy = make_proxy(pool={"idle_transaction_timeout": "300ms", "size": 1})
    with client_of(proxy) as client:
        client.send(parse(f"{PRIMARY} SELECT 1") + bind() + execute() + FLUSH)
        client.read_until("C")
        check(last_word(client), "25P03", "idle-in-transaction timeout", "pool.idle_transaction_timeout")
    with client_of(proxy) as client:
        assert client.rows("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
@pytest.mark.parametrize("where", ["primary", "standby"])
def test_a_statement_that_runs_too_long_is_cancelled(make_proxy, extended, where):
    proxy = make_proxy(pool={"query_timeout": "300ms"})
    proxy.wait_standby_read()
    statement = f"/* pgweir: {where} */ SELECT pg_sleep(60)"
    with client_of(proxy) as client:
        for _ in range(3):
            begin = time.monotonic()
            answer = client.ask(parse(statement) + bind() + execute() + SYNC if extended else query(statement))
            assert 0.28 <= time.monotonic() - begin < 10 * SCALE
            assert answer[-1].kind == "Z" and answer[-1].body == b"I"
            error = next(m for m in answer if m.kind == "E")
            assert error.fields["S"] == "ERROR"
            assert error.fields["R"] == "ProcessInterrupts", "not the server's own error"
            check(error, "57014", "canceling statement", "pool.query_timeout")
            assert client.rows(f"{PRIMARY} SELECT 1") == [[b"1"]]  # the cancel hits nothing else


def test_no_cancel_of_a_timeout_hits_the_next_statement(make_proxy):
    """Statements that end at about the time at which they are cancelled: the next one must always run."""
    proxy = make_proxy(pool={"query_timeout": "40ms"}, workers=1)
    ended = {"in time": 0, "cancelled": 0}
    with client_of(proxy) as client:
        for turn in range(60):
            answer = client.ask(query(f"{PRIMARY} SELECT pg_sleep({0.035 + turn % 20 * 0.001})"))
            cancelled = any(m.kind == "E" for m in answer)
            ended["cancelled" if cancelled else "in time"] += 1
            assert client.rows(f"{PRIMARY} SELECT 7") == [[b"7"]]
    assert min(ended.values()) > 0, f"no race was run: {ended}"


def test_an_error_of_its_own_keeps_its_words(make_proxy):
    proxy = make_proxy(pool={"query_timeout": "10s"})
    with client_of(proxy) as client:
        error = next(m for m in client.ask(query("SELECT 1/0")) if m.kind == "E")
        assert error.sqlstate == "22012"
        assert "H" not in error.fields


def test_waiting_for_a_server_connection_is_no_part_of_a_statement(make_proxy):
    proxy = make_proxy(pool={"query_timeout": "1s", "size": 1, "queue_timeout": "20s"})
    waiting = Wire(proxy.port)
    with client_of(proxy) as holder:
        holder.rows(f"{PRIMARY} SELECT 1")
        assert waiting.login(user="app")[-1].kind == "Z"
        begin = time.monotonic()
        waiting.send(query(f"{PRIMARY} SELECT 'served'"))
        for _ in range(3):
            holder.rows(f"{PRIMARY} SELECT pg_sleep(0.5)")
    assert [m.values for m in waiting.read_until("Z") if m.kind == "D"] == [[b"served"]]
    assert time.monotonic() - begin > 1.5
    waiting.socket.close()


@pytest.mark.slow
def test_a_server_that_does_not_cancel_is_given_up(make_proxy):
    """PostgreSQL does not look for a cancel while it waits for the data of a COPY."""
    proxy = make_proxy(pool={"query_timeout": "300ms", "size": 1})
    with client_of(proxy) as client:
        client.send(query("COPY limited FROM STDIN"))
        client.read_until("G")
        begin = time.monotonic()
        check(last_word(client), "57014", "did not cancel", "pool.query_timeout")
        assert time.monotonic() - begin >= 5.2
    with client_of(proxy) as client:
        assert client.rows(f"{PRIMARY} SELECT count(*) FROM limited") == [[b"0"]]


TRANSACTIONS = {
    "idle": (query("BEGIN; INSERT INTO limited VALUES (1)"), b""),
    "busy": (query("BEGIN; INSERT INTO limited VALUES (1)"), query("SELECT pg_sleep(600) AS transaction_timeout")),
    "one statement": (b"", query("INSERT INTO limited SELECT 1 FROM pg_sleep(600) AS transaction_timeout")),
    "rows on the way": (b"", query(f"{PRIMARY} SELECT i, pg_sleep(0.05) FROM generate_series(1, 10000) i")),
}


@pytest.mark.parametrize("what", TRANSACTIONS)
def test_a_transaction_that_lasts_too_long(make_proxy, cluster, what):
    proxy = make_proxy(pool={"transaction_timeout": "400ms", "size": 1})
    begin_it, go_on = TRANSACTIONS[what]
    with client_of(proxy) as client:
        if begin_it:
            client.ask(begin_it)
        client.send(go_on)
        begin = time.monotonic()
        check(last_word(client), "25P04", "terminating connection due to transaction timeout", "pool.transaction_timeout")
        assert time.monotonic() - begin < 5 * SCALE
    wait_for(lambda: not sleeping(cluster, "transaction_timeout"), "the statement to end", timeout=5)
    with client_of(proxy) as client:
        assert client.rows(f"{PRIMARY} SELECT count(*) FROM limited") == [[b"0"]]


def test_many_short_transactions_are_not_one_long_one(make_proxy):
    proxy = make_proxy(pool={"transaction_timeout": "500ms"})
    with client_of(proxy) as client:
        begin = time.monotonic()
        while time.monotonic() - begin < 1.2:
            client.rows("BEGIN")
            client.rows(f"{PRIMARY} SELECT 1")
            client.rows("COMMIT")
            client.send((parse("SELECT 1") + bind() + execute() + SYNC) * 5)
            for _ in range(5):
                assert client.read_until("Z")[-1].body == b"I"


def test_times_of_users_and_databases_and_their_reload(make_proxy):
    proxy = make_proxy(pool={"query_timeout": "300ms"}, users=[{"name": "traced", "query_timeout": 0}],
                       databases=[{"name": "postgres", "client_idle_timeout": "300ms"}])
    slow = query(f"{PRIMARY} SELECT pg_sleep(0.8)")
    with client_of(proxy) as app, client_of(proxy, user="traced") as traced:
        assert any(m.kind == "E" for m in app.ask(slow))
        assert not any(m.kind == "E" for m in traced.ask(slow))
        with client_of(proxy, database="postgres") as elsewhere:
            check(last_word(elsewhere), "57P05", "idle-session timeout", "client_idle_timeout")
        reload_with(proxy, pool={"query_timeout": 0}, users=[{"name": "traced", "query_timeout": "300ms"}], databases=[])
        assert not any(m.kind == "E" for m in app.ask(slow))
        assert any(m.kind == "E" for m in traced.ask(slow))
        reload_with(proxy, users=[])
        assert not any(m.kind == "E" for m in traced.ask(slow))


def test_a_login_that_is_not_finished(make_proxy):
    proxy = make_proxy(auth={"login_timeout": "1s"})
    with Wire(proxy.port) as client:
        begin = time.monotonic()
        assert client.read_to_end() == []  # as PostgreSQL: without a word
        assert time.monotonic() - begin >= 0.9
