"""pgbench with far more clients than server connections, in each of its protocol modes."""

import re
import subprocess

import pytest

from arena import DATABASE, USER
from harness.cluster import BIN
from harness.waiting import SCALE

SERVERS = 10
MAX_CLIENTS = 200
TRANSACTIONS = 10  # of each client: a number and not a time, so that a slow machine tests the same
MODES = ["simple", "extended", "prepared"]

# Each client checks that an answer is its own; 1 / 0 fails the run.
IDENTITY = r"""
\set n random(1, 100000)
SELECT :client_id * 1000000 + :n AS got \gset
\set difference :got - (:client_id * 1000000 + :n)
\if :difference
SELECT 1 / 0;
\endif
BEGIN;
SELECT :client_id AS first \gset
SELECT :first * 2 AS second \gset
COMMIT;
\set difference :second - :client_id * 2
\if :difference
SELECT 1 / 0;
\endif
"""


def pgbench(arena, *options: str) -> str:
    done = subprocess.run([BIN / "pgbench", "-h", arena.host, "-p", str(arena.port), "-U", USER, *options,
                           f"dbname={DATABASE} options=-csearch_path=bench"],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=200 * SCALE)
    assert done.returncode == 0, done.stdout[-6000:]
    return done.stdout


def run(arena, *options: str) -> int:
    """Transactions that were processed, none of them with an error."""
    # pgbench prepares while all other clients of the same thread stand still, those in a transaction too. With more
    # clients in a thread than there are server connections it would wait for itself, so each has a thread of its own.
    threads = MAX_CLIENTS if "prepared" in options else 2
    text = pgbench(arena, "-n", "-t", str(TRANSACTIONS), "-c", str(MAX_CLIENTS), "-j", str(threads), *options)
    assert "number of failed transactions: 0 (0.000%)" in text, text
    assert not re.search(r"error|abort|FATAL", text, re.IGNORECASE), text
    print(text)
    count = int(re.search(r"number of transactions actually processed: (\d+)", text)[1])
    assert count == MAX_CLIENTS * TRANSACTIONS, text
    return count


@pytest.fixture(scope="module")
def bench(target):
    """The target, with pgbench's tables made through it."""
    pgbench(target, "-i", "-s", "5", "-q")
    target.cluster.wait_replayed()
    yield target


@pytest.mark.parametrize("mode", MODES)
def test_tpcb(bench, arena, mode):
    [(before,)] = arena.sql("SELECT count(*) FROM bench.pgbench_history")
    count = run(arena, "-M", mode)
    [(after,)] = arena.sql("SELECT count(*) FROM bench.pgbench_history")
    assert after - before == count
    sums = arena.sql("SELECT (SELECT sum(abalance) FROM bench.pgbench_accounts), "
                     "(SELECT sum(bbalance) FROM bench.pgbench_branches), "
                     "(SELECT sum(tbalance) FROM bench.pgbench_tellers), "
                     "(SELECT sum(delta) FROM bench.pgbench_history)")[0]
    assert len(set(sums)) == 1, f"pgbench's own invariant is broken: {sums}"


@pytest.mark.parametrize("mode", MODES)
def test_select_only(bench, arena, mode):
    run(arena, "-S", "-M", mode)


@pytest.mark.parametrize("mode", MODES)
def test_answers_are_ones_own(bench, arena, mode, tmp_path):
    script = tmp_path / "identity.sql"
    script.write_text(IDENTITY)
    run(arena, "-f", str(script), "-M", mode)
