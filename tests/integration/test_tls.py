"""TLS between clients and pgweir: who comes in, what is never believed, and what a reload changes."""

import re
import socket
import ssl
import subprocess
import threading
import time

import psycopg
import pytest

from harness import wire
from harness.certificates import Authority
from harness.cluster import BIN
from harness.waiting import SCALE, wait_for

HOST = {"host": "localhost", "hostaddr": "127.0.0.1"}
MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"]


@pytest.fixture(scope="module")
def pki():
    with Authority() as authority:
        authority.server = authority.issue("server", "/CN=localhost", names="DNS:localhost,IP:127.0.0.1")
        yield authority


@pytest.fixture(scope="module")
def stranger():
    with Authority("a stranger") as authority:
        yield authority


def tls(mode, files, **more):
    return {"client": {"mode": mode, "cert_file": str(files[0]), "key_file": str(files[1]), **more}}


def with_certificate(files):
    return {"sslmode": "require", "sslcert": str(files[0]), "sslkey": str(files[1])}


def attempt(proxy, **connection):
    """Whether the session is encrypted, or the error."""
    try:
        with proxy.connect(**{**HOST, "sslrootcert": "/nowhere", **connection}) as session:
            assert session.execute("SELECT 42").fetchone() == (42,)
            return bool(session.pgconn.ssl_in_use)
    except psycopg.OperationalError as error:
        return str(error)


# --- who comes in ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["disable", "allow", "prefer", "require"])
def test_modes_of_both_sides(make_proxy, pki, mode):
    proxy = make_proxy(tls=tls(mode, pki.server), auth={"method": "trust"}, start=False)
    proxy.start(nodes_up=False)
    for asked in MODES:
        got = attempt(proxy, sslmode=asked, sslrootcert=str(pki.file))
        refused = (mode == "disable" and asked in MODES[3:]) or (mode == "require" and asked == "disable")
        if refused:
            words = "server does not support SSL" if mode == "disable" else "connection requires TLS"
            assert words in got, (mode, asked, got)
        else:  # a client that only allows it is asked to use it where it must be
            assert got is (mode != "disable" and (asked not in ("disable", "allow") or mode == "require")), (mode, asked, got)
    # There is nothing to protect on a Unix socket.
    with proxy.connect(host=str(proxy.directory), sslmode="disable") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_client_that_is_picky_finds_what_is_wrong(make_proxy, pki, stranger):
    proxy = make_proxy(tls=tls("prefer", pki.server))
    right = str(pki.file)
    assert attempt(proxy, sslmode="verify-full", sslrootcert=right) is True
    assert attempt(proxy, sslmode="verify-full", sslrootcert=right, host="127.0.0.1") is True
    assert "certificate verify failed" in attempt(proxy, sslmode="verify-ca", sslrootcert=str(stranger.file))
    assert "does not match host name" in attempt(proxy, sslmode="verify-full", sslrootcert=right, host="db.example")
    assert attempt(proxy, sslmode="verify-ca", sslrootcert=right, host="db.example") is True
    revoked = pki.issue("revoked-server", "/CN=localhost")
    crl = str(pki.revoke(revoked[0]))
    assert attempt(proxy, sslmode="verify-ca", sslrootcert=right, sslcrl=crl) is True
    for files in (pki.issue("expired-server", "/CN=localhost", days=(-9, -1)), revoked):
        proxy.write_config(tls=tls("prefer", files))
        before = proxy.log().count("reload_done")
        proxy.reload()
        wait_for(lambda: proxy.log().count("reload_done") > before, "the reload")
        assert "certificate verify failed" in attempt(proxy, sslmode="verify-ca", sslrootcert=right, sslcrl=crl)
        without_list = attempt(proxy, sslmode="verify-ca", sslrootcert=right)
        assert without_list is True if files is revoked else "certificate verify failed" in without_list


