"""Fixtures: one cluster per worker process, a proxy per module or per test.

A test that stops or breaks a node takes `breakable_cluster`, which is whole again afterwards.
"""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
for _name in [name for name in os.environ if name.startswith("PG") and not name.startswith("PGWEIR_")]:
    del os.environ[_name]  # libpq's variables would steer the clients of the tests

from harness.cluster import Cluster  # noqa: E402
from harness.proxy import Pgweir  # noqa: E402
from harness.waiting import SCALE  # noqa: E402

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
    with Cluster(standbys=2) as running:
        yield running


@pytest.fixture
def breakable_cluster(cluster):
    yield cluster
    cluster.heal()


@pytest.fixture(scope="module")
def proxy(cluster):
    """A proxy with the defaults of the harness, shared by the tests of a file."""
    with Pgweir(cluster.nodes) as running:
        running.wait_standby_read()
        yield running


@pytest.fixture
def make_proxy(cluster):
    """make_proxy(routing={...}, ...): proxies of this test alone; sections are laid over the defaults."""
    running: list[Pgweir] = []

    def make(**sections) -> Pgweir:
        start = sections.pop("start", True)
        proxy = Pgweir(sections.pop("in_front_of", cluster.nodes), start=False, **sections)
        running.append(proxy)
        if start:
            proxy.start()
        return proxy

    yield make
    problems = []
    for proxy in running:
        try:
            proxy.close()
        except AssertionError as problem:
            problems.append(problem)
    if problems:
        raise problems[0]
