"""Transactions: states, tags, isolation, cursors in them, what pipelines and several statements make of them."""

from harness.wire import SYNC, bind, close, describe, execute, parse

from script import SIDE, Me, ext, other, run, semantic, several


@semantic(stateless=True)
def failed_transaction(me: Me):
    yield "BEGIN"
    yield f"SELECT {me.n} / 0"
    yield "SELECT 1"  # 25P02
    yield ext("SELECT 1")
    yield "SAVEPOINT s"
    yield "COMMIT"  # its tag is ROLLBACK
    yield "SELECT 1"
    yield "BEGIN"
    yield "nonsense"
    yield "ROLLBACK"
    yield "SELECT 2"
    yield "START TRANSACTION"
    yield parse("SELECT 1/0") + bind() + execute() + SYNC
    yield "SHOW TimeZone"
    yield ext("COMMIT")
    yield "SELECT 3"


@semantic(stateless=True)
def chained_transactions(me: Me):
    table = me.own("chained")
    yield f"CREATE TABLE {table} (id int)"
    yield "BEGIN ISOLATION LEVEL SERIALIZABLE"
    yield f"INSERT INTO {table} VALUES (1)"
    yield "COMMIT AND CHAIN"
    yield "SHOW transaction_isolation"
    yield f"INSERT INTO {table} VALUES (2)"
    yield "ROLLBACK AND CHAIN"
    yield f"INSERT INTO {table} VALUES (3)"
    yield "SELECT 1/0"
    yield "COMMIT AND CHAIN"
    yield "SHOW transaction_isolation"
    yield f"INSERT INTO {table} VALUES (4)"
    yield "COMMIT AND NO CHAIN"
    yield f"SELECT * FROM {table} ORDER BY id"
    yield "COMMIT AND CHAIN"  # 25P01
    yield "SHOW transaction_isolation"


@semantic(stateless=True)
def statements_in_the_wrong_place(me: Me):
    yield "SAVEPOINT s"
    yield "ROLLBACK TO s"
    yield "RELEASE s"
    yield "COMMIT"
    yield "ROLLBACK"
    yield "SET TRANSACTION READ ONLY"
    yield "LOCK TABLE s0.place"
    yield "DECLARE c CURSOR FOR SELECT 1"
    yield "FETCH c"
    yield "CLOSE c"
    yield "SET CONSTRAINTS ALL DEFERRED"
    yield "BEGIN"
    yield "BEGIN"
    yield "SAVEPOINT s"
    yield "RELEASE t"
    yield "ROLLBACK"
    yield "BEGIN; SELECT 1"
    yield "VACUUM"
    yield "ROLLBACK"
    yield "VACUUM; SELECT 1"
    yield parse("SELECT 1") + bind() + execute() + parse("VACUUM") + bind() + execute() + SYNC


@semantic(stateless=True)
def savepoints(me: Me):
    table = me.own("saved")
    yield f"CREATE TABLE {table} (id int PRIMARY KEY)"
    yield "BEGIN"
    yield f"INSERT INTO {table} VALUES (1)"
    yield "SAVEPOINT s"
    yield f"INSERT INTO {table} VALUES (1)"  # 23505
    yield "ROLLBACK TO s"
    yield f"INSERT INTO {table} VALUES (2)"
    yield "SAVEPOINT s"
    yield ext(f"INSERT INTO {table} VALUES ($1)", b"3")
    yield "ROLLBACK TO SAVEPOINT s"
    yield "ROLLBACK TRANSACTION TO s"
    yield "RELEASE s"
    yield "RELEASE s"
    yield "RELEASE s"  # 3B001
    yield "ROLLBACK"
    yield f"TABLE {table}"
    yield "BEGIN"
    yield ext("SAVEPOINT p")
    yield f"INSERT INTO {table} VALUES (5)"
    yield ext("RELEASE p")
    yield "END"
    yield f"TABLE {table}"


