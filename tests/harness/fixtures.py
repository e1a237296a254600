"""pytest fixtures that every suite shares; a `conftest.py` imports those it wants.

Importing this also takes libpq's variables out of the environment: they would steer the clients of the tests.
"""

import os
import signal

import pytest

from .cluster import Cluster
from .waiting import SCALE

for _name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGWEIR_")]:
    del os.environ[_name]

TIME_LIMIT = 60.0  # seconds for one test; `slow` ones have ten times as much


@pytest.fixture(autouse=True)
def time_limit(request):
    """A test that hangs fails, and the others run on."""
    limit = TIME_LIMIT * SCALE * (10 if request.node.get_closest_marker("slow") else 1)

    def over(*_):
        raise TimeoutError(f"the test took longer than {limit:.0f} s")
    before = signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, limit)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture(scope="session")
def cluster():
    """One cluster per worker process."""
    with Cluster(standbys=2) as running:
        yield running
