"""topology: logical: an origin and two subscribers with different publications. Where each read runs, and what clients
notice when a subscription stops, a node is lost, or another one becomes the origin."""

import itertools
import random
import subprocess
import threading
import time

import psycopg
import pytest

from harness.logical import LogicalCluster
from harness.proxy import Pgweir, binary_path
from harness.waiting import wait_for

# On every node: DDL is not replicated.
SCHEMA = """
CREATE SCHEMA sales;
CREATE TABLE items (id int PRIMARY KEY, name text);
CREATE TABLE sales.orders (id int PRIMARY KEY, item int);
CREATE TABLE secrets (id int PRIMARY KEY);
CREATE TABLE filtered (id int PRIMARY KEY);
CREATE TABLE later (id int PRIMARY KEY);
CREATE TABLE by_hand (id int PRIMARY KEY);
CREATE TABLE parts (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE TABLE p_1 PARTITION OF parts FOR VALUES FROM (0) TO (10);
CREATE TABLE p_2 PARTITION OF parts FOR VALUES FROM (10) TO (20);
CREATE SEQUENCE numbers;
CREATE UNLOGGED TABLE unlogged (id int);
CREATE MATERIALIZED VIEW stored AS SELECT 1 AS id;
CREATE VIEW ordered AS SELECT i.name FROM items i JOIN sales.orders o ON o.item = i.id;
CREATE VIEW mixed AS SELECT i.name FROM items i WHERE EXISTS (SELECT 1 FROM secrets);
CREATE FUNCTION total() RETURNS bigint STABLE LANGUAGE sql AS 'SELECT count(*) FROM sales.orders';
CREATE FUNCTION peek() RETURNS bigint STABLE LANGUAGE plpgsql AS 'BEGIN RETURN (SELECT count(*) FROM secrets); END';
CREATE FUNCTION twice(int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT $1 * 2';
CREATE FUNCTION writes() RETURNS int LANGUAGE sql AS 'INSERT INTO secrets VALUES (7) RETURNING id';
CREATE FUNCTION sneaks() RETURNS int STABLE LANGUAGE sql AS 'SELECT writes()';
"""
ORIGIN_ONLY = """
CREATE VIEW only_here AS SELECT name FROM items;
CREATE VIEW prepared_here AS SELECT name FROM items;
GRANT SELECT ON items TO app;
INSERT INTO items SELECT n, 'item ' || n FROM generate_series(1, 3) n;
INSERT INTO sales.orders SELECT n, n FROM generate_series(1, 3) n;
INSERT INTO secrets VALUES (1);
INSERT INTO filtered VALUES (1);
INSERT INTO parts VALUES (1), (11);
CREATE PUBLICATION everything FOR TABLE items, sales.orders;
CREATE PUBLICATION several FOR TABLE items, parts, filtered WHERE (id > 5);
CREATE PUBLICATION inserts FOR TABLE by_hand WITH (publish = 'insert');
"""
numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster():
    with LogicalCluster(schema=SCHEMA) as running:
        with running.origin.connect(dbname="test") as session:
            for statement in ORIGIN_ONLY.strip().split(";\n"):
                session.execute(statement)
        running.subscribe(running.node("pg2"), "everything")
        running.subscribe(running.node("pg3"), "several, inserts")
        yield running


def nodes_of(cluster, **more) -> list[dict]:
    """The configuration's; `pg2={...}`: what is said of a node besides."""
    return [{"name": n.name, "host": n.host, "port": n.port, "role": "origin" if n is cluster.origin else "replica",
             **more.get(n.name, {})} for n in cluster.nodes]


def a_proxy(cluster, nodes=None, **sections) -> Pgweir:
    sections = {"routing": {"consistency": "eventual", "catalog_refresh": "1s"}, "failover": {"hold_timeout": "20s"},
                "admin": {"users": "postgres"}, **sections}
    proxy = Pgweir(cluster.nodes, topology="logical", nodes=nodes or nodes_of(cluster), **sections)
    proxy.wait_standby_read("SELECT * FROM items")
    return proxy


