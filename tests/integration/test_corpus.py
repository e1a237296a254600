"""The statement corpus (tests/corpus/statements.yaml): is every statement sent where it must run?

Two questions. What does the router decide, given the catalog of a real server; and, as the oracle, what does a real
standby say to each statement that the router calls a read. It must never be "cannot execute ... in a read-only
transaction" or "... during recovery".
"""

import dataclasses
import os
import pathlib
import pwd
import shutil
import subprocess
import tempfile
import time

import pytest
import yaml
from psycopg import pq

ROOT = pathlib.Path(__file__).resolve().parents[2]
CORPUS = ROOT / "tests/corpus/statements.yaml"
TOOL = pathlib.Path(os.environ.get("PGWEIR_BUILD", ROOT / "build")) / "tests/corpus/classify_corpus"

# SQLSTATEs with which a standby refuses what only a primary does: read_only_sql_transaction,
# object_not_in_prerequisite_state ("recovery is in progress") and feature_not_supported are told apart by their text.
REFUSALS = ("in a read-only transaction", "during recovery", "recovery is in progress", "not accessible during recovery",
            "temporary or unlogged relations")


@dataclasses.dataclass
class Entry:
    sql: str
    place: str
    reason: str | None = None

    def __str__(self):
        return self.sql


@dataclasses.dataclass
class Decision:
    place: str
    reason: str
    effects: str
    facts: str


def load_corpus():
    corpus = yaml.safe_load(CORPUS.read_text())
    return corpus["setup"], [Entry(**entry) for entry in corpus["statements"]]


# --- netstrings, which classify_corpus speaks -------------------------------------------------------------------------


def encode(field):
    if field is None:
        return b"-"
    data = field.encode() if isinstance(field, str) else field
    return b"%d:%s," % (len(data), data)


def decode(data):
    position, fields = 0, []
    while position < len(data):
        colon = data.index(b":", position)
        end = colon + 1 + int(data[position:colon])
        fields.append(data[colon + 1 : end].decode())
        position = end + 1
    return fields


# --- a primary and a standby ------------------------------------------------------------------------------------------


class Servers:
    """A primary and a streaming standby on Unix sockets in a temporary directory."""

    def __init__(self):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="pgweir_corpus_"))
        self.user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
        if os.geteuid() == 0:
            shutil.chown(self.dir, self.user)
        self.bin = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))[-1]
        self.running = []

    def run(self, program, *arguments):
        prefix = ["runuser", "-u", self.user, "--"] if os.geteuid() == 0 else []
        subprocess.run([*prefix, self.bin / program, *arguments], check=True, stdout=subprocess.DEVNULL)

    def start(self):
        primary, standby = self.dir / "primary", self.dir / "standby"
        self.run("initdb", "-D", primary, "-A", "trust", "-U", "postgres", "--no-sync", "-E", "UTF8", "--locale", "C.UTF-8")
        with (primary / "postgresql.conf").open("a") as conf:
            conf.write(f"listen_addresses = ''\nunix_socket_directories = '{self.dir}'\nfsync = off\n"
                       "max_prepared_transactions = 5\n")
        self.launch(primary, 5601)
        self.run("pg_basebackup", "-D", standby, "-h", self.dir, "-p", "5601", "-U", "postgres", "-R", "-X", "stream",
                 "-c", "fast")
        self.launch(standby, 5602)

    def launch(self, data, port):
        self.run("pg_ctl", "-D", data, "-w", "-l", self.dir / f"{port}.log", "-o", f"-p {port}", "start")
        self.running.append(data)

    def stop(self):
        for data in reversed(self.running):
            self.run("pg_ctl", "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(self.dir)

    def connect(self, port):
        connection = pq.PGconn.connect(f"host={self.dir} port={port} user=postgres dbname=postgres".encode())
        assert connection.status == pq.ConnStatus.OK, connection.error_message
        return connection

    def rows(self, connection, sql):
        result = connection.exec_(sql.encode())
        assert result.status in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK), result.error_message.decode()
        return [[result.get_value(r, c) for c in range(result.nfields)] for r in range(result.ntuples)]

    def wait_for_replay(self):
        primary, standby = self.connect(5601), self.connect(5602)
        [[target]] = self.rows(primary, "SELECT pg_current_wal_lsn()")
        deadline = time.monotonic() + 30
        while self.rows(standby, f"SELECT pg_last_wal_replay_lsn() >= '{target.decode()}'") != [[b"t"]]:
            assert time.monotonic() < deadline, "the standby does not catch up"
            time.sleep(0.02)
        primary.finish()
        standby.finish()


@pytest.fixture(scope="module")
def corpus():
    return load_corpus()


@pytest.fixture(scope="module")
def corpus_servers(corpus):
    servers = Servers()
    try:
        servers.start()
        connection = servers.connect(5601)
        servers.rows(connection, corpus[0])
        connection.finish()
        servers.wait_for_replay()
        yield servers
    finally:
        servers.stop()


@pytest.fixture(scope="module")
def decisions(corpus, corpus_servers):
    """What the router decides for each statement, in order."""
    begin, *queries, end, _fingerprint = decode(subprocess.check_output([TOOL, "queries"]))
    connection = corpus_servers.connect(5601)
    corpus_servers.rows(connection, begin)
    message = b""
    for query in queries:
        rows = corpus_servers.rows(connection, query)
        message += encode(str(len(rows))) + b"".join(encode(field) for row in rows for field in row)
    corpus_servers.rows(connection, end)
    connection.finish()
    message += b"".join(encode(entry.sql) for entry in corpus[1])
    fields = decode(subprocess.run([TOOL, "decide"], input=message, stdout=subprocess.PIPE, check=True).stdout)
    result = [Decision(*fields[i : i + 4]) for i in range(0, len(fields), 4)]
    assert len(result) == len(corpus[1])
    return result


def error_on(connection, sql):
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


def test_the_corpus_is_large_enough(corpus):
    assert len(corpus[1]) >= 260
    assert len({entry.sql for entry in corpus[1]}) == len(corpus[1])


def test_every_statement_is_sent_where_it_must_run(corpus, decisions):
    wrong = [
        f"{entry.sql!r}: expected {entry.place} {entry.reason or ''}, decided {decision.place} {decision.reason} ({decision.facts})"
        for entry, decision in zip(corpus[1], decisions)
        if entry.place != decision.place or entry.reason not in (None, decision.reason)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_standby_accepts_every_statement_that_is_called_a_read(corpus, corpus_servers, decisions):
    wrong = []
    for entry, decision in zip(corpus[1], decisions):
        if decision.place != "standby":
            continue
        connection = corpus_servers.connect(5602)
        error = error_on(connection, entry.sql)
        connection.finish()
        if error is not None:
            wrong.append(f"{entry.sql!r}: {error}")
    assert not wrong, "\n".join(wrong)


def test_the_oracle_can_say_no(corpus, corpus_servers, decisions):
    """A good part of what is kept on the primary is refused by a standby; else the oracle would prove nothing."""
    refused = 0
    for entry, decision in zip(corpus[1], decisions):
        if decision.reason not in ("write", "row_lock_or_into", "volatile_function", "unsafe_relation", "ddl"):
            continue
        connection = corpus_servers.connect(5602)
        error = error_on(connection, entry.sql)
        connection.finish()
        refused += error is not None and (error[0] == "25006" or any(text in error[1] for text in REFUSALS))
    assert refused > 100
