"""A running pgweir: writes its configuration, starts it, waits until it listens, ends it and checks how it ended.

`close` fails the caller when pgweir crashed, could not be stopped, or a sanitizer found something: no test passes over that.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import hmac
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any, Iterable

import psycopg
import yaml

from . import certificates, ports
from .cluster import Cluster, Node, make_temporary
from .waiting import SCALE, wait_for

REPOSITORY = Path(__file__).resolve().parents[2]

_SANITIZERS = {
    "ASAN_OPTIONS": "halt_on_error=1:detect_leaks=1:abort_on_error=0:exitcode=66:allocator_may_return_null=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:exitcode=66",
    "LSAN_OPTIONS": "print_suppressions=0",
    "TSAN_OPTIONS": "halt_on_error=0:second_deadlock_stack=1:exitcode=66",
}
_REPORT = re.compile(r"(AddressSanitizer|LeakSanitizer|ThreadSanitizer|runtime error:)")


def binary_path() -> Path:
    """The program under test: PGWEIR_BINARY, else the release build."""
    return Path(os.environ.get("PGWEIR_BINARY", REPOSITORY / "build/src/pgweir")).resolve()


def sanitizer_options() -> dict[str, str]:
    options = dict(_SANITIZERS)
    for name in ("tsan", "lsan"):
        suppressions = REPOSITORY / f"tests/harness/{name}_suppressions.txt"
        if suppressions.exists():
            options[f"{name.upper()}_OPTIONS"] += f":suppressions={suppressions}"
    return options


def scram_verifier(password: str, salt: bytes = b"0123456789abcdef", iterations: int = 4096) -> str:
    """As PostgreSQL keeps it in pg_authid (RFC 5803). ASCII passwords only: SASLprep is not applied."""
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, iterations)
    client_key = hmac.digest(salted, b"Client Key", "sha256")
    stored_key = hashlib.sha256(client_key).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${iterations}:{salt64}${stored64}:{server64}"


def merged(base: dict, changes: dict) -> dict:
    """`changes` laid over `base`, section by section; None takes a key away."""
    result = copy.deepcopy(base)
    for key, value in changes.items():
        if value is None:
            result.pop(key, None)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


class Pgweir:
    """One proxy in front of `servers`. Sections given by keyword are laid over the defaults below."""

    def __init__(self, servers: Iterable[Node], *, port: int | None = None, start: bool = True, **sections: Any):
        self.host = "127.0.0.1"
        self.port = port or ports.take()
        self.directory = make_temporary("pgweir-p-")
        self.config_path = self.directory / "pgweir.yaml"
        self.log_path = self.directory / "pgweir.log"
        self.login: dict[str, Any] = {}  # what every `connect` says unless told otherwise; a password, say
        self._process: subprocess.Popen | None = None
        self.config: dict[str, Any] = merged({
            "topology": "streaming",
            "listen": {"host": self.host, "port": self.port, "unix_socket_dir": str(self.directory)},
            "workers": int(os.environ.get("PGWEIR_WORKERS", "2")),
            "nodes": [{"name": n.name, "host": n.host, "port": n.port, "weight": 1} for n in servers],
            "auth": {"method": "trust", "failure_delay": "0s"},
            "pool": {"mode": os.environ.get("PGWEIR_TEST_POOL_MODE", "transaction"), "size": 50, "max_clients": 1000, "queue_timeout": "10s"},
            "routing": {"reads": "standbys", "consistency": "session"},
            "monitor": {"user": "pgweir_monitor", "database": "postgres", "interval": "100ms", "timeout": f"{SCALE:g}s",
                        "lag_interval": "10ms"},
            "log": {"level": "debug", "connections": True},
            "shutdown": {"timeout": "10s"},
            **({"tls": certificates.proxy_settings()} if certificates.everywhere() else {}),
        }, sections)
        self.write_config()
        if start:
            try:
                self.start()
            except BaseException:
                self._end()
                raise

    def __enter__(self) -> Pgweir:
        return self

    def __exit__(self, exception_type, *_) -> None:
        if exception_type is None:
            self.close()
        else:
            self._end()

    def write_config(self, **sections: Any) -> None:
        self.config = merged(self.config, sections)
        self.config_path.write_text(yaml.safe_dump(self.config, sort_keys=False))

    def write_file(self, name: str, text: str) -> str:
        """A file beside the configuration that only we may read; returns its path."""
        path = self.directory / name
        path.write_text(text)
        path.chmod(0o600)
        return str(path)

    def check(self) -> subprocess.CompletedProcess:
        """`pgweir --check` on the present configuration."""
        return subprocess.run([binary_path(), "--check", "-c", self.config_path], stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, env=os.environ | sanitizer_options(), timeout=60)

    def launch(self) -> None:
        """Starts the program without waiting for anything."""
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                ["/usr/bin/setpriv", "--pdeathsig", "KILL", "--", str(binary_path()), "-c", str(self.config_path)],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory, start_new_session=True,
                env=os.environ | sanitizer_options())

    def start(self, *, nodes_up: bool = True) -> None:
        """Returns when the proxy listens and, unless told otherwise, the monitor has found every node up."""
        self.launch()
        wait_for(lambda: self._alive() and self.log_has(rf"\blistening\b.*\bhost={self.host}\b"),
                 "pgweir to listen", timeout=20)
        if nodes_up:
            self.wait_nodes({n["name"]: "up" for n in self.config["nodes"]})

    def _alive(self) -> bool:
        if self._process is None or self._process.poll() is not None:
            status = None if self._process is None else self._process.returncode
            raise RuntimeError(f"pgweir ended with status {status}:\n{self.log()[-6000:]}")
        return True

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def memory_peak(self) -> int:
        """The most memory that was ever resident, in bytes; 0 with a sanitizer, whose own it would be."""
        if os.environ.get("PGWEIR_SANITIZE", "none") != "none":
            return 0
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024

    # --- the log -------------------------------------------------------------------------------------------------

    def log(self) -> str:
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""

    def log_has(self, pattern: str) -> bool:
        return re.search(pattern, self.log()) is not None

    def wait_log(self, pattern: str, timeout: float = 10.0) -> None:
        wait_for(lambda: self.log_has(pattern), f"/{pattern}/ in the log", timeout)

    # --- clients -------------------------------------------------------------------------------------------------

    def connect(self, *, dbname: str = "test", autocommit: bool = True, **more) -> psycopg.Connection:
        return psycopg.connect(port=self.port, dbname=dbname, autocommit=autocommit,
                               **{"host": self.host, "user": "postgres", "connect_timeout": 20, **self.login, **more})

    def sql(self, statement: str, *parameters, **connection) -> list[tuple]:
        """One statement in a session of its own."""
        with self.connect(**connection) as session:
            cursor = session.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def pool_nodes(self) -> list[dict[str, str]]:
        """SHOW pool_nodes, one dictionary per node, with `name` added from the configuration."""
        with self.connect() as session:
            cursor = session.execute("SHOW pool_nodes")
            names = [column.name for column in cursor.description]
            rows = [dict(zip(names, row)) for row in cursor.fetchall()]
        for row, node in zip(rows, self.config["nodes"]):
            row["name"] = node["name"]
        return rows

    def statuses(self) -> dict[str, str]:
        return {row["name"]: row["status"] for row in self.pool_nodes()}

    def wait_nodes(self, expected: dict[str, str], timeout: float = 20.0) -> None:
        """Until SHOW pool_nodes gives these nodes these states."""
        def reached() -> bool:
            self._alive()
            try:
                return expected.items() <= self.statuses().items()
            except psycopg.OperationalError:  # a login may need a node that is not up yet
                return False
        wait_for(reached, f"node states {expected}", timeout, interval=0.05)

    def route(self, statement: str, **connection) -> str:
        """What EXPLAIN ROUTE answers, all of it in one text."""
        return "\n".join(" ".join(map(str, row)) for row in self.sql(f"EXPLAIN ROUTE {statement}", **connection))

    def wait_standby_read(self, statement: str = "SELECT count(*) FROM pg_class", **connection) -> None:
        """Until such a read may leave the primary: the catalog is loaded and knows the names in it."""
        wait_for(lambda: "standby" in self.route(statement, **connection).split("\n")[0],
                 f"a standby for {statement}", timeout=30)

    def reads(self) -> dict[str, int]:
        """Reads routed to each node so far."""
        return {row["name"]: int(row["select_cnt"]) for row in self.pool_nodes()}

    # --- signals and the end -------------------------------------------------------------------------------------

    def signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def reload(self) -> None:
        self.signal(signal.SIGHUP)

    def kill(self) -> None:
        """As the kernel does it when memory is short: at once, with no last word. `start` may follow."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()
        self.log_path.rename(self.directory / "pgweir.log.before")  # so that waits look at the next one's

    def wait_exit(self, timeout: float = 15.0) -> int:
        assert self._process is not None
        return self._process.wait(timeout * SCALE)

    def _end(self) -> None:
        if self.running:
            self._process.kill()
        if self._process is not None:
            self._process.wait()
        ports.release(self.port)
        if not os.environ.get("PGWEIR_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def close(self) -> None:
        """Ends the proxy as SIGINT does and raises when anything about its life was wrong."""
        try:
            if self.running:
                self.signal(signal.SIGINT)
                try:
                    self.wait_exit()
                except subprocess.TimeoutExpired:
                    self._process.send_signal(signal.SIGABRT)
                    raise AssertionError(f"pgweir did not end after SIGINT:\n{self.log()[-4000:]}") from None
            log = self.log()
            if found := _REPORT.search(log):
                raise AssertionError("sanitizer report:\n" + log[max(0, found.start() - 200):found.start() + 8000])
            status = self._process.returncode if self._process else 0
            assert status == 0, f"pgweir ended with status {status}:\n{log[-6000:]}"
        finally:
            self._end()


def in_front_of(cluster: Cluster, **sections: Any) -> Pgweir:
    return Pgweir(cluster.nodes, **sections)
