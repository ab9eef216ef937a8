"""The small D-Bus client: it writes and reads what dbus-fast, which the daemon uses, reads and writes."""

import socket
import string
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dbus_fast
import pytest
from dbus_fast import Message
from dbus_fast._private.marshaller import Marshaller
from dbus_fast._private.unmarshaller import Unmarshaller
from hypothesis import given
from hypothesis import strategies as st
from tests.fakes.manager import Manager

from mlosd.undo.dbus import DBusError, Peer, Reader, Variant, Writer, types
from mlosd.undo.systemd import unit_path

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
BASIC: dict[str, st.SearchStrategy[Any]] = {
    "y": st.integers(0, 0xFF),
    "b": st.booleans(),
    "n": st.integers(-(1 << 15), (1 << 15) - 1),
    "q": st.integers(0, (1 << 16) - 1),
    "i": st.integers(-(1 << 31), (1 << 31) - 1),
    "u": st.integers(0, (1 << 32) - 1),
    "x": st.integers(-(1 << 63), (1 << 63) - 1),
    "t": st.integers(0, (1 << 64) - 1),
    "d": st.floats(allow_nan=False),
    "s": TEXT,
    "o": st.lists(st.text(string.ascii_letters + "_", min_size=1, max_size=5), max_size=3).map(
        lambda p: "/" + "/".join(p)
    ),
    "g": st.sampled_from(["", "s", "a{sv}", "a(sv)", "ay", "(ybd)"]),
}


def _compound(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        inner.map("a{}".format),
        st.lists(inner, min_size=1, max_size=3).map(lambda types: f"({''.join(types)})"),
        st.tuples(st.sampled_from("ybnqiuxtdso"), inner).map(lambda pair: f"a{{{pair[0]}{pair[1]}}}"),
    )


SIGNATURE = st.recursive(st.sampled_from([*BASIC, "v"]), _compound, max_leaves=6)


def _values(signature: str) -> st.SearchStrategy[Any]:
    """Values of one type, with our Variants and tuples in them."""
    if signature == "v":
        return st.sampled_from([*BASIC, "as", "a{sv}", "(sv)"]).flatmap(
            lambda inner: _values(inner).map(lambda value: Variant(inner, value))
        )
    if signature == "ay":
        return st.binary(max_size=9)
    if signature[:2] == "a{":
        key, value = types(signature[2:-1])
        return st.dictionaries(_values(key), _values(value), max_size=3)
    if signature[0] == "a":
        return st.lists(_values(signature[1:]), max_size=3)
    if signature[0] == "(":
        return st.tuples(*map(_values, types(signature[1:-1])))
    return BASIC[signature]


TYPED = SIGNATURE.flatmap(lambda signature: st.tuples(st.just(signature), _values(signature)))


def _as_theirs(signature: str, value: Any) -> Any:
    """The value as dbus-fast has it: its own Variants, lists for structs."""
    if signature == "v":
        return dbus_fast.Variant(value.signature, _as_theirs(value.signature, value.value))
    if signature[:2] == "a{":
        key, inner = types(signature[2:-1])
        return {_as_theirs(key, k): _as_theirs(inner, v) for k, v in value.items()}
    if signature[0] == "a" and signature != "ay":
        return [_as_theirs(signature[1:], one) for one in value]
    if signature[0] == "(":
        return [_as_theirs(inner, one) for inner, one in zip(types(signature[1:-1]), value, strict=True)]
    return value


def _as_read(signature: str, value: Any) -> Any:
    """The value as our Reader gives it back: variants without their signature."""
    if signature == "v":
        return _as_read(value.signature, value.value)
    if signature[:2] == "a{":
        key, inner = types(signature[2:-1])
        return {_as_read(key, k): _as_read(inner, v) for k, v in value.items()}
    if signature[0] == "a" and signature != "ay":
        return [_as_read(signature[1:], one) for one in value]
    if signature[0] == "(":
        return tuple(_as_read(inner, one) for inner, one in zip(types(signature[1:-1]), value, strict=True))
    return value


