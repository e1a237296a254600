"""auth_query: a role in PostgreSQL is enough to log in; pgweir keeps no list of users."""

import concurrent.futures
import contextlib
import time

import psycopg
import pytest

from harness import roles, wire
from harness.cluster import Cluster
from harness.proxy import Pgweir, scram_verifier
from harness.waiting import SCALE, wait_for
from harness.wire import Wire

SECRET = "correct horse"
OTHER = "battery staple"

# As docs/security.md has it.
SETUP = """
CREATE ROLE pgweir_auth LOGIN;
CREATE SCHEMA pgweir;
GRANT USAGE ON SCHEMA pgweir TO pgweir_auth;
CREATE FUNCTION pgweir.lookup(name text, OUT rolname text, OUT rolpassword text, OUT rolvaliduntil timestamptz)
  RETURNS SETOF record LANGUAGE sql STABLE STRICT SECURITY DEFINER SET search_path = pg_catalog, pg_temp
  AS $$ SELECT a.rolname::text, a.rolpassword, a.rolvaliduntil
        FROM pg_catalog.pg_authid AS a WHERE a.rolname = $1 AND a.rolcanlogin $$;
REVOKE ALL ON FUNCTION pgweir.lookup(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pgweir.lookup(text) TO pgweir_auth;
"""


@pytest.fixture
def group(cluster):
    cluster.primary.sql(SETUP, dbname="postgres")
    with roles.group_that_proves_itself(cluster) as name:
        yield name
    cluster.primary.sql("DROP SCHEMA pgweir CASCADE; DROP ROLE pgweir_auth", dbname="postgres")
    cluster.wait_replayed()


@pytest.fixture
def asking(cluster, group, make_proxy):
    """A proxy without any list of users, but for the superuser that the harness itself needs."""
    def make(**auth):
        proxy = make_proxy(start=False)
        proxy.write_config(auth={"method": "scram-sha-256", "auth_user": "pgweir_auth", "cache_ttl": "1h",
                                 "users_file": proxy.write_file("users.txt", f'"postgres" "{scram_verifier(SECRET)}"\n'),
                                 **auth})
        proxy.login["password"] = SECRET
        proxy.start()
        return proxy
    return make


def refused(proxy, user, password) -> bool:
    with pytest.raises(psycopg.OperationalError, match=f'password authentication failed for user "{user}"'):
        proxy.sql("SELECT 1", user=user, password=password)
    return True


def test_a_new_role_is_enough(asking, cluster):
    proxy = asking()
    assert refused(proxy, "fresh", SECRET)
    roles.create_role(cluster, "fresh", SECRET)
    wait_for(lambda: logs_in(proxy, "fresh", SECRET), "the new role to log in", timeout=5)
    assert proxy.sql("SELECT current_user::text", user="fresh") == [("fresh",)]  # the server asked too: pass-through
    assert refused(proxy, "fresh", OTHER)


def logs_in(proxy, user, password) -> bool:
    try:
        return proxy.sql("SELECT 1", user=user, password=password) == [(1,)]
    except psycopg.OperationalError:
        return False


def test_answers_are_cached_and_asked_again_after_a_failure(asking, cluster):
    proxy = asking()
    roles.create_role(cluster, "fresh", SECRET)
    assert logs_in(proxy, "fresh", SECRET)
    cluster.primary.sql(f"ALTER ROLE fresh PASSWORD {roles.quoted(OTHER)}")
    cluster.wait_replayed()
    # The first failure makes it ask again; the time to live is an hour.
    wait_for(lambda: logs_in(proxy, "fresh", OTHER), "the new password to be taken", timeout=5)
    assert refused(proxy, "fresh", SECRET)
    assert logs_in(proxy, "fresh", OTHER)


def test_without_a_cache_each_login_asks(asking, cluster):
    proxy = asking(cache_ttl="0s")
    roles.create_role(cluster, "fresh", SECRET)
    assert logs_in(proxy, "fresh", SECRET)
    cluster.primary.sql(f"ALTER ROLE fresh PASSWORD {roles.quoted(OTHER)}")
    cluster.wait_replayed()
    assert logs_in(proxy, "fresh", OTHER)


def test_a_dropped_role_and_one_that_may_not_log_in(asking, cluster):
    proxy = asking(cache_ttl="0s")
    roles.create_role(cluster, "fresh", SECRET)
    assert logs_in(proxy, "fresh", SECRET)
    cluster.primary.sql("ALTER ROLE fresh NOLOGIN")
    assert refused(proxy, "fresh", SECRET)
    cluster.primary.sql("DROP ROLE fresh")
    assert refused(proxy, "fresh", SECRET)


