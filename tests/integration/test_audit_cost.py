"""What an audit is sent for, and what not: functions whose code leaves the session alone cost none.

Whether an audit was sent stands in the server's log: what the role `traced` sends is written there.
"""

import contextlib

import pytest

from harness.wire import SYNC, Wire, bind, execute, parse

PRIMARY = "/* pgweir: primary */"
AUDIT = "SELECT 'pin', 'temporary_objects'"

TRIGGER = "RETURNS trigger LANGUAGE plpgsql AS"
SETUP = f"""
DROP SCHEMA IF EXISTS cost CASCADE;
CREATE SCHEMA cost;
GRANT ALL ON SCHEMA cost TO app;
SET search_path = cost, public;
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pgcrypto SCHEMA public;
CREATE EXTENSION IF NOT EXISTS moddatetime SCHEMA public;

CREATE FUNCTION touch() {TRIGGER} $$ BEGIN NEW.updated_at = clock_timestamp(); RETURN NEW; END $$;
CREATE TABLE touched (id int PRIMARY KEY, n int, updated_at timestamptz);
CREATE TRIGGER touch BEFORE INSERT OR UPDATE ON touched FOR EACH ROW EXECUTE FUNCTION touch();

CREATE TABLE with_uuid (id uuid DEFAULT uuid_generate_v4(), other uuid DEFAULT gen_random_uuid(), code text, at timestamp);
CREATE TRIGGER at BEFORE UPDATE ON with_uuid FOR EACH ROW EXECUTE FUNCTION moddatetime(at);
INSERT INTO with_uuid (code) VALUES ('x');

CREATE TABLE history (what text, id int);
CREATE FUNCTION remember(what text, id int) RETURNS void LANGUAGE sql AS
  $$ INSERT INTO cost.history VALUES (what, id); UPDATE cost.touched SET n = 0 WHERE touched.id = 0 $$;
CREATE FUNCTION count_up() {TRIGGER} $$
  BEGIN
    -- SET work_mem, EXECUTE and the like only seem to be here.
    IF TG_OP = 'UPDATE' THEN
      UPDATE cost.touched SET n = n + 1 WHERE id = NEW.id;
    ELSE
      INSERT INTO cost.touched (id, n) VALUES (NEW.id, 1) ON CONFLICT (id) DO UPDATE SET n = touched.n + 1;
    END IF;
    PERFORM cost.remember('EXECUTE ' || TG_OP, NEW.id);
    PERFORM pg_notify('cost', NEW.id::text);
    RETURN NULL;
  END $$;
CREATE TABLE counted (id int PRIMARY KEY);
CREATE TRIGGER count_up AFTER INSERT OR UPDATE ON counted FOR EACH ROW EXECUTE FUNCTION count_up();
CREATE FUNCTION made_in_code() RETURNS int LANGUAGE plpgsql AS $$
  DECLARE n int; BEGIN INSERT INTO cost.counted SELECT coalesce(max(id), 0) + 1 FROM cost.counted RETURNING id INTO n; RETURN n; END $$;
CREATE FUNCTION with_clauses() RETURNS int LANGUAGE sql SECURITY DEFINER SET work_mem = '9MB' SET search_path = cost AS
  $$ UPDATE touched SET n = n + 1; SELECT 1 $$;
CREATE VIEW seen AS SELECT made_in_code() AS id;
CREATE TABLE parts (id int, n int) PARTITION BY RANGE (id);
CREATE TABLE part_one PARTITION OF parts FOR VALUES FROM (0) TO (1000000);
CREATE TRIGGER remembered AFTER INSERT ON parts FOR EACH ROW EXECUTE FUNCTION count_up();

CREATE FUNCTION loud() {TRIGGER} $$ BEGIN PERFORM set_config('work_mem', '7MB', false); RETURN NEW; END $$;
CREATE TABLE noisy (id int PRIMARY KEY, n int);
CREATE TRIGGER loud BEFORE INSERT OR UPDATE OR DELETE ON noisy FOR EACH ROW EXECUTE FUNCTION loud();
CREATE FUNCTION writes_noisy() RETURNS int LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO cost.noisy VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 2; RETURN 1; END $$;
CREATE FUNCTION far() RETURNS int LANGUAGE sql AS $$ SELECT cost.writes_noisy() $$;
CREATE VIEW over_noisy AS SELECT * FROM noisy;
CREATE TABLE parent (id int PRIMARY KEY);
CREATE TABLE child (id int REFERENCES parent ON DELETE CASCADE);
CREATE TRIGGER loud BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION loud();
CREATE FUNCTION dynamic() RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE 'SET wo' || 'rk_mem = ''7MB'''; END $$;
CREATE FUNCTION by_set() RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN UPDATE cost.touched SET n = 1; SET work_mem = '7MB'; END $$;
CREATE FUNCTION in_default(a text DEFAULT set_config('work_mem', '7MB', false)) RETURNS text LANGUAGE sql VOLATILE AS 'SELECT a';
CREATE TABLE defaulting (id int, a text DEFAULT set_config('work_mem', '7MB', false));
CREATE FUNCTION into_defaulting() RETURNS void LANGUAGE sql AS 'INSERT INTO cost.defaulting (id) VALUES (1)';
CREATE DOMAIN setting AS text CHECK (set_config('work_mem', '7MB', false) IS NOT NULL);
CREATE TABLE with_domain (a setting);
CREATE FUNCTION into_with_domain() RETURNS void LANGUAGE sql AS $$ INSERT INTO cost.with_domain VALUES ('x') $$;
CREATE FUNCTION through_domain() RETURNS void LANGUAGE plpgsql AS $$ DECLARE x cost.with_domain.a%TYPE; BEGIN x := 'y'; END $$;
CREATE FUNCTION through_settings() RETURNS void LANGUAGE sql AS
  $$ UPDATE pg_settings SET setting = '7MB' WHERE name = 'work_mem' $$;
CREATE FUNCTION held() RETURNS void LANGUAGE sql BEGIN ATOMIC SELECT set_config('work_mem', '7MB', false); END;
CREATE FUNCTION custom_clause() RETURNS int LANGUAGE sql SET cost.clause = 'x' AS
  'SELECT 1';
GRANT ALL ON ALL TABLES IN SCHEMA cost TO app;
"""