def test_certificates_of_clients(make_proxy, pki, stranger):
    good = pki.issue("joe", "/O=Shop/CN=app")
    revoked = pki.issue("revoked-joe", "/CN=app")
    crl = str(pki.revoke(revoked[0]))
    bad = {"stranger": stranger.issue("mallory", "/CN=app"), "expired": pki.issue("old", "/CN=app", days=(-9, -1)),
           "revoked": revoked}
    for mode in ("require", "verify-ca", "verify-full"):
        proxy = make_proxy(tls=tls(mode, pki.server, ca_file=str(pki.file), crl_file=crl), start=False)
        proxy.login = {**HOST, "user": "app", **with_certificate(good)}
        proxy.start(nodes_up=False)
        assert attempt(proxy, user="app", **with_certificate(good)) is True
        for what, files in bad.items():
            got = attempt(proxy, user="app", **with_certificate(files))
            assert isinstance(got, str) and ("alert" in got or "SSL" in got or "closed" in got), (mode, what, got)
        wait_for(lambda: proxy.log().count("tls_failed") >= len(bad), "the failures in the log")
        assert re.search(r"tls_failed.*certificate revoked", proxy.log())
        assert re.search(r"tls_failed.*certificate has expired", proxy.log())
        without = attempt(proxy, user="app", sslmode="require", sslcert="/nowhere/crt")
        assert without is True if mode == "require" else "certificate required" in without
        other = attempt(proxy, user="postgres", **with_certificate(good))
        if mode == "verify-full":
            assert 'certificate authentication failed for user "postgres"' in other
        else:
            assert other is True


def test_the_rules_for_clients_know_of_tls(make_proxy, pki):
    joe = pki.issue("hba-joe", "/O=Shop/CN=app")
    proxy = make_proxy(tls=tls("allow", pki.server, ca_file=str(pki.file)), start=False)
    rules = ("local all all trust\nhostssl all app all cert\nhostssl all hostile all trust clientcert=verify-ca\n"
             "hostnossl all traced all trust\nhostssl all postgres all trust\n")
    proxy.write_config(auth={"method": None, "hba_file": proxy.write_file("hba", rules)})
    proxy.login = {"host": str(proxy.directory)}
    proxy.start()
    assert attempt(proxy, user="app", **with_certificate(joe)) is True
    assert "certificate" in attempt(proxy, user="app", sslmode="require", sslcert="/nowhere/crt")
    assert attempt(proxy, user="hostile", **with_certificate(joe)) is True
    assert "valid client certificate" in attempt(proxy, user="hostile", sslmode="require", sslcert="/nowhere/crt")
    assert attempt(proxy, user="traced", sslmode="disable") is False
    assert "pg_hba.conf" in attempt(proxy, user="traced", sslmode="require")
    assert attempt(proxy, user="postgres", sslmode="require") is True
    assert "no encryption" in attempt(proxy, user="postgres", sslmode="disable")


# --- raw sockets -----------------------------------------------------------------------------------------------------


def context(pki, alpn=("postgresql",), newest=None):
    made = ssl.create_default_context(cafile=pki.file)
    if alpn:
        made.set_alpn_protocols(list(alpn))
    if newest:
        made.maximum_version = newest
    return made


def raw(proxy):
    return socket.create_connection((proxy.host, proxy.port), timeout=20 * SCALE)


def read_until_ready(stream) -> bytes:
    got = b""
    while not got.endswith(wire.message(b"Z", b"I")):
        more = stream.recv(65536)
        assert more, got
        got += more
    return got


def secured(proxy, pki, **more):
    """A socket with TLS after SSLRequest."""
    plain = raw(proxy)
    plain.sendall(wire.SSL_REQUEST)
    assert plain.recv(1) == b"S"
    return context(pki, **more).wrap_socket(plain, server_hostname="localhost")


LOGIN = wire.startup({"user": "postgres", "database": "test"})


def all_that_comes(stream) -> bytes:
    got = b""
    try:
        while more := stream.recv(65536):
            got += more
    except ConnectionError:
        pass
    return got


@pytest.fixture(scope="module")
def proxy(cluster, pki):
    from harness.proxy import Pgweir
    with Pgweir(cluster.nodes, tls=tls("allow", pki.server), auth={"login_timeout": "2s"}) as running:
        running.wait_standby_read()
        yield running


def test_direct_tls_needs_the_name_of_the_protocol(proxy, pki):
    with context(pki).wrap_socket(raw(proxy), server_hostname="localhost") as client:
        assert client.selected_alpn_protocol() == "postgresql"
        assert client.version() == "TLSv1.3"
        client.sendall(LOGIN)
        assert read_until_ready(client).startswith(b"R")
        client.sendall(wire.query("SELECT 'direct'"))
        assert b"direct" in read_until_ready(client)
        assert not client.session_reused and not client.session.has_ticket
    with context(pki, alpn=()).wrap_socket(raw(proxy), server_hostname="localhost") as client:
        client.sendall(LOGIN)
        assert all_that_comes(client) == b""
    proxy.wait_log("tls_failed.*without ALPN protocol negotiation extension")
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        context(pki, alpn=("http/1.1",)).wrap_socket(raw(proxy), server_hostname="localhost")


