"""SCRAM pass-through: pgweir has verifiers only, the servers ask for SCRAM, and no password stands anywhere."""

import contextlib
import os
from pathlib import Path

import psycopg
import pytest

from harness import roles
from harness.cluster import PASSWORD
from harness.waiting import wait_for

SECRET = "correct horse battery staple"
OTHER = "Tr0ub4dor&3"


@pytest.fixture
def group(cluster):
    with roles.group_that_proves_itself(cluster) as name:
        yield name


@pytest.fixture
def passing(cluster, group, make_proxy):
    """A proxy that knows the verifier of the role `carrier`, and no password."""
    roles.create_role(cluster, "carrier", SECRET)
    proxy = make_proxy(start=False)
    users = f'"carrier" "{roles.secret_of(cluster, "carrier")}"\n"postgres" "{roles.secret_of(cluster, "carrier")}"\n'
    proxy.write_config(auth={"method": "scram-sha-256", "users_file": proxy.write_file("users.txt", users)})
    proxy.login["password"] = SECRET
    proxy.start()
    return proxy


def change_users(proxy, cluster):
    verifier = roles.secret_of(cluster, "carrier")
    proxy.write_file("users.txt", f'"carrier" "{verifier}"\n"postgres" "{verifier}"\n')
    done = proxy.log().count("reload_done")
    proxy.reload()
    wait_for(lambda: proxy.log().count("reload_done") > done, "the reload")


@pytest.mark.parametrize("place", ["pg1", "pg2", "pg3"])
def test_the_clients_proof_opens_the_servers(passing, place):
    """The server really asks: without a proof it lets nobody of the group in."""
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(host="127.0.0.1", port=passing.config["nodes"][0]["port"], user="carrier", dbname="test")
    statement = f"/* pgweir: node={place} */ SELECT current_user::text, session_user::text"
    assert passing.sql(statement, user="carrier") == [("carrier", "carrier")]


def test_a_wrong_password_opens_nothing(passing):
    assert passing.sql("SELECT 1", user="carrier") == [(1,)]  # keys are there now
    with pytest.raises(psycopg.OperationalError, match='password authentication failed for user "carrier"'):
        passing.sql("SELECT 1", user="carrier", password=OTHER)


def test_connections_that_are_opened_later_have_the_keys_too(passing, cluster):
    """Many at once, on all workers, though each client proved itself once."""
    sessions = [passing.connect(user="carrier") for _ in range(12)]
    for session in sessions:
        session.autocommit = False
        assert session.execute("SELECT current_user::text").fetchone() == ("carrier",)  # each keeps its connection
    assert cluster.primary.sql("SELECT count(*) >= 12 FROM pg_stat_activity WHERE usename = 'carrier'") == [(True,)]
    for session in sessions:
        session.close()


def test_a_new_password_works_after_the_users_file_has_it(passing, cluster):
    with passing.connect(user="carrier") as old:
        assert old.execute("SELECT 1").fetchone() == (1,)
        cluster.primary.sql(f"ALTER ROLE carrier PASSWORD {roles.quoted(OTHER)}")
        cluster.wait_replayed()
        change_users(passing, cluster)
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            passing.sql("SELECT 1", user="carrier", password=SECRET)
        assert passing.sql("SELECT current_user::text", user="carrier", password=OTHER) == [("carrier",)]
        assert old.execute("SELECT 2").fetchone() == (2,)  # who is in stays in, as with PostgreSQL


def test_a_server_with_another_verifier_is_a_clear_error(passing, cluster):
    """The password was changed there and the users file was not: the old proof is of no use to that server."""
    cluster.primary.sql(f"ALTER ROLE carrier PASSWORD {roles.quoted(OTHER)}")
    cluster.wait_replayed()
    with pytest.raises(psycopg.OperationalError, match="another SCRAM verifier"):
        passing.sql("SELECT 1", user="carrier")
    change_users(passing, cluster)
    assert passing.sql("SELECT 1", user="carrier", password=OTHER) == [(1,)]


def test_connections_are_kept_ready_once_a_client_has_logged_in(cluster, group, make_proxy):
    roles.create_role(cluster, "carrier", SECRET)
    proxy = make_proxy(start=False)
    users = f'"carrier" "{roles.secret_of(cluster, "carrier")}"\n"postgres" "{roles.secret_of(cluster, "carrier")}"\n'
    proxy.write_config(auth={"method": "scram-sha-256", "users_file": proxy.write_file("users.txt", users)},
                       pool={"min_idle": 3})
    proxy.login["password"] = SECRET
    proxy.start()
    assert proxy.sql("SELECT 1", user="carrier") == [(1,)]
    wait_for(lambda: cluster.primary.sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'carrier'")[0][0] >= 3,
             "three connections that are kept ready")