@pytest.fixture(scope="module")
def database(cluster):
    cluster.primary.sql(SETUP)
    yield cluster
    cluster.primary.sql("DROP SCHEMA cost CASCADE")


@pytest.fixture
def narrow(database, make_proxy):
    """One server connection per node, database and user; the catalog has been read."""
    proxy = make_proxy(workers=1, pool={"mode": "transaction", "size": 1, "queue_timeout": "10s"})
    proxy.wait_standby_read("SELECT count(*) FROM cost.touched")
    return proxy


@contextlib.contextmanager
def session(proxy):
    with Wire(proxy.port) as client:
        client.login(user="traced")
        yield client


def audits_of(cluster, proxy, statement: str) -> int:
    """How many audits a statement brings; the only connection is free again when the other client has its answer."""
    with session(proxy) as client, session(proxy) as other:
        other.rows(f"{PRIMARY} SELECT 1")
        before = cluster.primary.received(AUDIT)
        client.rows(statement)
        other.rows(f"{PRIMARY} SELECT 1")
        return cluster.primary.received(AUDIT) - before


@pytest.mark.parametrize("statement", [
    "INSERT INTO cost.touched (id, n) VALUES (1, 1) ON CONFLICT (id) DO UPDATE SET n = 2",
    "UPDATE cost.touched SET n = n + 1",
    "INSERT INTO cost.with_uuid DEFAULT VALUES",
    "UPDATE cost.with_uuid SET code = 'y'",
    "INSERT INTO cost.with_uuid (id, code) VALUES (uuid_generate_v4(), encode(gen_random_bytes(8), 'hex'))",
    "SELECT public.uuid_generate_v1mc(), crypt('x', gen_salt('bf', 4))",
    "INSERT INTO cost.counted VALUES (-1) ON CONFLICT (id) DO UPDATE SET id = excluded.id",
    "SELECT cost.made_in_code()",
    "SELECT * FROM cost.seen",
    "SELECT cost.with_clauses()",
    "INSERT INTO cost.parts VALUES (1, 1)",
    "INSERT INTO cost.part_one VALUES (1, 1)",
    "BEGIN; INSERT INTO cost.counted VALUES (-2) ON CONFLICT (id) DO UPDATE SET id = excluded.id; COMMIT",
    "SELECT * FROM cost.noisy",
], ids=lambda text: text[:60])
def test_code_that_leaves_the_session_alone_costs_no_audit(database, narrow, statement):
    assert audits_of(database, narrow, statement) == 0