@semantic(clients=2, stateless=True)
def isolation(me: Me):
    table = me.own("seen")
    yield f"CREATE TABLE {table} (id int)"
    yield "BEGIN ISOLATION LEVEL REPEATABLE READ"
    yield f"SELECT count(*) FROM {table}"
    yield other("BEGIN")
    yield other(f"INSERT INTO {table} VALUES (1)")
    yield other("COMMIT")
    yield f"SELECT count(*) FROM {table}"  # the snapshot of before
    yield f"INSERT INTO {table} SELECT id FROM {table}"
    yield "COMMIT"
    yield "BEGIN ISOLATION LEVEL READ COMMITTED"
    yield f"SELECT count(*) FROM {table}"
    yield other(f"INSERT INTO {table} VALUES (2)")
    yield f"SELECT count(*) FROM {table}"
    yield "COMMIT"
    yield "BEGIN ISOLATION LEVEL REPEATABLE READ"
    yield f"SELECT count(*) FROM {table}"
    yield other(f"UPDATE {table} SET id = id + 1")
    yield f"UPDATE {table} SET id = id + 1"  # 40001
    yield "ROLLBACK"
    yield f"SELECT * FROM {table} ORDER BY id"


@semantic()
def set_transaction(me: Me):
    level = ("SERIALIZABLE", "REPEATABLE READ", "READ COMMITTED")[me.n % 3]
    yield "BEGIN"
    yield f"SET TRANSACTION ISOLATION LEVEL {level}, READ ONLY"
    yield "SELECT current_setting('transaction_isolation'), current_setting('transaction_read_only')"
    yield f"CREATE TABLE {me.own('never')} (id int)"  # 25006
    yield "ROLLBACK"
    yield "SHOW transaction_isolation"
    yield f"BEGIN TRANSACTION ISOLATION LEVEL {level} READ ONLY DEFERRABLE"
    yield "SELECT current_setting('transaction_isolation'), current_setting('transaction_deferrable')"
    yield "SET TRANSACTION READ WRITE"  # 25001
    yield "ROLLBACK"
    yield "BEGIN"
    yield "SET transaction_read_only = on"
    yield "SHOW transaction_read_only"
    yield "COMMIT"
    yield f"SET default_transaction_isolation = '{level.lower()}'"
    yield "BEGIN"
    yield "SHOW transaction_isolation"
    yield "SELECT 1"
    yield "SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"
    yield "ROLLBACK"


@semantic(stateless=True)
def read_only_transactions(me: Me):
    yield "BEGIN READ ONLY"
    yield f"SELECT label FROM {me.schema}.place"
    yield "SHOW transaction_read_only"
    yield f"UPDATE {me.schema}.place SET label = 'changed'"  # 25006
    yield "SELECT 1"
    yield "ROLLBACK"
    yield "BEGIN TRANSACTION READ ONLY"
    yield ext(f"SELECT label FROM {me.schema}.place")
    yield "DECLARE c CURSOR FOR SELECT generate_series(1, 5)"
    yield "FETCH 2 c"
    yield "SAVEPOINT s"
    yield "FETCH 2 c"
    yield "COMMIT"
    yield "START TRANSACTION READ ONLY"
    yield "COMMIT"
    yield "SELECT txid_current_if_assigned() IS NULL"


@semantic(stateless=True)
def where_am_i(me: Me):
    """What applications ask to learn whether they are on a primary."""
    yield "SHOW transaction_read_only"
    yield "SHOW default_transaction_read_only"
    yield "SHOW in_hot_standby"
    yield "SELECT pg_is_in_recovery()"
    yield "SELECT current_setting('transaction_read_only')"
    yield "BEGIN; SELECT 1"
    yield "SHOW transaction_read_only"
    yield "COMMIT"


@semantic(stateless=True)
def cursors(me: Me):
    yield "BEGIN"
    yield f"DECLARE c SCROLL CURSOR FOR SELECT n * {me.n} AS v FROM generate_series(1, 20) n"
    yield "FETCH 3 FROM c"
    yield "FETCH BACKWARD 2 FROM c"
    yield "MOVE FORWARD 5 IN c"
    yield ext("FETCH NEXT FROM c")
    yield "FETCH ABSOLUTE -1 FROM c"
    yield "SELECT name, is_scrollable FROM pg_cursors ORDER BY name"
    yield "CLOSE c"
    yield "FETCH c"  # 34000
    yield "ROLLBACK"
    table = me.own("pointed")
    yield f"CREATE TABLE {table} AS SELECT n FROM generate_series(1, 4) n"
    yield "BEGIN"
    yield f"DECLARE d CURSOR FOR SELECT n FROM {table} FOR UPDATE"
    yield "FETCH 2 d"
    yield f"DELETE FROM {table} WHERE CURRENT OF d"
    yield "COMMIT"
    yield "FETCH d"
    yield f"SELECT n FROM {table} ORDER BY n"


