"""Debian's pgpool-II in front of all nodes, sharing the reads out: the other SQL-aware proxy."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from pathlib import Path

from harness import ports
from harness.cluster import BIN, as_server
from harness.waiting import wait_for
from pgbouncer import own_directory

PROGRAM = Path("/usr/sbin/pgpool")

_CONF = """\
backend_clustering_mode = 'streaming_replication'
listen_addresses = '127.0.0.1'
port = {port}
socket_dir = '{directory}'
pcp_port = {pcp_port}
pcp_socket_dir = '{directory}'
pid_file_name = '{directory}/pid'
logdir = '{directory}'
log_destination = 'stderr'
num_init_children = {children}
max_pool = 4
child_life_time = 0
load_balance_mode = on
sr_check_user = 'pgweir_monitor'
sr_check_period = 1
health_check_period = 0
failover_on_backend_error = off
use_watchdog = off
memory_cache_enabled = off
ssl = off
pool_passwd = '{directory}/pool_passwd'
enable_pool_hba = {hba}
"""
_NODE = """\
backend_hostname{number} = '{host}'
backend_port{number} = {port}
backend_weight{number} = 1
backend_data_directory{number} = '{directory}'
backend_flag{number} = 'DISALLOW_TO_FAILOVER'
"""


class Pgpool:
    """A process per client. A context manager that leaves nothing behind. `passwords`: users who must prove themselves by SCRAM
    (pgpool-II keeps those passwords in plain text); everybody else may be anyone."""

    def __init__(self, nodes, *, children: int, passwords: dict[str, str] | None = None):
        self.host, self.port, self._pcp_port = "127.0.0.1", ports.take(), ports.take()
        self.directory = own_directory("pgweir-pp-")
        conf = _CONF.format(port=self.port, pcp_port=self._pcp_port, directory=self.directory, children=children,
                            hba="on" if passwords else "off")
        conf += "".join(_NODE.format(number=number, host=node.host, port=node.port, directory=self.directory)
                        for number, node in enumerate(nodes))
        files = {"pgpool.conf": conf, "pcp.conf": "",
                 "pool_hba.conf": "local all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n",
                 "pool_passwd": "".join(f"{user}:TEXT{password}\n" for user, password in (passwords or {}).items())}
        for name, text in files.items():
            (self.directory / name).write_text(text)
            shutil.chown(self.directory / name, self.directory.stat().st_uid)
        with open(self.directory / "log", "wb") as log:
            self._process = subprocess.Popen(
                as_server([PROGRAM, "-n", "-f", self.directory / "pgpool.conf", "-F", self.directory / "pcp.conf",
                           "-a", self.directory / "pool_hba.conf"]), stdout=log, stderr=log, cwd=self.directory)
        try:
            wait_for(self._answers, "pgpool-II to answer", timeout=30)
        except BaseException:
            self.__exit__()
            raise

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"pgpool-II ended with status {self._process.returncode}:\n" +
                               (self.directory / "log").read_text(errors="replace")[-4000:])
        return subprocess.run([BIN / "pg_isready", "-q", "-h", self.host, "-p", str(self.port)],
                              env=os.environ | {"PGCONNECT_TIMEOUT": "2"}).returncode == 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._process.send_signal(signal.SIGINT)  # its "fast" shutdown
        try:
            self._process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
        ports.release(self.port)
        ports.release(self._pcp_port)
        shutil.rmtree(self.directory, ignore_errors=True)
