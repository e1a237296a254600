"""How a session begins: negotiation, parameters, keys, cancelling, and what is refused."""

import struct

import psycopg
import pytest

from harness import release, wire
from harness.waiting import wait_for
from harness.wire import Wire


def first_reply(port: int, packet: bytes) -> wire.Message:
    with Wire(port) as client:
        client.send(packet)
        return client.read()


def running(node, marker: str) -> bool:
    """Asleep in it, that is: a cancel that comes between Parse and Execute would be ignored, rightly."""
    return bool(node.sql("SELECT 1 FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND query LIKE %s", f"%{marker}%"))


@pytest.mark.parametrize("request_bytes", [wire.SSL_REQUEST, wire.GSSENC_REQUEST])
def test_encryption_is_refused_politely(proxy, request_bytes):
    with Wire(proxy.port) as client:
        client.send(request_bytes)
        assert client.read_byte() == b"N"
        assert client.login()[-1].kind == "Z"


def test_both_encryption_requests_one_after_the_other(proxy):
    with Wire(proxy.port) as client:
        for request in (wire.GSSENC_REQUEST, wire.SSL_REQUEST):
            client.send(request)
            assert client.read_byte() == b"N"
        assert client.login()[-1].kind == "Z"


@pytest.mark.parametrize("version, extra", [(wire.PROTOCOL_3_2, {}), (wire.PROTOCOL_3_0, {"_pq_.feature": "on"}),
                                            (wire.PROTOCOL_3_2, {"_pq_.one": "1", "_pq_.two": "2"})])
def test_unknown_protocol_parts_are_negotiated(proxy, cluster, version, extra):
    packet = wire.startup({"user": "postgres", "database": "test"} | extra, version)
    expected = first_reply(cluster.primary.port, packet)
    assert expected.kind == ("R" if release.major() >= 18 and not extra else "v")
    assert first_reply(proxy.port, packet) == expected
    with Wire(proxy.port) as client:
        assert client.login(version=version, **extra)[-1].kind == "Z"
        assert client.rows("SELECT 1") == [[b"1"]]


@pytest.mark.parametrize("version", [2 << 16, 4 << 16, 0])
def test_other_major_versions_are_refused(proxy, version):
    with Wire(proxy.port) as client:
        client.send(wire.startup({"user": "postgres"}, version))
        # Before version 3 an error was a bare text, and PostgreSQL still answers old clients so.
        answer = b"".join(iter(lambda: client.socket.recv(4096), b""))
    assert answer[:1] == b"E" and b"unsupported frontend protocol" in answer
    if version > wire.PROTOCOL_3_0:
        assert b"\0C0A000\0" in answer and b"SFATAL\0" in answer


def test_parameter_status_is_that_of_the_primary(proxy, cluster):
    with Wire(cluster.primary.port) as direct, Wire(proxy.port) as through:
        for client in (direct, through):
            client.login(application_name="report", client_encoding="LATIN1", DateStyle="German")
        assert through.parameters == direct.parameters
        assert through.parameters["client_encoding"] == "LATIN1"


def test_every_session_has_a_cancel_key_of_its_own(proxy):
    with Wire(proxy.port) as one, Wire(proxy.port) as two:
        assert one.login()[-1].kind == two.login()[-1].kind == "Z"
        assert len(one.key) == len(two.key) == 4
        assert (one.pid, one.key) != (two.pid, two.key)


SETTINGS = {"application_name": "startup test", "client_encoding": "LATIN1", "search_path": "one, two",
            "options": "-c work_mem=5MB -c geqo=off --statement-timeout=12345"}
EXPECTED = [b"startup test", b"LATIN1", b"one, two", b"5MB", b"off", b"12345ms"]
READ_SETTINGS = ("SELECT current_setting('application_name'), current_setting('client_encoding'), "
                 "current_setting('search_path'), current_setting('work_mem'), current_setting('geqo'), "
                 "(SELECT setting || unit FROM pg_settings WHERE name = 'statement_timeout')")


