"""An origin and replicas that receive some of its tables by logical replication, on loopback, in a temporary directory.

The nodes are servers of their own, pg1 the origin; what they replicate is the caller's to say.
"""

from __future__ import annotations

import contextlib
import shutil

from . import certificates, ports
from .cluster import Node, _give_away, _template, make_temporary
from .waiting import wait_for

_CONF = """\
wal_level = logical
max_replication_slots = 10
max_worker_processes = 20
max_logical_replication_workers = 10
max_sync_workers_per_subscription = 4
"""


class LogicalCluster:
    """pg1, pg2, ...; a context manager that leaves nothing behind."""

    def __init__(self, nodes: int = 3, schema: str = ""):
        self.directory = make_temporary()
        self.nodes: list[Node] = []
        try:
            template = _template()
            self.nodes = [Node(f"pg{number + 1}", self.directory) for number in range(nodes)]
            for node in self.nodes:
                shutil.copytree(template, node.data, symlinks=True)
                node.data.chmod(0o700)
                node.configure(_CONF + (certificates.server_settings() if certificates.everywhere() else ""))
            _give_away(self.directory)
            for node in self.nodes:
                node.launch()
            for node in self.nodes:
                node.wait_ready()
                node.sql(schema) if schema else None
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> LogicalCluster:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @property
    def origin(self) -> Node:
        return self.nodes[0]

    def node(self, name: str) -> Node:
        return next(node for node in self.nodes if node.name == name)

    def subscribe(self, replica: Node, publications: str, name: str | None = None) -> None:
        """Returns when everything has been copied."""
        origin = self.origin
        replica.sql(f"CREATE SUBSCRIPTION {name or replica.name} CONNECTION 'host={origin.host} port={origin.port} "
                    f"user=postgres dbname=test' PUBLICATION {publications}")
        self.wait_copied(replica)

    @staticmethod
    def wait_copied(replica: Node) -> None:
        wait_for(lambda: replica.sql("SELECT bool_and(srsubstate = 'r') FROM pg_subscription_rel") == [(True,)],
                 f"{replica.name} to have copied its tables", timeout=30)

    def received(self, marker: str) -> dict[str, int]:
        """By node name, without the nodes that received nothing: see `Node.received`."""
        counts = {node.name: node.received(marker) for node in self.nodes}
        return {name: count for name, count in counts.items() if count}

    def heal(self) -> None:
        for node in self.nodes:
            node.resume()
            if not node.running:
                node.stop()
                node.start()

    def close(self) -> None:
        for node in reversed(self.nodes):
            with contextlib.suppress(ProcessLookupError):
                node.stop("immediate")
            ports.release(node.port)
        shutil.rmtree(self.directory, ignore_errors=True)
