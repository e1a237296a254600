"""TLS between pgweir and real servers: how it is asked for, whom it believes, and that everything of pgweir's uses it."""

import contextlib
import socket
import threading

import psycopg
import pytest

from harness.certificates import Authority
from harness.cluster import Cluster
from harness.proxy import Pgweir
from harness.waiting import wait_for

OWN_TLS = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"


@pytest.fixture(scope="module")
def pki():
    with Authority() as authority:
        yield authority


@pytest.fixture(scope="module")
def secure(pki):
    """A cluster with TLS; `hostssl` for the role `app`, which has to show a certificate if it says so."""
    certificate, key = pki.for_servers(*pki.issue("node", "/CN=node.example", names="DNS:node.example,IP:127.0.0.1"))
    ca, = pki.for_servers(pki.file)
    settings = f"ssl = on\nssl_cert_file = '{certificate}'\nssl_key_file = '{key}'\nssl_ca_file = '{ca}'\n"
    with Cluster(standbys=1, settings=settings) as running:
        yield running


@contextlib.contextmanager
def rules(cluster, lines):
    """These lines come first in every node's pg_hba.conf."""
    before = {}
    try:
        for node in cluster.nodes:
            path = node.data / "pg_hba.conf"
            before[path] = path.read_text()
            path.write_text(lines + before[path])
            node.sql("SELECT pg_reload_conf()")
            wait_for(lambda: node.sql("SELECT count(*) FROM pg_hba_file_rules WHERE type = 'hostssl'")[0][0] > 0, "the rules")
        yield
    finally:
        for node in cluster.nodes:
            path = node.data / "pg_hba.conf"
            path.write_text(before[path])
            node.sql("SELECT pg_reload_conf()")


def server(mode, **more):
    return {"server": {"mode": mode, **{key: str(value) for key, value in more.items()}}}


@pytest.fixture
def start(secure):
    """start(tls=...): a proxy before the cluster with TLS."""
    running = []

    def make(nodes_up=True, **sections):
        proxy = Pgweir(secure.nodes, start=False, **sections)
        running.append(proxy)
        proxy.start(nodes_up=nodes_up)
        return proxy
    yield make
    for proxy in running:
        proxy.close()


def monitors(cluster):
    return {row[0] for row in cluster.primary.sql(
        "SELECT s.ssl FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE a.application_name = 'pgweir_monitor'")}


@pytest.mark.parametrize("mode, encrypted", [("disable", False), ("allow", False), ("prefer", True), ("require", True)])
def test_modes(start, secure, mode, encrypted):
    proxy = start(tls=server(mode))
    assert proxy.sql(OWN_TLS) == [(encrypted,)]
    assert monitors(secure) == {encrypted}


@pytest.mark.parametrize("mode", ["verify-ca", "verify-full"])
def test_a_server_that_is_believed(start, secure, pki, mode):
    proxy = start(tls=server(mode, ca_file=pki.file))
    proxy.wait_standby_read()
    assert proxy.sql(OWN_TLS) == [(True,)]
    assert monitors(secure) == {True}
    cancelled = proxy.connect()
    timer = threading.Timer(0.5, cancelled.cancel)
    timer.start()
    with pytest.raises(psycopg.errors.QueryCanceled):
        cancelled.execute("SELECT pg_sleep(30)")
    timer.join()
    cancelled.close()


def test_a_name_of_its_own(start, secure, pki):
    proxy = start(tls=server("verify-full", ca_file=pki.file),
                  nodes=[{"name": n.name, "host": n.host, "port": n.port, "tls": {"server_name": "node.example"}} for n in secure.nodes])
    assert proxy.sql(OWN_TLS) == [(True,)]


def test_servers_that_are_not_believed(secure, pki):
    """The monitor says it: the node is down, with the reason."""
    with Authority("a stranger") as stranger:
        revoked = pki.revoke(pki.directory / "node.crt")
        for name, tls, words in (
                ("", server("verify-ca", ca_file=stranger.file), "certificate verify failed"),
                ("other.example", server("verify-full", ca_file=pki.file), "does not match host name"),
                ("", server("verify-ca", ca_file=pki.file, crl_file=revoked), "certificate verify failed")):
            nodes = [{"name": n.name, "host": n.host, "port": n.port, "tls": {"server_name": name}} for n in secure.nodes]
            with Pgweir(secure.nodes, start=False, nodes=nodes, tls=tls, failover={"hold_timeout": "0s"}) as proxy:
                proxy.start(nodes_up=False)
                proxy.wait_log(rf"node_state.*new_state=down.*{words}")
                with pytest.raises(psycopg.OperationalError):
                    proxy.connect()