@pytest.mark.parametrize("place", ["primary", "standby", "node=pg2", "node=pg3"])
def test_startup_parameters_reach_every_server(proxy, place):
    with Wire(proxy.port) as client:
        assert client.login(**SETTINGS)[-1].kind == "Z"
        assert client.rows(f"/* pgweir: {place} */ {READ_SETTINGS}") == [EXPECTED]


@pytest.mark.parametrize("parameters, sqlstate", [
    ({"database": "missing"}, "3D000"), ({"user": "missing"}, "28000"), ({"no_such_setting": "1"}, "42704"),
    ({"work_mem": "plenty"}, "22023"), ({"user": ""}, "28000")])
def test_what_the_server_refuses_is_refused(proxy, cluster, parameters, sqlstate):
    with Wire(cluster.primary.port) as direct, Wire(proxy.port) as through:
        expected, error = direct.login(**parameters)[-1], through.login(**parameters)[-1]
    assert error.kind == "E"
    assert error.sqlstate == expected.sqlstate == sqlstate
    assert error.fields["M"] == expected.fields["M"]


def test_a_user_name_is_required(proxy):
    with Wire(proxy.port) as client:
        client.send(wire.startup({"database": "test"}))
        assert client.read_to_end()[-1].sqlstate == "28000"


def test_database_defaults_to_the_user(proxy):
    with Wire(proxy.port) as client:
        client.send(wire.startup({"user": "postgres"}))
        client.read_until("Z")
        assert client.rows("SELECT current_database()") == [[b"postgres"]]


def test_unix_socket(proxy):
    with psycopg.connect(host=str(proxy.directory), port=proxy.port, user="postgres", dbname="test") as session:
        assert session.execute("SELECT 1").fetchone() == (1,)


def test_replication_connection_reaches_the_primary(proxy, cluster):
    expected = cluster.primary.sql("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    with Wire(proxy.port) as client:
        assert client.login(replication="database")[-1].kind == "Z"
        assert client.rows("IDENTIFY_SYSTEM")[0][0].decode() == expected


@pytest.mark.parametrize("place", ["pg1", "pg2", "pg3"])
def test_cancel_reaches_the_server_that_works(proxy, cluster, place):
    marker = f"cancel_me_{place}"
    with Wire(proxy.port) as client, Wire(proxy.port) as other:
        client.login()
        client.send(wire.query(f"/* pgweir: node={place} */ SELECT pg_sleep(60) AS {marker}"))
        wait_for(lambda: running(cluster.node(place), marker), "the query to run")
        other.send(wire.cancel_request(client.pid, client.key))
        assert other.read_to_end() == []
        reply = client.read_until("Z")
        assert [m.sqlstate for m in reply if m.kind == "E"] == ["57014"]
        assert client.rows("SELECT 1") == [[b"1"]]


def test_cancel_in_the_extended_protocol(proxy, cluster):
    with Wire(proxy.port) as client, Wire(proxy.port) as other:
        client.login()
        client.send(wire.parse("SELECT pg_sleep(60) AS cancel_extended"), wire.bind(), wire.execute(), wire.SYNC)
        wait_for(lambda: running(cluster.primary, "cancel_extended"), "the query to run")
        other.send(wire.cancel_request(client.pid, client.key))
        assert [m.sqlstate for m in client.read_until("Z") if m.kind == "E"] == ["57014"]


def test_cancel_with_a_wrong_key_does_nothing(proxy, cluster):
    with Wire(proxy.port) as client, Wire(proxy.port) as other:
        client.login()
        client.send(wire.query("SELECT pg_sleep(1) AS keep_me"))
        wait_for(lambda: running(cluster.primary, "keep_me"), "the query to run")
        wrong = struct.pack("!I", struct.unpack("!I", client.key)[0] ^ 1)
        other.send(wire.cancel_request(client.pid, wrong))
        assert other.read_to_end() == []
        assert [m.kind for m in client.read_until("Z")] == ["T", "D", "C", "Z"]


def test_cancel_of_an_idle_session_harms_nobody(proxy):
    with Wire(proxy.port) as client, Wire(proxy.port) as other:
        client.login()
        client.rows("SELECT 1")
        other.send(wire.cancel_request(client.pid, client.key))
        assert other.read_to_end() == []
        for _ in range(20):
            assert client.rows("SELECT 1") == [[b"1"]]
