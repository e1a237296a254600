"""Where statements run. The oracle is not pgweir: it is the logs of the servers, which write down what they received."""

import itertools

import psycopg
import pytest

from harness.proxy import Pgweir
from harness.waiting import wait_for
from harness.wire import SYNC, Wire, bind, describe, execute, parse, query

_numbers = itertools.count(1)

SCHEMA = """
DROP SCHEMA IF EXISTS routing CASCADE;
CREATE SCHEMA routing;
CREATE TABLE routing.items (id int PRIMARY KEY, name text);
INSERT INTO routing.items SELECT n, 'item ' || n FROM generate_series(1, 100) n;
CREATE TABLE routing.written (id serial, note text);
CREATE SEQUENCE routing.numbers;
CREATE UNLOGGED TABLE routing.unlogged (id int);
CREATE FUNCTION routing.write(note text) RETURNS int LANGUAGE plpgsql VOLATILE AS
  $$ BEGIN INSERT INTO routing.written (note) VALUES (note); RETURN 1; END $$;
CREATE FUNCTION routing.pure(n int) RETURNS int LANGUAGE sql IMMUTABLE AS 'SELECT $1 + 1';
CREATE FUNCTION routing.sneaky(note text) RETURNS int LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN routing.write(note); END $$;
CREATE FUNCTION routing.sneaky_too(note text) RETURNS int LANGUAGE plpgsql STABLE AS
  $$ BEGIN RETURN routing.write(note); END $$;
CREATE VIEW routing.harmless AS SELECT * FROM routing.items WHERE id < 10;
CREATE VIEW routing.harmful AS SELECT routing.write('view') AS wrote;
CREATE PROCEDURE routing.act() LANGUAGE sql AS 'INSERT INTO routing.written (note) VALUES (''call'')';
"""


@pytest.fixture(scope="module")
def schema(cluster):
    cluster.primary.sql(SCHEMA)
    cluster.wait_replayed()


def ready(proxy: Pgweir) -> Pgweir:
    proxy.wait_standby_read("SELECT * FROM routing.items", user="traced")
    return proxy


@pytest.fixture(scope="module")
def routed(cluster, schema):
    with Pgweir(cluster.nodes) as proxy:
        yield ready(proxy)


@pytest.fixture
def make_routed(make_proxy, schema):
    def make(**sections):
        return ready(make_proxy(**sections))
    return make


def marker() -> str:
    return f"marker_{next(_numbers):06d}_"


def marked(statement: str) -> tuple[str, str]:
    """The statement with a mark in it that no other statement has, and the mark."""
    mark = marker()
    return f"{statement} -- {mark}", mark


def trace(proxy, **more) -> psycopg.Connection:
    return proxy.connect(user="traced", **more)


def where(cluster, session: psycopg.Connection, statement: str, **more) -> set[str]:
    """Runs it and returns the names of the nodes that received it."""
    text, mark = marked(statement)
    session.execute(text, **more)
    return set(cluster.received(mark))


STANDBYS = {"pg2", "pg3"}
PRIMARY = {"pg1"}

READS = [
    "SELECT 1", "SELECT * FROM routing.items WHERE id = 7", "select count(*) from ROUTING.ITEMS", "TABLE routing.items",
    "VALUES (1), (2)", "WITH a AS (SELECT * FROM routing.items) SELECT * FROM a", "SELECT * FROM routing.harmless",
    "SELECT routing.pure(1)", "SELECT now(), current_user, length('insert into x')", "SELECT 'DELETE FROM routing.items'",
    "SELECT (SELECT max(id) FROM routing.items)", "EXPLAIN SELECT * FROM routing.items",
    "EXPLAIN ANALYZE SELECT * FROM routing.items", "SELECT 1; SELECT 2",
    "/* a comment */ SELECT * FROM routing.items", "SELECT relname FROM pg_class LIMIT 1",
    "SELECT name FROM routing.items UNION ALL SELECT 'x' ORDER BY 1 LIMIT 3", "(SELECT 1)",
]

