"""A client that speaks the PostgreSQL protocol (v3) byte by byte, for what drivers would never send.

Builders return the bytes of one message; `Wire` sends bytes and takes messages apart. It checks nothing that a test did
not ask for. https://www.postgresql.org/docs/15/protocol-message-formats.html
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import os
import socket
import ssl
import struct
from dataclasses import dataclass
from typing import Callable, Iterable

from . import certificates
from .waiting import SCALE

PROTOCOL_3_0 = 196608
PROTOCOL_3_2 = 196610
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSSENC_REQUEST = struct.pack("!II", 8, 80877104)


def cstring(text: str | bytes) -> bytes:
    return (text.encode() if isinstance(text, str) else text) + b"\0"


def message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


def startup(parameters: dict[str, str], version: int = PROTOCOL_3_0) -> bytes:
    body = struct.pack("!I", version)
    body += b"".join(cstring(name) + cstring(value) for name, value in parameters.items()) + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def cancel_request(pid: int, key: bytes) -> bytes:
    return struct.pack("!III", 12 + len(key), 80877102, pid) + key


def query(text: str | bytes) -> bytes:
    return message(b"Q", cstring(text))


def parse(text: str, name: str = "", types: Iterable[int] = ()) -> bytes:
    types = list(types)
    return message(b"P", cstring(name) + cstring(text) + struct.pack(f"!H{len(types)}I", len(types), *types))


def bind(portal: str = "", statement: str = "", values: Iterable[bytes | None] = (), *, binary: bool = False,
         binary_result: bool = False) -> bytes:
    values = list(values)
    body = cstring(portal) + cstring(statement) + struct.pack("!HHH", 1, int(binary), len(values))
    for value in values:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    return message(b"B", body + struct.pack("!HH", 1, int(binary_result)))


def describe(kind: str, name: str = "") -> bytes:
    return message(b"D", kind.encode() + cstring(name))


def execute(portal: str = "", rows: int = 0) -> bytes:
    return message(b"E", cstring(portal) + struct.pack("!I", rows))


def close(kind: str, name: str = "") -> bytes:
    return message(b"C", kind.encode() + cstring(name))


SYNC = message(b"S")
FLUSH = message(b"H")
TERMINATE = message(b"X")
COPY_DONE = message(b"c")


def copy_data(data: bytes) -> bytes:
    return message(b"d", data)


def copy_fail(reason: str) -> bytes:
    return message(b"f", cstring(reason))


def function_call(oid: int, arguments: Iterable[bytes | None]) -> bytes:
    arguments = list(arguments)
    body = struct.pack("!IHHH", oid, 1, 1, len(arguments))
    for value in arguments:
        body += struct.pack("!i", -1) if value is None else struct.pack("!I", len(value)) + value
    return message(b"F", body + struct.pack("!H", 1))


@dataclass(frozen=True)
class Message:
    kind: str
    body: bytes

    def __repr__(self) -> str:
        shown = self.body if len(self.body) <= 200 else self.body[:200] + b"..."
        return f"{self.kind}({shown!r})"

    @property
    def fields(self) -> dict[str, str]:
        """Of an ErrorResponse or NoticeResponse: by field code, C the SQLSTATE, M the message."""
        assert self.kind in "EN"
        return {part[:1].decode(): part[1:].decode(errors="replace") for part in self.body.split(b"\0") if part}

    @property
    def sqlstate(self) -> str:
        return self.fields["C"]

    @property
    def values(self) -> list[bytes | None]:
        """Of a DataRow."""
        assert self.kind == "D"
        count, = struct.unpack_from("!H", self.body)
        result, at = [], 2
        for _ in range(count):
            size, = struct.unpack_from("!i", self.body, at)
            at += 4
            result.append(None if size < 0 else self.body[at:at + size])
            at += max(size, 0)
        return result

    @property
    def columns(self) -> list[str]:
        """Of a RowDescription."""
        assert self.kind == "T"
        count, = struct.unpack_from("!H", self.body)
        names, at = [], 2
        for _ in range(count):
            end = self.body.index(b"\0", at)
            names.append(self.body[at:end].decode())
            at = end + 19
        return names

    @property
    def tag(self) -> str:
        assert self.kind == "C"
        return self.body[:-1].decode()

    @property
    def parameter(self) -> tuple[str, str]:
        assert self.kind == "S"
        name, value, _ = self.body.split(b"\0")
        return name.decode(), value.decode()


class Closed(ConnectionError):
    """The other side ended the connection."""


class Wire:
    """One connection. Every wait is bounded by `timeout` seconds."""

    def __init__(self, port: int, host: str = "127.0.0.1", timeout: float = 20.0, source: str | None = None):
        """`host`: a name or address, or the directory of a Unix socket; `source`: the address to come from."""
        if host.startswith("/"):
            self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self.socket.settimeout(timeout * SCALE)
            self.socket.connect(f"{host}/.s.PGSQL.{port}")
        else:
            self.socket = socket.create_connection((host, port), timeout=timeout * SCALE,
                                                   source_address=(source, 0) if source else None)
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.pid = 0
        self.key = b""
        self.parameters: dict[str, str] = {}
        self._buffer = bytearray()

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_) -> None:
        self.socket.close()

    def send(self, *parts: bytes) -> None:
        self.socket.sendall(b"".join(parts))

    @property
    def has_buffered(self) -> bool:
        """Whether bytes were received that no message was made of yet; `select` on the socket does not see them."""
        return bool(self._buffer) or (isinstance(self.socket, ssl.SSLSocket) and self.socket.pending() > 0)

    def _need(self, size: int) -> None:
        while len(self._buffer) < size:
            piece = self.socket.recv(65536)
            if not piece:
                raise Closed(f"closed with {len(self._buffer)} bytes of an unfinished message")
            self._buffer += piece

    def read_byte(self) -> bytes:
        self._need(1)
        byte = bytes(self._buffer[:1])
        del self._buffer[:1]
        return byte

    def read(self) -> Message:
        self._need(5)
        size, = struct.unpack_from("!I", self._buffer, 1)
        self._need(size + 1)
        found = Message(chr(self._buffer[0]), bytes(self._buffer[5:size + 1]))
        del self._buffer[:size + 1]
        return found

    def read_until(self, kind: str) -> list[Message]:
        """Everything up to and including the next message of this kind."""
        found = [self.read()]
        while found[-1].kind != kind:
            found.append(self.read())
        return found

    def read_to_end(self) -> list[Message]:
        """Everything until the other side closes."""
        found = []
        try:
            while True:
                found.append(self.read())
        except (Closed, ConnectionResetError):
            return found

    def secure(self) -> None:
        """Asks for TLS, and uses it when the other side has it."""
        self.send(SSL_REQUEST)
        if self.read_byte() == b"S":
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)

    def login(self, password: str | None = None, version: int = PROTOCOL_3_0, **parameters: str) -> list[Message]:
        """Starts up; returns all messages up to ReadyForQuery, or up to the ErrorResponse that ended it."""
        parameters = {"user": "postgres", "database": "test"} | parameters
        if os.environ.get(certificates.EVERYWHERE) and self.socket.family != socket.AF_UNIX:
            self.secure()
        self.send(startup(parameters, version))
        found: list[Message] = []
        client: ScramClient | None = None
        while True:
            got = self.read()
            found.append(got)
            if got.kind == "R":
                code, = struct.unpack_from("!I", got.body)
                if code == 3:
                    self.send(message(b"p", cstring(password or "")))
                elif code == 5:
                    self.send(message(b"p", cstring(md5_response(parameters["user"], password or "", got.body[4:]))))
                elif code == 10:
                    client = ScramClient(password or "")
                    self.send(client.initial())
                elif code == 11:
                    self.send(client.response(got.body[4:]))
                elif code == 12:
                    client.check(got.body[4:])
                elif code != 0:
                    raise AssertionError(f"authentication method {code} was not expected")
            elif got.kind == "S":
                self.parameters.update([got.parameter])
            elif got.kind == "K":
                self.pid, = struct.unpack_from("!I", got.body)
                self.key = got.body[4:]
            elif got.kind in "ZE":
                return found

    def ask(self, *parts: bytes) -> list[Message]:
        """Sends, then reads up to ReadyForQuery."""
        self.send(*parts)
        return self.read_until("Z")

    def rows(self, text: str) -> list[list[bytes | None]]:
        """The rows of a simple query; an error raises."""
        found = self.ask(query(text))
        for got in found:
            if got.kind == "E":
                raise AssertionError(f"{text}: {got.fields}")
        return [got.values for got in found if got.kind == "D"]


def md5_response(user: str, password: str, salt: bytes) -> str:
    """What a client answers to AuthenticationMD5Password."""
    inner = hashlib.md5((password + user).encode()).hexdigest()
    return "md5" + hashlib.md5(inner.encode() + salt).hexdigest()


@functools.lru_cache(maxsize=1000)
def salted_password(password: bytes, salt: bytes, iterations: int) -> bytes:
    return hashlib.pbkdf2_hmac("sha256", password, salt, iterations)


class ScramClient:
    """SCRAM-SHA-256 without channel binding, from the client's side (RFC 5802, RFC 7677). ASCII passwords."""

    def __init__(self, password: str, nonce: Callable[[], bytes] = lambda: base64.b64encode(os.urandom(18))):
        self._password = password.encode()
        self._bare = b"n=,r=" + nonce()
        self._server_signature = b""

    def initial(self) -> bytes:
        first = b"n,," + self._bare
        return message(b"p", cstring("SCRAM-SHA-256") + struct.pack("!I", len(first)) + first)

    def response(self, challenge: bytes) -> bytes:
        parts = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = salted_password(self._password, base64.b64decode(parts[b"s"]), int(parts[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha256")
        without_proof = b"c=biws,r=" + parts[b"r"]
        everything = self._bare + b"," + challenge + b"," + without_proof
        signature = hmac.digest(hashlib.sha256(client_key).digest(), everything, "sha256")
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._server_signature = hmac.digest(hmac.digest(salted, b"Server Key", "sha256"), everything, "sha256")
        return message(b"p", without_proof + b",p=" + base64.b64encode(proof))

    def check(self, final: bytes) -> None:
        assert final == b"v=" + base64.b64encode(self._server_signature), "the server does not know the verifier"