def test_passwords_in_clear_text_and_md5_of_the_users_file_open_servers(make_proxy, cluster):
    """As PgBouncer uses its userlist.txt. The servers ask test_password, test_md5 and test_scram for their passwords."""
    md5 = cluster.primary.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'test_md5'")[0][0]
    assert md5.startswith("md5")
    proxy = make_proxy(start=False)
    lines = "".join(f'"{user}" "{PASSWORD}"\n' for user in ("test_password", "test_scram", "postgres"))
    proxy.write_config(auth={"method": "scram-sha-256", "users_file": proxy.write_file("users.txt", lines)})
    proxy.login["password"] = PASSWORD
    proxy.start()
    for user in ("test_password", "test_scram"):
        assert proxy.sql("SELECT current_user::text", user=user) == [(user,)]


def in_memory(pid: int, texts: list[bytes]) -> list[bytes]:
    """Those of `texts` that stand somewhere in what the process can write to."""
    found = set()
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            bounds, rights = line.split()[:2]
            if not rights.startswith("rw"):
                continue
            begin, end = (int(number, 16) for number in bounds.split("-"))
            with contextlib.suppress(OSError, OverflowError, ValueError):
                memory.seek(begin)
                piece = memory.read(end - begin)
                found.update(text for text in texts if text in piece)
    return sorted(found)


def test_no_password_stands_anywhere(passing, cluster):
    """Neither on disk, nor in the log at its most talkative, nor on the command line, nor in SHOW."""
    assert passing.config["log"]["level"] == "debug"
    with passing.connect(user="carrier") as session:
        session.execute("SELECT 1")
        shown = "".join(str(row) for what in ("pool_nodes", "pool_version", "pins")
                        for row in session.execute(f"SHOW {what}").fetchall())
        with pytest.raises(psycopg.OperationalError):
            passing.sql("SELECT 1", user="carrier", password=OTHER)
        verifier = roles.secret_of(cluster, "carrier")
        secrets = [SECRET, OTHER, verifier, verifier.split("$")[2].split(":")[0], verifier.split(":")[-1]]
        texts = {"log": passing.log(), "SHOW": shown}
        for place in ("cmdline", "environ", "comm"):
            texts[place] = Path(f"/proc/{passing.pid}/{place}").read_text(errors="replace")
        for path in passing.directory.iterdir():
            if path.is_file() and path.name != "users.txt":
                texts[path.name] = path.read_text(errors="replace")
        for place, text in texts.items():
            for secret in secrets:
                assert secret not in text, place
        assert all(one not in (passing.directory / "users.txt").read_text() for one in (SECRET, OTHER))
        if os.geteuid() == 0 and os.environ.get("PGWEIR_SANITIZE", "none") == "none":
            # The name shows that it was really read.
            assert in_memory(passing.pid, [b"carrier", SECRET.encode(), OTHER.encode()]) == [b"carrier"]


def test_others_of_the_same_user_cannot_look_into_the_process(passing):
    """No core file, no debugger: PR_SET_DUMPABLE is off, so even the files under /proc are root's."""
    assert Path(f"/proc/{passing.pid}/mem").stat().st_uid == 0


def test_a_password_in_clear_text_opens_servers_by_its_keys_and_is_not_kept(make_proxy, cluster, group):
    """Method password: what the client says is checked against the verifier, and what is left of it are the keys."""
    roles.create_role(cluster, "carrier", SECRET)
    proxy = make_proxy(start=False)
    hba = "host all postgres all trust\nhost all all all password\n"
    users = f'"carrier" "{roles.secret_of(cluster, "carrier")}"\n'
    proxy.write_config(auth={"hba_file": proxy.write_file("pg_hba.conf", hba), "allow_cleartext": True,
                             "users_file": proxy.write_file("users.txt", users)})
    proxy.start()
    assert proxy.sql("SELECT current_user::text", user="carrier", password=SECRET) == [("carrier",)]
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        proxy.sql("SELECT 1", user="carrier", password=OTHER)
    for secret in (SECRET, OTHER):
        assert secret not in proxy.log()
    if os.geteuid() == 0 and os.environ.get("PGWEIR_SANITIZE", "none") == "none":
        assert in_memory(proxy.pid, [b"carrier", SECRET.encode(), OTHER.encode()]) == [b"carrier"]