WRITES = [
    "INSERT INTO routing.written (note) VALUES ('x')", "UPDATE routing.items SET name = name WHERE id = 1",
    "DELETE FROM routing.written", "WITH w AS (INSERT INTO routing.written (note) VALUES ('x') RETURNING id) SELECT * FROM w",
    "SELECT * FROM routing.items FOR UPDATE", "SELECT * FROM routing.items WHERE id = 1 FOR SHARE",
    "SELECT nextval('routing.numbers')", "SELECT routing.write('direct')", "SELECT * FROM routing.harmful",
    "SELECT * FROM routing.items WHERE id = routing.write('where')", "SELECT pg_advisory_lock(1), pg_advisory_unlock(1)",
    "SELECT * INTO TEMP routing_copy FROM routing.items", "SELECT lo_creat(-1)", "EXPLAIN ANALYZE DELETE FROM routing.written",
    "SELECT 1; INSERT INTO routing.written (note) VALUES ('x')", "INSERT INTO routing.written (note) VALUES ('x'); SELECT 1",
    "DO $$ BEGIN PERFORM 1; END $$", "CALL routing.act()", "CREATE TABLE routing.made (id int); DROP TABLE routing.made",
    "NOTIFY nobody", "ANALYZE routing.items", "SELECT * FROM routing.unlogged", "SELECT pg_notify('a', 'b')",
    "SELECT random()", "SELECT txid_current()",
]


@pytest.mark.parametrize("statement", READS)
def test_reads_go_to_a_standby(routed, cluster, statement):
    with trace(routed) as session:
        nodes = where(cluster, session, statement)
    assert len(nodes) == 1 and nodes <= STANDBYS


@pytest.mark.parametrize("statement", WRITES)
def test_writes_go_to_the_primary_and_nowhere_else(routed, cluster, statement):
    with trace(routed) as session:
        assert where(cluster, session, statement) == PRIMARY
    if "CREATE TABLE" in statement or "INTO TEMP" in statement:
        # Until the catalog has been read again all reads go to the primary: the next test is not about that.
        routed.wait_standby_read("SELECT * FROM routing.items")


def is_single(statement: str) -> bool:
    return ";" not in statement or statement.startswith("DO ")


@pytest.mark.parametrize("statement", filter(is_single, READS + WRITES))
def test_the_extended_protocol_routes_alike(routed, cluster, statement):
    expected = STANDBYS if statement in READS else PRIMARY
    text, mark = marked(statement)
    with Wire(routed.port) as client:
        client.login(user="traced")
        found = client.ask(parse(text), bind(), describe("P"), execute(), SYNC)
        assert found[-2].kind == "C", found[-2]
    nodes = set(cluster.received(mark))
    assert len(nodes) == 1 and nodes <= expected


def test_copy_out_of_a_query_is_a_read(routed, cluster):
    text, mark = marked("COPY (SELECT * FROM routing.items) TO STDOUT")
    with Wire(routed.port) as client:
        client.login(user="traced")
        assert sum(m.kind == "d" for m in client.ask(query(text))) == 100
    assert set(cluster.received(mark)) <= STANDBYS


def test_unparsable_text_goes_to_the_primary(routed, cluster):
    text, mark = marked("SELEKT nonsense")
    with trace(routed) as session, pytest.raises(psycopg.errors.SyntaxError):
        session.execute(text)
    # A server that cannot parse a text writes it down as STATEMENT of the error.
    assert set(cluster.received(mark)) == PRIMARY


# --- transactions

def test_a_transaction_runs_on_the_primary(routed, cluster):
    with trace(routed) as session:
        session.execute("BEGIN")
        assert where(cluster, session, "SELECT * FROM routing.items") == PRIMARY
        assert where(cluster, session, "INSERT INTO routing.written (note) VALUES ('x')") == PRIMARY
        session.execute("COMMIT")
        assert where(cluster, session, "SELECT * FROM routing.harmless") <= STANDBYS | PRIMARY


