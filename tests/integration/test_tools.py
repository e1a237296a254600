"""The tools that come with PostgreSQL, through the proxy: pgbench, pg_dump, psql."""

import os
import pty
import re
import select
import subprocess
import time

import pytest

from harness import release
from harness.cluster import BIN
from harness.waiting import SCALE, wait_for

SECONDS = os.environ.get("PGWEIR_PGBENCH_SECONDS", "3")
CLIENTS = 8

# Debian's pg_dump refuses a server that is newer than itself.
needs_pg_dump = pytest.mark.skipif(release.major() > 15, reason=f"pg_dump 15 does not dump PostgreSQL {release.major()}")


def tool(proxy, *command, check: bool = True, **more) -> subprocess.CompletedProcess:
    """Runs a client program against `proxy` (or a node) in database test."""
    name, *options = command
    done = subprocess.run([BIN / name, "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", *options],
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=300 * SCALE, **more)
    if check:
        assert done.returncode == 0, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def bench(proxy, cluster):
    """The proxy, with pgbench's tables made through it."""
    tool(proxy, "pgbench", "-i", "-s", "5", "-q", "test")
    cluster.wait_replayed()
    proxy.wait_standby_read("SELECT abalance FROM pgbench_accounts WHERE aid = 1")
    return proxy


def run_pgbench(proxy, *options: str) -> str:
    done = tool(proxy, "pgbench", "-n", "-T", SECONDS, "-c", str(CLIENTS), "-j", "2", *options, "test")
    text = done.stdout + done.stderr
    assert "number of failed transactions: 0 (0.000%)" in text, text
    assert not re.search(r"error|abort|FATAL", text, re.IGNORECASE), text
    count = int(re.search(r"number of transactions actually processed: (\d+)", text)[1])
    assert count > 0
    print(text)
    return text


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_reads_are_spread(bench, mode):
    before = bench.reads()
    run_pgbench(bench, "-S", "-M", mode)
    after = bench.reads()
    reads = {name: after[name] - before[name] for name in after}
    assert reads["pg1"] == 0, f"the primary's weight for reads is 0: {reads}"
    total = reads["pg2"] + reads["pg3"]
    # Each client stays on the standby that it began with, as long as it does not pause.
    assert total > 100 and min(reads["pg2"], reads["pg3"]) > total / 10, reads


@pytest.mark.parametrize("mode", ["simple", "extended", "prepared"])
def test_pgbench_mixed(bench, cluster, mode):
    run_pgbench(bench, "-M", mode)
    sums = cluster.primary.sql("SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(bbalance) FROM pgbench_branches), "
                               "(SELECT sum(tbalance) FROM pgbench_tellers), (SELECT sum(delta) FROM pgbench_history)")[0]
    assert len(set(sums)) == 1, f"pgbench's own invariant is broken: {sums}"


@pytest.mark.parametrize("options", [["-S"], ["-S", "-M", "prepared"], []], ids=["reads", "prepared", "mixed"])
def test_pgbench_with_a_connection_per_transaction(bench, options):
    run_pgbench(bench, "-C", *options)


def test_pgbench_with_many_clients(bench):
    done = tool(bench, "pgbench", "-n", "-t", "20", "-c", "40", "-j", "2", "-S", "test")
    assert "number of transactions actually processed: 800/800" in done.stdout


@pytest.fixture(scope="module")
def objects(cluster):
    cluster.primary.sql("""
        DROP SCHEMA IF EXISTS tools CASCADE; CREATE SCHEMA tools;
        CREATE TYPE tools.mood AS ENUM ('good', 'bad');
        CREATE TABLE tools.people (id serial PRIMARY KEY, name text NOT NULL, mood tools.mood, photo bytea, born date);
        INSERT INTO tools.people (name, mood, photo, born) SELECT E'na\\tme\\\\' || n, 'good', decode(md5(n::text), 'hex'), '2000-01-01'
          FROM generate_series(1, 5000) n;
        CREATE VIEW tools.good AS SELECT * FROM tools.people WHERE mood = 'good';
        CREATE FUNCTION tools.twice(int) RETURNS int LANGUAGE sql AS 'SELECT $1 * 2';
        CREATE INDEX ON tools.people (name);
        SELECT lo_from_bytea(0, 'a large object');
    """)
    cluster.wait_replayed()


def dump(server, *options: str) -> list[str]:
    text = tool(server, "pg_dump", *options, "test").stdout
    # Newer minor releases put a random word there, against injection through psql's backslash commands.
    return [line for line in text.splitlines() if not line.startswith(("\\restrict", "\\unrestrict"))]


@needs_pg_dump
@pytest.mark.parametrize("options", [["-n", "tools"], [], ["--inserts", "-n", "tools"]], ids=["schema", "all", "inserts"])
def test_pg_dump_is_the_same(proxy, cluster, objects, options):
    direct, through = dump(cluster.primary, *options), dump(proxy, *options)
    assert len(direct) > 100
    assert through == direct