@semantic(stateless=True)
def portals(me: Me):
    """A portal lives until the end of its transaction, over several Syncs."""
    yield "BEGIN"
    yield parse(f"SELECT n + {me.n} FROM generate_series(1, 5) n") + bind("mine") + execute("mine", 2) + SYNC
    yield execute("mine", 2) + SYNC
    yield "SELECT name FROM pg_cursors"
    yield "FETCH 1 FROM mine"
    yield describe("P", "mine") + execute("mine", 2) + SYNC
    yield close("P", "mine") + SYNC
    yield execute("mine") + SYNC  # 34000
    yield "ROLLBACK"
    yield parse("SELECT 1 FROM generate_series(1, 3)") + bind() + execute("", 1) + SYNC
    yield execute() + SYNC  # the Sync has ended its transaction
    yield parse("SELECT 1 FROM generate_series(1, 3)") + bind("again") + execute("again", 1) + execute("again", 1) + SYNC
    yield execute("again") + SYNC


@semantic(stateless=True)
def implicit_transactions(me: Me):
    table = me.own("implied")
    yield f"CREATE TABLE {table} (id int)"
    yield f"INSERT INTO {table} VALUES (1); SELECT 1/0"
    yield f"SELECT count(*) FROM {table}"
    yield f"INSERT INTO {table} VALUES (2); COMMIT; INSERT INTO {table} VALUES (3); SELECT 1/0"
    yield f"SELECT * FROM {table} ORDER BY id"
    yield f"INSERT INTO {table} VALUES (4); BEGIN; INSERT INTO {table} VALUES (5)"
    yield f"SELECT count(*) FROM {table}"
    yield "ROLLBACK"
    yield f"SELECT * FROM {table} ORDER BY id"
    yield "SAVEPOINT s; SELECT 1"
    yield f"INSERT INTO {table} VALUES (6); ROLLBACK; SELECT 1"
    yield f"BEGIN; INSERT INTO {table} VALUES (7); COMMIT; SELECT count(*) FROM {table}; BEGIN"
    yield "COMMIT"
    yield "; ;"
    yield ""
    yield f"SELECT * FROM {table} ORDER BY id"


@semantic(stateless=True)
def pipelines(me: Me):
    table = me.own("piped")
    yield f"CREATE TABLE {table} (id int)"

    def put(number: int) -> bytes:
        return parse(f"INSERT INTO {table} VALUES ($1)") + bind("", "", [str(number).encode()]) + execute()

    def one(text: str) -> bytes:
        return parse(text) + bind() + execute()

    yield put(1) + put(2) + one("SELECT 1/0") + put(3) + SYNC
    yield f"SELECT * FROM {table} ORDER BY id"
    yield several(put(4) + SYNC + one("SELECT 1/0") + put(5) + SYNC + put(6) + SYNC, 3)
    yield f"SELECT * FROM {table} ORDER BY id"
    yield several(one("BEGIN") + put(7) + SYNC + put(8) + SYNC + one("ROLLBACK") + SYNC + put(9) + SYNC, 4)
    yield f"SELECT * FROM {table} ORDER BY id"
    yield one("BEGIN") + put(10) + one("COMMIT") + put(11) + one("SELECT 1/0") + SYNC
    yield ext(f"SELECT * FROM {table} ORDER BY id")
    yield several(one("BEGIN") + SYNC + one("SELECT 1/0") + SYNC + put(12) + SYNC + one("COMMIT") + SYNC + put(13) + SYNC, 5)
    yield f"SELECT * FROM {table} ORDER BY id"
    yield SYNC
    yield several(SYNC + SYNC, 2)


