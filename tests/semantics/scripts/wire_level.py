"""COPY, FunctionCall, values and errors on the wire: what a session does between its steps of state."""

from harness.wire import COPY_DONE, SYNC, bind, copy_data, copy_fail, describe, execute, function_call, parse, query

from script import Me, ext, run, semantic, several


@semantic()
def copy_in(me: Me):
    table = me.own("copied")
    yield f"CREATE TABLE {table} (id int, v text, at timestamptz)"
    yield f"SET TimeZone = '{me.zone}'"
    yield query(f"COPY {table} FROM STDIN") + copy_data(f"1\tmine {me.n}\t2024-01-01 00:00\n".encode()) + COPY_DONE
    yield f"SELECT id, v, at AT TIME ZONE 'UTC' FROM {table}"
    yield query(f"COPY {table} FROM STDIN") + copy_data(b"not a number\n") + COPY_DONE  # 22P02
    yield "SELECT 1"
    yield query(f"COPY {table} (id) FROM STDIN") + copy_data(b"2\n") + copy_fail("changed my mind")  # 57014
    yield f"SELECT count(*) FROM {table}"
    yield "BEGIN"
    yield query(f"COPY {table} (id, v) FROM STDIN WITH (FORMAT csv)") + copy_data(b'3,"a,b"\n4,\n') + COPY_DONE
    yield f"SELECT id, v FROM {table} ORDER BY id"
    yield "ROLLBACK"
    yield parse(f"COPY {table} (id) FROM STDIN") + bind() + execute() + copy_data(b"5\n") + COPY_DONE + SYNC
    yield f"SELECT id, v FROM {table} ORDER BY id"
    yield several(query(f"COPY {table} (id) FROM STDIN; SELECT 'after'") + copy_data(b"6\n") + COPY_DONE, 1)


@semantic()
def copy_out(me: Me):
    yield f"SET TimeZone = '{me.zone}'"
    yield f"COPY (SELECT {me.n}, timestamptz '2024-01-01 00:00+00') TO STDOUT"
    yield f"SET search_path = {me.schema}"
    yield "COPY place TO STDOUT WITH (FORMAT csv, HEADER)"
    yield ext("COPY place TO STDOUT")
    yield "COPY (SELECT n FROM generate_series(1, 3) n) TO STDOUT; SELECT 'after'"
    yield "COPY (SELECT 1 / (3 - n) FROM generate_series(1, 3) n) TO STDOUT"
    yield "COPY no_such_place TO STDOUT"
    yield "BEGIN"
    yield "COPY place TO STDOUT"
    yield "COMMIT"


@semantic()
def function_calls(me: Me):
    """The old sub-protocol: set_config(text, text, bool) by FunctionCall, too."""
    length, put = 1257, 2078  # length(text), set_config
    yield function_call(length, [b"hello" + b"!" * (me.n % 5)])
    yield function_call(put, [b"semantic.called", f"value {me.n}".encode(), b"\0"])
    yield "SELECT current_setting('semantic.called', true)"
    yield "BEGIN"
    yield function_call(put, [b"semantic.called", b"undone", b"\0"])
    yield "ROLLBACK"
    yield "SELECT 1"
    yield "SELECT current_setting('semantic.called', true)"
    yield function_call(4294967295, [])


@semantic()
def odd_values(me: Me):
    """Texts that a pooler quotes again when it replays them."""
    yield f"SET semantic.odd = {me.literal}"
    yield f"SET application_name = {me.literal}"
    yield "SHOW semantic.odd"
    yield "SET standard_conforming_strings = off"
    yield "SHOW semantic.odd"
    yield "SET client_encoding = LATIN1"
    yield "SELECT length(current_setting('semantic.odd'))"
    yield ext("SELECT set_config('semantic.odd', $1, false)", b"caf\xe9 \\ ' \" " + str(me.n).encode())
    yield "SHOW semantic.odd"
    yield "SET client_encoding = UTF8"
    yield "SHOW semantic.odd"
    yield "SHOW application_name"
    yield "RESET standard_conforming_strings"
    yield f"SET semantic.odd = $mine${me.word}$mine$"  # 42601: no dollar quotes in SET
    yield f"SET semantic.odd = U&'d\\0061t\\+000061 {me.n}'"
    yield "SHOW semantic.odd"
    yield f"SET semantic.odd = 'one' \n 'two {me.n}'"
    yield "SHOW semantic.odd"


@semantic()
def large_values(me: Me):
    """Longer than any buffer in between."""
    value = f"{me.n}-" + "x" * (60_000 + me.n)
    yield ext("SELECT length($1)", (b"y" * (200_000 + me.n)))
    yield f"SET semantic.large = '{value}'"
    yield "SELECT length(current_setting('semantic.large')), left(current_setting('semantic.large'), 5)"
    yield parse(f"SELECT length('{value}'), {me.n}", "large") + SYNC
    yield run("large")
    yield f"SELECT repeat('{me.n % 10}', 100000)"
    yield run("large")
    yield "SELECT md5(current_setting('semantic.large'))"


@semantic(stateless=True)
def errors_and_after(me: Me):
    yield f"SELECT {me.n} / 0"
    yield "SELECT 1"
    yield ext("SELECT $1::int", b"x")
    yield ext("SELECT $1::int", b"1")
    yield "SELEKT"
    yield f"SELECT * FROM own.no_such_table_{me.n}"
    yield ext(f"SELECT no_such_column_{me.n}")
    yield parse("SELECT $1::int", "") + bind("", "", []) + execute() + SYNC
    yield bind("nowhere", "no_such_statement") + SYNC
    yield execute("no_such_portal") + SYNC
    yield describe("P", "no_such_portal") + SYNC
    yield query(b"SELECT '\xff\xfe'")  # 22021
    yield "SELECT 1"
    yield f"DO $$ BEGIN RAISE SQLSTATE 'AB{me.n % 900 + 100}'; END $$"
    yield ext("SELECT 'done'")


@semantic(stateless=True)
def several_results(me: Me):
    yield f"SELECT {me.n}; SELECT 'two'; ; SELECT 3 WHERE false"
    yield several(query(f"SELECT {me.n}") + query("SELECT 'x'") + query(""), 3)
    yield several(ext("SELECT 1") + query("SELECT 2") + ext("SELECT 3"), 3)
    yield several(ext("SELECT 1/0") + query("SELECT 2") + ext("SELECT 3"), 3)
    yield f"VALUES (1, {me.n}), (2, NULL)"
    yield "SELECT"
    yield f"CREATE TABLE {me.own('tags')} (a int)"
    yield f"INSERT INTO {me.own('tags')} VALUES (1), (2) RETURNING a * 2"
    yield f"UPDATE {me.own('tags')} SET a = a + 1"
    yield f"DELETE FROM {me.own('tags')} WHERE a = 2 RETURNING *"
    yield f"MERGE INTO {me.own('tags')} t USING (SELECT 3 AS b) s ON t.a = s.b WHEN MATCHED THEN DELETE"
    yield f"TRUNCATE {me.own('tags')}"
    yield f"SELECT * INTO {me.own('into')} FROM generate_series(1, 3)"
    yield f"DROP TABLE {me.own('tags')}, {me.own('into')}"
