"""Rules of who may come in by which method, through the real program: each method, reloads, and what is said to whom.

That files mean what they mean to PostgreSQL is shown by test_hba_like_postgres.py.
"""

import hashlib
import os
import pwd
import re
import socket

import psycopg
import pytest

from harness import wire
from harness.proxy import scram_verifier
from harness.waiting import wait_for
from harness.wire import Wire

SECRET = "correct horse"
SYSTEM_USER = pwd.getpwuid(os.getuid()).pw_name
# For the harness itself, which looks at the nodes as `postgres`.
HARNESS = "host test postgres 127.0.0.1/32 trust\n"


def md5_hash(user: str, password: str = SECRET) -> str:
    return "md5" + hashlib.md5((password + user).encode()).hexdigest()


USERS = (f'"app" "{scram_verifier(SECRET)}"\n"hostile" "{md5_hash("hostile")}"\n'
         f'"traced" "{scram_verifier(SECRET)}"\n')


@pytest.fixture
def ruled(make_proxy):
    """ruled(hba, ident="", **auth): a proxy with these rules."""
    def make(hba: str, ident: str = "", **auth):
        proxy = make_proxy(start=False)
        proxy.write_file("pg_hba.conf", HARNESS + hba)
        proxy.write_file("pg_ident.conf", ident)
        proxy.write_config(auth={"method": None, "hba_file": "pg_hba.conf", "ident_file": "pg_ident.conf",
                                 "users_file": proxy.write_file("users.txt", USERS)} | auth)
        proxy.start()
        return proxy
    return make


def outcome(proxy, user: str, password: str | None = None, *, host: str = "127.0.0.1", **parameters) -> str:
    """"in", or SQLSTATE and message of the refusal."""
    with Wire(proxy.port, host) as client:
        last = client.login(password, user=user, **parameters)[-1]
    if last.kind == "E":
        assert last.fields["S"] == "FATAL"
        return f"{last.sqlstate} {last.fields['M']}"
    return "in"


def wrong_password(user: str) -> str:
    return f'28P01 password authentication failed for user "{user}"'


def test_scram_by_rule(ruled):
    proxy = ruled("host all all all scram-sha-256\n")
    assert outcome(proxy, "app", SECRET) == "in"
    assert outcome(proxy, "app", "wrong") == wrong_password("app")
    assert outcome(proxy, "hostile", SECRET) == wrong_password("hostile")  # has only an MD5 hash
    assert outcome(proxy, "nobody", SECRET) == wrong_password("nobody")
    assert proxy.sql("SELECT current_user::text", user="app", password=SECRET) == [("app",)]


def test_md5_by_rule(ruled):
    proxy = ruled("host all all all md5\n")
    assert outcome(proxy, "hostile", SECRET) == "in"
    assert outcome(proxy, "hostile", "wrong") == wrong_password("hostile")
    assert outcome(proxy, "app", SECRET) == "in"  # by SCRAM
    assert outcome(proxy, "app", "wrong") == wrong_password("app")
    assert outcome(proxy, "nobody", "wrong") == wrong_password("nobody")
    for user in ("hostile", "app"):  # libpq plays along
        assert proxy.sql("SELECT current_user::text", user=user, password=SECRET) == [(user,)]


def test_passwords_in_clear_text(ruled):
    proxy = ruled("local all all password\nhost all all all password\n", allow_cleartext=True)
    for host in ("127.0.0.1", str(proxy.directory)):
        for user in ("app", "hostile"):
            assert outcome(proxy, user, SECRET, host=host) == "in"
            assert outcome(proxy, user, "wrong", host=host) == wrong_password(user)
            assert outcome(proxy, user, "", host=host) == "28P01 empty password returned by client"
        assert outcome(proxy, "nobody", SECRET, host=host) == wrong_password("nobody")
    assert SECRET not in proxy.log()


def test_clear_text_needs_to_be_allowed_over_tcp(ruled):
    proxy = ruled("local all all password\nhost all all all password\n")
    assert outcome(proxy, "app", SECRET, host=str(proxy.directory)) == "in"
    with Wire(proxy.port) as client:
        found = client.login(SECRET, user="app")
    assert [m.kind for m in found] == ["E"]  # before the client could have said anything
    assert found[0].sqlstate == "28000" and "TLS" in found[0].fields["H"]


