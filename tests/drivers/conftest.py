"""Fixtures: every test runs twice, directly against PostgreSQL and through pgweir.

What fails only through pgweir is pgweir's fault.
"""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
for _name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGWEIR_")]:
    del os.environ[_name]  # libpq's variables would steer the drivers

from arena import CLIENTS, Arena, furnish  # noqa: E402
from harness.cluster import Cluster  # noqa: E402
from harness.proxy import Pgweir  # noqa: E402

# The one place that says how the drivers are pooled.
POOL_MODE = "transaction"


def pool(servers: int, clients: int) -> dict:
    """`servers` connections per node for all clients; where a client keeps its own, as many as there are clients."""
    return {"mode": POOL_MODE, "size": clients + 5 if POOL_MODE == "session" else servers, "queue_timeout": "60s"}


@pytest.fixture(scope="session")
def cluster():
    # pgbench brings 200 clients, each driver may prepare a transaction, and a vacuum may cancel reads on a standby.
    settings = "max_connections = 300\nmax_prepared_transactions = 40\nautovacuum = off\n"
    with Cluster(standbys=2, settings=settings) as running:
        furnish(running)
        yield running


@pytest.fixture(scope="module", params=["direct", "pgweir"])
def target(request, cluster):
    """The server or the proxy. A file may want other numbers: SERVERS, MAX_CLIENTS."""
    if request.param == "direct":
        yield Arena("direct", cluster.primary.host, cluster.primary.port, cluster, None)
        return
    chosen = pool(getattr(request.module, "SERVERS", 3), getattr(request.module, "MAX_CLIENTS", CLIENTS))
    with Pgweir(cluster.nodes, pool=chosen) as proxy:
        proxy.wait_standby_read("SELECT number FROM c0.me")
        yield Arena("pgweir", proxy.host, proxy.port, cluster, chosen["size"])


@pytest.fixture
def arena(target):
    target.reset()
    yield target
    target.check_after()
