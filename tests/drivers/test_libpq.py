"""libpq's pipeline mode, from C; the program is c/pipeline.c."""

import subprocess
from pathlib import Path

import pytest

from arena import CLIENTS, run_program

SOURCE = Path(__file__).parent / "c/pipeline.c"


@pytest.fixture(scope="session")
def program(tmp_path_factory) -> Path:
    built = tmp_path_factory.mktemp("libpq") / "pipeline"
    libpq = subprocess.run(["pkg-config", "--cflags", "--libs", "libpq"], stdout=subprocess.PIPE, text=True, check=True)
    command = ["cc", "-std=gnu11", "-O1", "-g", "-Wall", "-Wextra", "-Werror", "-pthread", "-o", built, SOURCE]
    done = subprocess.run(command + libpq.stdout.split(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return built


@pytest.mark.parametrize("scenario", ["prepared", "prepared_across", "errors", "transactions", "single_rows", "flushes",
                                      "long_pipelines", "copies", "cancels"])
def test_libpq(arena, program, scenario):
    run_program([program], arena, scenario)
    if scenario == "transactions":
        arena.check_bank(CLIENTS * 15)