def test_the_name_that_was_asked_for_is_logged(proxy, pki):
    with secured(proxy, pki) as client:
        client.sendall(LOGIN)
        read_until_ready(client)
        port = client.getsockname()[1]
    proxy.wait_log(rf"connected.*client=127.0.0.1:{port}.*tls=TLSv1.3.*server_name=localhost")


@pytest.mark.parametrize("injected", [b"\0", LOGIN, wire.SSL_REQUEST, b"\x16\x03\x01", LOGIN * 100])
def test_bytes_behind_the_request_are_never_taken(proxy, injected):
    before = proxy.log().count("received unencrypted data after SSL request")
    with raw(proxy) as client:
        client.sendall(wire.SSL_REQUEST + injected)
        assert all_that_comes(client) in (b"", b"S")
    wait_for(lambda: proxy.log().count("received unencrypted data after SSL request") > before, "the reason in the log")


def test_plain_text_instead_of_a_handshake_is_not_taken(proxy):
    with raw(proxy) as client:
        client.sendall(wire.SSL_REQUEST)
        assert client.recv(1) == b"S"
        client.sendall(LOGIN)
        answer = all_that_comes(client)
        assert not answer.startswith(b"R") and b"ErrorResponse" not in answer and len(answer) < 20  # a TLS alert


def test_gss_is_refused_politely_before_tls_and_inside_nothing_is_asked_for_again(proxy, pki):
    with raw(proxy) as plain:
        plain.sendall(wire.GSSENC_REQUEST)
        assert plain.recv(1) == b"N"
        plain.sendall(wire.SSL_REQUEST)
        assert plain.recv(1) == b"S"
        with context(pki).wrap_socket(plain, server_hostname="localhost") as client:
            client.sendall(wire.SSL_REQUEST)
            assert b"encryption was asked for twice" in all_that_comes(client)
    with raw(proxy) as plain:  # once it has asked for something it cannot begin with TLS
        plain.sendall(wire.GSSENC_REQUEST)
        assert plain.recv(1) == b"N"
        plain.sendall(b"\x16\x03\x01\x02\0\x01")
        assert b"invalid length of startup packet" in all_that_comes(plain)


