"""What the tests take from npm: installed once into `.cache`, exactly as a lock file says; none of its scripts runs."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
from pathlib import Path
from typing import Callable

CACHE = Path(__file__).resolve().parents[2] / ".cache"
_MANIFEST = ("package.json", "package-lock.json")
DRIVERS = Path(__file__).resolve().parents[1] / "drivers/node"  # node-postgres and what belongs to it


def place(project: Path) -> Path:
    """Where `installed` puts it. May be missing."""
    digest = hashlib.sha256(b"".join((project / name).read_bytes() for name in _MANIFEST)).hexdigest()[:16]
    return CACHE / f"node-{digest}"


def installed(project: Path, prepare: Callable[[Path], None] = lambda _: None) -> Path:
    """The directory with the `node_modules` of this project; `prepare` is called once with it, before anybody uses it.
    Safe against parallel callers."""
    finished = place(project)
    CACHE.mkdir(exist_ok=True)
    with open(CACHE / "node.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not finished.exists():
            partial = CACHE / f"partial-{finished.name}"
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            for name in _MANIFEST:
                shutil.copy(project / name, partial)
            done = subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=partial, timeout=300,
                                  stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            assert done.returncode == 0, f"npm ci:\n{done.stdout}"
            prepare(partial)
            partial.rename(finished)
    return finished