def test_an_expired_password_is_refused_as_postgresql_does(asking, cluster):
    proxy = asking(cache_ttl="0s")
    roles.create_role(cluster, "fresh", SECRET)
    cluster.primary.sql("ALTER ROLE fresh VALID UNTIL '2001-01-01'")
    assert refused(proxy, "fresh", SECRET)
    proxy.wait_log("password_expired user=fresh")
    cluster.primary.sql("ALTER ROLE fresh VALID UNTIL 'infinity'")
    assert logs_in(proxy, "fresh", SECRET)
    # While the answer is cached the time passes all the same.
    cached = asking()
    until = cluster.primary.sql("SELECT date_trunc('second', clock_timestamp()) + '3 s'")[0][0]
    cluster.primary.sql(f"ALTER ROLE fresh VALID UNTIL '{until.isoformat()}'")
    assert logs_in(cached, "fresh", SECRET)
    wait_for(lambda: not logs_in(cached, "fresh", SECRET), "the password to expire", timeout=10, interval=0.3)
    assert refused(cached, "fresh", SECRET)


def test_a_role_without_a_password_never_comes_in(asking, cluster):
    proxy = asking()
    cluster.primary.sql("CREATE ROLE fresh LOGIN IN ROLE scrammers")
    assert refused(proxy, "fresh", SECRET)
    assert refused(proxy, "fresh", OTHER)


def test_the_users_file_comes_first(asking, cluster):
    """`postgres` stands in the file: what the node knows of it does not count."""
    proxy = asking()
    assert logs_in(proxy, "postgres", SECRET)
    assert cluster.primary.sql("SELECT rolpassword FROM pg_authid WHERE rolname = 'postgres'") == [(None,)]


def test_who_exists_cannot_be_told(asking, cluster):
    """Existing and not, wrong password: the same messages, byte for byte, but for the nonces and salts."""
    proxy = asking()
    roles.create_role(cluster, "fresh", SECRET)

    def exchange(user):
        with Wire(proxy.port) as client:
            messages = client.login("wrong", user=user)
        kinds = [m.kind for m in messages]
        sizes = [len(m.body) for m in messages]
        fields = {code: text.replace(user, "USER") for code, text in messages[-1].fields.items()}
        return kinds, sizes, fields
    assert exchange("fresh") == exchange("blank")
    assert exchange("fresh")[2]["C"] == "28P01"

    def salt(user):
        with Wire(proxy.port) as client:
            client.send(wire.startup({"user": user, "database": "test"}))
            client.read()
            client.send(wire.ScramClient("x").initial())
            return client.read().body[4:].split(b",")[1:]
    assert salt("blank") == salt("blank")
    assert [part[:2] for part in salt("blank")] == [part[:2] for part in salt("fresh")]
    assert salt("blank")[1] == salt("fresh")[1] == b"i=4096"


def test_many_logins_of_one_user_are_one_question(asking, cluster):
    proxy = asking()
    roles.create_role(cluster, "fresh", SECRET)
    sessions = [proxy.connect(user="fresh") for _ in range(30)]
    for session in sessions:
        session.close()
    assert proxy.log().count("auth_query_answer") == 1


def test_a_broken_query_is_told_in_the_log_and_not_to_the_client(asking, cluster):
    proxy = asking(auth_query="SELECT rolname, rolpassword FROM pgweir.missing($1)")
    with pytest.raises(psycopg.OperationalError, match="users cannot be looked up at this moment"):
        proxy.sql("SELECT 1", user="fresh")
    proxy.wait_log("auth_query_failed .*missing")
    assert logs_in(proxy, "postgres", SECRET)


def test_the_answer_must_be_about_the_user(asking, cluster):
    """A query with a fault that gives another user's secret lets nobody in with it."""
    roles.create_role(cluster, "fresh", SECRET)
    proxy = asking(auth_query="SELECT rolname, rolpassword FROM pgweir.lookup('fresh') WHERE $1 <> ''")
    with pytest.raises(psycopg.OperationalError, match="users cannot be looked up at this moment"):
        proxy.sql("SELECT 1", user="intruder")
    assert logs_in(proxy, "fresh", SECRET)


def test_when_the_primary_is_away_a_standby_is_asked(asking, breakable_cluster):
    proxy = asking(cache_ttl="0s")
    roles.create_role(breakable_cluster, "fresh", SECRET)
    assert logs_in(proxy, "fresh", SECRET)
    asked = proxy.log().count("auth_query_answer")
    breakable_cluster.primary.stop("immediate")
    proxy.wait_log("node_state node=pg1 .*new_state=down")
    with Wire(proxy.port) as client:
        client.login(SECRET, user="fresh")  # what follows needs the primary or not: not the matter here
    assert proxy.log().count("auth_query_answer") > asked


