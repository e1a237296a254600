"""Debian's PgBouncer in front of one node: what pgweir is measured beside."""

from __future__ import annotations

import shutil
import subprocess

from harness import ports
from harness.cluster import BIN, as_server, make_temporary
from harness.waiting import wait_for


class PgBouncer:
    """One process, one thread. A context manager that leaves nothing behind."""

    def __init__(self, node, *, mode: str, pool_size: int, most_clients: int = 1000):
        self.host, self.port = "127.0.0.1", ports.take()
        self._directory = make_temporary("pgweir-b-")
        config = self._directory / "pgbouncer.ini"
        # With auth_type any, PgBouncer logs in as the user given here.
        config.write_text(f"[databases]\n* = host={node.host} port={node.port} user=postgres\n[pgbouncer]\n"
                          f"listen_addr = {self.host}\nlisten_port = {self.port}\nunix_socket_dir =\nauth_type = any\n"
                          f"pool_mode = {mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = {most_clients}\n"
                          "log_connections = 0\nlog_disconnections = 0\n")
        self._process = subprocess.Popen(as_server(["/usr/sbin/pgbouncer", "-q", config]),
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(self._answers, "PgBouncer to answer")
        except BaseException:
            self.__exit__()
            raise

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"PgBouncer ended with status {self._process.returncode}")
        return subprocess.run([BIN / "pg_isready", "-q", "-h", self.host, "-p", str(self.port)]).returncode == 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        ports.release(self.port)
        shutil.rmtree(self._directory, ignore_errors=True)
