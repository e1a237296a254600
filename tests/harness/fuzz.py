"""Runs one fuzz target with libFuzzer, from its corpus, for some time: `./dev fuzz sql --seconds 60`.

What is new goes to a scratch folder, never into the corpus of the repository; `--merge` adds of that folder what reaches
new code, as small as it gets. A finding is left beside it, and the run fails.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "tests/fuzz"
OPTIONS = {
    "ASAN_OPTIONS": "detect_leaks=1:allocator_may_return_null=1:detect_stack_use_after_return=0",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
}
MEMORY_MB = 2048
LONGEST_INPUT = {"session": 4096, "reply_queue": 2048, "startup": 12000}


def targets() -> list[str]:
    found = re.search(r"fuzz_targets = \{(.*?)\}", (FOLDER / "meson.build").read_text(), re.S)
    return sorted(re.findall(r"^\s*'(\w+)':", found[1], re.M))


def run(program: Path, name: str, scratch: Path, seconds: int, seed: int) -> int:
    scratch.mkdir(parents=True, exist_ok=True)
    # Leaks are looked for at the end: what is cached on purpose would make libFuzzer look each time.
    command = [program, f"-max_total_time={seconds}", f"-seed={seed}", f"-rss_limit_mb={MEMORY_MB}", "-timeout=20",
               "-detect_leaks=0", f"-max_len={LONGEST_INPUT.get(name, 4096)}", f"-artifact_prefix={scratch.parent}/finding-{name}-",
               "-len_control=10", "-print_final_stats=1", scratch, FOLDER / "corpus" / name]
    return subprocess.run([str(part) for part in command], env=os.environ | OPTIONS).returncode


def merge(program: Path, name: str, scratch: Path) -> int:
    """What is in the corpus stays; what the scratch folder has beyond it is added."""
    corpus = FOLDER / "corpus" / name
    before = len(list(corpus.iterdir()))
    command = [program, "-merge=1", f"-max_len={LONGEST_INPUT.get(name, 4096)}", corpus, scratch]
    status = subprocess.run([str(part) for part in command], env=os.environ | OPTIONS).returncode
    print(f"{name}: {len(list(corpus.iterdir())) - before} new files in {corpus.relative_to(REPOSITORY)}")
    return status


def main() -> int:
    parser = argparse.ArgumentParser(prog="./dev fuzz", description=__doc__)
    parser.add_argument("target", nargs="?", choices=targets())
    parser.add_argument("--list", action="store_true", help="print the targets")
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=1, help="of libFuzzer (default %(default)s)")
    parser.add_argument("--merge", action="store_true", help="add to the corpus what earlier runs have found, and run nothing")
    parser.add_argument("--fresh", action="store_true", help="forget what earlier runs have found")
    parser.add_argument("--build", type=Path, default=Path("build-fuzz"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.list:
        print("\n".join(targets()))
        return 0
    if not arguments.target:
        parser.error("name a target; ./dev fuzz --list prints them")
    build = REPOSITORY / arguments.build
    program, scratch = build / f"tests/fuzz/fuzz_{arguments.target}", build / "fuzz" / arguments.target
    if arguments.fresh:
        shutil.rmtree(scratch, ignore_errors=True)
    if arguments.merge:
        return merge(program, arguments.target, scratch)
    return run(program, arguments.target, scratch, arguments.seconds, arguments.seed)


if __name__ == "__main__":
    sys.exit(main())