@pytest.mark.parametrize("begin", ["BEGIN READ ONLY", "START TRANSACTION READ ONLY", "begin transaction read only",
                                   "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"])
def test_a_read_only_transaction_stays_on_one_standby(routed, cluster, begin):
    with trace(routed) as session:
        session.execute(begin)
        nodes = set().union(*(where(cluster, session, "SELECT * FROM routing.items") for _ in range(6)))
        session.execute("COMMIT")
    assert len(nodes) == 1 and nodes <= STANDBYS


def test_a_serializable_read_only_transaction_runs_on_the_primary(routed, cluster):
    with trace(routed) as session:
        session.execute("BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY")
        assert where(cluster, session, "SELECT * FROM routing.items") == PRIMARY
        session.execute("COMMIT")


def test_a_read_only_transaction_may_be_followed_by_a_write(routed, cluster):
    with trace(routed) as session:
        session.execute("BEGIN READ ONLY")
        assert where(cluster, session, "SELECT * FROM routing.items") <= STANDBYS
        session.execute("COMMIT")
        assert where(cluster, session, "INSERT INTO routing.written (note) VALUES ('x')") == PRIMARY


# --- shares

def counted(proxy, cluster, count: int) -> dict[str, int]:
    mark = marker()
    with trace(proxy) as session:
        for n in range(count):
            session.execute(f"SELECT * FROM routing.items WHERE id = {n % 100} -- {mark}")
    return cluster.received(mark)


@pytest.mark.parametrize("weights, expected", [
    ((1, 1, 1), {"pg2": 0.5, "pg3": 0.5}), ((1, 1, 3), {"pg2": 0.25, "pg3": 0.75}), ((5, 0, 1), {"pg3": 1.0})])
def test_reads_are_shared_by_weight(make_routed, cluster, weights, expected):
    # With `session`, one client that reads without a pause stays where it is.
    proxy = make_routed(routing={"consistency": "eventual"},
                        nodes=[{"name": n.name, "host": n.host, "port": n.port, "weight": w}
                               for n, w in zip(cluster.nodes, weights)])
    before, total = proxy.reads(), 1000
    counts = counted(proxy, cluster, total)
    assert set(counts) == set(expected), "the primary's weight for reads is 0"
    for name, share in expected.items():
        assert abs(counts[name] / total - share) <= 0.05
    after = proxy.reads()
    assert {name: after[name] - before[name] for name in counts} == counts, "SHOW pool_nodes counts otherwise"


def test_the_primary_takes_its_share_when_told(make_routed, cluster):
    proxy = make_routed(routing={"primary_weight": 1, "consistency": "eventual"})
    counts = counted(proxy, cluster, 900)
    assert set(counts) == {"pg1", "pg2", "pg3"}
    assert all(abs(count / 900 - 1 / 3) <= 0.05 for count in counts.values())


def test_balance_by_session(make_routed, cluster):
    proxy = make_routed(routing={"balance": "session"})
    used = [counted(proxy, cluster, 10) for _ in range(20)]
    assert all(len(counts) == 1 for counts in used), "one session, one standby"
    assert set().union(*used) == STANDBYS


def test_reads_can_be_kept_on_the_primary(make_proxy, schema, cluster):
    proxy = make_proxy(routing={"reads": "primary"})
    assert set(counted(proxy, cluster, 30)) == PRIMARY


# --- hints

@pytest.mark.parametrize("hint, nodes", [("primary", PRIMARY), ("standby", STANDBYS), ("node=pg1", {"pg1"}),
                                         ("node=pg2", {"pg2"}), ("node=pg3", {"pg3"})])
def test_hints(routed, cluster, hint, nodes):
    with trace(routed, options="-c pgweir.consistency=eventual") as session:
        found = set().union(*(where(cluster, session, f"/* pgweir: {hint} */ SELECT * FROM routing.items") for _ in range(8)))
    assert found == nodes


def test_a_standby_hint_overrules_the_functions(routed, cluster):
    with trace(routed) as session:
        assert where(cluster, session, "/* pgweir: standby */ SELECT random()") <= STANDBYS