def test_reject_and_no_line(ruled):
    proxy = ruled("host test hostile all reject\nhost test app 127.0.0.1/32 trust\n")
    assert outcome(proxy, "app") == "in"
    assert outcome(proxy, "hostile") == ('28000 pg_hba.conf rejects connection for host "127.0.0.1", user "hostile", database "test", '
                                         'no encryption')
    assert outcome(proxy, "app", database="other") == (
        '28000 no pg_hba.conf entry for host "127.0.0.1", user "app", database "other", no encryption')
    assert outcome(proxy, "app", host=str(proxy.directory)) == (
        '28000 no pg_hba.conf entry for host "[local]", user "app", database "test", no encryption')
    assert outcome(proxy, "app", replication="true") == (
        '28000 no pg_hba.conf entry for replication connection from host "127.0.0.1", user "app", no encryption')
    with pytest.raises(psycopg.OperationalError, match="pg_hba.conf rejects connection"):
        proxy.connect(user="hostile")


def test_peer_lets_the_systems_user_be_whom_the_maps_allow(ruled):
    proxy = ruled("local test app peer map=m\nlocal test hostile peer map=r\nlocal all all peer\n",
                  ident=f"m {SYSTEM_USER} app\nr /^{SYSTEM_USER[0]}(.*)$ \\1\n")
    socket_directory = str(proxy.directory)
    assert outcome(proxy, "app", host=socket_directory) == "in"
    assert outcome(proxy, "hostile", host=socket_directory) == '28000 Peer authentication failed for user "hostile"'
    assert outcome(proxy, "traced", host=socket_directory) == '28000 Peer authentication failed for user "traced"'
    assert outcome(proxy, "app") == (
        '28000 no pg_hba.conf entry for host "127.0.0.1", user "app", database "test", no encryption')
    assert proxy.log_has(r"login_failed.* user=traced .*reason=\"the user has another name outside\" line=\S*pg_hba.conf:4")


def test_memberships_are_those_of_the_moment(ruled, cluster):
    proxy = ruled("host all +hba_staff all trust\nhost all all all scram-sha-256\n")
    with cluster.primary.connect() as admin:
        admin.execute("CREATE ROLE hba_staff; CREATE ROLE hba_crew IN ROLE hba_staff")
        try:
            assert outcome(proxy, "app", "wrong") == wrong_password("app")
            admin.execute("GRANT hba_crew TO app")
            assert outcome(proxy, "app", "wrong") == "in"
            admin.execute("REVOKE hba_crew FROM app")
            assert outcome(proxy, "app", "wrong") == wrong_password("app")
            # A superuser is a member of nothing only for being one.
            assert outcome(proxy, "traced", "wrong") == wrong_password("traced")
            assert outcome(proxy, "it's a trap\\'; --", "wrong") == wrong_password("it's a trap\\'; --")
        finally:
            admin.execute("DROP ROLE hba_staff, hba_crew")


def test_many_ask_for_memberships_at_once(ruled):
    proxy = ruled("host all +app all trust\n")
    clients = [Wire(proxy.port) for _ in range(60)]
    try:
        for number, client in enumerate(clients):
            client.send(wire.startup({"user": "app" if number % 2 else "hostile", "database": "test"}))
        for number, client in enumerate(clients):
            assert client.read().kind == ("R" if number % 2 else "E")
    finally:
        for client in clients:
            client.socket.close()


def test_what_a_client_sends_ahead_waits_for_its_login(ruled):
    """The line needs to ask a node; the client does not wait for it."""
    proxy = ruled("host all +app all trust\n")
    with Wire(proxy.port) as client:
        client.send(wire.startup({"user": "app", "database": "test"}), wire.query("SELECT 'ahead'"))
        found = client.read_until("Z") + client.read_until("Z")
    assert [m.values for m in found if m.kind == "D"] == [[b"ahead"]]


def test_clients_that_leave_while_a_node_is_asked(ruled):
    proxy = ruled("host all +app all trust\n")
    for _ in range(50):
        with Wire(proxy.port) as client:
            client.send(wire.startup({"user": "app", "database": "test"}))
    assert outcome(proxy, "app") == "in"


def test_without_a_node_memberships_cannot_be_had(ruled, breakable_cluster):
    proxy = ruled("host all +app all trust\nhost all all all reject\n")
    for node in breakable_cluster.nodes:
        node.stop("immediate")
    wait_for(lambda: outcome(proxy, "app").startswith("57P03"), "the roles to be out of reach")


def test_samehost_and_samenet(ruled):
    proxy = ruled("host test app samehost trust\nhost test hostile samenet trust\n")
    assert outcome(proxy, "app") == "in"
    for source, user, comes_in in [("127.0.0.1", "app", True), ("127.0.0.9", "app", False), ("127.0.0.9", "hostile", True)]:
        with Wire(proxy.port, source=source) as client:
            assert (client.login(user=user)[-1].kind == "Z") == comes_in, (source, user)


