"""Prepared statements: of the protocol, named and unnamed, and of SQL."""

from harness.wire import SYNC, bind, close, describe, execute, parse

from script import Me, ext, flushed, healed, other, run, semantic, several

MINE = "SELECT name, statement, parameter_types, from_sql FROM pg_prepared_statements ORDER BY name"


@semantic()
def named_statement(me: Me):
    """The same name with another text for every client."""
    yield parse(f"SELECT 'client {me.n}' AS who, $1::int + {me.n} AS sum", "s1") + SYNC
    yield run("s1", b"1")
    yield "SELECT 1"
    yield run("s1", b"2")
    yield bind("", "s1", [b"3"]) + execute() + SYNC  # without Describe
    yield describe("S", "s1") + SYNC
    yield bind("", "s1", [b"1"]) + execute() + bind("", "s1", [b"2"]) + execute() + SYNC
    yield run("s1", b"not a number")
    yield run("s1", b"4")
    yield run("s1")  # 08P01: parameters are missing
    yield run("s1", None)


@semantic()
def named_statements_side_by_side(me: Me):
    for number in range(6):
        yield parse(f"SELECT {number} AS number, {me.n} AS client, $1::text", f"s{number}") + SYNC
    for number in (3, 0, 5, 1):
        yield run(f"s{number}", b"x")
    yield several(b"".join(run(f"s{number}", b"y") for number in range(6)), 6)
    yield close("S", "s0") + close("S", "s5") + SYNC
    yield run("s0", b"z")
    yield run("s4", b"z")


@semantic()
def taken_name(me: Me):
    yield parse(f"SELECT {me.n}", "taken") + SYNC
    yield parse("SELECT 'second'", "taken") + SYNC  # 42P05
    yield run("taken")
    yield parse(f"SELECT {me.n}", "taken") + bind("", "taken") + execute() + SYNC  # the same text is no excuse
    yield run("taken")
    yield close("S", "taken") + parse(f"SELECT 'third {me.n}'", "taken") + SYNC
    yield run("taken")
    yield "BEGIN"
    yield parse("SELECT 'fourth'", "taken") + SYNC
    yield "ROLLBACK"
    yield run("taken")
    yield "PREPARE taken AS SELECT 'fifth'"  # 42P05, too
    yield run("taken")


@semantic()
def closed_statement(me: Me):
    yield parse(f"SELECT {me.n}", "gone") + SYNC
    yield close("S", "gone") + SYNC
    yield run("gone")  # 26000
    yield describe("S", "gone") + SYNC
    yield close("S", "gone") + SYNC  # no error
    yield close("S", "never_there") + SYNC
    yield parse(f"SELECT 'again {me.n}'", "gone") + SYNC
    yield run("gone")


@semantic()
def refused_statement(me: Me):
    yield parse("SELECT nothing FROM nowhere", "bad") + SYNC
    yield run("bad")
    yield parse("SELEKT", "bad") + SYNC
    yield parse(f"SELECT {me.n}", "bad") + parse("SELECT 1/0 FROM nowhere", "worse") + SYNC
    yield run("bad")  # prepared before the error
    yield run("worse")
    yield parse("SELECT 1/0") + bind() + execute() + parse("SELECT 'skipped'", "skipped") + SYNC
    yield run("skipped")
    yield parse("SELECT 1; SELECT 2", "two") + SYNC  # 42601


@semantic()
def statement_of_someone_else(me: Me):
    """Only one of two clients has it."""
    if me.n % 2:
        yield parse(f"SELECT 'of {me.n}'", "shared_name") + SYNC
        yield f"PREPARE shared_sql AS SELECT 'sql of {me.n}'"
        for _ in range(3):
            yield run("shared_name")
            yield "EXECUTE shared_sql"
    else:
        for _ in range(3):
            yield run("shared_name")  # 26000
            yield "EXECUTE shared_sql"
            yield describe("S", "shared_name") + SYNC
            yield "DEALLOCATE shared_sql"


@semantic()
def unnamed_statement(me: Me):
    """It stays until the next unnamed Parse or Query, over any number of Syncs."""
    yield parse(f"SELECT 'unnamed of {me.n}', $1::int") + SYNC
    yield bind("", "", [b"1"]) + describe("P") + execute() + SYNC
    yield bind("", "", [b"2"]) + execute() + SYNC
    yield describe("S") + SYNC
    yield parse("SELECT 'named'", "n") + SYNC
    yield run("n")
    yield bind("", "", [b"3"]) + execute() + SYNC
    yield "SELECT 'a Query takes it away'"
    yield bind("", "", [b"4"]) + execute() + SYNC  # 26000
    yield parse(f"SELECT 'second of {me.n}'") + SYNC
    yield close("S") + SYNC
    yield run("")
    yield parse(f"SELECT 'third of {me.n}'") + SYNC
    yield parse("SELEKT") + SYNC  # the old one is gone although the new one is refused
    yield run("")


