"""Fixtures: one cluster per worker process, a proxy per module or per test.

A test that stops or breaks a node takes `breakable_cluster`, which is whole again afterwards.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from harness.fixtures import cluster, time_limit  # noqa: E402, F401
from harness.proxy import Pgweir  # noqa: E402


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
