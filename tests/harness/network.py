"""A network of our own, in which a node can be cut off: each node in a network namespace, all on one bridge.

The happy path: `private_network()` moves the calling thread into a new namespace, makes a bridge there, and gives the
thread back when it ends. `Network.add` makes a host: a namespace with an address on that bridge. Programs that the thread
starts meanwhile (proxy, clients) see the bridge; a node is started by `Host.within`.

Nothing has a name outside: namespaces are held by processes and end with them. Needs root (CAP_NET_ADMIN), and `ip`.

A host that is cut off falls silent, as behind a router: what is sent to it vanishes, nobody refuses anything. Neighbours
are entered by hand, so that no ARP request tells earlier.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import subprocess
from typing import Iterator

from .waiting import wait_for

_NEW_NETWORK = 0x40000000  # CLONE_NEWNET of unshare(2)
_PREFIX = "10.77.0."
OUR_ADDRESS = _PREFIX + "1"
_FIRST_HOST = 11
SUBNET = _PREFIX + "0/24"
_libc = ctypes.CDLL(None, use_errno=True)


def available() -> bool:
    return os.geteuid() == 0 and shutil.which("ip") is not None


def addresses(count: int) -> list[str]:
    """Of the first hosts of a network."""
    return [f"{_PREFIX}{_FIRST_HOST + number}" for number in range(count)]


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _ip(*words: str, within: list[str] = []) -> None:
    subprocess.run([*within, "ip", *words], check=True, stdin=subprocess.DEVNULL)


class Host:
    """A namespace with one address on the bridge, and the process that keeps it alive."""

    def __init__(self, number: int):
        self.address = f"{_PREFIX}{number}"
        self._mac = f"02:00:00:00:00:{number:02x}"
        self._port = f"port{number}"  # the bridge's end of the cable
        ours = os.readlink("/proc/self/ns/net")
        self._keeper = subprocess.Popen(["unshare", "--net", "setpriv", "--pdeathsig", "KILL", "sleep", "infinity"],
                                        stdin=subprocess.DEVNULL)
        place = f"/proc/{self._keeper.pid}/ns/net"
        wait_for(lambda: os.readlink(place) != ours, "the namespace")
        self.within = ["nsenter", f"--net={place}", "--"]  # goes before the command of a program that lives there
        _ip("link", "add", self._port, "type", "veth", "peer", "name", "eth0", "address", self._mac, "netns",
            str(self._keeper.pid))
        _ip("link", "set", self._port, "master", "bridge", "up")
        _ip("addr", "add", f"{self.address}/24", "dev", "eth0", within=self.within)
        _ip("link", "set", "lo", "up", within=self.within)
        _ip("link", "set", "eth0", "up", within=self.within)

    def know(self, address: str, mac: str) -> None:
        _ip("neigh", "replace", address, "lladdr", mac, "dev", "eth0", "nud", "permanent", within=self.within)

    @property
    def mac(self) -> str:
        return self._mac

    def cut_off(self) -> None:
        """From everybody. The cable stays in at both ends; nothing arrives."""
        _ip("link", "set", self._port, "nomaster")

    def reconnect(self) -> None:
        _ip("link", "set", self._port, "master", "bridge")
        _ip("route", "flush", "type", "blackhole", within=self.within)

    def hide_from(self, address: str) -> None:
        """Sends nothing more to that address, and goes on with the others."""
        _ip("route", "add", "blackhole", f"{address}/32", within=self.within)

    def close(self) -> None:
        self._keeper.kill()
        self._keeper.wait()


class Network:
    """The bridge and its hosts. Made by `private_network`."""

    def __init__(self):
        self._hosts: list[Host] = []
        _ip("link", "set", "lo", "up")
        _ip("link", "add", "bridge", "address", "02:00:00:00:00:01", "type", "bridge", "mcast_snooping", "0")
        _ip("addr", "add", f"{OUR_ADDRESS}/24", "dev", "bridge")
        _ip("link", "set", "bridge", "up")

    def add(self) -> Host:
        host = Host(_FIRST_HOST + len(self._hosts))
        host.know(OUR_ADDRESS, "02:00:00:00:00:01")
        _ip("neigh", "replace", host.address, "lladdr", host.mac, "dev", "bridge", "nud", "permanent")
        for other in self._hosts:
            other.know(host.address, host.mac)
            host.know(other.address, other.mac)
        self._hosts.append(host)
        return host

    def close(self) -> None:
        for host in self._hosts:
            host.close()


@contextlib.contextmanager
def private_network() -> Iterator[Network]:
    """The calling thread alone is in the new network; its children are born into it."""
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _checked(_libc.unshare(_NEW_NETWORK))
        network = Network()
        try:
            yield network
        finally:
            network.close()
    finally:
        _checked(_libc.setns(before, _NEW_NETWORK))
        os.close(before)
