"""A real PostgreSQL primary with streaming standbys, on loopback, in a temporary directory.

The happy path: `initdb` runs once per machine and leaves a template; a cluster is copies of it, so that it stands in
about a second. Primary and standbys start from the same checkpoint; each standby streams from there.

PostgreSQL refuses to run as root, so as root everything runs as `postgres`. Durability is off: these nodes never hold
anything that matters. Every server dies with the process that started it (PR_SET_PDEATHSIG), however that ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

import psycopg

from . import ports, release
from .network import SUBNET, Network
from .release import CACHE
from .waiting import wait_for

BIN = release.CLIENT_BIN  # where tests find psql, pgbench and the like; never the servers
PASSWORD = "s3cret, with 'quotes' and ü"

# First match wins, so the roles that must prove themselves come first.
_HBA = """\
host all test_password 127.0.0.1/32 password
host all test_md5 127.0.0.1/32 md5
host all test_scram 127.0.0.1/32 scram-sha-256
host all test_reject 127.0.0.1/32 reject
local all all trust
host all all 127.0.0.1/32 trust
host replication all 127.0.0.1/32 trust
"""

_CONF = """\
listen_addresses = '127.0.0.1'
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 200
superuser_reserved_connections = 3
max_prepared_transactions = 20
max_locks_per_transaction = 128
wal_level = replica
max_wal_senders = 10
wal_keep_size = 512MB
max_wal_size = 4GB
hot_standby = on
hot_standby_feedback = on
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
max_standby_streaming_delay = 5s
max_parallel_workers_per_gather = 0
jit = off
password_encryption = scram-sha-256
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
"""

_SETUP = f"""
CREATE ROLE app LOGIN;
CREATE ROLE hostile LOGIN;
-- What this role sends stands in the log of the node that received it: the oracle of the routing tests.
CREATE ROLE traced LOGIN SUPERUSER;
ALTER ROLE traced SET log_statement = 'all';
CREATE ROLE pgweir_monitor LOGIN IN ROLE pg_monitor;
CREATE ROLE test_reject LOGIN;
CREATE ROLE test_password LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
CREATE ROLE test_scram LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
SET password_encryption = 'md5';
CREATE ROLE test_md5 LOGIN PASSWORD '{PASSWORD.replace("'", "''")}';
"""


def server_user() -> str | None:
    """The user that PostgreSQL runs as, or None for ourselves."""
    return "postgres" if os.geteuid() == 0 else None


def as_server(command: list) -> list[str]:
    """The command, run as the server user and bound to our life."""
    prefix = ["/usr/bin/setpriv", "--pdeathsig", "QUIT"]
    if user := server_user():
        entry = pwd.getpwnam(user)
        prefix += ["--reuid", str(entry.pw_uid), "--regid", str(entry.pw_gid), "--clear-groups"]
    return prefix + ["--"] + [str(word) for word in command]


def _environment() -> dict[str, str]:
    """Ours without what would steer libpq or a server."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PG", "ASAN_", "UBSAN_", "TSAN_", "LC_"))}
    return kept | {"LANG": "C.UTF-8", "LC_ALL": "C.UTF-8"}


def _run(command: list, cwd: Path) -> None:
    done = subprocess.run(as_server(command), cwd=cwd, env=_environment(), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} ended with {done.returncode}:\n{done.stdout}")


def _give_away(path: Path) -> None:
    """Makes the server user the owner of everything at and below `path`."""
    if user := server_user():
        subprocess.run(["chown", "-R", f"{user}:", str(path)], check=True)


def make_temporary(prefix: str = "pgweir-") -> Path:
    """A directory with a short name (socket paths are limited to 107 bytes) that the server user may enter."""
    path = Path(tempfile.mkdtemp(prefix=prefix, dir="/tmp"))
    path.chmod(0o755)
    return path