def test_pools_check_for_themselves(secure, pki):
    """A server that shows another certificate to pools than to the monitor (the third connection and later go elsewhere)."""
    with Authority("a stranger") as stranger:
        certificate, key = pki.for_servers(*pki.issue("elsewhere", "/CN=wrong.example"))
        foreign = stranger.for_servers(*stranger.issue("foreign", "/CN=node.example", names="IP:127.0.0.1"))
        for files, words in (((certificate, key), "does not match host name"), (foreign, "certificate verify failed")):
            node = secure.primary
            with Pgweir([node], start=False, topology="single", tls=server("verify-full", ca_file=pki.file)) as proxy:
                proxy.start()
                good = node.sql("SHOW ssl_cert_file")[0][0], node.sql("SHOW ssl_key_file")[0][0]
                try:
                    for name, value in zip(("ssl_cert_file", "ssl_key_file"), files):
                        node.sql(f"ALTER SYSTEM SET {name} = '{value}'")
                    node.sql("SELECT pg_reload_conf()")
                    wait_for(lambda: node.sql("SHOW ssl_cert_file")[0][0] == str(files[0]), "the other certificate")
                    with pytest.raises(psycopg.OperationalError, match=words):
                        proxy.connect(user="hostile")
                finally:
                    for name, value in zip(("ssl_cert_file", "ssl_key_file"), good):
                        node.sql(f"ALTER SYSTEM SET {name} = '{value}'")
                    node.sql("SELECT pg_reload_conf()")
                    wait_for(lambda: node.sql("SHOW ssl_cert_file")[0][0] == good[0], "the right certificate again")


def test_a_server_that_takes_only_tls(start, secure):
    with rules(secure, "hostssl all app all trust\nhostnossl all app all reject\n"):
        assert start(tls=server("allow")).sql(OWN_TLS, user="app") == [(True,)]
        with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects connection"):
            start(tls=server("disable")).connect(user="app")


def test_the_certificate_of_pgweir(start, secure, pki):
    with rules(secure, "hostssl all app all cert\n"):
        certificate, key = pki.issue("app", "/CN=app")
        proxy = start(tls=server("verify-full", ca_file=pki.file, cert_file=certificate, key_file=key))
        assert proxy.sql("SELECT client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()", user="app") == [("/CN=app",)]
        with pytest.raises(psycopg.OperationalError, match="valid client certificate"):
            start(tls=server("require")).connect(user="app")


class Answer:
    """A server that answers every SSLRequest with these bytes and then passes everything on to `port`, or nothing."""

    def __init__(self, answer: bytes, port: int | None):
        self._answer, self._to = answer, port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._talk, args=(client,), daemon=True).start()

    def _talk(self, client):
        with client, contextlib.suppress(OSError):
            asked = client.recv(8, socket.MSG_WAITALL)
            assert asked[4:] == b"\x04\xd2\x16/"
            client.sendall(self._answer)
            while more := client.recv(65536):
                self.received += more


@pytest.mark.parametrize("answer, words", [
    (b"N", "server does not support SSL, but SSL was required"),
    (b"X", "received invalid response to SSL negotiation"),
])
def test_answers_that_are_no_tls(answer, words):
    liar = Answer(answer, None)
    node = type("Node", (), {"name": "pg1", "host": "127.0.0.1", "port": liar.port})
    try:
        with Pgweir([node], start=False, tls=server("require")) as proxy:
            proxy.start(nodes_up=False)
            proxy.wait_log(rf"node_state.*new_state=down.*{words}")
            assert liar.received == b""  # not a word in plain text
    finally:
        liar.close()


def test_connections_move_between_workers(start, secure):
    proxy = start(tls=server("require"), workers=4, pool={"size": 1})
    found, errors = set(), []

    def client():
        try:
            with proxy.connect() as session:
                for number in range(150):
                    size = 20000 if number % 10 == 0 else 10
                    row = session.execute("SELECT pg_backend_pid(), ssl, repeat('m', %s) FROM pg_stat_ssl "
                                          "WHERE pid = pg_backend_pid() AND random() >= 0", (size,)).fetchone()
                    assert row[1] is True and row[2] == "m" * size
                    found.add(row[0])
        except Exception as error:  # noqa: BLE001
            errors.append(error)
    threads = [threading.Thread(target=client) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(found) == 1


def test_tls_on_both_sides(start, secure, pki):
    files = pki.issue("both", "/CN=localhost")
    proxy = start(tls={**server("verify-full", ca_file=pki.file),
                       "client": {"mode": "require", "cert_file": str(files[0]), "key_file": str(files[1])}})
    proxy.sql("CREATE TABLE both_sides (t text)")
    try:
        with proxy.connect() as session:
            with session.cursor().copy("COPY both_sides FROM STDIN") as copy:
                for _ in range(3000):
                    copy.write(b"b" * 19999 + b"\n")
            with session.cursor().copy("COPY both_sides TO STDOUT") as copy:
                assert sum(len(part) for part in copy) == 3000 * 20000
            assert session.execute("SELECT repeat('x', 3000000)").fetchone()[0] == "x" * 3000000
            with session.pipeline():
                cursors = [session.execute("SELECT %s::int", (n,)) for n in range(300)]
            assert [c.fetchone()[0] for c in cursors] == list(range(300))
    finally:
        proxy.sql("DROP TABLE both_sides")