@pytest.fixture
def proxy(cluster):
    with a_proxy(cluster) as running:
        yield running
    cluster.heal()


def where(cluster, session, statement: str, times: int = 6) -> set[str]:
    """The nodes on which such reads have run."""
    marker = f"read_{next(numbers)}_"
    for _ in range(times):
        session.execute(f"{statement} /* {marker} */").fetchall()
    return set(cluster.received(marker))


@pytest.fixture(scope="module")
def shared(cluster):
    with a_proxy(cluster) as running, running.connect(user="traced") as session:
        yield session


@pytest.mark.parametrize("statement, nodes", [
    ("SELECT 1", {"pg2", "pg3"}),
    ("SELECT now(), twice(2)", {"pg2", "pg3"}),
    ("SELECT * FROM items", {"pg2", "pg3"}),
    ("SELECT * FROM public.items WHERE id = 1", {"pg2", "pg3"}),
    ("SELECT * FROM sales.orders", {"pg2"}),
    ("SELECT * FROM items JOIN sales.orders USING (id)", {"pg2"}),
    ("SELECT * FROM ordered", {"pg2"}),
    ("SELECT * FROM parts", {"pg3"}),
    ("SELECT * FROM p_2", {"pg3"}),
    ("SELECT total()", {"pg2"}),
    ("SELECT * FROM secrets", {"pg1"}),
    ("SELECT * FROM mixed", {"pg1"}),
    ("SELECT peek()", {"pg1"}),
    ("SELECT * FROM items WHERE id IN (SELECT id FROM secrets)", {"pg1"}),
    ("SELECT * FROM filtered", {"pg1"}),  # only some of its rows are published
    ("SELECT * FROM by_hand", {"pg1"}),  # only what is inserted is published
    ("SELECT * FROM stored", {"pg1"}),
    ("SELECT * FROM unlogged", {"pg1"}),
    ("SELECT last_value FROM numbers", {"pg1"}),
    ("SELECT relname FROM pg_class LIMIT 1", {"pg1"}),
    ("SELECT table_name FROM information_schema.tables LIMIT 1", {"pg1"}),
    ("SELECT xmin FROM items", {"pg1"}),
    ("SELECT 'items'::regclass", {"pg1"}),
    ("SELECT pg_relation_size('items')", {"pg1"}),
    ("SELECT id FROM items FOR UPDATE", {"pg1"}),
])
def test_where_each_read_runs(cluster, shared, statement, nodes):
    assert where(cluster, shared, statement) == nodes


def test_a_prepared_statement_runs_where_its_tables_are(cluster, shared):
    for statement, nodes in [("SELECT * FROM sales.orders", {"pg2"}), ("SELECT * FROM secrets", {"pg1"})]:
        marker = f"read_{next(numbers)}_"
        for _ in range(6):
            shared.execute(f"{statement} WHERE id > %s /* {marker} */", (0,), prepare=True).fetchall()
        assert set(cluster.received(marker)) == nodes
    shared.execute("PREPARE of_orders AS SELECT count(*) FROM sales.orders")
    assert where(cluster, shared, "EXECUTE of_orders") == {"pg2"}


def test_statements_of_one_string_run_where_all_of_their_tables_are(cluster, shared):
    marker = f"read_{next(numbers)}_"
    for _ in range(4):
        shared.pgconn.exec_(f"SELECT 1 FROM parts; SELECT 1 FROM sales.orders /* {marker} */".encode())
        shared.pgconn.exec_(f"SELECT 1 FROM items; SELECT 1 FROM sales.orders /* other_{marker} */".encode())
    assert set(cluster.received(f" {marker}")) == {"pg1"}
    assert set(cluster.received(f"other_{marker}")) == {"pg2"}


def test_a_transaction_stays_on_the_origin_because_nobody_knows_what_it_reads_next(cluster, shared):
    shared.execute("BEGIN READ ONLY")
    assert where(cluster, shared, "SELECT * FROM items") == {"pg1"}
    assert where(cluster, shared, "SELECT * FROM secrets") == {"pg1"}
    shared.execute("COMMIT")


