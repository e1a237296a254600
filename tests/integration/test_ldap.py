"""Method ldap against a real OpenLDAP server: simple bind, search and bind, and everything that is no login."""

import os
import signal

import psycopg
import pytest

from harness import ports, slapd, wire
from harness.waiting import wait_for
from harness.wire import Wire

PASSWORD = "the person's own"

pytestmark = pytest.mark.skipif(not slapd.available(), reason="no slapd here")


@pytest.fixture(scope="module")
def ldap():
    with slapd.Slapd(PASSWORD) as running:
        yield running


@pytest.fixture
def asking(make_proxy, ldap):
    """asking(options, ...): a proxy with this line for everybody but the superuser of the harness."""
    def make(options: str, **auth):
        proxy = make_proxy(start=False)
        hba = f"host all postgres all trust\nhost all all all ldap ldapserver=127.0.0.1 ldapport={ldap.port} {options}\n"
        proxy.write_config(auth={"hba_file": proxy.write_file("pg_hba.conf", hba), "allow_cleartext": True, **auth})
        proxy.start()
        return proxy
    return make


SIMPLE = f'ldapprefix="uid=" ldapsuffix=",ou=people,{slapd.SUFFIX}"'
SEARCH = f'ldapbasedn="{slapd.SUFFIX}" ldapbinddn="{slapd.ADMIN_DN}" ldapbindpasswd="{slapd.ADMIN_PASSWORD}"'
WAYS = {
    "simple": SIMPLE,
    "search": SEARCH,
    "attribute": SEARCH + " ldapsearchattribute=cn",
    "filter": SEARCH + ' ldapsearchfilter="(&(objectClass=inetOrgPerson)(mail=$username@example.org))"',
}


def refusal(proxy, user: str, password: str) -> dict[str, str]:
    with Wire(proxy.port) as client:
        error = client.login(password, user=user)[-1]
    assert (error.kind, error.fields["S"]) == ("E", "FATAL")
    return error.fields


@pytest.mark.parametrize("way", WAYS)
def test_the_directorys_password_lets_in_and_no_other(asking, way):
    proxy = asking(WAYS[way])
    assert proxy.sql("SELECT current_user::text", user="app", password=PASSWORD) == [("app",)]
    for user, password in (("app", "wrong"), ("nobody", PASSWORD), ("app", PASSWORD + " "), ("app", PASSWORD.upper())):
        fields = refusal(proxy, user, password)
        assert (fields["C"], fields["M"]) == ("28000", f'LDAP authentication failed for user "{user}"')
    # LDAP takes a bind without a password for an anonymous one, which succeeds.
    assert refusal(proxy, "app", "")["C"] == "28P01"


def test_a_name_that_is_found_twice_is_nobody(asking):
    assert refusal(asking(SEARCH), "twice", PASSWORD)["C"] == "28000"


@pytest.mark.parametrize("name", ["*", "a*", "app)(uid=*", "ap\\70"])
def test_names_are_only_names_in_a_filter(asking, name):
    assert refusal(asking(SEARCH), name, PASSWORD)["C"] == "28000"


def test_a_wrong_password_of_the_searcher_is_told_in_the_log_only(asking):
    proxy = asking(SEARCH.replace(slapd.ADMIN_PASSWORD, "another_secret"))
    assert refusal(proxy, "app", PASSWORD)["M"] == 'LDAP authentication failed for user "app"'
    proxy.wait_log("login_failed .*ldapbinddn")
    for secret in ("another_secret", slapd.ADMIN_PASSWORD, PASSWORD):
        assert secret not in proxy.log()


def test_starttls_that_the_server_cannot_do_is_no_login(asking):
    proxy = asking(SIMPLE + " ldaptls=1")
    assert refusal(proxy, "app", PASSWORD)["C"] == "28000"
    proxy.wait_log("login_failed .*could not start LDAP TLS session")


def test_a_server_that_hangs_holds_up_nobody_else(asking, ldap):
    """More logins than threads for them wait in vain, and end with login_timeout; others go on."""
    proxy = asking(SIMPLE, login_timeout="3s")
    os.kill(ldap.pid, signal.SIGSTOP)
    try:
        waiting = []
        for _ in range(40):
            client = Wire(proxy.port)
            client.send(wire.startup({"user": "app", "database": "test"}))
            assert client.read().kind == "R"
            client.send(wire.message(b"p", wire.cstring(PASSWORD)))
            waiting.append(client)
        assert proxy.sql("SELECT 1", user="postgres") == [(1,)]
        for client in waiting:
            assert [m.kind for m in client.read_to_end()] in ([], ["E"])
            client.socket.close()
    finally:
        os.kill(ldap.pid, signal.SIGCONT)
    wait_for(lambda: logs_in(proxy), "LDAP to answer again", timeout=30, interval=0.2)


def logs_in(proxy) -> bool:
    try:
        return proxy.sql("SELECT 1", user="app", password=PASSWORD) == [(1,)]
    except psycopg.OperationalError:
        return False


def test_a_server_that_is_not_there(make_proxy):
    proxy = make_proxy(start=False)
    port = ports.take()
    hba = f"host all postgres all trust\nhost all all all ldap ldapserver=127.0.0.1 ldapport={port} {SIMPLE}\n"
    proxy.write_config(auth={"hba_file": proxy.write_file("pg_hba.conf", hba), "allow_cleartext": True})
    proxy.start()
    assert refusal(proxy, "app", PASSWORD)["C"] == "28000"
    proxy.wait_log("login_failed .*Can't contact LDAP server")
    ports.release(port)
