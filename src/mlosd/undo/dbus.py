"""Just enough of the D-Bus protocol (dbus-specification, "Message Protocol") to ask PID 1 one thing after another.

The daemon's own client is dbus-fast. This one exists because undoing must work with nothing but the standard library,
and because PID 1's private socket needs no bus that is up.
"""

import itertools
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d", "h": "I"}
_ALIGNMENT = {"y": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8, "(": 8, "{": 8, "g": 1, "v": 1}
_CALL, _RETURN, _ERROR, _SIGNAL = 1, 2, 3, 4
_NO_REPLY_EXPECTED = 1
_PATH, _INTERFACE, _MEMBER, _ERROR_NAME, _REPLY_SERIAL, _DESTINATION, _SIGNATURE = 1, 2, 3, 4, 5, 6, 8
_LARGEST = 1 << 26
SECONDS = 25.0


class DBusError(OSError):
    """The other side said no. `name` is the D-Bus error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(None, f"{name.rpartition('.')[2]}: {text}")
        self.name = name

    @property
    def strerror(self) -> str:  # type: ignore[override]
        return str(self.args[1])


class Variant:
    """A value with its signature."""

    def __init__(self, signature: str, value: Any) -> None:
        self.signature = signature
        self.value = value


def types(signature: str) -> Iterator[str]:
    """The complete types of a signature, one by one: "sa(sv)" -> "s", "a(sv)"."""
    at = 0
    while at < len(signature):
        end = _end(signature, at)
        yield signature[at:end]
        at = end


def _end(signature: str, at: int) -> int:
    match signature[at]:
        case "a":
            return _end(signature, at + 1)
        case "(" | "{" as bracket:
            closing = ")" if bracket == "(" else "}"
            at += 1
            while signature[at] != closing:
                at = _end(signature, at)
    return at + 1


class Writer:
    """Marshals values, little endian."""

    def __init__(self) -> None:
        self.data = bytearray()

    def put(self, kind: str, value: Any) -> None:
        """One value of one complete type."""
        self._align(_ALIGNMENT.get(kind[0], 4))
        match kind[0]:
            case "s" | "o":
                self._text(value, "I")
            case "g":
                self._text(value, "B")
            case "v":
                self.put("g", value.signature)
                self.put(value.signature, value.value)
            case "(" | "{":
                for inner, one in zip(types(kind[1:-1]), value, strict=True):
                    self.put(inner, one)
            case "a":
                self._array(kind[1:], value)
            case _:
                self.data += struct.pack(f"<{_FIXED[kind]}", value)

    def _array(self, inner: str, values: Any) -> None:
        at = len(self.data)
        self.data += bytes(4)
        self._align(_ALIGNMENT.get(inner[0], 4))
        start = len(self.data)
        for one in values.items() if inner[0] == "{" else values:
            self.put(inner, one)
        struct.pack_into("<I", self.data, at, len(self.data) - start)

    def _text(self, text: str, length: str) -> None:
        encoded = text.encode()
        self.data += struct.pack(f"<{length}", len(encoded)) + encoded + b"\0"

    def _align(self, to: int) -> None:
        self.data += bytes(-len(self.data) % to)


class Reader:
    """Reads what a Writer, or PID 1, marshalled. `order`: "<", or ">" where the sender's machine is big endian."""

    def __init__(self, data: bytes, at: int = 0, order: str = "<") -> None:
        self.data = data
        self.at = at
        self._order = order

    def take(self, kind: str) -> Any:
        """One value of one complete type. Variants come as their bare value."""
        self._align(_ALIGNMENT.get(kind[0], 4))
        match kind[0]:
            case "s" | "o":
                return self._text("I")
            case "g":
                return self._text("B")
            case "v":
                return self.take(self.take("g"))
            case "(":
                return tuple(self.take(inner) for inner in types(kind[1:-1]))
            case "a":
                return self._array(kind[1:])
            case "b":
                return bool(self._fixed("I"))
            case _:
                return self._fixed(_FIXED[kind])

    def _array(self, inner: str) -> Any:
        length = self._fixed("I")
        self._align(_ALIGNMENT.get(inner[0], 4))
        end = self.at + length
        if inner == "y":
            self.at = end
            return bytes(self.data[end - length : end])
        if inner[0] == "{":
            key, value = types(inner[1:-1])
            pairs = {}
            while self.at < end:
                self._align(8)
                name = self.take(key)
                pairs[name] = self.take(value)
            return pairs
        found = []
        while self.at < end:
            found.append(self.take(inner))
        return found

    def _fixed(self, code: str) -> Any:
        (value,) = struct.unpack_from(f"{self._order}{code}", self.data, self.at)
        self.at += struct.calcsize(f"<{code}")
        return value

    def _text(self, length: str) -> str:
        size = self._fixed(length)
        text = bytes(self.data[self.at : self.at + size]).decode(errors="replace")
        self.at += size + 1
        return text

    def _align(self, to: int) -> None:
        self.at += -self.at % to


