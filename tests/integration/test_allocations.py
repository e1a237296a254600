"""No allocation per forwarded transaction, once everything is warm: counted by a library preloaded into pgweir."""

import os

import pytest

from harness import fixed_trace
from harness.allocations import Allocations, counted

pytestmark = pytest.mark.skipif(os.environ.get("PGWEIR_SANITIZE", "none") != "none",
                                reason="the sanitizers have a heap of their own")

# A login allocates: what it makes lives on. So `connect` is not among them.
TRACES = [trace for trace in fixed_trace.TRACES if trace != "connect"]
# What the worker does now and then by itself is in it too: on a slow machine, more of it falls into the same transactions.
SLACK = 0.2


@pytest.fixture(scope="module", params=["primary", "standbys"])
def counted_proxy(request, cluster, tmp_path_factory):
    fixed_trace.make_tables(cluster.primary)
    cluster.wait_replayed()
    with counted(tmp_path_factory.mktemp("counted")) as counts:
        proxy = fixed_trace.one_worker(cluster.nodes, request.param)
    with proxy:
        yield Allocations(proxy, counts)


@pytest.mark.parametrize("trace", TRACES)
def test_allocations_per_transaction(counted_proxy, trace):
    allocations = counted_proxy
    found = fixed_trace.per_transaction(allocations.proxy, trace, allocations.of_worker)
    assert found <= SLACK, "`./dev bench allocations` says where they come from"


def test_the_counter_counts(counted_proxy):
    """A login allocates: a counter that never counts would pass the test above."""
    allocations = counted_proxy
    assert allocations.of_worker(lambda: allocations.proxy.sql("SELECT 1")) > 10
