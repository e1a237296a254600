"""HBA files mean to pgweir what they mean to PostgreSQL.

Random files are given to a real server as its pg_hba.conf and to pgweir as its auth.hba_file, and the same connections are
tried with both. Compared are: is the file taken; what does the client hear first (which method, or why not); and is it let in.
A file that is refused leaves the rules of the one before in force, in both.
"""

import ipaddress
import os
import pwd
import random
import signal
import socket
import struct
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg import sql

from hba_files import (INCLUDED, MD5_ROLES, PASSWORD, ROLES, SOURCES, WITHOUT_PASSWORD, WORD_FILES, Attempt, Maker, attempts,
                       ident_map)
from harness import release, wire
from harness.cluster import Cluster
from harness.waiting import wait_for
from harness.wire import ScramClient, Wire, md5_response

SEED = 20261128
FILES, MALFORMED, CONNECTIONS = 150, 250, 50
FIRST_FILE = "local all all trust\nhost all all all trust\n"
SYSTEM_USER = pwd.getpwuid(os.getuid()).pw_name


def make_roles(connection: psycopg.Connection) -> None:
    """With passwords, except for one."""
    for name, options, _ in ROLES:
        connection.execute(f"SET password_encryption = '{'md5' if name in MD5_ROLES else 'scram-sha-256'}'")
        password = sql.SQL("") if name in WITHOUT_PASSWORD else sql.SQL("PASSWORD {}").format(PASSWORD)
        connection.execute(sql.SQL("CREATE ROLE {} {} {}").format(sql.Identifier(name), sql.SQL(options), password))
    for name, _, members in ROLES:
        for member in members:
            connection.execute(sql.SQL("GRANT {} TO {}").format(sql.Identifier(name), sql.Identifier(member)))
    if SYSTEM_USER != "postgres":
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN").format(sql.Identifier(SYSTEM_USER)))


def drop_roles(connection: psycopg.Connection) -> None:
    for name in [name for name, _, _ in ROLES] + ([SYSTEM_USER] if SYSTEM_USER != "postgres" else []):
        connection.execute(sql.SQL("DROP ROLE IF EXISTS {}").format(sql.Identifier(name)))


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as one:
            one.bind(("::1", 0))
            return True
    except OSError:
        return False


class Postgres:
    """A server of its own, whose pg_hba.conf changes."""

    def __init__(self, settings: str):
        self._cluster = Cluster(standbys=0, settings=settings)
        self._node = self._cluster.primary
        self.port, self.socket_directory = self._node.port, str(self._node.directory)
        # Reloads leave connections alone: this one is there whatever the file says.
        self.connection = self._node.connect()
        make_roles(self.connection)
        for name, text in (WORD_FILES | INCLUDED | {"pg_ident.conf": ident_map(SYSTEM_USER)}).items():
            self._node.write_file(name, text)

    def close(self) -> None:
        self.connection.close()
        self._cluster.close()

    def take(self, text: str) -> bool:
        """Whether the file is good. Those who connect afterwards meet its rules, or the ones before."""
        self._node.write_file("pg_hba.conf", text)
        seen = self._node.log_path.stat().st_size
        os.kill(self._node.pid, signal.SIGHUP)

        def log() -> str:
            with open(self._node.log_path, errors="replace") as file:
                file.seek(seen)
                return file.read()
        wait_for(lambda: "received SIGHUP" in log(), "PostgreSQL to reload", interval=0.002)
        # The postmaster does one thing after the other: whoever gets an answer meets the new rules.
        with Wire(self.port) as client:
            client.send(wire.SSL_REQUEST)
            client.read_byte()
        return "was not reloaded" not in log()

    def view(self, text: str) -> list[tuple]:
        """What pg_hba_file_rules says of such a file, which is not in force yet: address, words, and errors."""
        self._node.write_file("pg_hba.conf", text)
        return self.connection.execute("SELECT address, database, user_name, error FROM pg_hba_file_rules").fetchall()


class Proxy:
    """pgweir with the same users, and the file in its place."""

    def __init__(self, proxy, users: str):
        self._proxy = proxy
        self.port, self.socket_directory = proxy.port, str(proxy.directory)
        proxy.write_file("pg_ident.conf", ident_map(SYSTEM_USER))
        for name, text in (WORD_FILES | INCLUDED).items():
            (proxy.directory / name).parent.mkdir(exist_ok=True)
            proxy.write_file(name, text)
        proxy.write_file("pg_hba.conf", FIRST_FILE)
        proxy.write_config(auth={"hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf", "allow_cleartext": True,
                                 "users_file": proxy.write_file("userlist.txt", users)},
                           log={"level": "info", "connections": False})
        proxy.start()
        self._read = 0

    def take(self, text: str) -> bool:
        (self._proxy.directory / "pg_hba.conf").write_bytes(text.encode())
        self._read = self._proxy.log_path.stat().st_size
        self._proxy.reload()

        def verdict() -> str:
            with open(self._proxy.log_path, errors="replace") as log:
                log.seek(self._read)
                new = log.read()
            return next((word for word in ("reload_done", "reload_refused") if word in new), "")
        taken = wait_for(verdict, "pgweir to reload", interval=0.002) == "reload_done"
        # A worker answers when a pass of its loop is over, and with it what was posted before.
        with Wire(self.port) as client:
            client.send(wire.SSL_REQUEST)
            client.read_byte()
        return taken


