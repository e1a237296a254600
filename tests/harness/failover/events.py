"""The events of the failover drills: what is done, when it is over, and what clients may notice of it at most.

One row per event. `before` happens before the clients begin. `over` says whether pgweir's view of the nodes is what it
should become. Goals are Nones where there is none.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any, Callable

from ..cluster import BIN
from .world import Row, World

Rows = dict[str, Row]
ALL = ("pg1", "pg2", "pg3")
IN_FLIGHT = 10  # writing sessions: each has at most one statement in flight


@dataclass(frozen=True)
class Timing:
    """What pgweir has been told; seconds."""
    interval: float
    timeout: float
    retries: int

    @property
    def detection(self) -> float:
        """How long a silent node can go unnoticed."""
        return self.interval + self.timeout * self.retries


@dataclass(frozen=True)
class Goal:
    """For statements of persistent sessions, and new connections."""
    longest: Callable[[Timing], float] | None  # seconds
    write_errors: int | None = 0
    read_errors: int | None = 0


@dataclass(frozen=True)
class Event:
    name: str
    what: str  # in the table
    act: Callable[[World], None]
    over: Callable[[World, Rows], bool]
    goal: Goal
    before: Callable[[World], None] | None = None
    after: Callable[[World], None] | None = None  # raises when something is not as it should be
    known: tuple[str, ...] = ALL  # nodes in the configuration
    synchronous: bool | None = None  # None: as the drill is told
    sections: dict[str, dict[str, Any]] = field(default_factory=dict)  # laid over the drill's configuration


# --- when it is over -------------------------------------------------------------------------------------------------


def states(**expected: str) -> Callable[[World, Rows], bool]:
    """These nodes have these states, the others are up; pg1 is the primary."""
    def over(world: World, rows: Rows) -> bool:
        return world.primary(rows) == "pg1" and all(row["status"] == expected.get(name, "up") for name, row in rows.items())
    return over


def failed_over(old: str) -> Callable[[World, Rows], bool]:
    """Somebody else is the primary, the third node follows, and pg1 is in this state."""
    def over(world: World, rows: Rows) -> bool:
        return (world.primary(rows) in ("pg2", "pg3") and rows["pg1"]["status"] == old and
                all(rows[name]["status"] == "up" for name in ("pg2", "pg3")))
    return over


def all_up_somehow(world: World, rows: Rows) -> bool:
    """A restart may be over before anybody is promoted, or not."""
    return states()(world, rows) or failed_over("quarantine")(world, rows)


# --- what is done ------------------------------------------------------------------------------------------------------


def _kill(name: str):
    return lambda world: world.node(name).kill()


def _stop(name: str, mode: str):
    return lambda world: world.node(name).stop(mode)


def _freeze(name: str):
    return lambda world: world.node(name).pause()


def _cut(name: str):
    return lambda world: world.host(name).cut_off()


def _fail_over_by(act: Callable[[World], None], old: str = "down"):
    def before(world: World) -> None:
        act(world)
        world.wait(lambda rows: failed_over(old)(world, rows), "the failover before the drill")
    return before


def _lose(name: str, act: Callable[[World], None]):
    def before(world: World) -> None:
        act(world)
        world.wait(lambda rows: rows[name]["status"] == "down", f"{name} to be down")
    return before


def _pgweir_does_not_see_the_primary(world: World) -> None:
    world.cut_off_from_pgweir("pg1")
    world.wait(lambda rows: rows["pg1"]["status"] == "down", "pg1 to be down for pgweir")
    time.sleep(2.0)  # in which it could make a mistake
    world.host("pg1").reconnect()


def _nobody_was_promoted(world: World) -> None:
    recovery = {name: world.ask(name, "SELECT pg_is_in_recovery()")[0][0] for name in ALL}
    assert recovery == {"pg1": False, "pg2": True, "pg3": True}, f"in recovery: {recovery}"


def _promote_by_hand(world: World) -> None:
    """As another program would: the primary is stopped, the standby that has more promoted, the third one follows it."""
    world.node("pg1").stop("fast")

    def received(name: str) -> int:
        return world.ask(name, "SELECT (pg_last_wal_receive_lsn() - '0/0')::bigint")[0][0]
    best, other = sorted(("pg2", "pg3"), key=received, reverse=True)
    world.ask(best, "SELECT pg_promote()")
    upstream = world.node(best)
    world.ask(other, f"ALTER SYSTEM SET primary_conninfo = 'host={upstream.host} port={upstream.port} user=postgres "
                     f"application_name={other}'")
    world.ask(other, "SELECT pg_reload_conf()")


def _terminate_backends(world: World) -> None:
    """Everybody's, pgweir's own included, five times."""
    for _ in range(5):
        for name in ALL:
            world.ask(name, "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
                            "WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()")
        time.sleep(0.3)


def _switch_over(world: World) -> None:
    world.notes.append(world.ctl("switchover").strip().splitlines()[-1])


def _rejoined(world: World, rows: Rows) -> bool:
    """The rejoin command only asks; this is where it is done."""
    for asked in world.cluster.directory.glob("rejoin-*"):
        world.rebuild(asked.name.removeprefix("rejoin-"))
        asked.unlink()
    return failed_over("up")(world, rows)


def _demoted_is_away(world: World, rows: Rows) -> bool:
    return world.primary(rows) in ("pg2", "pg3") and all(
        row["status"] == "up" for name, row in rows.items() if name != "pg1")


# --- the table -------------------------------------------------------------------------------------------------------

_KILLED_STANDBY = Goal(lambda _: 0.3)
_SILENT_STANDBY = Goal(lambda timing: 1.2 * timing.timeout)
_KILLED_PRIMARY = Goal(lambda _: 2.0, write_errors=IN_FLIGHT)
_SILENT_PRIMARY = Goal(lambda timing: timing.detection + 1.5, write_errors=IN_FLIGHT)
_QUIET = Goal(lambda _: 0.1)
_STORM = Goal(None, write_errors=None)

# Commands as an operator would write them. Node 0 is pg1.
_PROMOTE = f"{BIN}/psql -X -h %H -p %r -U postgres -d postgres -c 'SELECT pg_promote()'"
_FOLLOW = (f"{BIN}/psql -X -h %h -p %p -U postgres -d postgres -c \"ALTER SYSTEM SET primary_conninfo = 'host=%H port=%r "
           "user=postgres application_name=pg$((%d + 1))'\" -c 'SELECT pg_reload_conf()'")
# The parent directory of the data directory is the cluster's.
_REJOIN = 'asked="$(dirname %D)/rejoin-$(basename %D)"; touch "$asked"; while [ -e "$asked" ]; do sleep 0.1; done'

EVENTS = [
    Event("standby_killed", "standby killed (`kill -9`)", _kill("pg2"), states(pg2="down"), _KILLED_STANDBY),
    Event("standby_stopped_fast", "standby stopped, fast", _stop("pg2", "fast"), states(pg2="down"), _KILLED_STANDBY),
    Event("standby_stopped_immediate", "standby stopped, immediate", _stop("pg2", "immediate"), states(pg2="down"),
          _KILLED_STANDBY),
    Event("standby_frozen", "standby hangs (SIGSTOP)", _freeze("pg2"), states(pg2="down"), _SILENT_STANDBY),
    Event("standby_cut_off", "standby cut off the network", _cut("pg2"), states(pg2="down"), _SILENT_STANDBY),
    Event("standby_power_off", "standby without power", lambda world: world.power_off("pg2"), states(pg2="down"),
          _SILENT_STANDBY),
    Event("standby_restarted", "standby restarted (`pg_ctl restart`)", lambda world: world.node("pg2").restart(), states(),
          _KILLED_STANDBY),
    Event("standbys_lost", "both standbys killed, without synchronous replication",
          lambda world: (world.node("pg2").kill(), world.node("pg3").kill()), states(pg2="down", pg3="down"), _KILLED_STANDBY,
          synchronous=False),
    Event("standby_back", "standby comes back", lambda world: world.node("pg2").start(), states(), _QUIET,
          before=_lose("pg2", _kill("pg2"))),
    Event("standby_thaws", "standby goes on after a hang", lambda world: world.node("pg2").resume(), states(), _QUIET,
          before=_lose("pg2", _freeze("pg2"))),
    Event("node_added", "node added by reload", lambda world: world.configure_nodes(list(ALL)),
          lambda world, rows: len(rows) == 3 and states()(world, rows), _QUIET, known=("pg1", "pg2")),
    Event("node_removed", "node removed by reload", lambda world: world.configure_nodes(["pg1", "pg2"]),
          states(pg3="disabled"), _QUIET),
    Event("primary_killed", "primary killed (`kill -9`)", _kill("pg1"), failed_over("down"), _KILLED_PRIMARY),
    Event("primary_killed_command", "the same with `failover.mode: command`", _kill("pg1"), failed_over("down"),
          _KILLED_PRIMARY, sections={"failover": {"mode": "command", "failover_command": _PROMOTE, "follow_command": _FOLLOW}}),
    Event("primary_stopped_fast", "primary stopped, fast", _stop("pg1", "fast"), failed_over("down"), _KILLED_PRIMARY),
    Event("primary_stopped_immediate", "primary stopped, immediate", _stop("pg1", "immediate"), failed_over("down"),
          _KILLED_PRIMARY),
    Event("primary_restarted", "primary restarted (`pg_ctl restart`)", lambda world: world.node("pg1").restart(),
          all_up_somehow, _KILLED_PRIMARY),
    Event("primary_frozen", "primary hangs (SIGSTOP)", _freeze("pg1"), failed_over("down"), _SILENT_PRIMARY),
    Event("primary_cut_off", "primary cut off the network", _cut("pg1"), failed_over("down"), _SILENT_PRIMARY),
    Event("primary_power_off", "primary without power", lambda world: world.power_off("pg1"), failed_over("down"),
          _SILENT_PRIMARY),
    Event("primary_unseen", "only pgweir is cut off from the primary, for a while", _pgweir_does_not_see_the_primary, states(),
          Goal(None, write_errors=IN_FLIGHT), after=_nobody_was_promoted),
    Event("old_primary_back", "old primary comes back after a failover", lambda world: world.node("pg1").start(),
          failed_over("quarantine"), _QUIET, before=_fail_over_by(_kill("pg1"))),
    Event("old_primary_rejoins", "old primary comes back and is rebuilt (`failover.rejoin_command`)",
          lambda world: world.node("pg1").start(), _rejoined, _QUIET, before=_fail_over_by(_kill("pg1")),
          sections={"failover": {"rejoin_command": _REJOIN}}),
    Event("old_primary_thaws", "old primary goes on after a hang and a failover", lambda world: world.node("pg1").resume(),
          failed_over("quarantine"), _QUIET, before=_fail_over_by(_freeze("pg1"))),
    Event("old_primary_reconnected", "old primary is on the network again after a failover",
          lambda world: world.host("pg1").reconnect(), failed_over("quarantine"), _QUIET, before=_fail_over_by(_cut("pg1"))),
    Event("switchover", "switchover (`pgweirctl switchover`)", _switch_over, _demoted_is_away, Goal(lambda _: 1.0)),
    Event("promoted_by_hand", "another program stops the primary and promotes (`observe`)", _promote_by_hand,
          failed_over("down"), _KILLED_PRIMARY, sections={"failover": {"mode": "observe"}}),
    Event("backends_terminated", "`pg_terminate_backend` of everybody, five times", _terminate_backends, states(), _STORM,
          after=_nobody_was_promoted),
]
BY_NAME = {event.name: event for event in EVENTS}