def test_explain_route_names_the_reason_and_the_nodes(proxy):
    assert proxy.route("SELECT * FROM sales.orders").startswith("standby (pg2) read")
    assert proxy.route("SELECT * FROM items").startswith("standby (pg2, pg3) read")
    assert proxy.route("SELECT * FROM secrets").startswith("primary not_replicated")


def test_what_writes_after_all_is_refused_by_a_replica_and_runs_on_the_origin(cluster, proxy):
    with proxy.connect(user="traced") as session:
        assert session.execute("/* pgweir: standby */ SELECT sneaks() /* sneaked */").fetchone() == (7,)
        assert session.execute("SHOW default_transaction_read_only").fetchone() == ("off",)
        assert session.info.parameter_status("default_transaction_read_only") in (None, "off")
    received = cluster.received("/* sneaked */")
    assert received.pop("pg1") == 1 and set(received) <= {"pg2", "pg3"} and received
    assert [n.sql("SELECT count(*) FROM secrets WHERE id = 7")[0][0] for n in cluster.nodes] == [1, 0, 0]
    cluster.origin.sql("DELETE FROM secrets WHERE id = 7")


def test_what_a_replica_does_not_have_runs_on_the_origin_and_is_not_tried_there_again(cluster, proxy):
    with proxy.connect(user="traced") as session:
        marker = f"read_{next(numbers)}_"
        for _ in range(8):
            assert len(session.execute(f"SELECT * FROM only_here /* {marker} */").fetchall()) == 3
        for _ in range(8):
            assert len(session.execute("SELECT * FROM prepared_here WHERE name > %s", ("",), prepare=True).fetchall()) == 3
    received = cluster.received(marker)
    assert received.pop("pg1") == 8
    assert received == {"pg2": 2, "pg3": 2}  # once each: the statement and, with the error, the statement again


def test_who_may_not_read_on_a_replica_reads_on_the_origin(proxy):
    with proxy.connect(user="app") as session:
        for _ in range(4):
            assert len(session.execute("SELECT * FROM items").fetchall()) == 3
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            session.execute("SELECT * FROM sales.orders")


def test_reads_on_replicas_are_as_fresh_as_promised(cluster):
    """strict: who begins to read after a write was acknowledged to somebody else sees it, on whichever node."""
    acknowledged, wrong, over = [0], [], threading.Event()
    marker = f"read_{next(numbers)}_"

    def write() -> None:
        with proxy.connect() as session:
            while not over.is_set():
                value = acknowledged[0] + 1
                session.execute("INSERT INTO items VALUES (1000, %s) ON CONFLICT (id) DO UPDATE SET name = %s",
                                (str(value), str(value)))
                acknowledged[0] = value
                time.sleep(random.choice([0, 0, 0.01, 0.05, 0.2]))

    def read(seed: int) -> None:
        dice = random.Random(seed)
        with proxy.connect(user="traced") as session:
            while not over.is_set():
                least = acknowledged[0]
                row = session.execute(f"SELECT name FROM items WHERE id = 1000 /* {marker} */").fetchone()
                if int(row[0] if row else 0) < least:
                    wrong.append((least, row))
                time.sleep(dice.choice([0, 0.01, 0.03]))

    with a_proxy(cluster, routing={"consistency": "strict"}) as proxy:
        threads = [threading.Thread(target=write), *(threading.Thread(target=read, args=(n,)) for n in range(4))]
        for thread in threads:
            thread.start()
        for node in ("pg2", "pg3") * 2:
            time.sleep(0.7)
            cluster.node(node).sql(f"ALTER SUBSCRIPTION {node} DISABLE")
            time.sleep(0.4)
            cluster.node(node).sql(f"ALTER SUBSCRIPTION {node} ENABLE")
        time.sleep(1)
        over.set()
        for thread in threads:
            thread.join(20)
        proxy.sql("DELETE FROM items WHERE id = 1000")
    assert wrong == []
    received = cluster.received(marker)
    assert received.get("pg2", 0) > 0 and received.get("pg3", 0) > 0, received


