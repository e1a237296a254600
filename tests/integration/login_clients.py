"""Clients that try to log in: libpq (in this process, or another version of it in another one), psycopg, psql, node-postgres.

Each gives an `Outcome` per attempt. As a program: `login_clients.py < attempts.json > outcomes.json`, by libpq.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import pq
from psycopg.conninfo import make_conninfo

THREADS = 8
WHO = b"SELECT current_user::text"


@dataclass(frozen=True)
class Outcome:
    """`refusal`: all that the client was told, or None when it is in. `sqlstate`: where the driver tells it."""
    refusal: str | None
    encrypted: bool = False
    user: str | None = None
    sqlstate: str | None = None


def by_libpq(words: dict[str, str]) -> Outcome:
    connection = pq.PGconn.connect(make_conninfo(**words).encode())
    try:
        if connection.status != pq.ConnStatus.OK:
            return Outcome(connection.error_message.decode(errors="replace"))
        encrypted = bool(connection.ssl_in_use)
        result = connection.exec_(WHO)
        if result.status != pq.ExecStatus.TUPLES_OK:
            return Outcome("after the login: " + result.error_message.decode(errors="replace"))
        return Outcome(None, encrypted, result.get_value(0, 0).decode())
    finally:
        connection.finish()


def by_psycopg(words: dict[str, str]) -> Outcome:
    try:
        with psycopg.connect(**words) as session:
            [(user,)] = session.execute(WHO).fetchall()
            return Outcome(None, bool(session.pgconn.ssl_in_use), user)
    except psycopg.OperationalError as error:
        return Outcome(str(error), sqlstate=error.sqlstate)


def by_psql(words: dict[str, str]) -> Outcome:
    words = dict(words)
    environment = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8", "PGPASSWORD": words.pop("password", "")}
    done = subprocess.run(["psql", "-XwAtq", make_conninfo(**words), "-c", "\\conninfo", "-c", WHO.decode()], env=environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=60)
    if done.returncode != 0:
        return Outcome(done.stderr)
    return Outcome(None, "SSL connection" in done.stdout, done.stdout.splitlines()[-1])


def each(function, attempts: list[dict[str, str]]) -> list[Outcome]:
    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(function, attempts))


def by_other_libpq(attempts: list[dict[str, str]], libraries: Path) -> list[Outcome]:
    """By the libpq in this directory."""
    done = subprocess.run(["/usr/bin/python3", __file__], input=json.dumps(attempts), stdout=subprocess.PIPE, text=True, check=True,
                          env=os.environ | {"LD_LIBRARY_PATH": str(libraries)}, timeout=120)
    answer = json.loads(done.stdout)
    assert answer["version"] >= 170000, answer["version"]
    return [Outcome(*one) for one in answer["outcomes"]]


def by_node(attempts: list[dict], modules: Path) -> list[Outcome]:
    """`attempts`: configurations as login_attempts.js takes them."""
    done = subprocess.run(["node", Path(__file__).with_name("login_attempts.js")], input=json.dumps(attempts),
                          stdout=subprocess.PIPE, text=True, check=True, timeout=120,
                          env={"PATH": os.environ["PATH"], "NODE_PATH": str(modules)})
    return [Outcome(refusal, encrypted, user, sqlstate)
            for refusal, sqlstate, encrypted, user in json.loads(done.stdout)]


def main() -> None:
    outcomes = each(by_libpq, json.load(sys.stdin))
    json.dump({"version": pq.version(), "outcomes": [[o.refusal, o.encrypted, o.user] for o in outcomes]}, sys.stdout)


if __name__ == "__main__":
    main()