@semantic()
def described_later(me: Me):
    yield parse(f"SELECT $1::int AS a{me.n}, $2::text AS b, $3::numeric(10,2)", "d") + SYNC
    yield describe("S", "d") + SYNC
    yield "SELECT 1"
    yield describe("S", "d") + bind("", "d", [b"1", b"2", b"3"]) + describe("P") + SYNC
    yield parse("SELECT $1, $2", "typed", types=[23, 1043]) + SYNC
    yield describe("S", "typed") + SYNC
    yield bind("", "typed", [(7 + me.n).to_bytes(4, "big"), b"bin"], binary=True, binary_result=True) + execute() + SYNC
    yield parse("INSERT INTO s0.place SELECT $1 WHERE false", "nothing") + SYNC
    yield describe("S", "nothing") + SYNC
    yield parse("", "empty") + SYNC
    yield describe("S", "empty") + bind("", "empty") + execute() + SYNC


@semantic()
def prepared_under_a_search_path(me: Me):
    """PostgreSQL plans again when the search_path has changed."""
    yield f"SET search_path = {me.schema}"
    yield parse("SELECT label, whereami() FROM place", "p") + SYNC
    yield "PREPARE q AS SELECT label FROM place"
    yield run("p")
    yield f"SET search_path = {me.next_schema}"
    yield run("p")
    yield "EXECUTE q"
    yield "SET search_path = nowhere"
    yield run("p")
    yield "EXECUTE q"
    yield f"SET search_path = {me.schema}"
    yield run("p")
    yield "BEGIN"
    yield f"SET LOCAL search_path = {me.next_schema}"
    yield run("p")
    yield "COMMIT"
    yield run("p")


@semantic()
def prepared_under_a_role(me: Me):
    yield f"SET ROLE {me.role}"
    yield parse(f"SELECT label, current_user FROM {me.schema}.place", "p") + SYNC
    yield parse(f"SELECT label FROM {me.next_schema}.place", "q") + SYNC  # parsed, though not allowed to run
    yield run("p")
    yield run("q")
    yield "RESET ROLE"
    yield run("p")
    yield run("q")
    yield f"SET ROLE semantic_{(me.n + 1) % 4}"
    yield run("p")
    yield run("q")


@semantic(alone=True)
def prepared_under_settings(me: Me):
    """Constants are read when the statement is parsed; the settings of then count."""
    yield f"SET DateStyle = {('ISO, MDY', 'ISO, DMY')[me.n % 2]}"
    yield f"SET TimeZone = '{me.zone}'"
    yield parse("SELECT '01/02/2003'::date, '2024-01-01 00:00'::timestamptz", "p") + SYNC
    yield run("p")
    yield "SET DateStyle = 'ISO, MDY'"
    yield "SET TimeZone = 'UTC'"
    yield run("p")
    yield ext("SELECT $1::date", b"01/02/2003")
    yield f"SET standard_conforming_strings = {('on', 'off')[me.n % 2]}"
    yield "SET escape_string_warning = off"
    yield parse(r"SELECT 'a\\b'", "s") + SYNC
    yield run("s")
    yield "SET standard_conforming_strings = on"
    yield run("s")


@semantic()
def sql_prepare(me: Me):
    yield f"PREPARE mine (int, text) AS SELECT $1 + {me.n} AS a, $2 || ' of {me.n}' AS b"
    yield "EXECUTE mine (1, 'x')"
    yield "SELECT 1"
    yield "EXECUTE mine (2, 'y')"
    yield "EXECUTE mine (2)"  # 42601
    yield "PREPARE mine AS SELECT 1"  # 42P05
    yield 'PREPARE "Mine" AS SELECT 2'
    yield 'EXECUTE "Mine"'
    yield "EXPLAIN (COSTS OFF) EXECUTE mine (1, 'z')"
    yield f"CREATE TABLE {me.own('from_execute')} AS EXECUTE mine (3, 'w')"
    yield f"SELECT * FROM {me.own('from_execute')}"
    yield "DEALLOCATE mine"
    yield "EXECUTE mine (1, 'x')"
    yield "DEALLOCATE mine"
    yield 'EXECUTE "Mine"'
    yield "DEALLOCATE ALL"
    yield 'EXECUTE "Mine"'


@semantic()
def sql_prepare_of_writes(me: Me):
    table = me.own("written")
    yield f"CREATE TABLE {table} (id int, v text)"
    yield f"PREPARE put AS INSERT INTO {table} VALUES ($1, $2) RETURNING id"
    yield f"EXECUTE put ({me.n}, 'a')"
    yield f"PREPARE found (int) AS SELECT * FROM {table} WHERE id = $1"
    yield f"EXECUTE found ({me.n})"
    yield "BEGIN"
    yield f"EXECUTE put ({me.n}, 'b')"
    yield "ROLLBACK"
    yield f"EXECUTE found ({me.n})"
    yield ext(f"EXECUTE put ({me.n}, 'c')")
    yield f"EXECUTE found ({me.n})"
    yield f"EXECUTE found ({me.n}); DEALLOCATE found; SELECT 1"
    yield f"EXECUTE found ({me.n})"


