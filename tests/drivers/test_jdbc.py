"""The JDBC driver; the program is java/Scenarios.java."""

import subprocess
from pathlib import Path

import pytest

from arena import CLIENTS, run_program

SOURCE = Path(__file__).parent / "java/Scenarios.java"
DRIVER = Path("/usr/share/java/postgresql.jar")


@pytest.fixture(scope="session")
def classes(tmp_path_factory) -> Path:
    directory = tmp_path_factory.mktemp("jdbc")
    done = subprocess.run(["javac", "-Xlint:all,-try", "-Werror", "-cp", DRIVER, "-d", directory, SOURCE],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return directory


@pytest.mark.parametrize("scenario", ["prepared", "many_statements", "batches", "rewritten_batches", "cursors",
                                      "savepoints", "autosave", "transfers", "copies", "settings", "simple",
                                      "notifications"])
def test_jdbc(arena, classes, scenario):
    # Short-lived: the compiler's last effort costs more than it saves.
    program = ["java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", f"{classes}:{DRIVER}", "Scenarios"]
    run_program(program, arena, scenario)
    if scenario == "transfers":
        arena.check_bank(CLIENTS * 15)
