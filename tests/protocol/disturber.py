"""Other clients on the same pool, busy between the steps of a script, so that server connections really change hands.

They leave behind whatever a careless pooler would hand on: settings, roles, statements of the same names, errors. Two of
them hold a transaction open over a step of the script, one on the primary and one on a standby, so that a script that goes
on finds its last server connection taken. They never touch the tables of the scripts and never wait for long: when the
script has the whole pool, their statement simply stays under way.
"""

from __future__ import annotations

import random
import select

from harness.waiting import wait_for
from harness.wire import SYNC, Wire, bind, close, execute, parse, query

_PATIENCE = 0.05  # seconds for an answer, before the script goes on

_HOLD = {"primary": query("BEGIN; SELECT txid_current()"), "standby": query("BEGIN READ ONLY; SELECT count(*) FROM pg_class")}

_MOVES = [query(text) for text in (
    "SET datestyle = 'German'", "SET search_path = elsewhere", "SET client_encoding = 'LATIN1'", "SET work_mem = '64kB'",
    "SET extra_float_digits = 0", "SET ROLE app", "RESET ROLE", "SET SESSION AUTHORIZATION app", "RESET SESSION AUTHORIZATION",
    "SET a.b = 'disturber'", "SET TimeZone = 'Asia/Tokyo'", "SET application_name = 'disturber'", "SET intervalstyle = 'iso_8601'",
    "SET standard_conforming_strings = off", "SET bytea_output = 'escape'", "SET statement_timeout = '1h'",
    "SET default_transaction_read_only = on", "SET default_transaction_isolation = 'serializable'", "RESET ALL", "DISCARD ALL",
    "SELECT 1/0", "BEGIN; SELECT 1/0; COMMIT", "PREPARE s AS SELECT 'disturber'", "DEALLOCATE ALL", "SELECT 'disturber'",
    "BEGIN; DECLARE c CURSOR FOR SELECT 'disturber'; COMMIT", "BEGIN; SET LOCAL work_mem = '128kB'; COMMIT",
    "SELECT set_config('a.b', 'disturbed', false)", "ROLLBACK")] + [
    close("S", "s") + parse("SELECT 'disturber'::text AS disturber", "s") + bind(statement="s") + execute() + SYNC,
    parse("SELECT 'unnamed disturber'") + bind() + execute() + SYNC,
    parse("SELECT 'p'", "p") + close("S", "p") + SYNC,
    parse("SELEKT") + SYNC,
    close("S", "s") + SYNC,
]


class _Busy:
    def __init__(self, port: int, **parameters: str):
        self._wire = Wire(port)
        self._wire.login(**parameters)
        self._waiting = False
        self.holds = False

    def close(self) -> None:
        self._wire.socket.close()

    def settle(self, patience: float = _PATIENCE) -> bool:
        """Reads the answer if it comes in time; false while a statement is under way."""
        while self._waiting and (self._wire.has_buffered or select.select([self._wire.socket], [], [], patience)[0]):
            self._waiting = self._wire.read().kind != "Z"
        return not self._waiting

    def say(self, data: bytes) -> None:
        if self.settle(0):
            self._wire.send(data)
            self._waiting = True
            self.settle()

    def hold_or_release(self, how: bytes) -> None:
        if self.settle(0):
            self.say(query("COMMIT") if self.holds else how)
            self.holds = not self.holds


class Disturber:
    """A context manager. The seed is fixed, so the moves are the same each time."""

    def __init__(self, port: int, seed: int):
        self._random = random.Random(seed)
        self._holders = {kind: _Busy(port) for kind in _HOLD}
        self._restless = _Busy(port, application_name="restless", options="-c work_mem=1MB")

    def __enter__(self) -> Disturber:
        return self

    def __exit__(self, *_) -> None:
        for holder in self._holders.values():
            if holder.holds:  # its transaction must not outlive the script
                wait_for(holder.settle, "the disturber's transaction to begin")
                holder.hold_or_release(b"")
                wait_for(holder.settle, "the disturber's transaction to end")
            holder.close()
        self._restless.close()

    def disturb(self) -> None:
        """A move of each, in an order that changes."""
        kinds = list(self._holders)
        self._random.shuffle(kinds)
        for kind in kinds:
            if self._random.random() < 0.7:
                self._holders[kind].hold_or_release(_HOLD[kind])
        self._restless.say(self._random.choice(_MOVES))