@semantic(clients=2, stateless=True)
def two_phase_commit(me: Me):
    table, name = me.own("phased"), f"phase {me.n} {SIDE}"
    yield f"CREATE TABLE {table} (id int)"
    yield "BEGIN"
    yield f"INSERT INTO {table} VALUES (1)"
    yield f"PREPARE TRANSACTION '{name}'"
    yield f"SELECT count(*) FROM {table}"
    yield f"SELECT gid FROM pg_prepared_xacts WHERE gid = '{name}'"
    yield other(f"SELECT count(*) FROM pg_prepared_xacts WHERE gid = '{name}'")
    yield other(f"COMMIT PREPARED '{name}'")
    yield f"SELECT count(*) FROM {table} /* pgweir: primary */"
    yield f"ROLLBACK PREPARED '{name}'"  # 42704
    yield "BEGIN"
    yield f"SET work_mem = '{me.memory}'"
    yield f"INSERT INTO {table} VALUES (2)"
    yield f"PREPARE TRANSACTION '{name}'"
    yield "SHOW work_mem"
    yield f"ROLLBACK PREPARED '{name}'"
    yield f"SELECT count(*) FROM {table}"


@semantic(stateless=True)
def deferred_constraints(me: Me):
    table = me.own("deferred")
    yield f"CREATE TABLE {table} (id int UNIQUE DEFERRABLE INITIALLY IMMEDIATE)"
    yield f"INSERT INTO {table} VALUES (1), (2)"
    yield "BEGIN"
    yield "SET CONSTRAINTS ALL DEFERRED"
    yield f"UPDATE {table} SET id = 2 WHERE id = 1"
    yield f"SELECT * FROM {table}"
    yield "COMMIT"  # 23505
    yield f"SELECT * FROM {table} ORDER BY id"
    yield "BEGIN"
    yield f"UPDATE {table} SET id = 2 WHERE id = 1"
    yield "ROLLBACK"


@semantic(stateless=True)
def one_transaction_time(me: Me):
    yield f"CREATE TABLE {me.own('times')} (at timestamptz)"
    yield "BEGIN"
    yield f"INSERT INTO {me.own('times')} VALUES (now())"
    yield "SELECT now() = transaction_timestamp()"
    yield f"INSERT INTO {me.own('times')} SELECT now()"
    yield f"SELECT count(DISTINCT at), max(at) = now() FROM {me.own('times')}"
    yield "COMMIT"
    yield f"SELECT max(at) < now() FROM {me.own('times')}"


@semantic(stateless=True)
def large_objects(me: Me):
    number = me.key()
    yield f"SELECT lo_create({number}) = {number}"
    yield "BEGIN"
    yield f"SELECT lo_open({number}, 131072 | 262144)"
    yield f"SELECT lowrite(0, 'object of {me.n}')"
    yield "SELECT lo_lseek(0, 3, 0)"
    yield "SELECT loread(0, 100)"
    yield "SELECT lo_close(0)"
    yield "COMMIT"
    yield "SELECT loread(0, 100)"  # the descriptor is gone
    yield f"SELECT lo_get({number})"
    yield ext("SELECT lo_put($1, 0, $2)", str(number).encode(), b"OBJ")
    yield f"SELECT convert_from(lo_get({number}), 'UTF8')"
    yield f"SELECT lo_unlink({number})"
    yield f"SELECT lo_get({number})"


@semantic(clients=2, stateless=True)
def row_locks(me: Me):
    table = me.own("locked")
    yield f"CREATE TABLE {table} AS SELECT 1 AS id"
    yield "BEGIN"
    yield f"SELECT id FROM {table} FOR UPDATE"
    yield other(f"SELECT id FROM {table} FOR UPDATE SKIP LOCKED")
    yield other(f"SELECT id FROM {table} FOR SHARE NOWAIT")  # 55P03
    yield other("SET lock_timeout = '20ms'")
    yield other(f"UPDATE {table} SET id = 2")
    yield "COMMIT"
    yield other(f"UPDATE {table} SET id = 3")
    yield f"SELECT id FROM {table} FOR UPDATE"
    yield other("SHOW lock_timeout")


@semantic()
def prepared_in_transactions(me: Me):
    """A statement prepared in a transaction that is rolled back stays, as does DEALLOCATE."""
    yield "BEGIN"
    yield parse(f"SELECT 'kept {me.n}'", "kept") + SYNC
    yield f"PREPARE kept_too AS SELECT 'kept too {me.n}'"
    yield "ROLLBACK"
    yield run("kept")
    yield "EXECUTE kept_too"
    yield "BEGIN"
    yield "DEALLOCATE kept_too"
    yield close("S", "kept") + SYNC
    yield "ROLLBACK"
    yield run("kept")  # 26000
    yield "EXECUTE kept_too"
