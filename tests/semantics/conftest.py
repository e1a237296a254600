"""Fixtures of the semantics suite: one cluster per worker process with the world of the scripts, and pgweir before it.

The pool mode is chosen here and nowhere else.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parent))
for _name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGWEIR_")]:
    del os.environ[_name]  # libpq's variables would steer the clients of the tests

from harness.cluster import Cluster  # noqa: E402
from harness.proxy import Pgweir  # noqa: E402
from harness.waiting import SCALE  # noqa: E402

import scripts  # noqa: E402, F401  enters the semantics
import world  # noqa: E402
from player import CarelessPool, Stage, WirePeer  # noqa: E402

POOL_MODE = os.environ.get("PGWEIR_SEMANTICS_MODE", "transaction")
CLIENTS = 50
SERVER_CONNECTIONS = 5


def pool_size(wanted: int, clients: int) -> int:
    """In session mode every client keeps a server connection; a few more are for those that are being cleaned."""
    return wanted if POOL_MODE == "transaction" else clients + 5


@pytest.fixture(autouse=True)
def time_limit():
    """A test that hangs fails, and the others run on."""
    limit = 120.0 * SCALE

    def over(*_):
        raise TimeoutError(f"the test took longer than {limit:.0f} s")
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def cluster():
    with Cluster(standbys=2) as running:
        world.make(running)
        yield running


@pytest.fixture(scope="module")
def make_stage(cluster):
    """make_stage(server connections, clients): where scripts are played through pgweir. One proxy for each size."""
    running: dict[int, Pgweir] = {}

    def make(wanted: int, clients: int) -> Stage:
        size = pool_size(wanted, clients)
        if size not in running:
            proxy = Pgweir(cluster.nodes, pool={"mode": POOL_MODE, "size": size, "queue_timeout": "5s"})
            running[size] = proxy
            proxy.wait_standby_read()
        port = running[size].port
        return Stage(direct=lambda: direct(cluster), size=size, heals=POOL_MODE == "transaction",
                     pooled=lambda: WirePeer(port, world.POOLED, world.USER, "@pool"))

    yield make
    for proxy in running.values():
        proxy.close()


@pytest.fixture
def careless_stage(cluster):
    """careless_stage(server connections): the same with a pooler that carries nothing."""
    pools: list[CarelessPool] = []

    def make(size: int) -> Stage:
        pools.append(CarelessPool(size, 1, lambda: WirePeer(cluster.primary.port, world.POOLED, world.USER, "@pool",
                                                            patience=0.5)))
        return Stage(direct=lambda: direct(cluster), pooled=pools[-1].client, size=size, queues=False,
                     respects_bonds=False)

    yield make
    for pool in pools:
        pool.close()


def direct(cluster) -> WirePeer:
    return WirePeer(cluster.primary.port, world.DIRECT, world.USER, "@here")
