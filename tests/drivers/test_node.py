"""node-postgres with pg-cursor and pg-query-stream; the programs are in node/."""

from pathlib import Path

import pytest

from arena import CLIENTS, run_program
from harness import npm

SOURCES = npm.DRIVERS


@pytest.fixture(scope="session")
def modules() -> Path:
    return npm.installed(npm.DRIVERS) / "node_modules"


@pytest.mark.parametrize("scenario", ["identity", "prepared", "queued", "transactions", "transfers", "cursors",
                                      "streams", "pool", "notifications"])
def test_node(arena, modules, scenario):
    run_program(["node", SOURCES / "scenarios.js"], arena, scenario, NODE_PATH=str(modules))
    if scenario == "transfers":
        arena.check_bank(CLIENTS * 15)