@needs_pg_dump
def test_a_dump_can_be_restored_through_the_proxy(proxy, cluster, objects, tmp_path):
    script = tmp_path / "dump.sql"
    script.write_text("\n".join(dump(cluster.primary, "-n", "tools")))
    cluster.primary.sql("DROP DATABASE IF EXISTS restored")
    cluster.primary.sql("CREATE DATABASE restored")
    try:
        tool(proxy, "psql", "-Xq", "-v", "ON_ERROR_STOP=1", "-d", "restored", "-f", str(script))
        assert cluster.primary.sql("SELECT count(*) FROM tools.people", dbname="restored") == [(5000,)]
    finally:
        proxy_free = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'restored'"
        cluster.primary.sql(proxy_free)
        wait_for(lambda: dropped(cluster, "restored"), "the database to be dropped")


def dropped(cluster, name: str) -> bool:
    try:
        cluster.primary.sql(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
        return True
    except Exception as error:
        if "being accessed" in str(error):
            return False
        raise


def psql(server, *commands: str) -> str:
    options = [word for command in commands for word in ("-c", command)]
    return tool(server, "psql", "-XAt", "-d", "test", *options).stdout


@pytest.mark.parametrize("command", ["\\d", "\\d tools.people", "\\dt+ tools.*", "\\df tools.*", "\\dn", "\\du", "\\l", "\\dT tools.*",
                                     "\\dv tools.*", "\\sf tools.twice", "\\conninfo", "\\encoding"])
def test_psql_describes(proxy, cluster, objects, command):
    def outcome(server) -> tuple[int, str]:
        done = tool(server, "psql", "-XAt", "-d", "test", "-c", command, check=False)
        return done.returncode, (done.stdout + done.stderr).replace(str(server.port), "PORT")
    through, direct = outcome(proxy), outcome(cluster.primary)
    # Debian's psql does not know the catalog of a newer server; what fails then has to fail in the same way.
    assert direct[0] == 0 or release.major() > 15
    assert through == direct


def test_psql_copy(proxy, objects, tmp_path):
    out = tmp_path / "people.csv"
    psql(proxy, f"\\copy tools.people TO '{out}' CSV")
    assert len(out.read_text().splitlines()) == 5000
    assert psql(proxy, "CREATE TABLE IF NOT EXISTS tools.again (LIKE tools.people)", "TRUNCATE tools.again",
                f"\\copy tools.again FROM '{out}' CSV", "SELECT count(*) FROM tools.again").split() == ["CREATE", "TABLE", "TRUNCATE",
                                                                                                     "TABLE", "COPY", "5000", "5000"]


def test_psql_fetches_in_pieces(proxy, objects):
    shown = psql(proxy, "\\set FETCH_COUNT 100", "SELECT id FROM tools.people ORDER BY id")
    assert shown.split() == [str(n) for n in range(1, 5001)]


class Terminal:
    """psql at a terminal."""

    def __init__(self, proxy):
        master, slave = pty.openpty()
        self._master = master
        self._process = subprocess.Popen(
            [BIN / "psql", "-X", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "-d", "test", "-P", "pager=off"],
            stdin=slave, stdout=slave, stderr=slave, start_new_session=True, env=os.environ | {"TERM": "dumb"},
            preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(slave)
        self.text = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def type(self, text: str) -> None:
        os.write(self._master, text.encode())

    def expect(self, pattern: str, times: int = 1, timeout: float = 20.0) -> None:
        """Until the pattern has come so many times since the last `expect`."""
        deadline = time.monotonic() + timeout * SCALE
        while len(found := list(re.finditer(pattern, self.text))) < times:
            ready, _, _ = select.select([self._master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"{pattern!r} did not come; psql said:\n{self.text}"
            self.text += os.read(self._master, 65536).decode(errors="replace")
        self.text = self.text[found[times - 1].end():]


def test_psql_watch(proxy):
    with Terminal(proxy) as terminal:
        terminal.expect("=# ")
        terminal.type("SELECT 6 * 7 AS answer \\watch 0.1\n")
        terminal.expect(r"\b42\b", times=4)
        terminal.type("\x03")
        terminal.expect("=# ")
        terminal.type("SELECT 'still ' || 'here';\n")
        terminal.expect("still here")


@pytest.mark.parametrize("place", ["primary", "standby"])
def test_psql_control_c(proxy, cluster, place):
    with Terminal(proxy) as terminal:
        terminal.expect("=# ")
        terminal.type(f"/* pgweir: {place} */ SELECT pg_sleep(600) AS control_c_{place};\n")
        wait_for(lambda: any(node.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE %s",
                                      f"%control_c_{place}%") for node in cluster.nodes), "the query to run")
        terminal.type("\x03")
        terminal.expect("canceling statement due to user request")
        terminal.type("SELECT 41 + 1 AS answer;\n")
        terminal.expect(r"\b42\b")
