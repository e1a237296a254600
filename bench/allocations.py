"""`./dev bench allocations`: how often pgweir's worker allocates per forwarded transaction, and where.

The counts are those of tests/integration/test_allocations.py. Function names are as good as the build: inlined callers need
debug information (a build directory configured with -Dcpp_args=-g1).
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from harness import fixed_trace
from harness.allocations import Allocations, counted
from harness.cluster import Cluster

TRACED = 1000  # transactions whose call stacks are kept


def measure(nodes: list, reads: str, trace: str, most_sites: int) -> None:
    """One proxy for each: the counter keeps stacks for good."""
    with tempfile.TemporaryDirectory(prefix="pgweir-a-") as directory:
        with counted(Path(directory)) as counts:
            proxy = fixed_trace.one_worker(nodes, reads)
        with proxy:
            allocations = Allocations(proxy, counts)
            found = fixed_trace.per_transaction(proxy, trace, allocations.of_worker)
            print(f"\n{trace}, reads: {reads}: {found:.2f} allocations per transaction. The {TRACED} transactions of one client, "
                  "by place:", flush=True)
            sites = allocations.sites_of_worker(lambda: fixed_trace.run(proxy, trace, TRACED))
            for site, times in sites.most_common(most_sites):
                print(f"  {times:6}  {site}", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev bench allocations", description=__doc__)
    parser.add_argument("--reads", choices=["primary", "standbys"], nargs="+", default=["primary", "standbys"])
    parser.add_argument("--trace", choices=list(fixed_trace.TRACES), nargs="+", default=list(fixed_trace.TRACES))
    parser.add_argument("--sites", type=int, default=8, help="places shown of each (default 8)")
    parser.add_argument("--build", type=Path, required=True, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    os.environ["PGWEIR_BINARY"] = str((arguments.build / "src/pgweir").resolve())
    with Cluster(standbys=2) as cluster:
        fixed_trace.make_tables(cluster.primary)
        cluster.wait_replayed()
        for reads in arguments.reads:
            for trace in arguments.trace:
                measure(cluster.nodes, reads, trace, arguments.sites)
    return 0


if __name__ == "__main__":
    sys.exit(main())
