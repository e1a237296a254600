"""Who gets in, and who does not: method x secret x TLS of pgweir x TLS, channel binding and certificate of the client x
transport x driver, against rules that were written from the documentation (login_rules.py). No surprises are allowed.

One proxy per `tls.client.mode`. Whoever is in is really in: it asks the server who it is.
"""

import collections
import hashlib
import os
import pwd
import re
import ssl

import pytest

import login_clients
import login_rules
from harness import npm, release, wire
from harness.certificates import EVERYWHERE, Authority
from harness.cluster import Cluster
from harness.proxy import Pgweir, scram_verifier
from harness.wire import Wire
from login_clients import Outcome
from login_rules import HASHED, PLAIN, VERIFIER, Attempt, name_of

RIGHT, WRONG = "correct horse", "battery staple"
EVERYTHING = [a for mode in login_rules.MODES for a in login_rules.logins(mode)]
SECRETS = {"right": RIGHT, "wrong": WRONG}


class Pki:
    """pgweir's certificate and all that clients may show."""

    def __init__(self, own: Authority, strange: Authority):
        self.own, self.strange = own, strange
        self.server = own.issue("server", "/CN=localhost", names="DNS:localhost,IP:127.0.0.1")
        self._shown = {"other": own.issue("other", "/CN=mx_other"), "revoked": own.issue("revoked", "/CN=mx_cert_proven"),
                       "stranger": strange.issue("joe", "/CN=mx_cert_proven")}
        self.crl = own.revoke(self._shown["revoked"][0])

    def shown(self, a: Attempt):
        """Certificate and key, or None."""
        if a.certificate != "good":
            return self._shown.get(a.certificate)
        if a.login not in self._shown:
            self._shown[a.login] = self.own.issue(a.login, f"/O=Matrix/CN={a.login}")
        return self._shown[a.login]


@pytest.fixture(scope="module")
def pki():
    with Authority() as own, Authority("a stranger") as strange:
        yield Pki(own, strange)


@pytest.fixture(scope="module")
def furnished():
    """A node of our own with the roles."""
    with Cluster(standbys=0) as cluster:
        cluster.primary.sql("".join(f"CREATE ROLE {name_of(method, user)} LOGIN;" for method in login_rules.METHODS
                                    for user in (VERIFIER, HASHED, PLAIN)))
        yield cluster.primary


def users_file() -> str:
    lines = []
    for method in login_rules.METHODS:
        name = name_of(method, HASHED)
        md5 = "md5" + hashlib.md5((RIGHT + name).encode()).hexdigest()
        lines += [(name, md5), (name_of(method, VERIFIER), scram_verifier(RIGHT)), (name_of(method, PLAIN), RIGHT)]
    return "".join(f'"{name}" "{secret}"\n' for name, secret in lines)


@pytest.fixture(scope="module", params=login_rules.MODES)
def proxy(request, furnished, pki):
    """A proxy with this tls.client.mode."""
    with Pgweir([furnished], start=False, topology="single", pool={"size": 4}) as running:
        outside = pwd.getpwuid(os.getuid()).pw_name
        running.write_config(auth={
            "method": None, "hba_file": running.write_file("pg_hba.conf", login_rules.HBA),
            "ident_file": running.write_file("pg_ident.conf", "".join(
                f"outside {outside} {name_of('peer', user)}\n" for user in login_rules.PEERS)),
            "users_file": running.write_file("users.txt", users_file())})
        files = {} if request.param == "disable" else {
            "cert_file": str(pki.server[0]), "key_file": str(pki.server[1]), "ca_file": str(pki.own.file), "crl_file": str(pki.crl)}
        running.config.pop("tls", None)
        running.write_config(tls={"client": {"mode": request.param, **files}})
        running.login = {"host": str(running.directory)}
        running.start()
        running.mode = request.param
        yield running


def for_libpq(proxy: Pgweir, pki: Pki, a: Attempt) -> dict[str, str]:
    words = {"dbname": "test", "user": a.login, "port": str(proxy.port), "channel_binding": a.binding,
             "connect_timeout": "20", "passfile": "/nowhere/pass", "gssencmode": "disable",
             "sslrootcert": "/nowhere/root", "sslcert": "/nowhere/crt", "sslkey": "/nowhere/key"}
    if a.sslmode is None:
        words["host"] = str(proxy.directory)
    else:
        words |= {"host": "localhost", "hostaddr": "127.0.0.1", "sslmode": a.sslmode}
        if a.sslmode.startswith("verify"):
            words["sslrootcert"] = str((pki.own if a.root == "right" else pki.strange).file)
    if a.secret != "none":
        words["password"] = SECRETS[a.secret]
    if shown := pki.shown(a):
        words |= {"sslcert": str(shown[0]), "sslkey": str(shown[1])}
    if a.direct:
        words["sslnegotiation"] = "direct"
    return words


def for_node(proxy: Pgweir, pki: Pki, a: Attempt) -> dict:
    config = {"database": "test", "user": a.login, "port": proxy.port, "ssl": False,
              "host": str(proxy.directory) if a.sslmode is None else "localhost",
              "enableChannelBinding": a.binding == "prefer", "connectionTimeoutMillis": 20000}
    if a.secret != "none":
        config["password"] = SECRETS[a.secret]
    if a.sslmode not in (None, "disable"):
        config["ssl"] = {"rejectUnauthorized": a.sslmode == "verify-full"}
        config["files"] = {"ca": str(pki.own.file)}
        if shown := pki.shown(a):
            config["files"] |= {"cert": str(shown[0]), "key": str(shown[1])}
    if a.direct:
        config["sslnegotiation"] = "direct"
    return config


