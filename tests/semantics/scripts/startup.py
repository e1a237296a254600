"""Start-up parameters and options: what the session begins with, and what RESET goes back to."""

from harness.wire import query

from script import DATE_STYLES, MOMENT, SPAN, Me, semantic, shows


def _startup(me: Me) -> dict[str, str]:
    return {"TimeZone": me.zone, "application_name": f"started {me.n}", "DateStyle": DATE_STYLES[me.n % 4],
            "semantic.started": f"with {me.n}"}


@semantic(startup=_startup)
def startup_parameters(me: Me):
    names = ("TimeZone", "application_name", "DateStyle", "semantic.started")
    yield shows(*names)
    yield MOMENT
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "SET application_name = 'another'"
    yield "SET semantic.started = 'another'"
    yield shows(*names)
    yield "RESET TimeZone"  # to what it was started with
    yield shows(*names)
    yield "RESET ALL"
    yield shows(*names)
    yield "SET DateStyle TO DEFAULT"
    yield "SET TimeZone = 'Asia/Baghdad'"
    yield "DISCARD ALL"
    yield shows(*names)


def _options(me: Me) -> dict[str, str]:
    return {"options": f"-c search_path={me.schema},public --work_mem={me.memory} "
                       f"-c semantic.spaced=one\\ two\\ {me.n} -cIntervalStyle={me.interval_style} --statement-timeout={600000 + me.n}"}


@semantic(startup=_options)
def startup_options(me: Me):
    names = ("search_path", "work_mem", "semantic.spaced", "IntervalStyle", "statement_timeout")
    yield shows(*names)
    yield "SELECT label FROM place"
    yield SPAN
    yield f"SET search_path = {me.next_schema}"
    yield "SET work_mem = '4444kB'"
    yield "SELECT label FROM place"
    yield "RESET search_path"
    yield "SELECT label FROM place"
    yield "RESET ALL"
    yield shows(*names)
    yield "DISCARD ALL"
    yield shows(*names)


@semantic(startup=lambda me: {"client_encoding": ("LATIN1", "UTF8", "WIN1252")[me.n % 3],
                              "options": f"-c extra_float_digits={me.n % 4}"})
def startup_client_encoding(me: Me):
    codec = ("latin-1", "utf-8", "cp1252")[me.n % 3]
    yield "SHOW client_encoding"
    yield query(f"SELECT 'Straße {me.n}', 0.1::float8 * 3".encode(codec))
    yield "SET client_encoding = UTF8"
    yield f"SELECT 'Straße {me.n}'"
    yield "RESET client_encoding"
    yield query(f"SELECT 'Straße {me.n}'".encode(codec))


@semantic(startup=lambda me: {"options": f"-c role={me.role} -c default_transaction_isolation=serializable"})
def startup_role(me: Me):
    yield "SELECT current_user, session_user"
    yield f"SELECT label FROM {me.schema}.place"
    yield f"SELECT label FROM {me.next_schema}.place"  # 42501
    yield "RESET ROLE"  # back to that of the start
    yield "SELECT current_user"
    yield "SET ROLE NONE"
    yield "SELECT current_user"
    yield f"SELECT label FROM {me.next_schema}.place"
    yield "SHOW transaction_isolation"


@semantic(startup=lambda me: {"options": f"-c no_such_parameter_{me.n}=1"} if me.n % 2 else {"TimeZone": "Not/There"})
def startup_refused(me: Me):
    yield "SELECT 1"
