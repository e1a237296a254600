"""Who one is, and DISCARD."""

from harness.wire import SYNC, parse

from script import Me, ext, frees, pins, run, semantic


@semantic()
def set_role(me: Me):
    yield f"SET ROLE {me.role}"
    yield "SELECT current_user, session_user, current_setting('role')"
    yield f"SELECT label FROM {me.schema}.place"
    yield f"SELECT label FROM {me.next_schema}.place"
    yield ext(f"SELECT label FROM {me.next_schema}.place")
    yield "SHOW is_superuser"
    yield f"CREATE TABLE {me.own('by_role')} (id int)"
    yield f"SELECT tableowner FROM pg_tables WHERE tablename = 'by_role_{me.n}'"
    yield "RESET ROLE"
    yield "SELECT current_user"
    yield f"SELECT label FROM {me.next_schema}.place"
    yield f"SELECT set_config('role', '{me.role}', false)"
    yield "SELECT current_user"
    yield "SET ROLE NONE"
    yield "SELECT current_user"
    yield "SET ROLE nobody_at_all"
    yield "SELECT current_user"


@semantic()
def set_role_and_transactions(me: Me):
    yield "BEGIN"
    yield f"SET ROLE {me.role}"
    yield "SELECT current_user"
    yield "ROLLBACK"
    yield "SELECT current_user"
    yield "BEGIN"
    yield f"SET LOCAL ROLE {me.role}"
    yield "SELECT current_user"
    yield "COMMIT"
    yield "SELECT current_user"
    yield f"SET ROLE {me.role}"
    yield "BEGIN"
    yield "SAVEPOINT s"
    yield "RESET ROLE"
    yield "SELECT current_user"
    yield "ROLLBACK TO s"
    yield "SELECT current_user"
    yield "COMMIT"
    yield f"SELECT label FROM {me.next_schema}.place"


@semantic()
def session_authorization(me: Me):
    yield f"SET SESSION AUTHORIZATION {me.role}"
    yield "SELECT session_user, current_user, current_setting('is_superuser')"
    yield f"SELECT label FROM {me.next_schema}.place"
    yield "SHOW session_authorization"
    yield "SET work_mem = '4444kB'"
    yield f"SET ROLE {me.role}"
    yield "SELECT session_user, current_user"
    yield "RESET SESSION AUTHORIZATION"
    yield "SELECT session_user, current_user, current_setting('work_mem')"
    yield "BEGIN"
    yield f"SET SESSION AUTHORIZATION '{me.role}'"
    yield "SELECT session_user"
    yield "ROLLBACK"
    yield "SELECT session_user"
    yield "BEGIN"
    yield f"SET LOCAL SESSION AUTHORIZATION {me.role}"
    yield "SELECT session_user"
    yield "COMMIT"
    yield "SELECT session_user, current_user"
    yield f"SET SESSION AUTHORIZATION {me.role}"
    yield "SET SESSION AUTHORIZATION DEFAULT"
    yield "SELECT session_user, current_user"


@semantic()
def discard_all(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield f"SET SESSION AUTHORIZATION {me.role}"
    yield f"PREPARE mine AS SELECT 'mine {me.n}'"
    yield parse("SELECT 'protocol'", "also_mine") + SYNC
    yield pins("CREATE TEMP TABLE mine (id int)")
    yield "LISTEN mine"
    yield "SELECT pg_advisory_lock(" + str(me.key()) + ")"
    yield "BEGIN"
    yield "DISCARD ALL"  # 25001
    yield "ROLLBACK"
    yield frees("DISCARD ALL")
    yield "SELECT current_user, current_setting('work_mem')"
    yield "EXECUTE mine"
    yield run("also_mine")
    yield "SELECT * FROM mine"
    yield f"SELECT pg_advisory_unlock({me.key()})"
    yield "SELECT count(*) FROM pg_prepared_statements"
    yield f"SET work_mem = '{me.memory}'"
    yield ext("DISCARD ALL")
    yield "SHOW work_mem"


@semantic(alone=True)
def discard_parts(me: Me):
    yield f"SET work_mem = '{me.memory}'"
    yield f"PREPARE mine AS SELECT 'mine {me.n}'"
    yield "DISCARD PLANS"
    yield "EXECUTE mine"
    yield f"CREATE SEQUENCE {me.own('counter')}"
    yield pins(f"SELECT nextval('{me.own('counter')}')")
    yield "SELECT lastval()"
    yield "DISCARD SEQUENCES"
    yield "SELECT lastval()"  # 55000
    yield "CREATE TEMP TABLE mine (id int)"
    yield "SELECT count(*) FROM mine"
    yield "DISCARD TEMP"
    yield "SELECT count(*) FROM mine"
    yield "SHOW work_mem"
    yield "EXECUTE mine"
    yield "DEALLOCATE ALL"
    yield "EXECUTE mine"