@semantic()
def sql_and_protocol_mixed(me: Me):
    """One name space for both."""
    yield parse(f"SELECT 'protocol {me.n}', $1::int", "p") + SYNC
    yield "EXECUTE p (5)"
    yield f"PREPARE q (int) AS SELECT 'sql {me.n}', $1"
    yield run("q", b"6")
    yield describe("S", "q") + SYNC
    yield parse("SELECT 1", "q") + SYNC  # 42P05
    yield "PREPARE p AS SELECT 1"
    yield "DEALLOCATE p"
    yield run("p", b"7")  # 26000
    yield close("S", "q") + SYNC
    yield "EXECUTE q (8)"
    yield parse(f"SELECT 'new {me.n}'", "q") + SYNC
    yield "EXECUTE q"
    yield "DEALLOCATE ALL"
    yield run("q")
    yield several(parse(f"PREPARE r AS SELECT 'r {me.n}'") + bind() + execute() + SYNC + run("r"), 2)
    yield "EXECUTE r"


@semantic()
def list_of_prepared(me: Me):
    yield MINE
    yield f"PREPARE mine_{me.n} (int) AS SELECT $1 + {me.n}"
    yield parse(f"SELECT $1::text || '{me.n}'", f"protocol_{me.n}") + SYNC
    yield MINE
    yield "SELECT count(*) FROM pg_prepared_statements"
    yield f"DEALLOCATE mine_{me.n}"
    yield "SELECT name FROM pg_prepared_statements"
    yield "DEALLOCATE ALL"
    yield MINE


@semantic()
def changed_result(me: Me):
    """The one permitted difference: instead of "cached plan must not change result type" pgweir prepares again."""
    table = me.own("changing")
    yield f"CREATE TABLE {table} (a int)"
    yield f"INSERT INTO {table} VALUES ({me.n})"
    yield parse(f"SELECT * FROM {table}", "all_of_it") + SYNC
    yield run("all_of_it")
    yield f"ALTER TABLE {table} ADD COLUMN b text DEFAULT 'new'"
    yield healed("all_of_it", f"SELECT * FROM {table}")
    yield "SELECT 1"
    yield healed("all_of_it", f"SELECT * FROM {table}")
    yield f"ALTER TABLE {table} ALTER COLUMN a TYPE bigint"
    yield healed("all_of_it", f"SELECT * FROM {table}")


@semantic(clients=2)
def changed_result_by_another(me: Me):
    table = me.own("changed")
    yield f"CREATE TABLE {table} (a int, b int)"
    yield f"INSERT INTO {table} VALUES ({me.n}, 2)"
    yield parse(f"SELECT * FROM {table} WHERE a = $1 FOR UPDATE", "all_of_it") + SYNC
    yield run("all_of_it", str(me.n).encode())
    yield other(f"ALTER TABLE {table} DROP COLUMN b")
    yield healed("all_of_it", f"SELECT * FROM {table} WHERE a = $1 FOR UPDATE", str(me.n).encode())
    yield "SELECT 1"


@semantic()
def changed_schema_same_result(me: Me):
    """The plan is made again without anybody noticing."""
    table = me.own("altered")
    yield f"CREATE TABLE {table} (a int, b text)"
    yield f"INSERT INTO {table} VALUES ({me.n}, 'b')"
    yield parse(f"SELECT a FROM {table} WHERE a = $1", "s") + SYNC
    yield f"PREPARE p (int) AS SELECT a FROM {table} WHERE a = $1"
    yield run("s", str(me.n).encode())
    yield f"CREATE INDEX ON {table} (a)"
    yield f"ALTER TABLE {table} ADD COLUMN c int"
    yield run("s", str(me.n).encode())
    yield f"EXECUTE p ({me.n})"
    yield f"ALTER TABLE {table} RENAME COLUMN a TO z"
    yield run("s", str(me.n).encode())  # 42703
    yield f"DROP TABLE {table}"
    yield run("s", str(me.n).encode())  # 42P01
    yield f"EXECUTE p ({me.n})"


@semantic()
def prepared_transaction_commands(me: Me):
    """Some drivers prepare BEGIN and COMMIT."""
    for name, text in (("begin", "BEGIN"), ("commit", "COMMIT"), ("rollback", "ROLLBACK"), ("read", f"SELECT {me.n}")):
        yield parse(text, name) + SYNC
    yield run("begin")
    yield run("read")
    yield run("commit")
    yield run("begin") [:-len(SYNC)] + run("read")
    yield f"SET LOCAL work_mem = '{me.memory}'"
    yield "SHOW work_mem"
    yield run("rollback")
    yield "SHOW work_mem"
    yield run("read")


@semantic()
def parsed_and_bound_apart(me: Me):
    """Parse, Bind and Execute with a Flush after each."""
    yield flushed(parse(f"SELECT generate_series({me.n}, {me.n} + 2)", "f") + b"H\0\0\0\4", "1")
    yield flushed(bind("", "f") + b"H\0\0\0\4", "2")
    yield flushed(execute("", 1) + b"H\0\0\0\4", "s")
    yield execute("") + SYNC
    yield run("f")
