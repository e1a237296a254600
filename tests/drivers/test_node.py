"""node-postgres with pg-cursor and pg-query-stream; the programs are in node/."""

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest

from arena import CLIENTS, run_program
from harness.cluster import CACHE

SOURCES = Path(__file__).parent / "node"


@pytest.fixture(scope="session")
def modules() -> Path:
    """node_modules as the lock file says, installed once into .cache/. Safe against parallel callers."""
    manifest = ["package.json", "package-lock.json"]
    digest = hashlib.sha256(b"".join((SOURCES / name).read_bytes() for name in manifest)).hexdigest()[:16]
    finished = CACHE / f"node-{digest}"
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "node.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            partial = CACHE / f"partial-node-{digest}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name in manifest:
                shutil.copy(SOURCES / name, partial)
            install = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
            done = subprocess.run(install, cwd=partial, timeout=300, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, f"npm ci:\n{done.stdout}"
            partial.rename(finished)
    return finished / "node_modules"


@pytest.mark.parametrize("scenario", ["identity", "prepared", "queued", "transactions", "transfers", "cursors",
                                      "streams", "pool", "notifications"])
def test_node(arena, modules, scenario):
    run_program(["node", SOURCES / "scenarios.js"], arena, scenario, NODE_PATH=str(modules))
    if scenario == "transfers":
        arena.check_bank(CLIENTS * 15)