def _marshalled(signature: str, value: Any) -> bytes:
    """What dbus-fast writes."""
    return bytes(Marshaller(signature, [_as_theirs(signature, value)]).marshall())


@given(TYPED)
def test_what_we_write_is_byte_for_byte_what_dbus_fast_writes(typed: tuple[str, Any]) -> None:
    signature, value = typed
    ours = Writer()
    ours.put(signature, value)
    assert bytes(ours.data) == _marshalled(signature, value)


@given(TYPED)
def test_what_dbus_fast_writes_we_read(typed: tuple[str, Any]) -> None:
    signature, value = typed
    body = _marshalled(signature, value)
    reader = Reader(body)
    assert reader.take(signature) == _as_read(signature, value)
    assert reader.at == len(body)


def test_the_types_of_a_signature_are_told_apart() -> None:
    assert list(types("sa(sv)a{s(ii)}aayv")) == ["s", "a(sv)", "a{s(ii)}", "aay", "v"]
    assert list(types("")) == []


def test_a_machine_with_the_other_byte_order_is_understood() -> None:
    assert Reader(b"\0\0\0\5hello\0", 0, ">").take("s") == "hello"


def _with(manager: Manager, act: Callable[[Peer], None]) -> None:
    with manager:
        peer = Peer(manager.socket)
        try:
            act(peer)
        finally:
            peer.close()


def _properties(peer: Peer, unit: str) -> Any:
    return peer.call(
        destination="org.freedesktop.systemd1",
        path=unit_path(unit),
        interface="org.freedesktop.DBus.Properties",
        member="GetAll",
        signature="s",
        body=[""],
    )[0]


def test_a_call_is_answered(tmp_path: Path) -> None:
    def act(peer: Peer) -> None:
        found = _properties(peer, "system.slice")
        assert (found["CPUWeight"], found["AllowedCPUs"], found["Job"]) == (100, b"\x03", (0, "/"))

    _with(Manager(tmp_path, {"system.slice": {"CPUWeight": 100, "AllowedCPUs": b"\x03"}}), act)


def test_what_is_refused_is_an_error_with_its_name(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    manager.refuse["GetAll"] = "org.freedesktop.DBus.Error.AccessDenied"

    def act(peer: Peer) -> None:
        with pytest.raises(DBusError) as raised:
            _properties(peer, "system.slice")
        assert raised.value.name == "org.freedesktop.DBus.Error.AccessDenied"
        assert raised.value.strerror == "AccessDenied: as the test says"

    _with(manager, act)


def test_a_connection_that_ends_says_so(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    manager.hang_up["GetAll"] = 1

    def act(peer: Peer) -> None:
        with pytest.raises(ConnectionError):
            _properties(peer, "system.slice")

    _with(manager, act)


def test_who_is_not_accepted_is_told(tmp_path: Path) -> None:
    manager = Manager(tmp_path)
    manager.refuse["AUTH"] = "REJECTED"
    with manager, pytest.raises(PermissionError, match="REJECTED"):
        Peer(manager.socket)


def test_a_call_waits_for_its_own_answer(tmp_path: Path) -> None:
    """PID 1 broadcasts signals on the same connection, before the answer."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "private"))
    listener.listen()

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, connection.makefile("rwb") as stream:
            stream.readline()
            stream.write(b"OK 0123\r\n")
            stream.flush()
            stream.readline()
            call = Unmarshaller(stream).unmarshall()
            assert call is not None
            signal = Message.new_signal("/a", "a.b", "Reloading", "b", [True])
            signal.serial = 1
            answer = Message.new_method_return(call, "s", ["mine"])
            answer.serial = 2
            connection.sendall(bytes(signal._marshall(False)) + bytes(answer._marshall(False)))

    thread = threading.Thread(target=serve)
    thread.start()
    peer = Peer(tmp_path / "private")
    assert peer.call(destination="a.b", path="/a", interface="a.b", member="C", signature="", body=[]) == ["mine"]
    peer.close()
    thread.join()
    listener.close()
