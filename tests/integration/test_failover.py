"""Failovers by pgweir: who is promoted, who follows, and what is no reason for one. Each test has a cluster of its own."""

import contextlib
import pwd
import re
import subprocess
import time

import psycopg
import pytest

from harness.cluster import Cluster, as_server, server_user
from harness.proxy import REPOSITORY, Pgweir
from harness.release import server_bin
from harness.waiting import SCALE, wait_for

FAST = {"interval": "1s", "timeout": "1s", "user": "postgres"}


@contextlib.contextmanager
def failing(standbys: int = 2, settings: str = "", nodes: dict | None = None, **sections):
    """A cluster and a proxy in charge of it. `nodes`: what is said of single nodes besides."""
    failover = {"mode": "promote", "state_file": "failover.state"} | sections.pop("failover", {})
    monitor = FAST | sections.pop("monitor", {})
    with Cluster(standbys=standbys, settings=settings) as cluster:
        listed = [{"name": n.name, "host": n.host, "port": n.port, "weight": 1} | (nodes or {}).get(n.name, {})
                  for n in cluster.nodes]
        with Pgweir(cluster.nodes, nodes=listed, failover=failover, monitor=monitor, **sections) as proxy:
            yield cluster, proxy


def primary_name(proxy) -> str | None:
    with contextlib.suppress(Exception):
        return next((row["name"] for row in proxy.pool_nodes() if row["role"] == "primary" and row["status"] == "up"), None)
    return None


def wait_primary(proxy, name: str | None = None, but: str | None = None, timeout: float = 20.0) -> str:
    def found():
        now = primary_name(proxy)
        return now if now and (name is None or now == name) and now != but else None
    return wait_for(found, f"{name or 'another primary'} to be the primary", timeout)


def write(proxy) -> None:
    proxy.sql("CREATE TABLE IF NOT EXISTS written (id int)")
    proxy.sql("INSERT INTO written VALUES (1)")


def write_soon(proxy) -> None:
    """The connection that it gets may have been ended a moment ago."""
    def written() -> bool:
        try:
            write(proxy)
            return True
        except psycopg.OperationalError:
            return False
    wait_for(written, "a write")


def wait_follows(cluster, name: str, upstream: str) -> None:
    wait_for(lambda: cluster.node(upstream).sql(
        "SELECT 1 FROM pg_stat_replication WHERE application_name = %s AND state = 'streaming'", name),
        f"{name} to follow {upstream}")


def promotions(proxy) -> list[str]:
    return re.findall(r"failover_action .*action=promote node=(\w+)", proxy.log())


def test_a_killed_primary_is_replaced_within_two_seconds_and_the_others_follow():
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        begin = time.monotonic()
        wait_for(lambda: proxy.log_has(r"failover what=primary node=pg[23]"), "a new primary", interval=0.01)
        assert time.monotonic() - begin < 2.0 * SCALE
        new = wait_primary(proxy, but="pg1")
        other = "pg3" if new == "pg2" else "pg2"
        wait_follows(cluster, other, new)
        proxy.wait_nodes({new: "up", other: "up", "pg1": "down"})
        write(proxy)
        assert promotions(proxy) == [new]
        conninfo = cluster.node(other).sql("SHOW primary_conninfo")[0][0]
        assert f"port={cluster.node(new).port}" in conninfo and f"application_name={other}" in conninfo


@pytest.mark.parametrize("ahead", ["pg2", "pg3"])
def test_with_any_1_the_standby_that_has_the_commits_is_promoted(ahead):
    behind = "pg3" if ahead == "pg2" else "pg2"
    with failing(settings="synchronous_standby_names = 'ANY 1 (pg2, pg3)'\nwal_receiver_status_interval = 1s\n") as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        # The one that is behind has lost its receiver; commits go on with the other one.
        cluster.node(behind).sql("ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.1 port=1'")
        cluster.node(behind).sql("SELECT pg_reload_conf()")
        wait_for(lambda: not cluster.node(behind).sql("SELECT 1 FROM pg_stat_wal_receiver"), "the receiver to end")
        for number in range(2, 52):
            proxy.sql("INSERT INTO written VALUES (%s)", number)
        cluster.primary.kill()
        assert wait_primary(proxy, but="pg1") == ahead
        assert cluster.node(ahead).sql("SELECT count(*) FROM written") == [(51,)]
        wait_follows(cluster, behind, ahead)
        assert promotions(proxy) == [ahead]


def test_the_one_that_is_further_decides_and_priority_only_between_equals():
    with failing(nodes={"pg3": {"priority": 10}}) as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()  # a stop would write one record more, which one of them may have first
        assert wait_primary(proxy, but="pg1") == "pg3"


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_a_stopped_primary_is_replaced(mode):
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.primary.stop(mode)
        new = wait_primary(proxy, but="pg1")
        write(proxy)
        assert promotions(proxy) == [new]


