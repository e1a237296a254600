"""Each semantic by itself: three copies of the same script on one server connection (`-k NAME` for just one).

Scripts of two clients block each other on one connection: they have three, which two of them share.

And the other way round: a pooler that carries nothing must be found out by the same script, else it shows nothing.
"""

import pytest

from player import Play, report
from script import SEMANTICS

SEED = 7
TRIES = 5  # with a seed each, to find out a careless pooler
COPIES = 3
SIZES = {1: 1, 2: 3}  # server connections, by the clients of a script
NAMES = list(SEMANTICS)


def play(stage, name: str, seed: int, play_number: int) -> Play:
    # Each play numbers its clients apart from the others: their objects are named after the numbers.
    first = 10 * (NAMES.index(name) + len(NAMES) * play_number)
    semantic = SEMANTICS[name]
    found = Play(stage, seed, COPIES * semantic.clients, [semantic], COPIES, first=first)
    found.run()
    return found


@pytest.mark.parametrize("name", NAMES)
def test_alone(make_stage, name):
    clients = SEMANTICS[name].clients
    played = play(make_stage(SIZES[clients], COPIES * clients), name, SEED, 0)
    assert not played.differences, report(played.differences, SEED)


@pytest.mark.parametrize("name", [name for name in NAMES if not SEMANTICS[name].stateless])
def test_finds_out_a_careless_pooler(careless_stage, name):
    # One connection more than above, so that state is lost, too, and not only found by others.
    size = SIZES[SEMANTICS[name].clients] + 1
    assert any(play(careless_stage(size), name, SEED + number, 1 + number).differences for number in range(TRIES))
