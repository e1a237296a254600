"""Debian's PgBouncer in front of one node: what pgweir is measured beside."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from harness import ports
from harness.cluster import BIN, as_server, make_temporary, server_user
from harness.waiting import wait_for


def own_directory(prefix: str) -> Path:
    """A temporary directory of the user that servers run as: they make sockets in it."""
    directory = make_temporary(prefix)
    if user := server_user():
        shutil.chown(directory, user)
    return directory


class PgBouncer:
    """One process, one thread. A context manager that leaves nothing behind. `verifiers`: users who must prove themselves by
    SCRAM, with what the servers have in pg_authid; everybody else may be anyone. Database `test_session` pools by session. `tls`: certificate
    and key, which the user of the servers owns; clients may use TLS then."""

    def __init__(self, node, *, mode: str, pool_size: int, most_clients: int = 1000, verifiers: dict[str, str] | None = None,
                 tls: tuple[Path, Path] | None = None):
        self.host, self.port = "127.0.0.1", ports.take()
        self.directory = own_directory("pgweir-b-")
        config = self.directory / "pgbouncer.ini"
        self._log = self.directory / "log"
        place = f"host={node.host} port={node.port}"
        # With auth_type any, PgBouncer logs in as the user given here.
        login, auth = " user=postgres", "auth_type = any\n"
        if verifiers:
            users, rules = self.directory / "users", self.directory / "hba"
            users.write_text("".join(f'"{name}" "{secret}"\n' for name, secret in verifiers.items()))
            rules.write_text("local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n")
            login, auth = "", f"auth_type = hba\nauth_file = {users}\nauth_hba_file = {rules}\n"
        secured = f"client_tls_sslmode = allow\nclient_tls_cert_file = {tls[0]}\nclient_tls_key_file = {tls[1]}\n" if tls else ""
        config.write_text(f"[databases]\ntest_session = dbname=test pool_mode=session {place}{login}\n* = {place}{login}\n"
                          f"[pgbouncer]\nlisten_addr = {self.host}\nlisten_port = {self.port}\nunix_socket_dir = {self.directory}\n"
                          f"{auth}pool_mode = {mode}\ndefault_pool_size = {pool_size}\nmax_client_conn = {most_clients}\n"
                          f"{secured}logfile = {self._log}\nlog_connections = 0\nlog_disconnections = 0\n")
        self._process = subprocess.Popen(as_server(["/usr/sbin/pgbouncer", "-q", config]),
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(self._answers, "PgBouncer to answer")
        except TimeoutError as problem:
            problem.add_note(self._words())
            self.__exit__()
            raise
        except BaseException:
            self.__exit__()
            raise

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"PgBouncer ended with status {self._process.returncode}: {self._words()}")
        command = [BIN / "pg_isready", "-q", "-h", self.host, "-p", str(self.port), "-d", "test"]
        return subprocess.run(command, env=os.environ | {"PGSSLMODE": "disable"}).returncode == 0

    def _words(self) -> str:
        return self._log.read_text() if self._log.exists() else "it said nothing"

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.terminate()
        self._process.wait()
        ports.release(self.port)
        shutil.rmtree(self.directory, ignore_errors=True)