class Peer:
    """A connection without a bus between: one call at a time. Owns the socket."""

    def __init__(self, path: Path) -> None:
        """Connect and authenticate as who we are. Raises OSError."""
        self._serials = itertools.count(1)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._socket.settimeout(SECONDS)
            self._socket.connect(os.fspath(path))
            self._authenticate()
        except BaseException:
            self._socket.close()
            raise

    def call(self, **what: Any) -> Any:
        """The reply's values. Raises DBusError, or OSError where the connection ended. `what`: see `_send`."""
        serial = self._send(0, **what)
        while True:
            kind_of, found, values = self._message()
            if found.get(_REPLY_SERIAL) != serial:
                continue
            if kind_of == _ERROR:
                raise DBusError(found.get(_ERROR_NAME, ""), str(values[0]) if values else "")
            return values

    def tell(self, **what: Any) -> None:
        """The same without waiting for a reply, and without hearing of an error."""
        self._send(_NO_REPLY_EXPECTED, **what)

    def _send(
        self, flags: int, *, destination: str, path: str, interface: str, member: str, signature: str, body: Any
    ) -> int:
        serial = next(self._serials)
        content = Writer()
        for kind, value in zip(types(signature), body, strict=True):
            content.put(kind, value)
        fields = [(_PATH, "o", path), (_INTERFACE, "s", interface), (_MEMBER, "s", member)]
        fields += [(_DESTINATION, "s", destination)] + ([(_SIGNATURE, "g", signature)] if signature else [])
        head = Writer()
        head.data += struct.pack("<BBBBII", ord("l"), _CALL, flags, 1, len(content.data), serial)
        head.put("a(yv)", [(code, Variant(kind, value)) for code, kind, value in fields])
        head.data += bytes(-len(head.data) % 8)
        self._socket.sendall(head.data + content.data)
        return serial

    def close(self) -> None:
        self._socket.close()

    def _authenticate(self) -> None:
        uid = str(os.getuid()).encode().hex()
        self._socket.sendall(b"\0AUTH EXTERNAL " + uid.encode() + b"\r\nBEGIN\r\n")
        answer = b""
        while not answer.endswith(b"\r\n"):
            piece = self._socket.recv(1)
            if not piece:
                raise ConnectionError("no answer to AUTH")
            answer += piece
        if not answer.startswith(b"OK"):
            raise PermissionError(13, f"not accepted: {answer.decode(errors='replace').strip()}")

    def _message(self) -> tuple[int, dict[int, Any], list[Any]]:
        fixed = self._exactly(16)
        order = ">" if fixed[:1] == b"B" else "<"
        _, kind, _, _, length, _, fields = struct.unpack(f"{order}BBBBIII", fixed)
        rest = self._exactly(fields + -fields % 8)
        if kind == _SIGNAL:
            # PID 1 tells everybody on this socket of everything: not worth taking apart.
            self._exactly(length)
            return kind, {}, []
        found = dict(Reader(fixed + rest, 12, order).take("a(yv)"))
        body = Reader(self._exactly(length), 0, order)
        return kind, found, [body.take(one) for one in types(found.get(_SIGNATURE, ""))]

    def _exactly(self, size: int) -> bytes:
        if size > _LARGEST:
            raise ConnectionError(f"a message of {size} bytes")
        data = b""
        while len(data) < size:
            piece = self._socket.recv(size - len(data))
            if not piece:
                raise ConnectionError("the connection ended")
            data += piece
        return data