def test_a_primary_that_hangs_is_replaced_and_quarantined_when_it_goes_on():
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.primary.pause()
        new = wait_primary(proxy, but="pg1", timeout=30)
        write(proxy)
        cluster.primary.resume()
        proxy.wait_nodes({"pg1": "quarantine", new: "up"})
        write(proxy)
        assert primary_name(proxy) == new
        assert promotions(proxy) == [new]
        assert proxy.log_has(r'node=pg1 .*new_state=quarantined .*timeline=1 reason="a second primary: node')


def test_what_is_no_reason_for_a_failover():
    with failing(failover={"refused_grace": f"{5 * SCALE:.0f}s"}) as (cluster, proxy):
        write(proxy)
        monitors = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pgweir_monitor'"
        for _ in range(5):
            for node in cluster.nodes:
                node.sql(monitors)
            cluster.primary.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() "
                                "AND backend_type = 'client backend'")
            write_soon(proxy)
        assert not proxy.log_has(r"node=pg1 .*new_state=down")
        cluster.primary.sql("CREATE DATABASE away")
        with proxy.connect(dbname="away", user="app") as session:
            session.execute("SELECT 1")
            cluster.primary.sql("DROP DATABASE away WITH (FORCE)")
        write_soon(proxy)
        assert not proxy.log_has(r"node=pg1 .*new_state=down")
        for how in ("fast", "immediate"):
            cluster.primary.restart(how)
            wait_primary(proxy, "pg1")
            write_soon(proxy)
        assert promotions(proxy) == []
        assert all(not node.sql("SELECT 1 WHERE NOT pg_is_in_recovery()") for node in cluster.standbys)
        for node in cluster.standbys:
            assert "port" in node.sql("SHOW primary_conninfo")[0][0]


def test_in_observe_a_promotion_by_hand_is_followed():
    with failing(failover={"mode": "observe", "state_file": ""}) as (cluster, proxy):
        write(proxy)
        cluster.primary.kill()
        proxy.wait_nodes({"pg1": "down"})
        cluster.node("pg3").sql("SELECT pg_promote()")
        wait_primary(proxy, "pg3")
        write(proxy)
        assert not proxy.log_has("failover_action ")


def test_in_promote_a_promotion_by_hand_is_followed_too():
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.node("pg2").sql("SELECT pg_promote()")
        wait_primary(proxy, "pg2")
        proxy.wait_nodes({"pg1": "quarantine"})
        wait_follows(cluster, "pg3", "pg2")
        write(proxy)
        assert promotions(proxy) == []


def rejoin_settings(cluster) -> dict:
    """The reference script on nodes that the harness has started, run as the server's user."""
    entry = pwd.getpwnam(server_user()) if server_user() else None
    become = f"/usr/bin/setpriv --reuid {entry.pw_uid} --regid {entry.pw_gid} --clear-groups -- " if entry else ""
    start = f"{server_bin()}/pg_ctl -D %D -l {cluster.directory}/rejoined.log -w start -o '-p %p -k {cluster.directory}'"
    return {"rejoin_command": f"{become}/usr/bin/env PGWEIR_BIN={server_bin()} PGWEIR_REPLICATION_USER=postgres "
                              f"PGWEIR_STANDBY_NAME=pg1 PGWEIR_START=\"{start}\" "
                              f"{REPOSITORY}/config/pgweir_rejoin.sh %D %p %H %r"}