def ask(server: Postgres | Proxy, attempt: Attempt) -> tuple:
    """What the client hears first, and how it ends."""
    host = server.socket_directory if attempt.source == "local" else "::1" if ":" in attempt.source else "127.0.0.1"
    source = attempt.source if host == "127.0.0.1" else None
    with Wire(server.port, host, source=source) as client:
        client.send(wire.startup(attempt.parameters))
        first, scram = None, ScramClient(attempt.password)
        while True:
            got = client.read()
            if got.kind == "E":
                return first, got.sqlstate, got.fields["M"]
            assert got.kind == "R", got
            code, = struct.unpack_from("!I", got.body)
            first = code if first is None else first
            if code == 0:
                return first, "in"
            if code == 3:
                client.send(wire.message(b"p", wire.cstring(attempt.password)))
            elif code == 5:
                client.send(wire.message(b"p", wire.cstring(md5_response(attempt.user, attempt.password, got.body[4:]))))
            elif code == 10:
                client.send(scram.initial())
            elif code == 11:
                client.send(scram.response(got.body[4:]))
            elif code == 12:
                scram.check(got.body[4:])


@pytest.fixture(scope="module")
def postgres():
    addresses = "127.0.0.1,::1" if has_ipv6() else "127.0.0.1"
    running = Postgres(f"listen_addresses = '{addresses}'\nlog_min_messages = log\n")
    yield running
    running.close()


@pytest.fixture
def proxy(make_proxy, cluster, postgres):
    with cluster.primary.connect() as connection:
        drop_roles(connection)
        make_roles(connection)  # memberships are asked of the node
    secrets = postgres.connection.execute(
        "SELECT rolname, rolpassword FROM pg_authid WHERE rolpassword IS NOT NULL AND rolname NOT LIKE 'test%'").fetchall()
    users = "".join(f'"{name}" "{secret}"\n' for name, secret in secrets)
    host = "127.0.0.1, ::1" if has_ipv6() else "127.0.0.1"
    started = make_proxy(start=False, workers=1, listen={"host": host})
    yield Proxy(started, users)
    with cluster.primary.connect() as connection:
        drop_roles(connection)


def is_host_name(address: str | None) -> bool:
    if address is None or address in ("all", "samehost", "samenet"):
        return False
    try:
        ipaddress.ip_address(address)
        return False
    except ValueError:
        return True


def is_known_difference(view: list[tuple], expressions: bool) -> bool:
    """Host names, which pgweir refuses; a slash at the front, which is new in PostgreSQL 16."""
    for address, databases, users, _ in view:
        if is_host_name(address):
            return True
        if not expressions and any(word.lstrip("+").startswith("/") for word in (databases or []) + (users or [])):
            return True
    return False


def compare(postgres: Postgres, proxy: Proxy, text: str, tries: list[Attempt], pool: ThreadPoolExecutor) -> tuple[list, Counter]:
    """What differs, and how often each end came."""
    taken = postgres.take(text), proxy.take(text)
    if taken[0] != taken[1]:
        return [f"taken by PostgreSQL: {taken[0]}, by pgweir: {taken[1]}\n{postgres.view(text)}"], Counter()
    expected = list(pool.map(lambda one: ask(postgres, one), tries))
    found = list(pool.map(lambda one: ask(proxy, one), tries))
    differences = [f"{one}\n  PostgreSQL: {a}\n  pgweir:     {b}" for one, a, b in zip(tries, expected, found) if a != b]
    return differences, Counter([("file", taken[0])] + [(end[0], end[1]) for end in expected])


@pytest.mark.plain
@pytest.mark.parametrize("kind", ["well-formed", "malformed"])
def test_verdicts_are_those_of_postgresql(postgres, proxy, kind):
    print(f"seed {SEED}")
    choose = random.Random(f"{SEED} {kind}")
    expressions = release.major() >= 16
    maker = Maker(choose, expressions=expressions)
    sources = [one for one in SOURCES if has_ipv6() or ":" not in one]
    ends: Counter = Counter()
    known_differences = 0
    assert postgres.take(FIRST_FILE) and proxy.take(FIRST_FILE)
    with ThreadPoolExecutor(8) as pool:
        for number in range(FILES if kind == "well-formed" else MALFORMED):
            text = maker.file() if kind == "well-formed" else maker.malformed()
            count = CONNECTIONS if kind == "well-formed" else 10
            tries = attempts(choose, count, sources, SYSTEM_USER)
            if is_known_difference(postgres.view(text), expressions):
                known_differences += 1
                continue
            differences, counts = compare(postgres, proxy, text, tries, pool)
            assert not differences, f"file {number} of seed {SEED}:\n{text}\n" + "\n".join(differences[:5])
            ends += counts
    print(f"{sum(ends.values())} verdicts, {known_differences} files with known differences")
    for end, count in sorted(ends.items(), key=str):
        print(f"  {count:6} {end}")
    # The files are of a kind that lets everything happen.
    if kind == "well-formed":
        assert ends["file", True] >= 100 and known_differences == 0
        for end in [(0, "in"), (None, "28000"), (10, "in"), (10, "28P01"), (3, "in"), (3, "28P01"), (5, "in"), (5, "28P01")]:
            assert ends[end] >= 5, (end, ends)
    else:
        assert ends["file", False] >= 100 and ends["file", True] >= 20 and known_differences <= 10, ends
