"""Roles that have to prove themselves to the servers, for tests of how pgweir logs in there."""

import contextlib
from typing import Iterator

from .cluster import Cluster

GROUP = "scrammers"
_LINE = f"host all +{GROUP} 127.0.0.1/32 scram-sha-256\n"


def quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@contextlib.contextmanager
def group_that_proves_itself(cluster: Cluster) -> Iterator[str]:
    """Members of this role log in at the servers by scram-sha-256 only; what the test made is gone afterwards."""
    cluster.primary.sql(f"CREATE ROLE {GROUP}")
    files = {node: node.data / "pg_hba.conf" for node in cluster.nodes}
    before = {node: path.read_text() for node, path in files.items()}
    try:
        for node, path in files.items():
            path.write_text(_LINE + before[node])
            node.sql("SELECT pg_reload_conf()")
        cluster.wait_replayed()
        yield GROUP
    finally:
        for node, path in files.items():
            path.write_text(before[node])
            node.sql("SELECT pg_reload_conf()")
        members = cluster.primary.sql("SELECT quote_ident(m.member::regrole::text) FROM pg_auth_members m "
                                      f"WHERE roleid = '{GROUP}'::regrole")
        for name, in members:
            cluster.primary.sql(f"DROP ROLE {name}")
        cluster.primary.sql(f"DROP ROLE {GROUP}")
        cluster.wait_replayed()


def create_role(cluster: Cluster, name: str, password: str, *, group: str = GROUP, options: str = "LOGIN") -> None:
    """On all nodes when this returns."""
    cluster.primary.sql(f"CREATE ROLE {name} {options} PASSWORD {quoted(password)} IN ROLE {group}")
    cluster.wait_replayed()


def secret_of(cluster: Cluster, name: str) -> str:
    """As PostgreSQL keeps it."""
    return cluster.primary.sql("SELECT rolpassword FROM pg_authid WHERE rolname = %s", name)[0][0]
