"""Backend messages as lines of text that are the same for the same behaviour.

Everything is printed but for what cannot be the same twice. These are all the differences that it hides:
1. BackendKeyData: the process id and the bytes of the key; the key's length is printed.
2. The process id of a notification: printed as `self` (that of this connection's BackendKeyData) or `other`.
3. Numbers of types and tables from 16384 on, which belong to objects that a test made: by the order they appear in.
4. When ParameterStatus comes: those of one answer are printed sorted, before the next ReadyForQuery, because a server
   that is told settings before a statement may report them at another moment. The set and the values are compared.
5. Values over 200 bytes: their length and a hash.
6. In scripts marked `own-errors` only, where PostgreSQL never sees the message and pgweir answers for it: the fields of
   errors but for severity, SQLSTATE and message (pgweir has no source file of PostgreSQL to name, and says which node).
"""

from __future__ import annotations

import hashlib
import re
import struct

from harness.wire import Message

FIRST_NORMAL_OID = 16384  # access/transam.h


def shown(data: bytes | None) -> str:
    if data is None:
        return "NULL"
    if len(data) > 200:
        return f"{shown(data[:40])}... {len(data)} bytes {hashlib.sha256(data).hexdigest()[:12]}"
    try:
        return repr(data.decode())
    except UnicodeDecodeError:
        return repr(data)


def without_details(lines: list[str]) -> list[str]:
    """Difference 6."""
    return [" | ".join(part for part in line.split(" | ") if re.match(r"([SVCM]=|\w+:? ?(two: )?ErrorResponse)", part))
            if "ErrorResponse S=" in line else line for line in lines]


class Reader:
    """Takes a message's body apart; a body that is too short or too long shows as an exception."""

    def __init__(self, body: bytes):
        self._body = body
        self._at = 0

    def number(self, form: str) -> int:
        found, = struct.unpack_from("!" + form, self._body, self._at)
        self._at += struct.calcsize("!" + form)
        return found

    def string(self) -> str:
        end = self._body.index(b"\0", self._at)
        found = self._body[self._at:end].decode(errors="backslashreplace")
        self._at = end + 1
        return found

    def sized(self) -> bytes | None:
        size = self.number("i")
        if size < 0:
            return None
        found = self._body[self._at:self._at + size]
        assert len(found) == size
        self._at += size
        return found

    def rest(self) -> bytes:
        found = self._body[self._at:]
        self._at = len(self._body)
        return found

    @property
    def empty(self) -> bool:
        return self._at == len(self._body)


class Printer:
    """One per play: object numbers keep their meaning over all connections of a script."""

    def __init__(self) -> None:
        self._oids: dict[int, str] = {}

    def line(self, message: Message, own_pid: int) -> str:
        reader = Reader(message.body)
        printer = getattr(self, f"_{_NAMES.get(message.kind, '')}", None)
        name = _NAMES.get(message.kind, f"? {message.kind!r}")
        if printer is None:
            return f"{name} {shown(reader.rest())}" if message.body else name
        text = printer(reader, own_pid)
        assert reader.empty, f"{message} is longer than it should be"
        return f"{name} {text}"

    def _oid(self, number: int) -> str:
        if number < FIRST_NORMAL_OID:
            return str(number)
        return self._oids.setdefault(number, f"new{len(self._oids) + 1}")

    def _Authentication(self, reader: Reader, _: int) -> str:
        return f"{reader.number('I')} {shown(reader.rest())}"

    def _BackendKeyData(self, reader: Reader, _: int) -> str:
        reader.number("I")
        return f"key of {len(reader.rest())} bytes"

    def _NegotiateProtocolVersion(self, reader: Reader, _: int) -> str:
        version = reader.number("I")
        return f"{version >> 16}.{version & 0xffff} {[reader.string() for _ in range(reader.number('I'))]}"

    def _ParameterStatus(self, reader: Reader, _: int) -> str:
        return f"{reader.string()} = {reader.string()!r}"

    def _ReadyForQuery(self, reader: Reader, _: int) -> str:
        return reader.rest().decode()

    def _CommandComplete(self, reader: Reader, _: int) -> str:
        return reader.string()

    def _RowDescription(self, reader: Reader, _: int) -> str:
        columns = []
        for _ in range(reader.number("H")):
            name = reader.string()
            table, attribute, kind = self._oid(reader.number("I")), reader.number("h"), self._oid(reader.number("I"))
            columns.append(f"{name} (table {table}.{attribute} type {kind} size {reader.number('h')} "
                           f"modifier {reader.number('i')} format {reader.number('h')})")
        return ", ".join(columns)

    def _DataRow(self, reader: Reader, _: int) -> str:
        return ", ".join(shown(reader.sized()) for _ in range(reader.number("H")))

    def _ParameterDescription(self, reader: Reader, _: int) -> str:
        return " ".join(self._oid(reader.number("I")) for _ in range(reader.number("H")))

    def _ErrorResponse(self, reader: Reader, _: int) -> str:
        fields = []
        while code := reader.number("B"):
            fields.append(f"{chr(code)}={reader.string()}")
        return " | ".join(fields)

    _NoticeResponse = _ErrorResponse

    def _NotificationResponse(self, reader: Reader, own_pid: int) -> str:
        pid = reader.number("I")
        return f"from {'self' if pid == own_pid else 'other'} {reader.string()} {reader.string()!r}"

    def _copy(self, reader: Reader, _: int) -> str:
        return f"format {reader.number('B')} columns {[reader.number('H') for _ in range(reader.number('H'))]}"

    _CopyInResponse = _CopyOutResponse = _CopyBothResponse = _copy

    def _FunctionCallResponse(self, reader: Reader, _: int) -> str:
        return shown(reader.sized())


_NAMES = {
    "R": "Authentication", "K": "BackendKeyData", "v": "NegotiateProtocolVersion", "S": "ParameterStatus",
    "Z": "ReadyForQuery", "C": "CommandComplete", "T": "RowDescription", "D": "DataRow", "t": "ParameterDescription",
    "E": "ErrorResponse", "N": "NoticeResponse", "A": "NotificationResponse", "G": "CopyInResponse", "H": "CopyOutResponse",
    "W": "CopyBothResponse", "V": "FunctionCallResponse", "1": "ParseComplete", "2": "BindComplete", "3": "CloseComplete",
    "n": "NoData", "I": "EmptyQueryResponse", "s": "PortalSuspended", "d": "CopyData", "c": "CopyDone",
}