def _template() -> Path:
    """The data directory that all nodes are copies of; made when it is missing. Safe against parallel callers."""
    server = release.server_bin() / "postgres"
    try:
        version = subprocess.run(as_server([server, "--version"]), stdout=subprocess.PIPE, check=True).stdout
    except subprocess.CalledProcessError as problem:
        raise RuntimeError(f"{server} cannot be run by the user {server_user()!r}: every directory above it must be open to "
                           "that user") from problem
    digest = hashlib.sha256(version + (_HBA + _CONF + _SETUP).encode()).hexdigest()[:16]
    finished = CACHE / f"template-{digest}"
    if finished.exists():
        return finished
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "template.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if finished.exists():
            return finished
        work = make_temporary("pgweir-template-")
        try:
            data = work / "data"
            data.mkdir()
            _give_away(work)
            _run([release.server_bin() / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8",
                  "--no-sync", "--no-instructions"], work)
            (data / "pg_hba.conf").write_text(_HBA)
            with open(data / "postgresql.conf", "a") as conf:
                conf.write(_CONF)
            with Node("template", work, data=data) as node:
                with node.connect() as connection:
                    connection.execute(_SETUP)
                    connection.execute("CREATE DATABASE test OWNER app")
            (data / "log").unlink(missing_ok=True)
            partial = CACHE / f"partial-{digest}"
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(data, partial, symlinks=True)
            partial.rename(finished)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    return finished


class Node:
    """One PostgreSQL server. Stopped when made; `start` and the rest may be called in any sensible order."""

    def __init__(self, name: str, directory: Path, *, data: Path | None = None):
        self.name = name
        self.host = "127.0.0.1"
        self.port = ports.take()
        self.directory = directory
        self.data = data or directory / name
        self.log_path = directory / f"{name}.log"
        self.within: list[str] = []  # goes before the command: where the server lives, if not with us
        self._process: subprocess.Popen | None = None
        self._stopped_pids: list[int] = []

    def __enter__(self) -> Node:
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.stop("fast")
        ports.release(self.port)

    @property
    def pid(self) -> int:
        assert self._process is not None, f"{self.name} is not running"
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def configure(self, settings: str) -> None:
        with open(self.data / "postgresql.auto.conf", "a") as conf:
            conf.write(settings)

    def write_file(self, name: str, text: str) -> None:
        """A file in the data directory, below a folder if the name has one; the server's own."""
        path = self.data / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(text.encode())
        _give_away(path.parent if path.parent != self.data else path)

    def launch(self) -> None:
        """Starts the server without waiting until it answers."""
        assert not self.running, f"{self.name} runs already"
        (self.data / "postmaster.pid").unlink(missing_ok=True)
        with open(self.log_path, "ab") as log:
            self._process = subprocess.Popen(
                self.within + as_server([release.server_bin() / "postgres", "-D", self.data, "-p", self.port,
                                         "-k", self.directory, "-c", f"cluster_name={self.name}"]),
                cwd=self.directory, env=_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True)

    def start(self) -> None:
        self.launch()
        self.wait_ready()

    def wait_ready(self) -> None:
        def answers() -> bool:
            if not self.running:
                raise RuntimeError(f"{self.name} did not start:\n{self.log_tail()}")
            try:
                with self.connect():
                    return True
            except psycopg.OperationalError:
                return False
        wait_for(answers, f"{self.name} to answer", timeout=30)

    def stop(self, mode: str = "fast") -> None:
        """mode: smart, fast or immediate, as pg_ctl has them. A stopped or dead server is fine."""
        if self._process is None:
            return
        self.resume()
        if self.running:
            number = {"smart": signal.SIGTERM, "fast": signal.SIGINT, "immediate": signal.SIGQUIT}[mode]
            self._process.send_signal(number)
            try:
                self._process.wait(timeout=30)
            except subprocess.TimeoutExpired:
                self.kill()
        self._process.wait()
        self._process = None

    def restart(self, mode: str = "fast") -> None:
        self.stop(mode)
        self.start()

    def _family(self) -> list[int]:
        """The postmaster and all its children."""
        children = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    fields = (entry / "stat").read_text().rpartition(")")[2].split()
                    if int(fields[1]) == self.pid:
                        children.append(int(entry.name))
        return [self.pid, *children]

    def kill(self) -> None:
        """As if the machine had lost its power: SIGKILL to all processes of the node."""
        if self.running:
            os.kill(self.pid, signal.SIGSTOP)  # so that no child is born while we count
            for pid in self._family():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        assert self._process is not None
        self._process.wait()
        self._process = None
        self._stopped_pids = []

    def pause(self) -> None:
        """As if the machine hung: connections are accepted by the kernel, nobody answers."""
        os.kill(self.pid, signal.SIGSTOP)
        self._stopped_pids = self._family()
        for pid in self._stopped_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        for pid in self._stopped_pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self._stopped_pids = []

    def connect(self, *, dbname: str = "postgres", user: str = "postgres", autocommit: bool = True,
                **more) -> psycopg.Connection:
        return psycopg.connect(host=self.host, port=self.port, dbname=dbname, user=user, autocommit=autocommit,
                               connect_timeout=5, **more)

    def sql(self, statement: str, *parameters, dbname: str = "test") -> list[tuple]:
        """Runs one statement directly on this node, as superuser, and returns its rows."""
        with self.connect(dbname=dbname) as connection:
            cursor = connection.execute(statement, parameters or None)
            return cursor.fetchall() if cursor.description else []

    def received(self, marker: str) -> int:
        """How many statements with this text the role `traced` sent here. Written before the server answers."""
        return self.log_path.read_text(errors="replace").count(marker)

    def log_tail(self, size: int = 4000) -> str:
        return self.log_path.read_text(errors="replace")[-size:] if self.log_path.exists() else ""


