"""`pgweirctl switchover` under a few writers, and back: writes wait, nobody is disconnected, nothing acknowledged is lost."""

import shutil
import subprocess
import threading

from psycopg import sql

from harness.cluster import Cluster, as_server
from harness.proxy import Pgweir, binary_path
from harness.release import server_bin
from harness.waiting import SCALE, wait_for


class Writer(threading.Thread):
    """Writes one number after the other in a session of its own: in the ways there are, in turn."""

    def __init__(self, proxy, who: int):
        super().__init__(daemon=True)
        self._who, self._session = who, proxy.connect()
        self._stopped = threading.Event()
        self.acknowledged: list[int] = []
        self.problem: BaseException | None = None
        self.start()

    def run(self):
        try:
            while not self._stopped.is_set():
                self._write(len(self.acknowledged))
                self.acknowledged.append(len(self.acknowledged))
        except BaseException as problem:
            self.problem = problem

    def _write(self, number: int) -> None:
        text, row = "INSERT INTO written VALUES (%s, %s)", [self._who, number]
        if number % 3 == 0:
            self._session.execute(text, row, prepare=True)
        elif number % 3 == 1:
            with self._session.transaction():
                self._session.execute(text, row)
                self._session.execute("SELECT count(*) FROM written WHERE who = %s", [self._who])
        else:
            self._session.execute(sql.SQL(text.replace("%s", "{}")).format(*row))

    def wait_more(self, count: int = 20) -> None:
        goal = len(self.acknowledged) + count
        wait_for(lambda: self.problem or len(self.acknowledged) >= goal, "a writer to go on")

    def stop(self) -> list[int]:
        self._stopped.set()
        self.join(40 * SCALE)
        assert not self.is_alive(), "a writer hangs"
        if self.problem is not None:
            raise self.problem
        assert not self._session.closed
        self._session.close()
        return self.acknowledged


def switch_over(proxy, name: str) -> str:
    done = subprocess.run([binary_path().parent / "ctl/pgweirctl", "-h", proxy.host, "-p", str(proxy.port), "-U", "boss",
                           "switchover", name], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
    return done.stdout


def rebuild(cluster, name: str, upstream: str) -> None:
    """A new base backup, as a rejoin command would make it."""
    node, source = cluster.node(name), cluster.node(upstream)
    node.stop("immediate")
    shutil.rmtree(node.data)
    subprocess.run(as_server([server_bin() / "pg_basebackup", "-h", source.host, "-p", source.port, "-U", "postgres",
                              "-D", node.data, "-c", "fast"]), check=True, cwd=cluster.directory, stdin=subprocess.DEVNULL)
    cluster.follow(node, source)
    node.start()


def primary_of(proxy) -> str:
    with proxy.connect(user="boss", dbname="pgweir") as console:
        return console.execute("SHOW FAILOVER").fetchone()[3]


def rows(node, who: int) -> list[int]:
    return [number for number, in node.sql("SELECT number FROM written WHERE who = %s ORDER BY number", who)]


def test_there_and_back():
    with Cluster(standbys=2) as cluster:
        sections = {"failover": {"mode": "promote", "state_file": "failover.state", "hold_timeout": f"{20 * SCALE:g}s"},
                    "monitor": {"user": "postgres"}, "admin": {"users": "boss"}}
        with Pgweir(cluster.nodes, **sections) as proxy:
            proxy.sql("CREATE TABLE written (who int, number int, PRIMARY KEY (who, number))")
            idle = proxy.connect()
            idle.execute("SET application_name = 'kept'")
            writers = [Writer(proxy, who) for who in range(6)]
            for one in writers:
                one.wait_more()
            switch_over(proxy, "pg2")
            assert primary_of(proxy) == "pg2"
            for one in writers:
                one.wait_more()
            proxy.wait_nodes({"pg1": "quarantine", "pg2": "up", "pg3": "up"})
            rebuild(cluster, "pg1", "pg2")
            proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"}, timeout=40)
            switch_over(proxy, "pg1")
            assert primary_of(proxy) == "pg1"
            for one in writers:
                one.wait_more()
            acknowledged = [one.stop() for one in writers]
            assert [rows(cluster.node("pg1"), who) for who in range(len(writers))] == acknowledged
            assert idle.execute("SHOW application_name").fetchone() == ("kept",)
            idle.close()
