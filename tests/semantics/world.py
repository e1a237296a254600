"""What the scripts find: two databases with the same content, one for each side of the comparison."""

from __future__ import annotations

from harness.cluster import Cluster

from script import ROLES, SCHEMAS

USER = "semantic"
POOLED = "test"
DIRECT = "straight"

# The user is a superuser, so that scripts may change roles; ALTER ROLE gives RESET something to go back to.
_ROLES = f"""
CREATE ROLE {USER} LOGIN SUPERUSER;
ALTER ROLE {USER} SET work_mem = '3333kB';
ALTER ROLE {USER} SET semantic.of_role = 'given by the role';
ALTER ROLE {USER} SET statement_timeout = '10min';
""" + "".join(f"CREATE ROLE semantic_{n};\n" for n in range(ROLES))

_CONTENT = """
CREATE SCHEMA own;
GRANT ALL ON SCHEMA own TO PUBLIC;
CREATE SCHEMA tools;
GRANT USAGE ON SCHEMA tools TO PUBLIC;
CREATE FUNCTION tools.put(text, text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RETURN set_config($1, $2, false); END $$;
CREATE FUNCTION tools.put_by_set(text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('SET TimeZone = %L', $1); END $$;
CREATE FUNCTION tools.put_here(text, text) RETURNS text LANGUAGE plpgsql AS
  $$ BEGIN RETURN set_config($1, $2, true); END $$;
CREATE FUNCTION tools.lock(bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock($1); END $$;
CREATE FUNCTION tools.make_temporary(text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('CREATE TEMP TABLE %I AS SELECT 42 AS answer', $1); END $$;
CREATE FUNCTION tools.prepare(text, text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('PREPARE %I AS SELECT %L::text AS prepared', $1, $2); END $$;
CREATE FUNCTION tools.notify(text, text) RETURNS void LANGUAGE sql AS $$ SELECT pg_notify($1, $2) $$;
CREATE FUNCTION tools.listen(text) RETURNS void LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('LISTEN %I', $1); END $$;
CREATE FUNCTION tools.fixed() RETURNS text LANGUAGE plpgsql STABLE
  SET TimeZone = 'Asia/Dubai' SET search_path = pg_catalog AS
  $$ BEGIN RETURN current_setting('TimeZone') || ' ' || current_setting('search_path'); END $$;
CREATE FUNCTION tools.fixed_and_put(text) RETURNS text LANGUAGE plpgsql SET work_mem = '9999kB'
  AS $$ BEGIN PERFORM set_config('work_mem', $1, false); RETURN current_setting('work_mem'); END $$;
CREATE FUNCTION tools.say(text) RETURNS int LANGUAGE plpgsql AS
  $$ BEGIN RAISE NOTICE 'notice %', $1; RAISE DEBUG 'debug %', $1; RAISE WARNING 'warning %', $1; RETURN 1; END $$;
CREATE PROCEDURE tools.put_in_two(text, text) LANGUAGE plpgsql AS
  $$ BEGIN EXECUTE format('INSERT INTO %s VALUES (1, %L)', $1, $2); COMMIT;
           EXECUTE format('INSERT INTO %s VALUES (2, %L)', $1, $2); ROLLBACK;
           EXECUTE format('INSERT INTO %s VALUES (3, %L)', $1, $2); END $$;
CREATE PROCEDURE tools.put_and_commit(text, text) LANGUAGE plpgsql AS
  $$ BEGIN PERFORM set_config($1, $2 || '1', false); COMMIT; PERFORM set_config($1, $2 || '2', false); ROLLBACK; END $$;
CREATE TABLE tools.tenants (tenant int, secret text);
INSERT INTO tools.tenants SELECT n, 'secret of ' || n FROM generate_series(0, 4999) n;
ALTER TABLE tools.tenants ENABLE ROW LEVEL SECURITY;
CREATE POLICY own_rows ON tools.tenants USING (tenant = nullif(current_setting('semantic.tenant', true), '')::int);
GRANT ALL ON tools.tenants TO PUBLIC;
""" + "".join(f"""
CREATE SCHEMA s{n};
CREATE TABLE s{n}.place (label text);
INSERT INTO s{n}.place VALUES ('in s{n}');
CREATE FUNCTION s{n}.whereami() RETURNS text LANGUAGE sql STABLE AS $$ SELECT 'function of s{n}'::text $$;
-- The roles differ in the tables that they may read, not in the schemas: a statement that is prepared again for another
-- role would be refused at another point, with the same SQLSTATE and another message.
GRANT USAGE ON SCHEMA s{n} TO PUBLIC;
GRANT ALL ON s{n}.place TO semantic_{n % ROLES};
CREATE SCHEMA "Odd, ""s{n}"" 'ß";
CREATE TABLE "Odd, ""s{n}"" 'ß".place (label text);
INSERT INTO "Odd, ""s{n}"" 'ß".place VALUES ('in the odd schema {n}');
""" for n in range(SCHEMAS))


def make(cluster: Cluster) -> None:
    primary = cluster.primary
    primary.sql(_ROLES)
    primary.sql(f"CREATE DATABASE {DIRECT}")
    for database in (POOLED, DIRECT):
        primary.sql(_CONTENT, dbname=database)
    cluster.wait_replayed()


def clean(cluster: Cluster) -> None:
    """Takes away what scripts made, so that the next play may number its clients from 0 again."""
    for database in (POOLED, DIRECT):
        for left, in cluster.primary.sql("SELECT gid FROM pg_prepared_xacts WHERE database = current_database()",
                                         dbname=database):
            cluster.primary.sql(f"ROLLBACK PREPARED '{left}'", dbname=database)
        cluster.primary.sql("DROP SCHEMA own CASCADE; CREATE SCHEMA own; GRANT ALL ON SCHEMA own TO PUBLIC; "
                            "SELECT lo_unlink(oid) FROM pg_largeobject_metadata", dbname=database)
    cluster.wait_replayed()
