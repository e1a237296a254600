"""The statement corpus (tests/corpus/statements.yaml): is every statement sent where it must run?

Two questions. What does pgweir decide, asked by EXPLAIN ROUTE in a session of its own; and, as the oracle, what does a
real standby say to each statement that pgweir calls a read. It must not refuse a single one.
"""

import dataclasses
import pathlib

import pytest
import yaml
from psycopg import pq

from harness.proxy import Pgweir

CORPUS = pathlib.Path(__file__).resolve().parents[1] / "corpus/statements.yaml"
DATABASE = "corpus"

# What a standby says when it refuses what only a primary does.
REFUSALS = ("in a read-only transaction", "during recovery", "recovery is in progress", "temporary or unlogged relations")


@dataclasses.dataclass
class Entry:
    sql: str
    place: str
    reason: str | None = None


@dataclasses.dataclass
class Decision:
    place: str
    reason: str
    facts: str


@pytest.fixture(scope="module")
def entries():
    return [Entry(**entry) for entry in yaml.safe_load(CORPUS.read_text())["statements"]]


@pytest.fixture(scope="module")
def corpus_cluster(cluster):
    cluster.primary.sql(f"DROP DATABASE IF EXISTS {DATABASE}")
    cluster.primary.sql(f"CREATE DATABASE {DATABASE}")
    connection = connect(cluster.primary.port)
    assert run(connection, yaml.safe_load(CORPUS.read_text())["setup"]) is None
    connection.finish()
    cluster.wait_replayed()
    return cluster


@pytest.fixture(scope="module")
def decisions(entries, corpus_cluster):
    """What pgweir decides for each statement, in order."""
    with Pgweir(corpus_cluster.nodes, pool={"size": 20}) as proxy:
        proxy.wait_standby_read("SELECT count(*) FROM accounts", dbname=DATABASE)
        return [decide(proxy.port, entry.sql) for entry in entries]


def connect(port):
    connection = pq.PGconn.connect(f"host=127.0.0.1 port={port} user=postgres dbname={DATABASE}".encode())
    assert connection.status == pq.ConnStatus.OK, connection.error_message
    return connection


def decide(port, sql):
    connection = connect(port)
    result = connection.exec_(b"EXPLAIN ROUTE " + sql.encode())
    assert result.status == pq.ExecStatus.TUPLES_OK, (sql, result.error_message)
    node_class, reason, facts = (result.get_value(0, column).decode() for column in range(3))
    connection.finish()
    return Decision(node_class.split(" ")[0], reason.split(":")[0].split(" ")[0], facts)


def run(connection, sql):
    """Runs `sql` as a simple query with all its results; the first error's (sqlstate, message), or None."""
    connection.send_query(sql.encode())
    error = None
    while (result := connection.get_result()) is not None:
        if result.status == pq.ExecStatus.COPY_OUT:
            while connection.get_copy_data(0)[0] > 0:
                pass
        elif result.status == pq.ExecStatus.COPY_IN:
            connection.put_copy_end(b"the corpus sends no data")
        elif result.status == pq.ExecStatus.FATAL_ERROR and error is None:
            error = ((result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode(), result.error_message.decode())
    return error


def on_a_standby(cluster, sql):
    connection = connect(cluster.standbys[0].port)
    error = run(connection, sql)
    connection.finish()
    return error


def test_the_corpus_is_large_enough(entries):
    assert len(entries) >= 260
    assert len({entry.sql for entry in entries}) == len(entries)


def test_every_statement_is_sent_where_it_must_run(entries, decisions):
    wrong = [f"{entry.sql!r}: expected {entry.place} {entry.reason or ''}, decided {decision}"
             for entry, decision in zip(entries, decisions)
             if entry.place != decision.place or entry.reason not in (None, decision.reason)]
    assert not wrong, "\n".join(wrong)


def test_a_standby_accepts_every_statement_that_is_called_a_read(entries, corpus_cluster, decisions):
    wrong = [f"{entry.sql!r}: {error}" for entry, decision in zip(entries, decisions)
             if decision.place == "standby" and (error := on_a_standby(corpus_cluster, entry.sql)) is not None]
    assert not wrong, "\n".join(wrong)


def test_the_oracle_can_say_no(entries, corpus_cluster, decisions):
    """A good part of what is kept on the primary is refused by a standby; else the oracle would prove nothing."""
    kept = ("write", "row_lock_or_into", "volatile_function", "unsafe_relation", "ddl")
    errors = [on_a_standby(corpus_cluster, entry.sql)
              for entry, decision in zip(entries, decisions) if decision.reason in kept]
    refused = [error for error in errors
               if error and (error[0] == "25006" or any(text in error[1] for text in REFUSALS))]
    assert len(refused) > 100
