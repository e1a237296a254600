"""SET and the end of transactions, savepoints, pipelines and texts of several statements; RESET ALL."""

from harness.wire import SYNC, bind, close, describe, execute, parse, query

from script import MOMENT, Me, run, semantic, several, shows


@semantic()
def set_undone_by_rollback(me: Me):
    yield f"SET TimeZone = '{me.zone}'"
    yield "BEGIN"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET search_path = {me.schema}"
    yield "SELECT label, current_setting('TimeZone'), current_setting('work_mem') FROM place"
    yield "ROLLBACK"
    yield shows("TimeZone", "work_mem", "search_path")
    yield MOMENT
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield "SELECT 1/0"
    yield "COMMIT"
    yield shows("TimeZone", "work_mem")


@semantic()
def set_kept_by_commit(me: Me):
    yield "START TRANSACTION"
    yield f"SET TimeZone = '{me.zone}'"
    yield f"SET semantic.kept = {me.literal}"
    yield "COMMIT"
    yield MOMENT
    yield "SHOW semantic.kept"
    yield "BEGIN"
    yield "RESET TimeZone"
    yield MOMENT
    yield "ROLLBACK"
    yield MOMENT
    yield "BEGIN; RESET TimeZone; END"
    yield MOMENT
    yield "SHOW semantic.kept"


@semantic()
def set_and_savepoints(me: Me):
    yield f"SET semantic.s = 'base {me.n}'"
    yield "BEGIN"
    yield f"SET semantic.s = 'one {me.n}'"
    yield "SAVEPOINT a"
    yield f"SET semantic.s = 'two {me.n}'"
    yield f"SET work_mem = '{me.memory}'"
    yield "SAVEPOINT a"  # the same name again hides the first
    yield f"SET semantic.s = 'three {me.n}'"
    yield "SHOW semantic.s"
    yield "ROLLBACK TO SAVEPOINT a"
    yield "SHOW semantic.s"
    yield "RELEASE SAVEPOINT a"
    yield "ROLLBACK TO a"
    yield shows("semantic.s", "work_mem")
    yield "COMMIT"
    yield shows("semantic.s", "work_mem")


@semantic()
def set_kept_by_release(me: Me):
    yield "BEGIN"
    yield "SAVEPOINT outer_one"
    yield "SAVEPOINT inner_one"
    yield f"SET TimeZone = '{me.zone}'"
    yield "RELEASE inner_one"
    yield "RELEASE SAVEPOINT outer_one"
    yield "COMMIT"
    yield MOMENT
    yield "BEGIN"
    yield "SAVEPOINT outer_one"
    yield "SAVEPOINT inner_one"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "RELEASE inner_one"
    yield MOMENT
    yield "ROLLBACK TO outer_one"
    yield "COMMIT"
    yield MOMENT


@semantic()
def set_after_error_in_savepoint(me: Me):
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield 'SAVEPOINT "A b"'
    yield "SET work_mem = '4444kB'"
    yield "SELECT nothing FROM nowhere"
    yield "SET work_mem = '5555kB'"
    yield 'ROLLBACK TO "A b"'
    yield "SHOW work_mem"
    yield "ROLLBACK TO a"
    yield 'ROLLBACK TO SAVEPOINT "A b"'
    yield f"SET semantic.after = 'after {me.n}'"
    yield "COMMIT"
    yield shows("work_mem", "semantic.after")


@semantic(stateless=True)
def set_local(me: Me):
    yield f"SET LOCAL work_mem = '{me.memory}'"  # 25P01, a warning
    yield "SHOW work_mem"
    yield "BEGIN"
    yield f"SET LOCAL work_mem = '{me.memory}'"
    yield f"SET LOCAL TimeZone = '{me.zone}'"
    yield f"SET LOCAL search_path = {me.schema}"
    yield f"SELECT label, current_setting('work_mem'), {MOMENT[7:]} FROM place"
    yield "COMMIT"
    yield shows("work_mem", "TimeZone", "search_path")
    yield MOMENT


@semantic()
def set_and_set_local(me: Me):
    """The one that stays and the one that does not, in both orders, with savepoints between them."""
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield "SET LOCAL work_mem = '7777kB'"
    yield "SHOW work_mem"
    yield "COMMIT"
    yield "SHOW work_mem"
    yield "BEGIN"
    yield "SET LOCAL work_mem = '7777kB'"
    yield f"SET work_mem = '{9000 + me.n}kB'"
    yield "COMMIT"
    yield "SHOW work_mem"
    yield "BEGIN"
    yield f"SET semantic.x = 'set {me.n}'"
    yield "SAVEPOINT s"
    yield "SET LOCAL semantic.x = 'local'"
    yield "RELEASE s"
    yield "SHOW semantic.x"
    yield "COMMIT"
    yield "SHOW semantic.x"
    yield "BEGIN"
    yield "SET LOCAL semantic.x = 'local'"
    yield "SAVEPOINT s"
    yield "SET semantic.x = 'lost'"
    yield "ROLLBACK TO s"
    yield "SHOW semantic.x"
    yield "COMMIT"
    yield "SHOW semantic.x"