def test_a_name_that_looks_like_sql_is_only_a_name(asking, cluster):
    proxy = asking()
    hostile = "x'; DROP ROLE pgweir_auth; --"
    with Wire(proxy.port) as client:
        assert client.login("x", user=hostile)[-1].sqlstate == "28P01"
    assert cluster.primary.sql("SELECT count(*) FROM pg_roles WHERE rolname = 'pgweir_auth'") == [(1,)]


# --- when no node is up -----------------------------------------------------------------------------------------------

@contextlib.contextmanager
def alone(**sections):
    """One node, and a proxy that asks it for users; `fresh` is one of them. Both are of this test alone."""
    with Cluster(standbys=0) as cluster:
        cluster.primary.sql(SETUP, dbname="postgres")
        with roles.group_that_proves_itself(cluster):
            roles.create_role(cluster, "fresh", SECRET)
            with Pgweir(cluster.nodes, start=False, admin={"users": "boss"}, **sections) as proxy:
                listed = "".join(f'"{name}" "{scram_verifier(SECRET)}"\n' for name in ("postgres", "boss"))
                proxy.write_config(auth={"method": "scram-sha-256", "auth_user": "pgweir_auth",
                                         "users_file": proxy.write_file("users.txt", listed)})
                proxy.login["password"] = SECRET
                proxy.start()
                yield cluster, proxy
            if not cluster.primary.running:
                cluster.primary.start()


def lose_the_node(cluster, proxy) -> None:
    cluster.primary.kill()

    def is_away() -> bool:
        with proxy.connect(user="boss", dbname="pgweir") as console:
            return console.execute("SHOW FAILOVER").fetchone()[3] == ""
    wait_for(is_away, "the node to be found away")


def in_a_thread(what) -> concurrent.futures.Future:
    return concurrent.futures.ThreadPoolExecutor(1).submit(what)


@pytest.mark.parametrize("dbname", ["test", "postgres"])
def test_who_is_known_logs_in_from_the_cache_and_waits_as_others(dbname):
    """To `test` it has been before, so it is in at once; what another database says at a login only a server knows."""
    with alone(auth={"cache_ttl": "1h"}) as (cluster, proxy):
        assert logs_in(proxy, "fresh", SECRET)
        lose_the_node(cluster, proxy)
        assert refused(proxy, "fresh", OTHER)
        login = in_a_thread(lambda: proxy.sql("SELECT 1", user="fresh", dbname=dbname))
        proxy.wait_log(" held ")
        assert not login.done()
        cluster.primary.start()
        assert login.result(40 * SCALE) == [(1,)]


def test_who_is_not_known_waits_for_a_node_to_ask():
    with alone(auth={"cache_ttl": "0s"}) as (cluster, proxy):
        lose_the_node(cluster, proxy)
        right, wrong = in_a_thread(lambda: logs_in(proxy, "fresh", SECRET)), in_a_thread(lambda: refused(proxy, "fresh", OTHER))
        nobody = in_a_thread(lambda: refused(proxy, "nobody", SECRET))
        assert not concurrent.futures.wait([right, wrong, nobody], timeout=0.5).done
        cluster.primary.start()
        assert right.result(40 * SCALE) and wrong.result(40 * SCALE) and nobody.result(40 * SCALE)


@pytest.mark.parametrize("limits", [{"failover": {"hold_timeout": "500ms"}}, {"auth": {"login_timeout": "1s"}},
                                    {"failover": {"hold_timeout": "0s"}}])
def test_it_is_told_when_that_takes_too_long(limits):
    """By an error, and not by the silence that ends a login at auth.login_timeout. For unknown users it is the same."""
    sections = {"auth": {"cache_ttl": "0s"} | limits.get("auth", {}), "failover": limits.get("failover", {})}
    with alone(**sections) as (cluster, proxy):
        assert logs_in(proxy, "fresh", SECRET)
        lose_the_node(cluster, proxy)
        for user in ("fresh", "nobody"):
            begin = time.monotonic()
            with pytest.raises(psycopg.OperationalError, match="users cannot be looked up at this moment"):
                proxy.connect(user=user)
            assert time.monotonic() - begin < 5 * SCALE
        cluster.primary.start()
        wait_for(lambda: logs_in(proxy, "fresh", SECRET), "the login")