def test_a_client_sees_its_own_writes_while_a_subscription_is_disabled(cluster):
    replica = cluster.node("pg2")
    with a_proxy(cluster, routing={"consistency": "session"}) as proxy, proxy.connect(user="traced") as session:
        replica.sql("ALTER SUBSCRIPTION pg2 DISABLE")
        try:
            wait_for(lambda: proxy.pool_nodes()[1]["replication_delay_seconds"] == "", "the proof to be gone")
            session.execute("INSERT INTO sales.orders VALUES (4, 1)")
            assert where(cluster, session, "SELECT * FROM sales.orders WHERE id = 4") == {"pg1"}
            assert session.execute("SELECT count(*) FROM sales.orders").fetchone() == (4,)
            with proxy.connect(user="traced") as other:
                assert where(cluster, other, "SELECT * FROM sales.orders", times=1) == {"pg2"}
        finally:
            replica.sql("ALTER SUBSCRIPTION pg2 ENABLE")
        wait_for(lambda: "pg2" in where(cluster, session, "SELECT * FROM sales.orders WHERE id = 4", times=1),
                 "the replica to be fresh again")
        assert session.execute("SELECT count(*) FROM sales.orders").fetchone() == (4,)
        wait_for(lambda: proxy.pool_nodes()[1]["replication_state"] == "streaming", "the subscription to stream")
        assert proxy.pool_nodes()[1]["replication_delay_seconds"] != ""
        session.execute("DELETE FROM sales.orders WHERE id = 4")
        for n in range(100, 150):
            session.execute("INSERT INTO items VALUES (%s, 'mine')", (n,))
            assert session.execute("SELECT name FROM items WHERE id = %s", (n,)).fetchone() == ("mine",)
        session.execute("DELETE FROM items WHERE id >= 100")


def test_a_replica_without_a_proof_serves_only_reads_that_need_none(cluster):
    """As with triggers: nobody knows how far it is."""
    nodes = nodes_of(cluster, pg2={"weight": 0}, pg3={"replicated_tables": ["public.by_hand"], "subscription": "none"})
    with Pgweir(cluster.nodes, topology="logical", nodes=nodes, routing={"consistency": "session"}) as proxy:
        proxy.wait_standby_read("SELECT * FROM by_hand")
        with proxy.connect(user="traced") as session:
            assert where(cluster, session, "SELECT * FROM by_hand") == {"pg3"}
            assert where(cluster, session, "SELECT * FROM items", times=1) == {"pg1"}
            assert where(cluster, session, "SELECT * FROM by_hand") == {"pg1"}
        with proxy.connect(user="traced") as session:
            session.execute("INSERT INTO secrets VALUES (9)")
            assert where(cluster, session, "SELECT * FROM by_hand") == {"pg1"}
            session.execute("DELETE FROM secrets WHERE id = 9")
            session.execute("SET pgweir.consistency = 'strict'")
            assert where(cluster, session, "SELECT * FROM by_hand") == {"pg1"}
            session.execute("SET pgweir.consistency = 'eventual'")
            assert where(cluster, session, "SELECT * FROM by_hand") == {"pg3"}
        assert proxy.pool_nodes()[2]["replication_delay_seconds"] == ""


def test_a_table_that_is_added_to_a_publication_is_read_on_the_replica(cluster, proxy):
    replica = cluster.node("pg2")
    with proxy.connect(user="traced") as session:
        assert where(cluster, session, "SELECT * FROM later") == {"pg1"}
        cluster.origin.sql("ALTER PUBLICATION everything ADD TABLE later")
        replica.sql("ALTER SUBSCRIPTION pg2 REFRESH PUBLICATION")
        cluster.wait_copied(replica)
        wait_for(lambda: where(cluster, session, "SELECT * FROM later", times=2) == {"pg2"}, "reads on the replica")
        # No longer published: what is there is not kept up.
        session.execute("ALTER PUBLICATION everything DROP TABLE later")
        wait_for(lambda: where(cluster, session, "SELECT * FROM later", times=2) == {"pg1"}, "reads on the origin")


