"""Each semantic by itself: three copies of the same script on one server connection (`-k NAME` for just one).

Scripts of two clients block each other on one connection: they have three, which two of them share.

And the other way round: a pooler that carries nothing must be found out by the same script, else it shows nothing.
"""

import pytest

import world
from player import Play, report
from script import SEMANTICS

SEED = 7
COPIES = 3
SIZES = {1: 1, 2: 3}  # server connections, by the clients of a script


@pytest.fixture(autouse=True)
def nothing_left(cluster):
    world.clean(cluster)


@pytest.mark.parametrize("name", SEMANTICS)
def test_alone(make_stage, name):
    semantic = SEMANTICS[name]
    clients = COPIES * semantic.clients
    play = Play(make_stage(SIZES[semantic.clients], clients), SEED, clients, [semantic], copies=COPIES)
    play.run()
    assert not play.differences, report(play.differences, SEED)


@pytest.mark.parametrize("name", [name for name, semantic in SEMANTICS.items() if not semantic.stateless])
def test_finds_out_a_careless_pooler(careless_stage, name):
    semantic = SEMANTICS[name]
    play = Play(careless_stage(SIZES[semantic.clients]), SEED, COPIES * semantic.clients, [semantic], copies=COPIES)
    play.run()
    assert play.differences
