"""Somebody between two peers who speak the PostgreSQL protocol over TLS: he ends the TLS of one side with a certificate of
his own choice, opens another one to the other side, and reads everything. He may take SCRAM-SHA-256-PLUS out of the offer.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
from pathlib import Path

from . import wire

_BOTH = wire.message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
_LESS = wire.message(b"R", struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0")


class Middle:
    """Listens on `port`, on loopback, until closed."""

    def __init__(self, to: int, certificate: Path, key: Path, *, strips: bool = False):
        self._to, self._strips = to, strips
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate, key)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=100)
        self.port: int = self._listener.getsockname()[1]
        self.said = b""  # by all clients, without the TLS
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Middle:
        return self

    def __exit__(self, *_) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, plain: socket.socket) -> None:
        with contextlib.suppress(OSError), plain, socket.create_connection(("127.0.0.1", self._to)) as beyond:
            if plain.recv(8, socket.MSG_WAITALL) != wire.SSL_REQUEST:
                return
            beyond.sendall(wire.SSL_REQUEST)
            if beyond.recv(1) != b"S":
                return
            plain.sendall(b"S")
            anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
            with self._context.wrap_socket(plain, server_side=True) as client, anybody.wrap_socket(beyond) as server:
                self._relay(client, server)

    def _relay(self, client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
        while True:
            ready = [one for one in (client, server) if one.pending()] or select.select([client, server], [], [])[0]
            for one in ready:
                got = one.recv(65536)
                if not got:
                    return
                if one is client:
                    self.said += got
                    server.sendall(got)
                else:
                    client.sendall(got.replace(_BOTH, _LESS) if self._strips else got)
