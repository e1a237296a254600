"""All semantics at once: 50 clients on 5 server connections cannot tell pgweir from a connection of their own."""

import os

import pytest

import world
from conftest import CLIENTS, SERVER_CONNECTIONS
from player import Play, report
from script import SEMANTICS

SEEDS = range(1, 1 + int(os.environ.get("PGWEIR_SEMANTICS_SEEDS", "3")))
COPIES = 2  # of each script, next to each other, so that they meet
QUITTERS = 0.4  # of so many a third copy that leaves in the middle


def test_there_are_enough():
    assert len(SEMANTICS) >= 40


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_clients_cannot_tell(make_stage, cluster, seed):
    print(f"seed {seed}")
    world.clean(cluster)
    play = Play(make_stage(SERVER_CONNECTIONS, CLIENTS), seed, CLIENTS, [one for one in SEMANTICS.values() if not one.alone], COPIES, QUITTERS)
    play.run()
    print(f"{len(SEMANTICS)} semantics, {play.steps_compared} steps compared")
    assert not play.differences, report(play.differences, seed)
