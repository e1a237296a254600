"""SHOW pool_nodes and its kin: from any session, in both protocols, in the form that operators of pgpool know."""

import subprocess

import pytest

from harness import release
from harness.cluster import BIN
from harness.wire import SYNC, Wire, bind, describe, execute, parse, query

COLUMNS = ["node_id", "hostname", "port", "status", "pg_status", "lb_weight", "role", "pg_role", "select_cnt",
           "load_balance_node", "replication_delay", "replication_state", "replication_sync_state", "last_status_change",
           "replication_delay_seconds"]


@pytest.fixture
def client(proxy):
    with Wire(proxy.port) as session:
        session.login()
        yield session


def test_columns_and_rows_of_pool_nodes(client, cluster):
    found = client.ask(query("SHOW pool_nodes"))
    assert [m.kind for m in found] == ["T", "D", "D", "D", "C", "Z"]
    assert found[0].columns == COLUMNS
    assert found[-2].tag == "SHOW"
    rows = [dict(zip(COLUMNS, (value and value.decode() for value in m.values))) for m in found if m.kind == "D"]
    for number, (row, node) in enumerate(zip(rows, cluster.nodes)):
        assert row["node_id"] == str(number)
        assert (row["hostname"], row["port"]) == (node.host, str(node.port))
        assert (row["status"], row["pg_status"]) == ("up", "up")
        role = "primary" if node is cluster.primary else "standby"
        assert (row["role"], row["pg_role"]) == (role, role)
        assert row["select_cnt"].isdigit()
        assert row["load_balance_node"] in ("true", "false")
        assert row["last_status_change"]
    assert all(row["replication_state"] == "streaming" and row["replication_sync_state"] == "async" for row in rows[1:])
    assert all(float(row["lb_weight"]) >= 0 for row in rows)
    assert sum(row["load_balance_node"] == "true" for row in rows) <= 1


@pytest.mark.parametrize("text", ["show pool_nodes", "SHOW POOL_NODES;", "/* comment */ SHOW pool_nodes", " Show\n\tpool_nodes ; "])
def test_spelling(client, text):
    assert client.ask(query(text))[0].columns == COLUMNS


def test_the_extended_protocol(client):
    found = client.ask(parse("SHOW pool_nodes", "s"), describe("S", "s"), bind("p", "s"), describe("P", "p"), execute("p"), SYNC)
    assert [m.kind for m in found] == ["1", "t", "T", "2", "T", "D", "D", "D", "C", "Z"]
    assert found[2].columns == found[4].columns == COLUMNS
    again = client.ask(bind("", "s"), execute(), SYNC)
    assert [m.kind for m in again] == ["2", "D", "D", "D", "C", "Z"]


def test_drivers_may_prepare_it(proxy):
    with proxy.connect() as session:
        for _ in range(8):
            assert len(session.execute("SHOW pool_nodes", prepare=True).fetchall()) == 3


def test_its_place_in_a_pipeline_is_kept(client):
    def one(text: str) -> bytes:
        return parse(text) + bind() + execute() + SYNC
    client.send(one("SELECT 1"), one("SHOW pool_nodes"), one("SELECT 2"), one("SHOW pool_version"), query("SELECT 3"))
    replies = ["".join(m.kind for m in client.read_until("Z")) for _ in range(5)]
    assert replies == ["12DCZ", "12DDDCZ", "12DCZ", "12DCZ", "TDCZ"]


def test_within_transactions(client):
    assert client.ask(query("BEGIN"))[-1].body == b"T"
    assert client.ask(query("SHOW pool_nodes"))[-1].body == b"T"
    client.rows("CREATE TEMP TABLE show_test (id int)")
    assert client.ask(query("SHOW pool_nodes"))[-1].body == b"T"
    assert client.ask(query("SELECT 1/0"))[-1].body == b"E"
    assert client.ask(query("SHOW pool_nodes"))[-1].body == b"E"
    assert client.ask(query("ROLLBACK"))[-1].body == b"I"


def test_pool_version(client):
    rows = client.rows("SHOW pool_version")
    assert len(rows) == 1 and b"pgweir" in b" ".join(rows[0])


def test_an_unknown_pool_command_is_an_error(client):
    found = client.ask(query("SHOW pool_nonsense"))
    assert [m.kind for m in found] == ["E", "Z"]
    assert client.rows("SELECT 1") == [[b"1"]]


def test_other_show_commands_reach_the_server(client):
    assert client.rows("SHOW server_version_num")[0][0].startswith(b"%d" % release.major())


def test_select_cnt_counts_reads(proxy):
    proxy.wait_standby_read()
    before = proxy.reads()
    with proxy.connect() as session:
        for _ in range(50):
            session.execute("SELECT 1")
    after = proxy.reads()
    assert sum(after.values()) - sum(before.values()) == 50
    assert after["pg1"] == before["pg1"]


def test_psql_shows_it(proxy):
    shown = subprocess.run([BIN / "psql", "-XAt", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "-d", "test",
                            "-c", "SHOW pool_nodes"], stdout=subprocess.PIPE, text=True, check=True).stdout
    assert len(shown.splitlines()) == 3 and all(len(line.split("|")) == len(COLUMNS) for line in shown.splitlines())