def reload(proxy) -> str:
    seen = len(proxy.log())
    proxy.reload()
    return wait_for(lambda: next((w for w in ("reload_done", "reload_refused") if w in proxy.log()[seen:]), ""), "the reload")


def test_a_reload_takes_new_rules_and_leaves_sessions_alone(ruled):
    proxy = ruled("host all all all trust\n")
    with proxy.connect(user="app") as session:
        proxy.write_file("pg_hba.conf", HARNESS + "host all all all reject\n")
        assert reload(proxy) == "reload_done"
        wait_for(lambda: outcome(proxy, "app").startswith("28000"), "the new rules")
        assert session.execute("SELECT 1").fetchall() == [(1,)]


def test_a_bad_file_leaves_the_old_rules_and_says_why(ruled):
    proxy = ruled("host all all all reject\n")
    proxy.write_file("pg_hba.conf", "host all all all trust\nhost all all 10.0.0.0/33 trust\nlocal all all magic\n")
    proxy.write_file("pg_ident.conf", "m /( x\n")
    assert reload(proxy) == "reload_refused"
    for said in (r"pg_hba\.conf:2: found address", r"pg_hba\.conf:3: found method .*allowed are trust", r"pg_ident\.conf:1: "):
        proxy.wait_log(said)
    assert outcome(proxy, "app").startswith("28000 pg_hba.conf rejects")


def test_check_and_start_name_every_problem(ruled, make_proxy):
    proxy = make_proxy(start=False)
    proxy.write_file("pg_hba.conf", "host all all all\ninclude other.conf\nlocal all all trust\n")
    proxy.write_file("other.conf", "\nhost all all db.example.com trust\n")
    proxy.write_config(auth={"hba_file": "pg_hba.conf", "ident_file": "missing.conf"})
    done = proxy.check()
    assert done.returncode == 1
    for said in ("pg_hba.conf:1: ends before the method; allowed is trust, reject", "other.conf:2: found address \"db.example.com\"",
                 "host names are not supported", "missing.conf: cannot be opened: No such file or directory"):
        assert said in done.stdout, done.stdout


def test_salts_of_unknown_users_stay_over_a_reload(ruled):
    """One that changes would tell that the user does not exist."""
    proxy = ruled("host all all all scram-sha-256\n")

    def salt() -> bytes:
        with Wire(proxy.port) as client:
            client.send(wire.startup({"user": "nobody", "database": "test"}))
            client.read()
            client.send(wire.ScramClient("x").initial())
            return client.read().body[4:].split(b",")[1]
    before = salt()
    assert reload(proxy) == "reload_done"
    assert salt() == before


def test_failed_logins_are_logged_with_user_database_and_address(ruled):
    proxy = ruled("host all all all scram-sha-256\n")
    outcome(proxy, "app", "wrong")
    outcome(proxy, "nobody", "wrong")
    for user, reason in (("app", "the password is wrong"), ("nobody", "the user has no secret here")):
        proxy.wait_log(rf'login_failed client=127\.0\.0\.1:\d+ user={user} database=test sqlstate=28P01 .*reason="{reason}" '
                       r'line=\S*pg_hba\.conf:2')
    assert "wrong\"" not in re.sub(r'reason="the password is wrong"', "", proxy.log())


def test_the_name_is_cut_before_it_is_looked_at(ruled):
    """The server cuts it: rules for the name that it sees must hold."""
    longest = "u" * 63
    proxy = ruled(f"host all {longest} all reject\nhost all all all trust\n")
    assert outcome(proxy, longest + "x").startswith("28000 pg_hba.conf rejects")


def test_replication_in_other_words_meets_the_rules_that_the_server_applies(ruled):
    proxy = ruled("host replication all all trust\nhost all all all reject\n")
    for word in ("False", "OFF", "n", "0"):  # no WAL sender for PostgreSQL, so an ordinary session
        assert outcome(proxy, "app", replication=word).startswith("28000 pg_hba.conf rejects connection")
    assert outcome(proxy, "app", replication="maybe").startswith('22023 invalid value for parameter "replication"')


def test_lines_of_ipv4_are_for_clients_of_an_ipv6_socket_too(make_proxy):
    """A socket for both kinds shows an IPv4 client as ::ffff:127.0.0.1; no line for IPv6 may match it."""
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    both = "::ffff:127.0.0.1"
    proxy = make_proxy(start=False, listen={"host": both})
    proxy.host = both
    proxy.write_file("pg_hba.conf", HARNESS + "host all all ::/0 trust\nhost all all 127.0.0.0/8 reject\n")
    proxy.write_config(auth={"method": None, "hba_file": "pg_hba.conf"})
    proxy.start()
    assert outcome(proxy, "app").startswith('28000 pg_hba.conf rejects connection for host "127.0.0.1"')