def surprise(a: Attempt, outcome: Outcome) -> str | None:
    """What is not as it has to be."""
    tries = login_rules.expected(a)
    tls, verdict = tries[-1]
    if verdict == "in":
        return None if outcome == Outcome(None, tls, a.login) else f"expected in, TLS {tls}"
    if outcome.refusal is None:
        return f"expected {verdict}"
    for _, reason in tries:
        if not re.search(login_rules.SAYS[reason].format(user=a.login), outcome.refusal):
            return f"expected {[reason for _, reason in tries]}"
    if outcome.sqlstate is not None and outcome.sqlstate != login_rules.SQLSTATE.get(verdict, outcome.sqlstate):
        return f"expected SQLSTATE {login_rules.SQLSTATE[verdict]}"
    return None


def check(who: str, attempts: list[Attempt], outcomes: list[Outcome]) -> None:
    """No surprises; both verdicts occur; and nobody learns from a refusal who exists."""
    assert len(attempts) == len(outcomes) > 0
    wrong = [(a, o, what) for a, o in zip(attempts, outcomes) if (what := surprise(a, o))]
    let_in = sum(o.refusal is None for o in outcomes)
    print(f"{who}, seed {login_rules.SEED}: {len(attempts)} logins, {let_in} in, {len(attempts) - let_in} refused, {len(wrong)} surprises")
    assert not wrong, f"{len(wrong)} surprises of {len(attempts)}, such as:\n" + "\n".join(map(str, wrong[:10]))
    said = collections.defaultdict(set)
    for a, o in zip(attempts, outcomes):
        if login_rules.expected(a)[-1][1] == "wrong secret":
            said[a.method, a.sslmode, a.direct, a.binding].add((o.refusal.replace(a.login, "USER"), o.sqlstate))
    for where, texts in said.items():
        assert len(texts) == 1, (where, texts)


def test_libpq(proxy, pki):
    attempts = login_rules.logins(proxy.mode)
    check("libpq", attempts, login_clients.each(login_clients.by_libpq, [for_libpq(proxy, pki, a) for a in attempts]))


@pytest.mark.skipif(release.newest_libraries() is None, reason="libpq 18 is not there (./dev test --pg 18 brings it)")
def test_libpq_with_direct_tls(proxy, pki):
    attempts = login_rules.direct_logins(proxy.mode)
    check("libpq 18", attempts, login_clients.by_other_libpq([for_libpq(proxy, pki, a) for a in attempts],
                                                             release.newest_libraries()))


def test_psycopg(proxy, pki):
    attempts = login_rules.covering(login_rules.logins(proxy.mode))
    check("psycopg", attempts, login_clients.each(login_clients.by_psycopg, [for_libpq(proxy, pki, a) for a in attempts]))


def test_psql(proxy, pki):
    """A process for each attempt takes its time, so the pairs are covered by all modes together."""
    attempts = [a for a in login_rules.covering(EVERYTHING) if a.mode == proxy.mode]
    check("psql", attempts, login_clients.each(login_clients.by_psql, [for_libpq(proxy, pki, a) for a in attempts]))


def test_node_postgres(proxy, pki):
    attempts = login_rules.node_logins(proxy.mode)
    outcomes = login_clients.by_node([for_node(proxy, pki, a) for a in attempts], npm.installed(npm.DRIVERS) / "node_modules")
    check("node-postgres", attempts, outcomes)


def test_the_part_covers_the_whole():
    """Each pair of values that occurs in the matrix occurs in what psql tries."""
    part = login_rules.covering(EVERYTHING)
    whole = set().union(*map(login_rules.pairs_of, EVERYTHING))
    assert set().union(*map(login_rules.pairs_of, part)) == whole and len(part) < len(EVERYTHING) / 8


def spoken(proxy: Pgweir, pki: Pki, user: str, method: str, tls: bool) -> list:
    """Kind and size of each message that a wrong password is answered with, and the error."""
    with Wire(proxy.port, timeout=10) as client:
        if tls:
            client.send(wire.SSL_REQUEST)
            assert client.read_byte() == b"S"
            context = ssl.create_default_context(cafile=pki.own.file)
            context.load_cert_chain(*pki.shown(Attempt(proxy.mode, method, user, certificate="good")))
            client.socket = context.wrap_socket(client.socket, server_hostname="localhost")
        name = name_of(method, user)
        found = client.login(WRONG, user=name)
    assert found[-1].kind == "E"
    return [(m.kind, len(m.body)) for m in found[:-1]] + [{k: v.replace(name, "USER") for k, v in found[-1].fields.items()}]


@pytest.mark.parametrize("method", ["password", "md5", "scram"])
def test_who_exists_is_not_told_by_the_messages(proxy, pki, method, monkeypatch):
    """In no message up to the refusal. The one exception is documented: a line with md5 asks for MD5 where there is a hash."""
    monkeypatch.delenv(EVERYWHERE, raising=False)  # `Wire` uses TLS when told to
    alike = [user for user in login_rules.USERS if not (method == "md5" and user == HASHED)]
    for tls in (False, True) if proxy.mode != "disable" else (False,):
        said = [spoken(proxy, pki, user, method, tls) for user in alike]
        assert all(one == said[0] for one in said), (tls, said)
        if tls:
            assert said[0][-1]["C"] == "28P01" and len(said[0]) == (2 if method == "password" else 3)
