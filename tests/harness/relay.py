"""Stands between pgweir and a server, in plain text, and may change what the server says."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from typing import Callable


class Relay:
    """`change` gets each piece that the server says and returns what pgweir hears instead."""

    def __init__(self, port: int, change: Callable[[bytes], bytes]):
        self._server_port, self._change = port, change
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", self._server_port)) as server, contextlib.suppress(OSError):
            while True:
                for one in select.select([client, server], [], [])[0]:
                    if not (data := one.recv(65536)):
                        return
                    if one is server:
                        client.sendall(self._change(data))
                    else:
                        server.sendall(data)