@contextlib.contextmanager
def rejoining(settings: str, **failover):
    """As `failing`, with a rejoin command; ends the servers that it has started."""
    with Cluster(standbys=2, settings=settings) as cluster:
        listed = [{"name": n.name, "host": n.host, "port": n.port, "data_directory": str(n.data)} for n in cluster.nodes]
        failover = {"mode": "promote", "state_file": "failover.state"} | rejoin_settings(cluster) | failover
        try:
            with Pgweir(cluster.nodes, nodes=listed, monitor=FAST, failover=failover) as proxy:
                yield cluster, proxy
        finally:
            subprocess.run(as_server([server_bin() / "pg_ctl", "-D", cluster.primary.data, "-m", "immediate", "stop"]),
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.parametrize("hints", ["on", "off"])
def test_an_old_primary_that_comes_back_is_rejoined(hints):
    """With hint bits logged it is rewound, else it is made anew."""
    with rejoining(f"wal_log_hints = {hints}\nfull_page_writes = on\n") as (cluster, proxy):
        write(proxy)
        cluster.primary.kill()
        new = wait_primary(proxy, but="pg1")
        write(proxy)
        cluster.primary.start()
        proxy.wait_log(r"node=pg1 .*new_state=quarantined")
        proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"}, timeout=40)
        assert primary_name(proxy) == new
        wait_follows(cluster, "pg1", new)
        assert proxy.log_has("line=rewound") == (hints == "on")
        assert proxy.log_has(r"command_output command=rejoin_command node=pg1 line=done")


COMMANDS = {"failover_command": "echo \"failover %d %h %p %m %H %r %P %M %N %S %%\"; psql -X -h %H -p %r -U postgres "
                                "-d postgres -c 'SELECT pg_promote()'",
            "follow_command": "echo \"follow %d %p %m %r %P\"; psql -X -h %h -p %p -U postgres -d postgres -c \"ALTER SYSTEM "
                              "SET primary_conninfo = 'host=%H port=%r user=postgres application_name=pg3'\" "
                              "-c 'SELECT pg_reload_conf()'"}


def test_the_operators_commands():
    with failing(nodes={"pg2": {"priority": 1}}, failover={"mode": "command", **COMMANDS}) as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        assert wait_primary(proxy, but="pg1") == "pg2"
        wait_follows(cluster, "pg3", "pg2")
        ports = [str(node.port) for node in cluster.nodes]
        lines = re.findall(r'line="(failover|follow) ([^"]*)"', proxy.log())
        assert lines[0] == ("failover", f"0 127.0.0.1 {ports[0]} 1 127.0.0.1 {ports[1]} 0 0 127.0.0.1 {ports[0]} %")
        assert ("follow", f"2 {ports[2]} 1 {ports[1]} 0") in lines
        proxy.wait_nodes({"pg2": "up", "pg3": "up"})


def test_a_command_that_hangs_is_ended():
    with failing(failover={"mode": "command", "command_timeout": "1s",
                           "failover_command": "echo begun; sleep 600"}) as (cluster, proxy):
        write(proxy)
        cluster.primary.kill()
        proxy.wait_log(r"failover_action_ended .*outcome=unknown reason=\".*its time was over")


def test_a_pgweir_that_is_killed_in_the_middle_goes_on_where_it_was():
    """Its standbys are cut off and nobody is promoted: without its memory it would not know how to go on."""
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        proxy.wait_log("failover_action id=[0-9]+ action=stop_receiving")
        proxy.kill()
        state = (proxy.directory / "failover.state").read_text()
        assert "cut_off: true" in state and 'primary: "pg1"' in state
        proxy.start(nodes_up=False)
        new = wait_primary(proxy, but="pg1")
        other = "pg3" if new == "pg2" else "pg2"
        wait_follows(cluster, other, new)
        proxy.wait_nodes({new: "up", other: "up"})
        write(proxy)


def test_a_bad_state_file_is_an_error_at_the_start():
    with failing() as (cluster, proxy):
        proxy.kill()
        path = proxy.directory / "failover.state"
        assert path.stat().st_mode & 0o777 == 0o600
        path.write_text(path.read_text()[:100])
        done = proxy.check()
        assert done.returncode == 1 and "failover.state" in done.stdout and "hint:" in done.stdout
        path.unlink()
        assert proxy.check().returncode == 0
        proxy.start()


def test_single_resumes_when_another_server_has_taken_the_address():
    """Shared storage or block replication: the data comes up again elsewhere; a promoted standby takes over the address."""
    with Cluster(standbys=1) as cluster:
        first, second = cluster.nodes
        with Pgweir([first], topology="single", monitor=FAST) as proxy:
            write(proxy)
            cluster.wait_replayed()
            first.kill()
            proxy.wait_nodes({"pg1": "down"})
            first.start()
            proxy.wait_nodes({"pg1": "up"})
            write(proxy)
            cluster.wait_replayed()
            first.kill()
            second.sql("SELECT pg_promote()")
            second.stop("fast")
            second.port, first.port = first.port, second.port
            second.start()
            proxy.wait_nodes({"pg1": "up"})
            assert proxy.sql("SELECT count(*) FROM written") == [(2,)]
            write(proxy)
            # The one before comes back at the address: it has not what was written since.
            second.stop("fast")
            second.port, first.port = first.port, second.port
            first.start()
            proxy.wait_nodes({"pg1": "quarantine"})
            assert proxy.log_has(r'node=pg1 .*new_state=quarantined .*reason="it is on timeline 1, the primary on 2"')


def test_nodes_are_added_and_removed_by_a_reload():
    with Cluster(standbys=2) as cluster:
        with Pgweir(cluster.nodes[:2], monitor=FAST) as proxy:
            everybody = [{"name": n.name, "host": n.host, "port": n.port} for n in cluster.nodes]
            proxy.wait_standby_read(user="traced")
            with proxy.connect(user="traced") as session, proxy.connect() as writer:
                writer.execute("CREATE TABLE written (id int)")
                proxy.write_config(nodes=everybody)
                proxy.reload()
                proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"})
                wait_for(lambda: session.execute("SELECT 1") and proxy.reads()["pg3"] > 0, "reads on the new node")
                proxy.write_config(nodes=[everybody[2], everybody[0]])
                proxy.reload()
                proxy.wait_log(r"node_state node=pg2 .*new_state=disabled")
                before = cluster.received("after it was removed")
                for _ in range(20):
                    session.execute("SELECT 'after it was removed'")
                    writer.execute("INSERT INTO written VALUES (1)")
                assert before == {} and set(cluster.received("after it was removed")) == {"pg3"}
                cluster.node("pg2").stop("fast")
                # The primary stays as long as it is one.
                proxy.write_config(nodes=[everybody[2]])
                proxy.reload()
                proxy.wait_log("nodes.*old=\"pg1, pg3\" new=pg3|nodes.*pg1, pg3")
                writer.execute("INSERT INTO written VALUES (1)")
                cluster.node("pg2").start()
                proxy.write_config(nodes=everybody)
                proxy.reload()
                proxy.wait_nodes({"pg1": "up", "pg2": "up", "pg3": "up"})
                writer.execute("INSERT INTO written VALUES (1)")


RIGHTS = """
CREATE ROLE pgweir_failover LOGIN IN ROLE pg_monitor, pg_signal_backend;
GRANT ALTER SYSTEM ON PARAMETER primary_conninfo, default_transaction_read_only TO pgweir_failover;
GRANT EXECUTE ON FUNCTION pg_promote(boolean, integer), pg_reload_conf() TO pgweir_failover;
ALTER ROLE pgweir_failover REPLICATION;
"""


def test_without_a_superuser_and_with_slots():
    with failing(failover={"user": "pgweir_failover"}, monitor={"user": "pgweir_monitor"}) as (cluster, proxy):
        cluster.primary.sql(RIGHTS, dbname="postgres")
        for node in cluster.standbys:
            cluster.primary.sql("SELECT pg_create_physical_replication_slot(%s, true)", f"of_{node.name}")
            node.sql(f"ALTER SYSTEM SET primary_slot_name = 'of_{node.name}'")
            node.sql("SELECT pg_reload_conf()")
        cluster.wait_streaming()
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        new = wait_primary(proxy, but="pg1")
        other = "pg3" if new == "pg2" else "pg2"
        wait_follows(cluster, other, new)
        assert cluster.node(new).sql("SELECT active FROM pg_replication_slots WHERE slot_name = %s", f"of_{other}") == [(True,)]
        assert not proxy.log_has("permission denied")
        write(proxy)


def test_a_user_without_rights_promotes_nobody_and_says_so():
    with failing(monitor={"user": "pgweir_monitor"}) as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.primary.kill()
        proxy.wait_log(r'failover_action_ended .*action=stop_receiving .*outcome=refused reason="ERROR:  permission denied')
        began = time.monotonic()
        wait_for(lambda: time.monotonic() - began > 4, "a few attempts")
        assert proxy.log().count("failover_action_ended") < 30
        assert promotions(proxy) == []
        cluster.primary.start()
        wait_primary(proxy, "pg1")
        write(proxy)


def test_a_standby_that_hangs_meanwhile_follows_when_it_goes_on():
    with failing() as (cluster, proxy):
        write(proxy)
        cluster.wait_replayed()
        cluster.node("pg3").pause()
        cluster.primary.kill()
        assert wait_primary(proxy, but="pg1", timeout=30) == "pg2"
        write(proxy)
        cluster.node("pg3").resume()
        wait_follows(cluster, "pg3", "pg2")
        proxy.wait_nodes({"pg2": "up", "pg3": "up"})
        assert promotions(proxy) == ["pg2"]


def test_a_server_that_hung_does_not_do_late_what_it_was_told():
    """What ActionSession rests on: the session's time is over before the server sees the statement that waits."""
    with Cluster(standbys=0) as cluster:
        node = cluster.primary
        with contextlib.suppress(psycopg.OperationalError), node.connect() as session:
            session.execute("SELECT set_config('idle_session_timeout', '300', false)")
            node.pause()
            session.pgconn.send_query(b"ALTER SYSTEM SET application_name = 'too late'")
            began = time.monotonic()
            wait_for(lambda: time.monotonic() - began > 0.6, "its time to be over")
            node.resume()
            wait_for(lambda: "idle-session timeout" in node.log_tail(), "the session to end")
        assert "too late" not in (node.data / "postgresql.auto.conf").read_text()