@pytest.mark.parametrize("said", [wire.SSL_REQUEST, b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"])
def test_a_handshake_has_its_time(proxy, said):
    began = time.monotonic()
    with raw(proxy) as client:
        client.sendall(said)
        all_that_comes(client)
    assert 1.5 < time.monotonic() - began < 10 * SCALE


def test_the_oldest_version(make_proxy, proxy, pki):
    with secured(proxy, pki, newest=ssl.TLSVersion.TLSv1_2) as client:
        assert client.version() == "TLSv1.2"
        client.sendall(LOGIN)
        read_until_ready(client)
        client.sendall(wire.query("SELECT repeat('x', 100000)"))
        assert b"x" * 100000 in read_until_ready(client)
    strict = make_proxy(tls=tls("allow", pki.server, min_version="1.3"), start=False)
    strict.start(nodes_up=False)
    with pytest.raises(ssl.SSLError, match="(?i)protocol.version"):
        secured(strict, pki, newest=ssl.TLSVersion.TLSv1_2)
    assert attempt(strict, sslmode="require") is True


def test_messages_cut_at_every_place(proxy, pki):
    """Each byte a record of its own, then everything in one."""
    text = wire.query("SELECT 1") + wire.parse("SELECT 2") + wire.bind() + wire.execute() + wire.SYNC
    with secured(proxy, pki) as client:
        for byte in LOGIN:
            client.sendall(bytes([byte]))
        read_until_ready(client)
        for byte in text:
            client.sendall(bytes([byte]))
        first = read_until_ready(client)
        if first.count(b"Z\0\0\0\5I") < 2:
            read_until_ready(client)
    with secured(proxy, pki) as client:
        client.sendall(LOGIN)
        read_until_ready(client)
        client.sendall(text * 500)
        got = b""
        while got.count(b"Z\0\0\0\5I") < 1000:
            got += client.recv(65536)


def test_an_end_that_only_one_side_has_said(proxy, pki):
    """A client that has said its close_notify may still read: it gets the answer that is under way."""
    inside, outside = ssl.MemoryBIO(), ssl.MemoryBIO()
    with raw(proxy) as plain:
        plain.sendall(wire.SSL_REQUEST)
        assert plain.recv(1) == b"S"
        client = context(pki).wrap_bio(inside, outside, server_hostname="localhost")

        def until(action):
            while True:
                try:
                    return action()
                except ssl.SSLWantReadError:
                    plain.sendall(outside.read())
                    more = plain.recv(65536)
                    assert more
                    inside.write(more)
                finally:
                    if outside.pending:
                        plain.sendall(outside.read())

        def ready():
            got = b""
            while not got.endswith(wire.message(b"Z", b"I")):
                got += until(lambda: client.read(65536))
            return got
        until(client.do_handshake)
        until(lambda: client.write(LOGIN))
        ready()
        client.write(wire.query("SELECT pg_sleep(0.3), 'still ' || 'here'"))
        with pytest.raises(ssl.SSLWantReadError):
            client.unwrap()  # its close_notify is in `outside` now
        plain.sendall(outside.read())
        inside.write(plain.recv(65536))
        received = b""
        while b"still here" not in received:
            try:
                received += client.read(65536)
            except ssl.SSLWantReadError:
                more = plain.recv(65536)
                assert more, received
                inside.write(more)


def test_cancel_requests_come_without_tls(proxy):
    with proxy.connect(sslmode="require", **HOST) as session:
        timer = threading.Timer(0.5, session.cancel)
        timer.start()
        with pytest.raises(psycopg.errors.QueryCanceled):
            session.execute("SELECT pg_sleep(30)")
        timer.join()


# --- much data -------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_gigabyte_of_rows_needs_little_memory(make_proxy, pki):
    proxy = make_proxy(tls=tls("require", pki.server), workers=1)
    environment = {"PGSSLMODE": "require", "PATH": "/usr/bin:/bin"}
    psql = [BIN / "psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-h", proxy.host, "-p", str(proxy.port), "-U", "postgres", "test", "-c"]
    subprocess.run([*psql, "SELECT 1"], env=environment, check=True, stdout=subprocess.DEVNULL)
    before = proxy.memory_peak()
    rows = "COPY (SELECT repeat('x', 10000) FROM generate_series(1, 107375)) TO STDOUT"
    reader = subprocess.Popen([*psql, rows], env=environment, stdout=subprocess.PIPE)
    size = 0
    while chunk := reader.stdout.read(1 << 20):
        size += len(chunk)
    assert reader.wait() == 0
    assert size == 107375 * 10001 > 1 << 30
    assert proxy.memory_peak() - before < 16 << 20


def test_a_slow_reader_stops_the_server_and_gets_all(make_proxy, pki):
    proxy = make_proxy(tls=tls("require", pki.server), workers=1, start=False)
    proxy.start(nodes_up=False)
    count = 6000
    with secured(proxy, pki) as client:
        client.sendall(LOGIN)
        read_until_ready(client)
        before = proxy.memory_peak()
        client.sendall(wire.query(f"SELECT repeat('y', 20000) FROM generate_series(1, {count})"))
        with proxy.connect(sslmode="require", **HOST) as other:  # the worker is not held up
            for _ in range(50):
                assert other.execute("SELECT 1").fetchone() == (1,)
        got, end = 0, b""
        while not end.endswith(wire.message(b"Z", b"I")):
            chunk = client.recv(1 << 16)
            assert chunk
            got += chunk.count(b"y")
            end = (end + chunk)[-6:]
        assert got == count * 20000
    assert proxy.memory_peak() - before < 16 << 20


def test_much_data_to_the_server(proxy, pki):
    row = b"z" * 9999 + b"\n"
    with proxy.connect(sslmode="require", **HOST) as session:
        session.execute("CREATE TEMP TABLE much (t text)")
        with session.cursor().copy("COPY much FROM STDIN") as copy:
            for _ in range(5000):
                copy.write(row)
        assert session.execute("SELECT count(*), sum(length(t)) FROM much").fetchone() == (5000, 5000 * 9999)


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_reload_changes_new_connections_only(make_proxy, pki, stranger):
    joe = pki.issue("reload-joe", "/CN=app")
    first, second = pki.issue("first", "/CN=localhost"), stranger.issue("second", "/CN=localhost")
    proxy = make_proxy(tls=tls("require", first, ca_file=str(pki.file)), start=False)
    certificate = proxy.write_file("server.crt", first[0].read_text())
    key = proxy.write_file("server.key", first[1].read_text())
    proxy.write_config(tls=tls("require", (certificate, key)))
    proxy.start(nodes_up=False)

    def reload():
        before = proxy.log().count("reload_done")
        proxy.reload()
        wait_for(lambda: proxy.log().count("reload_done") > before, "the reload")

    login = {**HOST, "user": "app", **with_certificate(joe)}
    with proxy.connect(**login) as open_session:
        proxy.write_file("server.crt", second[0].read_text())
        reload()  # a certificate without its key
        proxy.wait_log("tls_not_reloaded.*key values mismatch")
        assert attempt(proxy, sslmode="verify-ca", sslrootcert=str(pki.file)) is True
        proxy.write_file("server.key", second[1].read_text())
        reload()
        assert attempt(proxy, sslmode="verify-ca", sslrootcert=str(stranger.file)) is True
        assert "certificate verify failed" in attempt(proxy, sslmode="verify-ca", sslrootcert=str(pki.file))
        crl = pki.revoke(joe[0])
        proxy.write_config(tls=tls("require", (certificate, key), crl_file=str(crl)))
        reload()
        assert isinstance(attempt(proxy, user="app", **with_certificate(joe)), str)
        assert open_session.execute("SELECT repeat('a', 100000)").fetchone() == ("a" * 100000,)
        proxy.write_config(tls={"client": {"mode": "disable", "crl_file": None}})
        reload()
        assert attempt(proxy, sslmode="prefer") is False
        assert open_session.execute("SELECT 'still'").fetchone() == ("still",)


def test_a_key_with_a_passphrase(make_proxy, pki):
    locked = pki.issue("locked", "/CN=localhost", passphrase="open sesame")
    proxy = make_proxy(tls=tls("require", locked, key_passphrase_command="echo 'open sesame'"), start=False)
    proxy.start(nodes_up=False)
    assert attempt(proxy, sslmode="verify-full", sslrootcert=str(pki.file)) is True
    for command, words in (("echo wrong", "may be wrong"), ("exit 4", "failed with exit status 4"),
                           ("", "is encrypted, and no command gives its passphrase")):
        proxy.write_config(tls=tls("require", locked, key_passphrase_command=command))
        done = proxy.check()
        assert done.returncode == 1 and words in done.stdout, done.stdout
        assert "sesame" not in done.stdout
    before = proxy.log().count("tls_not_reloaded")
    proxy.reload()
    wait_for(lambda: proxy.log().count("tls_not_reloaded") > before, "the refusal")
    assert attempt(proxy, sslmode="verify-full", sslrootcert=str(pki.file)) is True
    assert "sesame" not in proxy.log().replace("echo 'open sesame'", "")


def test_what_is_wrong_with_the_configuration_is_said(make_proxy, pki):
    proxy = make_proxy(start=False)
    others = pki.issue("readable", "/CN=localhost")
    others[1].chmod(0o644)
    for section, words in (
            ({"client": {"mode": "require"}}, "tls.client.cert_file: is required with tls.client.mode: require"),
            (tls("verify-ca", pki.server), "tls.client.ca_file: is required with tls.client.mode: verify-ca"),
            (tls("require", others), "has group or world access"),
            (tls("require", ("/nowhere/crt", pki.server[1])), 'could not load certificate file "/nowhere/crt": No such file'),
            (tls("always", pki.server), "one of disable, allow, prefer, require, verify-ca, verify-full"),
            (tls("require", pki.server, crl_file="/x"), "only certificates that are checked can be revoked"),
            ({"client": {"mood": "require"}}, 'did you mean "mode"'),
            ({"client": "require"}, "tls.client: found a single value; allowed is a map of the keys mode, cert_file"),
            ({"server": {"mode": "verify-full"}}, "tls.server.mode: found verify-full, which needs ca_file"),
            ({"server": {"mode": "require", "ca_file": str(pki.file)}}, "which it would not look at"),
            ({"server": {"mode": "require", "cert_file": "/x"}}, "a certificate and its key are needed together")):
        proxy.config.pop("tls", None)
        proxy.write_config(tls=section)
        done = proxy.check()
        assert done.returncode == 1 and words in done.stdout, (section, done.stdout)
    proxy.config.pop("tls")
    proxy.write_config(tls=tls("require", pki.server))
    done = proxy.check()
    assert done.returncode == 0 and "TLS with clients: require, 1.2 or newer" in done.stdout