@semantic()
def reset_all(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET TimeZone = '{me.zone}'"
    yield f"SET semantic.y = 'mine {me.n}'"
    yield f"SET ROLE {me.role}"  # RESET ALL leaves the role
    yield "RESET ALL"
    yield shows("work_mem", "TimeZone")
    yield "SELECT current_setting('semantic.y', true), current_user"
    yield "BEGIN"
    yield f"SET TimeZone = '{me.zone}'"
    yield "RESET ALL"
    yield "SHOW TimeZone"
    yield "ROLLBACK"
    yield f"SET TimeZone = '{me.zone}'"
    yield "BEGIN"
    yield "RESET ALL"
    yield "ROLLBACK"
    yield MOMENT


@semantic()
def set_in_several_statements(me: Me):
    yield f"SET work_mem = '{me.memory}'; SET TimeZone = '{me.zone}'; SHOW work_mem"
    yield shows("work_mem", "TimeZone")
    yield "SET work_mem = '4444kB'; SELECT 1/0; SET TimeZone = 'Asia/Baghdad'"  # one implicit transaction
    yield shows("work_mem", "TimeZone")
    yield "SET work_mem = '4444kB'; BEGIN; SET TimeZone = 'Asia/Baghdad'; ROLLBACK"  # takes the first back, too
    yield shows("work_mem", "TimeZone")
    yield f"BEGIN; SET work_mem = '{6000 + me.n}kB'; COMMIT; SET TimeZone = 'Asia/Baghdad'; SELECT 1/0"
    yield shows("work_mem", "TimeZone")
    yield "SET LOCAL work_mem = '4444kB'; SHOW work_mem"
    yield "SHOW work_mem"


@semantic()
def set_in_pipelines(me: Me):
    def one(text: str) -> bytes:
        return parse(text) + bind() + execute()

    yield one(f"SET work_mem = '{me.memory}'") + one("SHOW work_mem") + SYNC
    yield "SHOW work_mem"
    yield one("SET work_mem = '4444kB'") + one("SELECT 1/0") + one("SELECT 'never'") + SYNC  # the error takes it back
    yield "SHOW work_mem"
    yield one(f"SET TimeZone = '{me.zone}'") + SYNC
    yield several(one("SET work_mem = '4444kB'") + SYNC + one("SELECT 1/0") + SYNC + one("SHOW work_mem") + SYNC, 3)
    yield shows("work_mem", "TimeZone")
    yield one("BEGIN") + one("SET work_mem = '6666kB'") + one("ROLLBACK") + one(f"SET semantic.p = 'p{me.n}'") + SYNC
    yield shows("work_mem", "semantic.p")
    yield parse(f"SET work_mem = '{me.memory}'", "put") + SYNC  # not run yet
    yield "SHOW work_mem"
    yield run("put")
    yield "SHOW work_mem"
    yield close("S", "put") + SYNC
    yield parse("SET work_mem = '4444kB'") + bind() + describe("P") + SYNC  # never executed
    yield "SHOW work_mem"


@semantic()
def set_in_a_batch_of_queries(me: Me):
    """Queries sent at once, without waiting for answers."""
    yield several(query(f"SET TimeZone = '{me.zone}'") + query("SHOW TimeZone")
                  + query(f"SET search_path = {me.schema}") + query("SELECT label FROM place"), 4)
    yield MOMENT
    yield several(query("BEGIN") + query("SET TimeZone = 'Asia/Baghdad'") + query("ROLLBACK")
                  + query("SHOW TimeZone"), 4)
    yield "SELECT label FROM place"


@semantic()
def session_characteristics(me: Me):
    level = ("SERIALIZABLE", "REPEATABLE READ", "READ UNCOMMITTED")[me.n % 3]
    table = me.own("written")
    yield f"CREATE TABLE {table} (id int)"
    yield f"SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL {level}"
    yield "SHOW transaction_isolation"
    yield "BEGIN"
    yield "SHOW transaction_isolation"
    yield "COMMIT"
    yield "SHOW default_transaction_isolation"
    yield "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"
    yield f"INSERT INTO {table} VALUES (1)"  # 25006
    yield "BEGIN READ WRITE"
    yield f"INSERT INTO {table} VALUES (2)"
    yield "COMMIT"
    yield f"SELECT * FROM {table}"
    yield "SET default_transaction_read_only = off"
    yield f"INSERT INTO {table} VALUES (3)"
    yield "SET default_transaction_deferrable = on"
    yield "BEGIN"
    yield shows("transaction_deferrable", "transaction_isolation", "transaction_read_only")
    yield "COMMIT"
    yield f"SELECT * FROM {table}"
