"""routing.consistency: what a read must see, by configuration, by user and database, and by SET pgweir.consistency."""

import threading
import time

import psycopg
import pytest
from psycopg import errors

from harness.waiting import SCALE, wait_for

LEVELS = ["eventual", "session", "strict"]


@pytest.fixture(scope="module", autouse=True)
def table(cluster):
    cluster.primary.sql("CREATE TABLE IF NOT EXISTS fresh (id int PRIMARY KEY, n int NOT NULL)")
    cluster.primary.sql("INSERT INTO fresh SELECT id, 0 FROM generate_series(1, 20) id ON CONFLICT DO NOTHING")
    cluster.wait_replayed()
    yield
    cluster.primary.sql("DROP TABLE fresh")


@pytest.fixture
def pause(breakable_cluster):
    """pause(node): what comes later is not seen there."""
    def stop(*nodes) -> None:
        for node in nodes:
            node.sql("SELECT pg_wal_replay_pause()")
            wait_for(lambda: node.sql("SELECT pg_get_wal_replay_pause_state()") == [("paused",)], "replay to pause")
    breakable_cluster.wait_replayed()
    return stop


def write(session: psycopg.Connection, row: int, n: int) -> None:
    session.execute("UPDATE fresh SET n = %s WHERE id = %s", [n, row])


def read(session: psycopg.Connection, row: int) -> int:
    return session.execute("SELECT n FROM fresh WHERE id = %s", [row]).fetchone()[0]


def reads_on_standby(session: psycopg.Connection) -> bool:
    return session.execute("/* pgweir: standby */ SELECT pg_is_in_recovery()").fetchone()[0]


def level(session: psycopg.Connection) -> str:
    return session.execute("SHOW pgweir.consistency").fetchone()[0]


# --- what each level promises

@pytest.mark.parametrize("consistency, own, others", [("eventual", 0, 0), ("session", 1, 0), ("strict", 1, 1)])
def test_what_a_read_sees(make_proxy, breakable_cluster, pause, consistency, own, others):
    proxy = make_proxy(routing={"consistency": consistency})
    proxy.wait_standby_read()
    with proxy.connect() as writer, proxy.connect() as other:
        write(writer, 1, 0)
        breakable_cluster.wait_replayed()
        wait_for(lambda: reads_on_standby(other), "reads on standbys")
        pause(*breakable_cluster.standbys)
        write(writer, 1, 1)
        assert read(writer, 1) == own
        assert read(other, 1) == others


def test_strict_sees_what_a_client_of_another_worker_wrote(make_proxy, breakable_cluster, pause):
    proxy = make_proxy(routing={"consistency": "strict"}, workers=2)
    proxy.wait_standby_read()
    sessions = [proxy.connect() for _ in range(6)]
    try:
        pause(*breakable_cluster.standbys)
        for n, writer in enumerate(sessions, 1):
            write(writer, 2, n)
            assert {read(one, 2) for one in sessions} == {n}
    finally:
        for one in sessions:
            one.close()


@pytest.mark.parametrize("consistency", ["session", "strict"])
def test_a_session_does_not_go_back_to_a_standby_that_has_less(make_proxy, breakable_cluster, pause, consistency):
    """One standby has stopped; a session that has read from the other one never reads from it."""
    proxy = make_proxy(routing={"consistency": consistency})
    proxy.wait_standby_read()
    ahead, behind = breakable_cluster.standbys
    with proxy.connect() as writer:
        for attempt in range(5):
            breakable_cluster.heal()
            write(writer, 3, 0)
            breakable_cluster.wait_replayed()
            pause(behind)
            write(writer, 3, 1)
            wait_for(lambda: ahead.sql("SELECT n FROM fresh WHERE id = 3") == [(1,)], "the write to arrive")
            with proxy.connect() as reader:
                seen = [read(reader, 3) for _ in range(40)]
                assert seen == sorted(seen), seen


def test_what_was_seen_on_the_primary_counts(make_proxy, breakable_cluster, pause):
    proxy = make_proxy()
    proxy.wait_standby_read()
    with proxy.connect() as writer, proxy.connect() as reader:
        write(writer, 4, 0)
        breakable_cluster.wait_replayed()
        pause(*breakable_cluster.standbys)
        write(writer, 4, 1)
        assert reader.execute("/* pgweir: primary */ SELECT n FROM fresh WHERE id = 4").fetchone() == (1,)
        assert read(reader, 4) == 1


def test_a_client_that_never_pauses_does_not_stay_on_the_primary(make_proxy, cluster):
    proxy = make_proxy(routing={"freshness_wait": "1s"})
    proxy.wait_standby_read()
    with proxy.connect() as session:
        write(session, 5, 1)
        wait_for(lambda: reads_on_standby(session), "the reads to come back to the standbys", interval=0)
        assert all(reads_on_standby(session) for _ in range(50))


