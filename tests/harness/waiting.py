"""Waiting for conditions. No test sleeps for luck: it says what it waits for and how long that may take at most."""

import os
import time
from typing import Callable, TypeVar

T = TypeVar("T")

# Sanitized builds are several times slower; bounds are only there to end a hang.
SCALE = 4.0 if os.environ.get("PGWEIR_SANITIZE", "none") != "none" else 1.0


def wait_for(condition: Callable[[], T], what: str, timeout: float = 15.0, interval: float = 0.02) -> T:
    """Calls `condition` until it returns something true, and returns that. Exceptions pass through."""
    deadline = time.monotonic() + timeout * SCALE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {timeout * SCALE:.0f} s for {what}; last value {value!r}")
        time.sleep(interval)