class Cluster:
    """A primary pg1 and standbys pg2, pg3, ...; a context manager that leaves nothing behind.

    With a network, each node is a host of its own there, and can be cut off (`Cluster.hosts`, by the node's name).
    """

    def __init__(self, standbys: int = 2, settings: str = "", network: Network | None = None):
        from . import certificates  # which needs names of this module
        if certificates.everywhere():
            settings = certificates.server_settings() + settings
        self.directory = make_temporary()
        self.nodes: list[Node] = []
        try:
            template = _template()
            self.nodes = [Node(f"pg{number + 1}", self.directory) for number in range(standbys + 1)]
            self.hosts = {node.name: network.add() for node in self.nodes} if network else {}
            for node in self.nodes:
                shutil.copytree(template, node.data, symlinks=True)
                node.data.chmod(0o700)
                node.configure(settings)
                if network:
                    self._settle_in(node)
            for node in self.standbys:
                self.follow(node, self.primary)
            _give_away(self.directory)
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
            self.wait_streaming()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Cluster:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def primary(self) -> Node:
        return self.nodes[0]

    @property
    def standbys(self) -> list[Node]:
        return self.nodes[1:]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def _settle_in(self, node: Node) -> None:
        host = self.hosts[node.name]
        node.host, node.within = host.address, host.within
        node.configure("listen_addresses = '*'\n")
        with open(node.data / "pg_hba.conf", "a") as hba:
            hba.write(f"host all all {SUBNET} trust\nhost replication all {SUBNET} trust\n")

    @staticmethod
    def follow(standby: Node, upstream: Node) -> None:
        """Makes a stopped node a standby of `upstream` from its next start on."""
        (standby.data / "standby.signal").touch()
        standby.configure(f"primary_conninfo = 'host={upstream.host} port={upstream.port} user=postgres "
                          f"application_name={standby.name}'\n")

    def received(self, marker: str) -> dict[str, int]:
        """By node name, without the nodes that received nothing: see `Node.received`."""
        counts = {node.name: node.received(marker) for node in self.nodes}
        return {name: count for name, count in counts.items() if count}

    def wait_streaming(self) -> None:
        """Until every running standby streams from the primary."""
        names = sorted(node.name for node in self.standbys if node.running)

        def streaming() -> bool:
            rows = self.primary.sql("SELECT application_name FROM pg_stat_replication WHERE state = 'streaming'")
            return sorted(name for name, in rows) == names
        wait_for(streaming, f"{names} to stream", timeout=30)

    def wait_replayed(self) -> None:
        """Until every running standby has replayed what the primary has written by now."""
        # Not the insert position: records of no commit may wait for the disk as long as the primary is idle.
        position = self.primary.sql("SELECT pg_current_wal_flush_lsn()::text")[0][0]
        for node in self.standbys:
            if node.running:
                wait_for(lambda: node.sql("SELECT pg_last_wal_replay_lsn() >= %s::pg_lsn", position)[0][0],
                         f"{node.name} to replay {position}")

    def heal(self) -> None:
        """Back to the state after the start: every node runs, replays and streams."""
        for node in self.nodes:
            node.resume()
            if not node.running:
                node.stop()
                node.start()
        for node in self.standbys:
            if node.sql("SELECT pg_is_wal_replay_paused()")[0][0]:
                node.sql("SELECT pg_wal_replay_resume()")
        self.wait_streaming()

    def close(self) -> None:
        for node in reversed(self.nodes):
            with contextlib.suppress(ProcessLookupError):
                node.stop("immediate")
            ports.release(node.port)
        shutil.rmtree(self.directory, ignore_errors=True)
