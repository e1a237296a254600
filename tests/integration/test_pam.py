"""Method pam with services of the test's own: the files of the system's PAM are not touched."""

import shutil
import time

import psycopg
import pytest

from harness import wire
from harness.wire import Wire

PASSWORD = "the person's own"

pytestmark = pytest.mark.skipif(shutil.which("pam-auth-update") is None, reason="no PAM here")

# Gives the password on its standard input (pam_exec, expose_authtok), ended by a zero byte.
CHECK = """#!/bin/sh
read -r given
test "$PAM_USER:$given" = "app:{password}" && exit 0
exit 1
"""


@pytest.fixture
def asking(make_proxy):
    def make(service: str, stack: str, options: str = "", **auth):
        proxy = make_proxy(start=False)
        services = proxy.directory / "pam.d"
        services.mkdir()
        script = services / "check"
        script.write_text(CHECK.format(password=PASSWORD))
        script.chmod(0o755)
        (services / service).write_text(stack.format(directory=services))
        hba = f"host all postgres all trust\nhost all all all pam pamservice={service} {options}\n"
        proxy.write_config(auth={"hba_file": proxy.write_file("pg_hba.conf", hba), "allow_cleartext": True,
                                 "pam_directory": "pam.d", **auth})
        proxy.start()
        return proxy
    return make


EXEC = "auth required pam_exec.so expose_authtok quiet {directory}/check\naccount required pam_permit.so\n"


def refusal(proxy, user: str, password: str) -> dict[str, str]:
    with Wire(proxy.port) as client:
        error = client.login(password, user=user)[-1]
    assert (error.kind, error.fields["S"]) == ("E", "FATAL")
    return error.fields


def test_the_services_verdict_counts(asking):
    proxy = asking("pgweir", EXEC)
    assert proxy.sql("SELECT current_user::text", user="app", password=PASSWORD) == [("app",)]
    for user, password in (("app", "wrong"), ("nobody", PASSWORD), ("app", PASSWORD + "x")):
        fields = refusal(proxy, user, password)
        assert (fields["C"], fields["M"]) == ("28000", f'PAM authentication failed for user "{user}"')
    assert refusal(proxy, "app", "")["C"] == "28P01"
    assert PASSWORD not in proxy.log()


def test_permit_and_deny(asking):
    assert asking("open", "auth required pam_permit.so\naccount required pam_permit.so\n") \
        .sql("SELECT 1", user="app", password="anything") == [(1,)]
    denied = asking("closed", "auth required pam_deny.so\naccount required pam_permit.so\n")
    assert refusal(denied, "app", PASSWORD)["C"] == "28000"


def test_an_account_that_may_not_be_used_is_refused_though_the_password_is_right(asking):
    proxy = asking("pgweir", EXEC.replace("account required pam_permit.so", "account required pam_deny.so"))
    assert refusal(proxy, "app", PASSWORD)["C"] == "28000"


def test_a_service_that_does_not_exist_lets_nobody_in(asking):
    """Nothing falls back to a service of the system."""
    proxy = asking("pgweir", EXEC)
    hba = proxy.directory / "pg_hba.conf"
    hba.write_text(hba.read_text().replace("pamservice=pgweir", "pamservice=missing"))
    done = proxy.log().count("reload_done")
    proxy.reload()
    proxy.wait_log("reload_done")
    assert proxy.log().count("reload_done") > done
    assert refusal(proxy, "app", PASSWORD)["C"] == "28000"


@pytest.mark.parametrize("options", ["", "pam_use_hostname=1"])
def test_the_service_is_told_where_the_client_is(asking, options):
    stack = ("auth required pam_exec.so expose_authtok quiet {directory}/where\n"
             "account required pam_permit.so\n")
    proxy = asking("pgweir", stack, options)
    script = proxy.directory / "pam.d/where"
    script.write_text('#!/bin/sh\necho "$PAM_RHOST" > "$(dirname "$0")/seen"\nexit 0\n')
    script.chmod(0o755)
    assert proxy.sql("SELECT 1", user="app", password="x") == [(1,)]
    seen = (proxy.directory / "pam.d/seen").read_text().strip()
    assert seen == "127.0.0.1" if not options else seen in ("localhost", "127.0.0.1")


def test_a_service_that_hangs_holds_up_nobody_else(asking):
    stack = ("auth required pam_exec.so quiet {directory}/hang\naccount required pam_permit.so\n")
    proxy = asking("pgweir", stack, login_timeout="2s")
    script = proxy.directory / "pam.d/hang"
    script.write_text("#!/bin/sh\nsleep 20\nexit 0\n")
    script.chmod(0o755)
    clients = [Wire(proxy.port) for _ in range(3)]
    for client in clients:
        client.send(wire.startup({"user": "app", "database": "test"}))
        assert client.read().kind == "R"
        client.send(wire.message(b"p", wire.cstring("x")))
    assert proxy.sql("SELECT 1", user="postgres") == [(1,)]
    for client in clients:
        assert [m.kind for m in client.read_to_end()] in ([], ["E"])
        client.socket.close()
    with pytest.raises(psycopg.OperationalError):
        proxy.sql("SELECT 1", user="app", password="x")
    # The services still hang: pgweir ends all the same (the fixture looks at its status).
    began = time.monotonic()
    proxy.close()
    assert time.monotonic() - began < 4