@pytest.mark.parametrize("text", ["/* pgweir: nonsense */ SELECT 1", "/* pgweir: node=unknown */ SELECT 1"])
def test_a_hint_that_says_nothing_is_safe(routed, cluster, text):
    with trace(routed) as session:
        assert where(cluster, session, text) <= PRIMARY | STANDBYS
        assert session.execute("SELECT 1").fetchone() == (1,)


# --- prepared statements

def test_a_prepared_statement_runs_on_several_nodes(routed, cluster):
    mark = marker()
    with trace(routed, options="-c pgweir.consistency=eventual") as session:
        text = f"SELECT name FROM routing.items WHERE id = %s -- {mark}"
        for n in range(1, 41):
            assert session.execute(text, [n], prepare=True).fetchone() == (f"item {n}",)
        session.execute("BEGIN")
        assert session.execute(text, [50], prepare=True).fetchone() == ("item 50",)
        session.execute("COMMIT")
    assert set(cluster.received(mark)) == {"pg1", "pg2", "pg3"}


def test_sql_level_prepare_is_routed_by_what_it_contains(routed, cluster):
    with trace(routed) as session:
        session.execute("PREPARE reader(int) AS SELECT name FROM routing.items WHERE id = $1")
        session.execute("PREPARE writer(text) AS INSERT INTO routing.written (note) VALUES ($1)")
        for n in range(1, 9):
            assert session.execute(f"EXECUTE reader({n})").fetchone() == (f"item {n}",)
        assert where(cluster, session, "EXECUTE writer('x')") == PRIMARY
        session.execute("DEALLOCATE reader")
        with pytest.raises(psycopg.errors.InvalidSqlStatementName):
            session.execute("EXECUTE reader(1)")


def test_settings_hold_on_every_node(routed):
    with trace(routed) as session:
        session.execute("SET search_path = routing")
        session.execute("SET work_mem = '11MB'")
        for place in ("primary", "node=pg2", "node=pg3", "standby"):
            row = session.execute(f"/* pgweir: {place} */ SELECT count(*), current_setting('work_mem') FROM items").fetchone()
            assert row == (100, "11MB"), place
        session.execute("RESET work_mem")
        for place in ("primary", "node=pg2", "node=pg3"):
            assert session.execute(f"/* pgweir: {place} */ SHOW work_mem").fetchone() == ("4MB",), place


def test_a_setting_rolled_back_is_rolled_back_everywhere(routed):
    with trace(routed) as session:
        session.execute("BEGIN")
        session.execute("SET work_mem = '13MB'")
        session.execute("ROLLBACK")
        for place in ("primary", "node=pg2", "node=pg3"):
            assert session.execute(f"/* pgweir: {place} */ SHOW work_mem").fetchone() == ("4MB",), place


def test_temporary_tables_are_seen(routed):
    with trace(routed) as session:
        session.execute("CREATE TEMP TABLE items (id int, only_here text)")
        session.execute("INSERT INTO items VALUES (1, 'yes')")
        for _ in range(6):
            assert session.execute("SELECT only_here FROM items").fetchone() == ("yes",)


# --- self-correction

@pytest.mark.parametrize("extended", [False, True], ids=["simple", "extended"])
def test_a_read_that_a_standby_refuses_runs_again_on_the_primary(routed, cluster, extended):
    function = "routing.sneaky_too" if extended else "routing.sneaky"
    note = marker()

    def call(client: Wire, number: int):
        text = f"SELECT {function}('{note}{number}')"
        return client.ask(parse(text), bind(), describe("P"), execute(), SYNC) if extended else client.ask(query(text))

    with Wire(routed.port) as client:
        client.login(user="traced")
        for number in range(3):
            found = call(client, number)
            assert [m.kind for m in found if m.kind in "ED"] == ["D"], found
    assert cluster.primary.sql("SELECT count(*) FROM routing.written WHERE note LIKE %s", note + "%") == [(3,)]
    assert {"pg1"} < set(cluster.received(note + "0")), "a standby was not tried: nothing is shown"
    assert set(cluster.received(note + "2")) == PRIMARY, "its shape was not remembered"


