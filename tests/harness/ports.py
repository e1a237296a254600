"""Free loopback ports that no other test process takes at the same time.

Below the kernel's ephemeral range, so that an outgoing connection never grabs one. A name in the abstract socket
namespace is the lock between processes: the kernel drops it when its holder ends, however it ends.
"""

import os
import random
import socket

_FIRST, _LAST = 20000, 29999
_locks: dict[int, socket.socket] = {}


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def reserve(port: int) -> bool:
    """Takes this very port if nobody listens on it and no other test holds it. Held until `release`."""
    if port in _locks:
        return False
    lock = socket.socket(socket.AF_UNIX)
    try:
        lock.bind(f"\0pgweir-test-port-{port}")
    except OSError:
        lock.close()
        return False
    if not _is_free(port):
        lock.close()
        return False
    _locks[port] = lock
    return True


def take() -> int:
    """A free port, held until `release`."""
    # Where to begin looking carries no meaning; the process id only keeps parallel workers apart.
    begin = random.Random(os.getpid()).randrange(_FIRST, _LAST)
    for step in range(_LAST - _FIRST + 1):
        port = _FIRST + (begin - _FIRST + step) % (_LAST - _FIRST + 1)
        if reserve(port):
            return port
    raise RuntimeError(f"no free port between {_FIRST} and {_LAST}")


def release(port: int) -> None:
    lock = _locks.pop(port, None)
    if lock is not None:
        lock.close()
