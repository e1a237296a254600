"""What the kernel knows about one TCP connection on 127.0.0.1: asked through sock_diag, which looks up just that one.

/proc/net/tcp says the same, but lists every socket of the machine: far too slow to be asked once per byte.
"""

import fcntl
import socket
import struct

_SIOCOUTQ = 0x5411  # bytes sent that the peer's kernel has not acknowledged yet
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLM_F_REQUEST = 1
_NO_COOKIE = 0xffffffff


def unacknowledged(own: socket.socket) -> int:
    """Bytes that were sent and have not reached the peer's kernel."""
    return struct.unpack("i", fcntl.ioctl(own, _SIOCOUTQ, b"\0" * 4))[0]


def unread_by_peer(own: socket.socket) -> int:
    """Bytes that lie in the receive queue of the peer, a process of this machine; 0 when it has closed."""
    (_, peer_port), (_, own_port) = own.getpeername(), own.getsockname()
    loopback = socket.inet_aton("127.0.0.1") + b"\0" * 12
    # struct inet_diag_req_v2 (linux/inet_diag.h), from the peer's side of the connection.
    request = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xffffffff)
    request += struct.pack("!HH", peer_port, own_port) + loopback + loopback + struct.pack("=III", 0, _NO_COOKIE, _NO_COOKIE)
    header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.send(header + request)
        answer = netlink.recv(8192)
    _, kind = struct.unpack_from("=IH", answer)
    if kind != _SOCK_DIAG_BY_FAMILY:
        return 0  # an error message: there is no such socket any more
    # struct inet_diag_msg: 4 bytes, the 48 of the address, expires, rqueue.
    return struct.unpack_from("=I", answer, 16 + 4 + 48 + 4)[0]


def taken_by_peer(own: socket.socket) -> bool:
    """Whether the peer has read everything that was sent."""
    return unacknowledged(own) == 0 and unread_by_peer(own) == 0