def test_a_replica_is_lost_and_its_reads_run_elsewhere(cluster, proxy):
    with proxy.connect(user="traced") as session:
        assert where(cluster, session, "SELECT * FROM items") == {"pg2", "pg3"}
        cluster.node("pg3").kill()
        for _ in range(10):
            assert len(session.execute("SELECT * FROM items").fetchall()) == 3
        assert where(cluster, session, "SELECT * FROM items") == {"pg2"}
        assert where(cluster, session, "SELECT * FROM parts") == {"pg1"}
        cluster.node("pg3").start()
        wait_for(lambda: where(cluster, session, "SELECT * FROM parts") == {"pg3"}, "reads on the replica")
        # Its subscription is another walsender's now, whose word counts.
        wait_for(lambda: proxy.pool_nodes()[2]["replication_delay_seconds"] != "", "the proof to be there")


def test_without_the_origin_writes_wait_for_it_and_reads_go_on(cluster, proxy):
    with proxy.connect(user="traced") as reader, proxy.connect(user="traced") as writer:
        writer.execute("INSERT INTO secrets VALUES (20)")
        cluster.origin.kill()
        proxy.wait_nodes({"pg1": "down", "pg2": "up", "pg3": "up"})
        written = threading.Thread(target=lambda: writer.execute("INSERT INTO secrets VALUES (21)"))
        written.start()
        assert where(cluster, reader, "SELECT * FROM items") == {"pg2", "pg3"}
        with proxy.connect(user="traced") as newcomer:
            assert len(newcomer.execute("SELECT * FROM sales.orders").fetchall()) == 3
        assert written.is_alive()
        cluster.origin.start()
        written.join(20)
        assert not written.is_alive()
        assert reader.execute("SELECT count(*) FROM secrets WHERE id IN (20, 21)").fetchone() == (2,)
        reader.execute("DELETE FROM secrets WHERE id >= 20")


def console(proxy, command: str) -> list[tuple]:
    return proxy.sql(command, dbname="pgweir")


def test_the_operator_makes_another_node_the_origin_and_it_is_remembered(cluster):
    with a_proxy(cluster, failover={"state_file": "failover.state"}) as proxy:
        with proxy.connect(user="traced") as session:
            session.execute("SELECT * FROM items").fetchall()
            assert console(proxy, "ORIGIN pg2")[0][:2] == ("pg2", "up")
            session.execute("INSERT INTO secrets VALUES (30)")
            assert where(cluster, session, "SELECT * FROM secrets") == {"pg2"}
        cluster.node("pg3").kill()
        proxy.wait_nodes({"pg3": "down"})
        with pytest.raises(psycopg.Error, match="not possible with node"):
            console(proxy, "ORIGIN pg3")
        cluster.node("pg3").start()
        assert [n.sql("SELECT count(*) FROM secrets WHERE id = 30")[0][0] for n in cluster.nodes] == [0, 1, 0]
        proxy.signal(2)
        proxy.wait_exit()
        proxy.start(nodes_up=False)
        proxy.wait_nodes({"pg1": "up", "pg2": "up"})
        assert {row["name"]: row["role"] for row in proxy.pool_nodes()} == {
            "pg1": "standby", "pg2": "primary", "pg3": "standby"}
        done = subprocess.run([binary_path().parent / "ctl/pgweirctl", "-h", proxy.host, "-p", str(proxy.port), "-U",
                               "postgres", "origin", "pg1"], capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr
        assert proxy.sql("SELECT count(*) FROM secrets WHERE id = 30") == [(0,)]
    cluster.node("pg2").sql("DELETE FROM secrets")
    cluster.heal()


def test_only_an_administrator_names_the_origin(cluster):
    with a_proxy(cluster, admin={"users": "postgres", "viewers": "app"}) as proxy:
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            proxy.sql("ORIGIN pg2", dbname="pgweir", user="app")
        with pytest.raises(psycopg.Error, match="there is no node"):
            console(proxy, "ORIGIN pg9")


def test_the_configuration_is_explained(cluster):
    with Pgweir(cluster.nodes, start=False, topology="logical", nodes=nodes_of(cluster)) as proxy:
        done = proxy.check()
        assert done.returncode == 0 and "writes run on the origin" in done.stdout, done.stdout
