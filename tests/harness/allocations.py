"""Counts what pgweir's threads ask of the heap, and finds out where: the other side of tests/allocations/counter.cpp.

`with counted(directory) as path:` makes the next `Pgweir` start with the counter preloaded; `Allocations(proxy, path)` reads
it while the proxy runs. The worker is the thread that allocates most while clients log in.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import re
import struct
import subprocess
from collections import Counter
from pathlib import Path
from typing import Callable, Iterator

from .proxy import Pgweir, binary_path

# The layout of the file: see `Counts` in the counter.
_THREADS, _STACKS, _DEPTH = 64, 4096, 24
_HEADER, _THREAD, _STACK = struct.Struct("3Q"), struct.Struct("3Q"), struct.Struct(f"{3 + _DEPTH}Q")
_TRACING_AT = 8
# Says nothing about who wants the memory: the heap's own doors, and the standard library's inside.
_NOT_A_SITE = re.compile(r"operator new|^std::|__gnu_cxx|void std::|void\* std::|unsigned .*\* std::|^\?\?")


@contextlib.contextmanager
def counted(directory: Path) -> Iterator[Path]:
    """Within, `Pgweir` starts the program with the counter; what it counts is in the file given."""
    program = binary_path()
    counter = program.parents[1] / "tests/allocations/count_allocations.so"
    if not counter.exists():
        raise RuntimeError(f"{counter} is missing: it is built beside pgweir (not with a sanitizer)")
    counts, wrapper = directory / "allocations", directory / "counted-pgweir"
    wrapper.write_text(f"#!/bin/sh\nexec env 'LD_PRELOAD={counter}' 'PGWEIR_ALLOCATION_COUNTS={counts}' '{program}' \"$@\"\n")
    wrapper.chmod(0o755)
    before = os.environ.get("PGWEIR_BINARY")
    os.environ["PGWEIR_BINARY"] = str(wrapper)
    try:
        yield counts
    finally:
        if before is None:
            del os.environ["PGWEIR_BINARY"]
        else:
            os.environ["PGWEIR_BINARY"] = before


class Allocations:
    """The counts of a running proxy with one worker."""

    def __init__(self, proxy: Pgweir, counts: Path):
        with open(counts, "r+b") as file:
            self._map = mmap.mmap(file.fileno(), 0)
        self.proxy = proxy
        before = self.by_thread()
        for _ in range(20):  # logins, which allocate a lot in the worker and a little in the control thread
            proxy.sql("SELECT 1")
        after = self.by_thread()
        self._worker = max(after, key=lambda thread: after[thread] - before.get(thread, 0))

    def of_worker(self, work: Callable[[], object]) -> int:
        """How often the worker allocates while `work` is done."""
        before = self.by_thread()[self._worker]
        work()
        return self.by_thread()[self._worker] - before

    def sites_of_worker(self, work: Callable[[], object]) -> Counter[str]:
        """Where, and how often each, named by the innermost functions. Once: stacks are kept for good."""
        self._trace(True)
        work()
        self._trace(False)
        return self._sites()

    def by_thread(self) -> dict[int, int]:
        """Allocations so far by thread id."""
        used = min(_HEADER.unpack_from(self._map)[0], _THREADS)
        rows = (_THREAD.unpack_from(self._map, _HEADER.size + place * _THREAD.size) for place in range(used))
        return {thread: allocations for thread, allocations, _ in rows}

    def _trace(self, on: bool) -> None:
        """Whether call stacks are kept from now on. It makes every allocation much slower."""
        struct.pack_into("Q", self._map, _TRACING_AT, int(on))

    def _stacks(self) -> list[tuple[int, int, list[int]]]:
        """Thread, how often, return addresses from the innermost."""
        if lost := _HEADER.unpack_from(self._map)[2]:
            raise RuntimeError(f"{lost} allocations had a stack that found no place")
        begin = _HEADER.size + _THREADS * _THREAD.size
        rows = (_STACK.unpack_from(self._map, begin + place * _STACK.size) for place in range(_STACKS))
        return [(thread, times, [a for a in addresses if a]) for hash_, thread, times, *addresses in rows if hash_]

    def _sites(self, depth: int = 3) -> Counter[str]:
        begin, end, offset, program = self._text_of_program()
        stacks = [(times, [a for a in addresses if begin <= a < end]) for owner, times, addresses in self._stacks()
                  if owner == self._worker]
        # A return address may be the first of the next function: one byte before it is the call.
        wanted = sorted({a for _, addresses in stacks for a in addresses})
        done = subprocess.run(["addr2line", "-C", "-f", "-i", "-a", "-e", program],
                              input="\n".join(hex(a - 1 - begin + offset) for a in wanted), stdout=subprocess.PIPE, text=True, check=True)
        names = dict(zip(wanted, re.split(r"^0x[0-9a-f]+\n", done.stdout, flags=re.M)[1:]))
        found: Counter[str] = Counter()
        for times, addresses in stacks:
            functions = [line for address in addresses for line in _functions(names[address])]
            ours = [f for f in functions if not _NOT_A_SITE.search(f)]
            found[" < ".join(ours[:depth]) or "outside pgweir"] += times
        return found

    def _text_of_program(self) -> tuple[int, int, int, str]:
        program = os.readlink(f"/proc/{self.proxy.pid}/exe")
        for line in Path(f"/proc/{self.proxy.pid}/maps").read_text().splitlines():
            fields = line.split()
            if fields[-1] == program and "x" in fields[1]:
                begin, end = (int(half, 16) for half in fields[0].split("-"))
                return begin, end, int(fields[2], 16), program
        raise RuntimeError(f"no code of {program} is mapped")


def _functions(lines: str) -> Iterator[str]:
    """From addr2line's pairs of lines, function and place, innermost first."""
    pairs = lines.strip().split("\n")
    for name, place in zip(pairs[::2], pairs[1::2]):
        name = re.sub(r"\bpgweir::|\(anonymous namespace\)::|\(.*\)( const)?|\[clone.*\]", "", name).strip()
        file = re.search(r"/src/(\S+:\d+)", place)
        yield f"{name} ({file[1]})" if file else name
