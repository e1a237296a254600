"""Where the drivers perform: the objects they work on, one schema per connection, and the sums that must come out.

Every connection has a number. Whatever it asks for is answered differently for each number, so that an answer meant for
another connection never looks right. The programs in C, Java and JavaScript rely on the same objects.

The objects are made once, on the primary, and only refilled: tests never see half of them on a standby.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from typing import Callable

from harness.cluster import Cluster
from harness.waiting import SCALE, wait_for

CLIENTS = 20
USER = "driver"
DATABASE = "test"
ACCOUNTS = 50
BALANCE = 1000
TIME_LIMIT = 60.0  # seconds for what all connections do in one test

_SHARED = f"""
CREATE ROLE {USER} LOGIN;
CREATE ROLE other_driver ROLE {USER};
GRANT CREATE ON DATABASE {DATABASE} TO {USER};
CREATE SCHEMA bank AUTHORIZATION {USER};
CREATE SCHEMA bench AUTHORIZATION {USER};
SET ROLE {USER};
CREATE TABLE bank.accounts (id int PRIMARY KEY, balance bigint NOT NULL);
CREATE TABLE bank.transfers (client int NOT NULL, source int NOT NULL, target int NOT NULL, amount int NOT NULL);
"""


def _own(number: int) -> str:
    """What one connection has for itself, in schema c<number>: the same names with other contents and other types."""
    schema = f"c{number}"
    label_type, label = ("int", str(number)) if number % 2 else ("text", f"'{schema}'")
    return f"""
CREATE SCHEMA {schema};
CREATE TABLE {schema}.me (number int NOT NULL, label {label_type} NOT NULL);
INSERT INTO {schema}.me VALUES ({number}, {label});
CREATE TABLE {schema}.items (id int PRIMARY KEY, name text NOT NULL, price numeric(12, 2), tags int[], photo bytea);
CREATE TYPE {schema}.mood AS ENUM ('calm', 'mood{number}');
CREATE TYPE {schema}.point3 AS (x int, y text, z {schema}.mood);
CREATE DOMAIN {schema}.small AS int CHECK (VALUE < {1000 + number});
CREATE FUNCTION {schema}.who() RETURNS int LANGUAGE sql STABLE AS 'SELECT {number}';
"""


def furnish(cluster: Cluster) -> None:
    own = "".join(_own(number) for number in range(CLIENTS))
    cluster.primary.sql(_SHARED + own)
    cluster.wait_replayed()


def label(number: int) -> int | str:
    """What `SELECT label FROM me` gives this connection: a number for odd ones, a text for even ones."""
    return number if number % 2 else f"c{number}"


@dataclass
class Arena:
    """One test's view: where to connect, and what must be true afterwards."""
    name: str
    host: str
    port: int
    cluster: Cluster
    servers: int | None  # server connections per node that the proxy may have; None without a proxy

    def reset(self) -> None:
        """Empties the items and gives every account its balance."""
        items = ", ".join(f"c{number}.items" for number in range(CLIENTS))
        self.cluster.primary.sql(f"""
            TRUNCATE {items}, bank.accounts, bank.transfers;
            INSERT INTO bank.accounts SELECT id, {BALANCE} FROM generate_series(1, {ACCOUNTS}) id""")
        self.cluster.wait_replayed()

    def sql(self, statement: str, *parameters) -> list[tuple]:
        """On the primary, past the proxy."""
        return self.cluster.primary.sql(statement, *parameters)

    def check_bank(self, transfers: int) -> None:
        """Nothing was lost and nothing came from nowhere: in total, and account by account."""
        assert self.sql("SELECT count(*) FROM bank.transfers") == [(transfers,)]
        assert self.sql("SELECT sum(balance)::bigint FROM bank.accounts") == [(ACCOUNTS * BALANCE,)]
        wrong = self.sql("""
            SELECT id, balance, %s + coalesce((SELECT sum(amount) FROM bank.transfers WHERE target = id), 0)
                                  - coalesce((SELECT sum(amount) FROM bank.transfers WHERE source = id), 0) AS expected
            FROM bank.accounts ORDER BY id""", BALANCE)
        assert [row for row in wrong if row[1] != row[2]] == []

    def check_after(self) -> None:
        """No transaction is left open, and the proxy kept to its limit."""
        def quiet() -> bool:
            return all(node.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = %s AND state <> 'idle'", USER)
                       == [(0,)] for node in self.cluster.nodes)
        wait_for(quiet, "the end of what the drivers began")
        if self.servers is not None:
            for node in self.cluster.nodes:
                [(count,)] = node.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", USER)
                assert count <= self.servers, f"{count} server connections on {node.name}, allowed are {self.servers}"


def in_parallel(function: Callable[[int], None], count: int = CLIENTS) -> None:
    """Calls function(0), function(1), ... in threads of their own. Raises the first failure; a hang is one too."""
    failures: list[tuple[int, BaseException]] = []

    def run(number: int) -> None:
        try:
            function(number)
        except BaseException as error:  # whatever it is, the main thread raises it
            failures.append((number, error))
    threads = [threading.Thread(target=run, args=(number,), daemon=True) for number in range(count)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + TIME_LIMIT * SCALE
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    if failures:
        number, error = failures[0]
        raise AssertionError(f"connection {number}, the first of {len(failures)} that failed: {error!r}") from error
    frames = sys._current_frames()
    stuck = [f"connection {number}:\n{''.join(traceback.format_stack(frames[thread.ident])[-4:])}"
             for number, thread in enumerate(threads) if thread.is_alive()]
    assert not stuck, f"{len(stuck)} connections hang:\n" + "\n".join(stuck[:3])


def run_program(command: list, arena: Arena, scenario: str, **environment) -> None:
    """Runs `... <scenario> <host> <port> <clients>`, which says what is wrong and then ends with another status than 0."""
    words = [str(word) for word in [*command, scenario, arena.host, arena.port, CLIENTS]]
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PG") or key.startswith("PGWEIR_")}
    try:
        done = subprocess.run(words, env=kept | environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, timeout=TIME_LIMIT * SCALE)
    except subprocess.TimeoutExpired as hang:
        raise AssertionError(f"{scenario} hangs; it said:\n{(hang.stdout or b'').decode(errors='replace')}") from None
    assert done.returncode == 0, f"{scenario} ended with {done.returncode}:\n{done.stdout[-6000:]}"
    assert f"{scenario}: ok" in done.stdout, f"{scenario} did not come to its end:\n{done.stdout[-6000:]}"