def test_nobody_waits_for_standbys_that_have_stopped(make_proxy, breakable_cluster, pause):
    """Their reads go to the primary; a wait is over in time, and its answer is right."""
    proxy = make_proxy(routing={"freshness_wait": "300ms"})
    proxy.wait_standby_read()
    with proxy.connect() as session:
        pause(*breakable_cluster.standbys)
        write(session, 6, 1)
        longest, ends = 0.0, time.monotonic() + 2.5 * SCALE
        while time.monotonic() < ends:
            began = time.monotonic()
            assert read(session, 6) == 1
            longest = max(longest, time.monotonic() - began)
        assert 0.2 < longest < 2 * SCALE, "it never waited, or for too long"


def test_who_waits_for_a_standby_can_be_cancelled_and_can_go(make_proxy, breakable_cluster, pause):
    proxy = make_proxy(routing={"freshness_wait": "10s"})
    proxy.wait_standby_read()
    pause(*breakable_cluster.standbys)
    with proxy.connect() as session:
        write(session, 7, 1)
        stopper = threading.Event()

        def cancel() -> None:
            while not stopper.wait(0.3):
                session.cancel()
        thread = threading.Thread(target=cancel)
        thread.start()
        try:
            with pytest.raises(errors.QueryCanceled):
                wait_for(lambda: not read(session, 7), "the read that waits to be cancelled", interval=0)
        finally:
            stopper.set()
            thread.join()
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_a_standby_that_is_too_old_gets_no_reads(make_proxy, breakable_cluster, pause):
    proxy = make_proxy(routing={"consistency": "eventual", "max_replica_delay": "500ms"})
    proxy.wait_standby_read()
    with proxy.connect() as writer, proxy.connect() as reader:
        pause(*breakable_cluster.standbys)
        write(writer, 8, 7)
        wait_for(lambda: read(reader, 8) == 7, "the reads to leave the standbys")
        breakable_cluster.heal()
        wait_for(lambda: reads_on_standby(reader), "the reads to come back")


# --- who asks for it

def test_of_a_user_and_of_a_database(make_proxy, cluster):
    proxy = make_proxy(routing={"consistency": "eventual"},
                       databases=[{"name": "test", "consistency": "session"}],
                       users=[{"name": "postgres", "consistency": "strict"}])
    with proxy.connect(user="postgres") as one, proxy.connect(user="traced") as other:
        assert (level(one), level(other)) == ("strict", "session")
        proxy.write_config(routing={"consistency": "eventual"}, databases=[], users=[])
        proxy.reload()
        wait_for(lambda: level(one) == "eventual" and level(other) == "eventual", "the reload")


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_set_show_and_reset(make_proxy, mode):
    proxy = make_proxy(pool={"mode": mode})
    with proxy.connect(autocommit=True) as session:
        assert level(session) == "session"
        for name in LEVELS:
            session.execute(f"SET pgweir.consistency = {name}")
            assert level(session) == name
        session.execute("RESET pgweir.consistency")
        assert level(session) == "session"
        with session.transaction():
            session.execute("SET LOCAL pgweir.consistency = 'strict'")
            assert level(session) == "strict"
        assert level(session) == "session"
        with session.transaction(force_rollback=True):
            session.execute("SET pgweir.consistency = 'eventual'")
            assert level(session) == "eventual"
        assert level(session) == "session"
        session.execute("SELECT set_config('pgweir.consistency', 'strict', false)")
        assert level(session) == "strict"
        session.execute("DISCARD ALL")
        assert level(session) == "session"


@pytest.mark.parametrize("mode", ["transaction", "session"])
def test_by_the_start_up_message(make_proxy, mode):
    proxy = make_proxy(pool={"mode": mode})
    with proxy.connect(options="-c pgweir.consistency=strict", autocommit=True) as session:
        assert level(session) == "strict"
        session.execute("SET pgweir.consistency = 'eventual'")
        assert level(session) == "eventual"
        session.execute("RESET pgweir.consistency")
        assert level(session) == "strict"
    with pytest.raises(psycopg.OperationalError, match='invalid value for parameter "pgweir.consistency": "fresh"'):
        proxy.connect(options="-c pgweir.consistency=fresh")


@pytest.mark.parametrize("text", ["SET pgweir.consistency = 'fresh'", "SET LOCAL pgweir.consistency = ''",
                                  "SET pgweir.consistency = 3"])
def test_a_value_that_is_none(proxy, text):
    with proxy.connect(autocommit=True) as session:
        with pytest.raises(errors.InvalidParameterValue) as caught:
            session.execute(text)
        assert caught.value.diag.message_hint == "Available values: eventual, session, strict."
        assert level(session) == "session"
        with pytest.raises(errors.InvalidParameterValue), session.transaction():
            session.execute("SELECT 1")
            session.execute(text)
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_set_takes_effect_for_the_next_read(make_proxy, breakable_cluster, pause):
    proxy = make_proxy(routing={"consistency": "eventual"})
    proxy.wait_standby_read()
    with proxy.connect(autocommit=True) as session:
        write(session, 9, 0)
        breakable_cluster.wait_replayed()
        pause(*breakable_cluster.standbys)
        write(session, 9, 1)
        assert read(session, 9) == 0
        session.execute("SET pgweir.consistency = 'session'")
        assert read(session, 9) == 1
        session.execute("SET pgweir.consistency = 'eventual'")
        assert read(session, 9) == 0