# --- EXPLAIN ROUTE

@pytest.mark.parametrize("statement, node_class, reason", [
    ("SELECT * FROM routing.items", "standby", "read"), ("INSERT INTO routing.written (note) VALUES ('never')", "primary", "write"),
    ("SELECT nextval('routing.numbers')", "primary", "volatile_function"), ("CREATE TABLE x ()", "primary", "ddl"),
    ("SELECT * FROM routing.items FOR UPDATE", "primary", "row_lock_or_into"), ("SELECT routing.write('never')", "primary", "volatile_function"),
    ("/* pgweir: primary */ SELECT 1", "primary", "hint_primary"), ("SELEKT", "primary", "unparsed")])
def test_explain_route(routed, cluster, statement, node_class, reason):
    answer = routed.route(statement, user="traced")
    assert node_class in answer.split("\n")[0] and reason in answer, answer
    assert cluster.primary.sql("SELECT count(*) FROM routing.written WHERE note = 'never'") == [(0,)]


# --- freshness

@pytest.fixture
def stale(breakable_cluster, schema):
    """Standbys that replay nothing any more."""
    breakable_cluster.wait_replayed()
    for node in breakable_cluster.standbys:
        node.sql("SELECT pg_wal_replay_pause()")
        wait_for(lambda: node.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "replay to pause")
    return breakable_cluster


def test_a_session_reads_its_own_writes(make_routed, cluster, request):
    proxy = make_routed()
    stale = request.getfixturevalue("stale")
    with trace(proxy) as session:
        for n in range(5):
            name = marker()
            session.execute("UPDATE routing.items SET name = %s WHERE id = 42", [name])
            text, mark = marked("SELECT name FROM routing.items WHERE id = 42")
            assert session.execute(text).fetchone() == (name,)
            assert set(stale.received(mark)) == PRIMARY


def test_a_transaction_that_wrote_counts_as_well(make_routed, request):
    proxy = make_routed()
    request.getfixturevalue("stale")
    with trace(proxy) as session:
        name = marker()
        with session.transaction():
            session.execute("UPDATE routing.items SET name = %s WHERE id = 43", [name])
        assert session.execute("SELECT name FROM routing.items WHERE id = 43").fetchone() == (name,)


def test_eventual_consistency_does_not_wait(make_routed, request):
    proxy = make_routed(routing={"consistency": "eventual"})
    stale = request.getfixturevalue("stale")
    with trace(proxy) as session:
        session.execute("UPDATE routing.items SET name = 'unseen' WHERE id = 44")
        text, mark = marked("SELECT name FROM routing.items WHERE id = 44")
        assert session.execute(text).fetchone() == ("item 44",)
        assert set(stale.received(mark)) <= STANDBYS


def test_a_standby_that_lags_too_far_gets_no_reads(make_routed, request):
    proxy = make_routed(routing={"consistency": "eventual", "max_replica_lag": "1MB"})
    stale = request.getfixturevalue("stale")
    stale.primary.sql("CREATE TABLE routing.bulk AS SELECT n, repeat('x', 200) FROM generate_series(1, 20000) n")

    def on_primary() -> bool:
        return set(counted(proxy, stale, 4)) == PRIMARY
    wait_for(on_primary, "the reads to leave the lagging standbys")
    stale.heal()
    wait_for(lambda: set(counted(proxy, stale, 4)) <= STANDBYS, "the reads to come back")
    stale.primary.sql("DROP TABLE routing.bulk")


def test_writes_are_visible_to_the_same_session_under_load(routed, cluster):
    """No pause: the standbys are a few milliseconds behind, and not one of 300 reads may show it."""
    with trace(routed) as session:
        for n in range(300):
            session.execute("UPDATE routing.items SET name = %s WHERE id = 45", [str(n)])
            assert session.execute("SELECT name FROM routing.items WHERE id = 45").fetchone() == (str(n),)
