"""Who may come in, and how pgweir itself logs in to the servers."""

import pytest

from harness import wire
from harness.cluster import PASSWORD
from harness.proxy import scram_verifier
from harness.wire import Wire

SECRET = "correct horse"


def password_line(user: str, password: str) -> str:
    escaped = password.replace("\\", "\\\\").replace(":", "\\:")
    return f"*:*:*:{user}:{escaped}\n"


@pytest.fixture
def scram_proxy(make_proxy):
    proxy = make_proxy(start=False)
    users = "".join(f'"{user}" "{scram_verifier(SECRET)}"\n' for user in ("postgres", "app", "test_scram"))
    proxy.write_config(auth={"method": "scram-sha-256", "users_file": proxy.write_file("users.txt", users),
                             "server_password_file": proxy.write_file("passwords", password_line("test_scram", PASSWORD))})
    proxy.login["password"] = SECRET
    proxy.start()
    return proxy


def test_scram_lets_the_right_password_in(scram_proxy):
    assert scram_proxy.sql("SELECT current_user::text", user="app") == [("app",)]


def test_scram_proves_that_pgweir_knows_the_verifier(scram_proxy):
    with Wire(scram_proxy.port) as client:  # `login` checks the signature
        kinds = [m.kind for m in client.login(SECRET, user="app")]
    assert kinds[:4] == ["R", "R", "R", "R"] and kinds[-1] == "Z"


@pytest.mark.parametrize("user, password", [("app", "wrong"), ("app", ""), ("nobody", SECRET), ("nobody", "wrong")])
def test_scram_keeps_others_out_without_telling_why(scram_proxy, user, password):
    with Wire(scram_proxy.port) as client:
        error = client.login(password, user=user)[-1]
    assert (error.kind, error.sqlstate, error.fields["S"]) == ("E", "28P01", "FATAL")
    assert error.fields["M"] == f'password authentication failed for user "{user}"'


def test_an_unknown_user_is_given_the_same_salt_each_time(scram_proxy):
    """Otherwise a changing salt would tell that the user does not exist."""
    def salt() -> bytes:
        with Wire(scram_proxy.port) as client:
            client.send(wire.startup({"user": "nobody", "database": "test"}))
            client.read()
            client.send(wire.ScramClient("x").initial())
            return client.read().body[4:].split(b",")[1]
    assert salt() == salt()


@pytest.mark.parametrize("answer", [b"", b"n,,", b"n,,n=,r=", b"y,,n=,r=abc", b"p=tls-unique,,n=,r=abc", b"\xff" * 40])
def test_scram_nonsense_is_refused(scram_proxy, answer):
    with Wire(scram_proxy.port) as client:
        client.send(wire.startup({"user": "app", "database": "test"}))
        assert client.read().kind == "R"
        body = wire.cstring("SCRAM-SHA-256") + len(answer).to_bytes(4, "big") + answer
        client.send(wire.message(b"p", body))
        found = client.read()
        if found.kind == "R":  # a correct first message (`y,,`); the proof that follows is not
            client.send(wire.message(b"p", b"c=eSws,r=abc,p=AAAA"))
            found = client.read()
        assert found.kind == "E" and found.sqlstate in ("28P01", "08P01", "0A000")
    assert scram_proxy.sql("SELECT 1") == [(1,)]


def test_queries_before_the_password_are_refused(scram_proxy):
    with Wire(scram_proxy.port) as client:
        client.send(wire.startup({"user": "app", "database": "test"}), wire.query("SELECT 1"))
        found = client.read_to_end()
    assert found[-1].kind == "E" and not any(m.kind in "DZ" for m in found)


def test_client_and_server_passwords_are_independent(scram_proxy):
    assert scram_proxy.sql("SELECT current_user::text", user="test_scram") == [("test_scram",)]


@pytest.fixture
def server_auth_proxy(make_proxy):
    proxy = make_proxy(start=False)
    lines = "".join(password_line(user, PASSWORD) for user in ("test_password", "test_md5", "test_scram"))
    proxy.write_config(auth={"server_password_file": proxy.write_file("passwords", lines)})
    proxy.start()
    return proxy


@pytest.mark.parametrize("user", ["test_password", "test_md5", "test_scram"])
@pytest.mark.parametrize("place", ["pg1", "pg2"])
def test_pgweir_logs_in_to_servers(server_auth_proxy, user, place):
    statement = f"/* pgweir: node={place} */ SELECT current_user::text"
    assert server_auth_proxy.sql(statement, user=user) == [(user,)]


@pytest.mark.parametrize("user", ["test_password", "test_md5", "test_scram"])
def test_a_missing_server_password_is_a_clear_error(proxy, user):
    with Wire(proxy.port) as client:
        found = client.login(user=user)[-1]
        if found.kind == "Z":
            found = client.ask(wire.query("SELECT 1"))[0]
    assert found.kind == "E" and found.sqlstate[:2] in ("28", "08")
    assert "password" in " ".join(found.fields.values())


@pytest.mark.parametrize("user", ["test_md5", "test_scram", "test_password"])
def test_a_wrong_server_password_is_a_clear_error(make_proxy, user):
    proxy = make_proxy(start=False)
    proxy.write_config(auth={"server_password_file": proxy.write_file("passwords", password_line(user, "wrong"))})
    proxy.start()
    with Wire(proxy.port) as client:
        found = client.login(user=user)[-1]
    assert found.kind == "E" and found.sqlstate[:2] in ("28", "08")


def test_a_role_that_the_server_rejects_is_rejected(proxy):
    with Wire(proxy.port) as client:
        found = client.login(user="test_reject")[-1]
    assert (found.kind, found.sqlstate) == ("E", "28000")
