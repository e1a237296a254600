"""SCRAM-SHA-256-PLUS: somebody in the middle, whom even verify-full believes, gets nobody in: neither between clients and
pgweir, nor between pgweir and the servers. And SCRAM pass-through with TLS and channel binding on both sides.
"""

import psycopg
import pytest

from harness import roles
from harness.certificates import Authority
from harness.cluster import Cluster
from harness.in_the_middle import Middle
from harness.proxy import Pgweir
from harness.waiting import wait_for

SECRET = "correct horse battery staple"
NAMES = "DNS:localhost,IP:127.0.0.1"
OWN_TLS = "SELECT ssl, current_user::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


class Pki:
    """Certificates for the same names by the same authority: nothing but the channel tells them apart."""

    def __init__(self, authority: Authority):
        self.file = authority.file
        self.node, self.proxy, self.thief = (authority.issue(name, "/CN=localhost", names=NAMES) for name in ("node", "proxy", "thief"))
        self.of_node = authority.for_servers(*self.node)


@pytest.fixture(scope="module")
def pki():
    with Authority() as authority:
        yield Pki(authority)


@pytest.fixture(scope="module")
def secure(pki):
    """Servers with TLS that ask the role `carrier` for SCRAM."""
    settings = f"ssl = on\nssl_cert_file = '{pki.of_node[0]}'\nssl_key_file = '{pki.of_node[1]}'\nlog_connections = on\n"
    with Cluster(standbys=1, settings=settings) as running:
        with roles.group_that_proves_itself(running):
            roles.create_role(running, "carrier", SECRET)
            yield running


@pytest.fixture
def start(secure, pki):
    """start(ports=...): a proxy that has verifiers only, and TLS with all checks on both sides."""
    running = []

    def make(ports=None, nodes_up=True):
        proxy = Pgweir(secure.nodes, start=False, tls={
            "client": {"mode": "require", "cert_file": str(pki.proxy[0]), "key_file": str(pki.proxy[1])},
            "server": {"mode": "verify-full", "ca_file": str(pki.file)}})
        running.append(proxy)
        if ports:
            proxy.config["nodes"] = [{"name": f"pg{n + 1}", "host": "127.0.0.1", "port": port} for n, port in enumerate(ports)]
        hba = "local all postgres trust\nhostssl all all all scram-sha-256\n"
        proxy.write_config(auth={"method": None, "hba_file": proxy.write_file("hba", hba), "users_file": proxy.write_file(
            "users.txt", f'"carrier" "{roles.secret_of(secure, "carrier")}"\n')})
        proxy.login = {"host": str(proxy.directory)}
        proxy.start(nodes_up=nodes_up)
        return proxy
    yield make
    for proxy in running:
        proxy.close()


def as_client(pki, **more):
    return {"host": "localhost", "hostaddr": "127.0.0.1", "user": "carrier", "password": SECRET, "sslmode": "verify-full",
            "sslrootcert": str(pki.file), "channel_binding": "require", **more}


def test_bound_on_both_sides(start, secure, pki):
    """The client insists on it; a reader in the middle with the server's own key sees that pgweir does it, too."""
    middles = [Middle(node.port, *pki.node) for node in secure.nodes]
    proxy = start(ports=[middle.port for middle in middles])
    for place in ("pg1", "pg2"):
        assert proxy.sql(f"/* pgweir: node={place} */ {OWN_TLS}", **as_client(pki)) == [(True, "carrier")]
    for node, middle in zip(secure.nodes, middles):
        assert b"SCRAM-SHA-256-PLUS\0" in middle.said and b"p=tls-server-end-point,," in middle.said
        assert b"p\0\0\0" in middle.said and SECRET.encode() not in middle.said
        wait_for(lambda: 'identity="carrier" method=scram-sha-256' in node.log_path.read_text(), "the login in the server's log")
        assert "connection authorized: user=carrier database=test" in (log := node.log_path.read_text())
        assert all("SSL enabled" in line for line in log.splitlines() if "authorized: user=carrier" in line)
        middle.__exit__()


def test_without_anybody_in_the_middle(start, pki):
    proxy = start()
    for binding in ("require", "prefer", "disable"):
        assert proxy.sql(OWN_TLS, **as_client(pki, channel_binding=binding)) == [(True, "carrier")]


@pytest.mark.parametrize("strips, words", [(False, "SCRAM channel binding check failed"),
                                           (True, "SCRAM channel binding negotiation error")])
@pytest.mark.parametrize("whose", ["thief", "node"])
def test_the_middle_before_a_server(start, secure, pki, whose, strips, words):
    """verify-full believes his certificate. With the server's own key (`node`) only his lie about the offer is found out."""
    with Middle(secure.primary.port, *getattr(pki, whose), strips=strips) as middle:
        proxy = start(ports=[middle.port])
        if whose == "node" and not strips:
            assert proxy.sql(OWN_TLS, **as_client(pki)) == [(True, "carrier")]
            return
        with pytest.raises(psycopg.OperationalError, match=words):
            proxy.connect(**as_client(pki))
        assert words in secure.primary.log_tail()


@pytest.mark.parametrize("binding, strips, words", [
    ("require", False, "FATAL:  SCRAM channel binding check failed"), ("prefer", False, "FATAL:  SCRAM channel binding check failed"),
    ("prefer", True, "FATAL:  SCRAM channel binding negotiation error"),
    ("require", True, "channel binding is required, but server did not offer"),
    ("disable", False, None)])
def test_the_middle_before_pgweir(start, pki, binding, strips, words):
    """Only a client that does not want to bind (`disable`) lets him listen."""
    proxy = start()
    with Middle(proxy.port, *pki.thief, strips=strips) as middle:
        login = as_client(pki, port=middle.port, channel_binding=binding, dbname="test", connect_timeout=20)
        if words is None:
            with psycopg.connect(**login) as session:
                assert session.execute("SELECT 1").fetchone() == (1,)
            assert b"SELECT 1" in middle.said
            return
        with pytest.raises(psycopg.OperationalError, match=words):
            psycopg.connect(**login)
        if "FATAL" in words:
            proxy.wait_log(f"login_failed.*{words[8:]}")
