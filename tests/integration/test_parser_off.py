"""`routing.parser: off`: statements are not read, each client keeps its connection, and everything works as on the primary."""

import psycopg
import pytest

from harness.proxy import Pgweir


@pytest.fixture(scope="module")
def proxy(cluster):
    proxy = Pgweir(cluster.nodes, start=False, workers=1, pool={"mode": "session", "size": 5},
                   routing={"reads": "primary", "parser": False})
    with proxy:
        proxy.start(nodes_up=False)  # SHOW pool_nodes would tell, and is not read
        proxy.wait_log(r"\bprimary\b")
        yield proxy


def test_state_stays_with_the_client(proxy):
    with proxy.connect(autocommit=True) as one, proxy.connect(autocommit=True) as other:
        one.execute("SET search_path = pg_catalog")
        one.execute("CREATE TEMP TABLE unread (i int)")
        one.execute("PREPARE p AS SELECT 7")
        assert one.execute("EXECUTE p").fetchone() == (7,)
        assert one.execute("SHOW search_path").fetchone() == ("pg_catalog",)
        assert other.execute("SHOW search_path").fetchone() != ("pg_catalog",)
        with pytest.raises(psycopg.errors.UndefinedTable):
            other.execute("SELECT * FROM unread")


def test_transactions_prepared_statements_and_copy(proxy):
    with proxy.connect(autocommit=False) as connection:
        connection.execute("CREATE TABLE unread_rows (i int)")
        with connection.cursor().copy("COPY unread_rows FROM STDIN") as copy:
            for number in range(1000):
                copy.write_row((number,))
        for number in range(10):
            row = connection.execute("SELECT count(*) FROM unread_rows WHERE i < %s", (number,), prepare=True).fetchone()
            assert row == (number,)
        connection.rollback()
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM unread_rows")


def test_the_next_client_finds_nothing_of_the_last(proxy):
    with proxy.connect(autocommit=True) as connection:
        connection.execute("SET application_name = 'left behind'")
    for _ in range(5):
        with proxy.connect(autocommit=True) as connection:
            assert connection.execute("SHOW application_name").fetchone() != ("left behind",)


def test_nothing_is_answered_here(proxy):
    with proxy.connect(autocommit=True) as connection, pytest.raises(psycopg.errors.UndefinedObject):
        connection.execute("SHOW pool_nodes")