def test_a_clause_for_a_custom_setting_is_asked_after(database, narrow):
    """Its name stays on the connection."""
    assert audits_of(database, narrow, "SELECT cost.custom_clause()") == 1


LOUD = {
    "a trigger": "INSERT INTO cost.noisy VALUES (2, 2) ON CONFLICT (id) DO UPDATE SET n = 3",
    "a trigger behind a function": "SELECT cost.writes_noisy()",
    "a trigger behind two functions": "SELECT cost.far()",
    "a trigger behind a view": "INSERT INTO cost.over_noisy VALUES (3, 3) ON CONFLICT (id) DO UPDATE SET n = 4",
    "a trigger behind a cascade": "INSERT INTO cost.parent VALUES (1); INSERT INTO cost.child VALUES (1); DELETE FROM cost.parent",
    "EXECUTE": "SELECT cost.dynamic()",
    "SET behind UPDATE ... SET": "SELECT cost.by_set()",
    "the default of an argument": "SELECT cost.in_default()",
    "the default of a column": "INSERT INTO cost.defaulting (id) VALUES (1)",
    "the default of a column behind a function": "SELECT cost.into_defaulting()",
    "the check of a domain behind a function": "SELECT cost.into_with_domain()",
    "the check of a domain by %TYPE": "SELECT cost.through_domain()",
    "pg_settings": "SELECT cost.through_settings()",
    "BEGIN ATOMIC": "SELECT cost.held()",
}


@pytest.mark.parametrize("way", list(LOUD))
def test_what_code_sets_stays_with_its_client(database, narrow, way):
    show = f"{PRIMARY} SELECT current_setting('work_mem')"
    with session(narrow) as client, session(narrow) as other:
        before = database.primary.received(AUDIT)
        client.rows(LOUD[way])
        assert other.rows(show) == [[b"4MB"]]
        assert client.rows(show) == [[b"7MB"]]
        assert other.rows(show) == [[b"4MB"]]
        assert database.primary.received(AUDIT) > before


@pytest.mark.parametrize("protocol", ["simple", "one string", "one exchange"])
def test_a_function_that_becomes_loud_is_asked_after_at_once(database, narrow, protocol):
    """In the transaction that changes it, too: the catalog that pgweir has still knows the old code."""
    show = f"{PRIMARY} SELECT current_setting('work_mem')"
    make = "CREATE OR REPLACE FUNCTION cost.turned() RETURNS text LANGUAGE sql AS $$ SELECT {} $$"
    with session(narrow) as client, session(narrow) as other:
        client.rows(make.format("'quiet'"))
        narrow.wait_standby_read("SELECT count(*) FROM cost.touched", user="traced")
        assert audits_of(database, narrow, "SELECT cost.turned()") == 0
        loud = make.format("set_config('work_mem', '7MB', false)")
        if protocol == "simple":
            for text in ("BEGIN", loud, "SELECT cost.turned()", "COMMIT"):
                client.rows(text)
        elif protocol == "one string":
            client.rows(f"{loud}; SELECT cost.turned()")
        else:
            found = client.ask(parse(loud), bind(), execute(), parse("SELECT cost.turned()"), bind(), execute(), SYNC)
            assert "E" not in [message.kind for message in found]
        assert other.rows(show) == [[b"4MB"]]
        assert client.rows(show) == [[b"7MB"]]


def test_custom_settings_of_code_are_found_as_before(database, narrow):
    database.primary.sql("CREATE OR REPLACE FUNCTION cost.tenant(name text) RETURNS text LANGUAGE plpgsql AS"
                         " $$ BEGIN RETURN set_config('cost.tenant', name, false); END $$")
    ask = f"{PRIMARY} SELECT current_setting('cost.tenant', true)"
    with session(narrow) as client, session(narrow) as other:
        client.rows("SELECT cost.tenant('mine')")
        assert other.rows(ask)[0][0] != b"mine"
        assert client.rows(ask) == [[b"mine"]]
