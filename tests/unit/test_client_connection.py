"""The client says clearly what became of the daemon, and keeps many calls under way."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from mlosd.client import Connection
from mlosd.client.connection import UNDER_WAY
from mlosd.core.errors import BadMessage, MlosError, NotFound, Refused, Unreachable
from mlosd.wire import address
from mlosd.wire.message import Call, Reply, decode_call, encode_reply, reply_of


@contextmanager
def daemon(serve: Callable[[socket.socket], None]) -> Iterator[Connection]:
    """A connection to whatever `serve` does with the other end."""
    ours, theirs = socket.socketpair()

    def run() -> None:
        with theirs:
            serve(theirs)

    thread = threading.Thread(target=run)
    thread.start()
    with Connection(ours) as connection:
        yield connection
    thread.join(10)
    assert not thread.is_alive()


def replying(*replies: Reply, then: bytes = b"") -> Callable[[socket.socket], None]:
    def serve(theirs: socket.socket) -> None:
        theirs.recv(1 << 16)
        theirs.sendall(b"".join(map(encode_reply, replies)) + then)

    return serve


def test_no_socket_is_told_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="there is no socket") as caught:
        Connection.open(tmp_path / "nothing.sock")
    assert "systemctl start mlosd" in str(caught.value.hint)


def test_a_socket_that_nobody_listens_at_is_told(tmp_path: Path) -> None:
    path = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    with pytest.raises(Unreachable, match="nobody answers"):
        Connection.open(path)


def test_a_reply_in_many_pieces_is_one_reply() -> None:
    def serve(theirs: socket.socket) -> None:
        theirs.recv(1 << 16)
        for byte in encode_reply(Reply({"x": 1})):
            theirs.sendall(bytes([byte]))

    with daemon(serve) as connection:
        assert connection.call("a.B", {}) == {"x": 1}


def test_a_daemon_that_hangs_up_without_an_answer_is_unreachable() -> None:
    with daemon(lambda theirs: None) as connection, pytest.raises(Unreachable, match="hung up"):
        connection.call("a.B", {})


def test_a_daemon_that_hangs_up_in_the_middle_of_a_reply_is_unreachable() -> None:
    with daemon(replying(then=b'{"param')) as connection, pytest.raises(Unreachable, match="hung up"):
        connection.call("a.B", {})


def test_a_reply_that_makes_no_sense_is_told() -> None:
    with daemon(replying(then=b"nonsense\0")) as connection, pytest.raises(BadMessage):
        connection.call("a.B", {})


def test_why_the_daemon_hung_up_is_told_even_when_the_call_could_not_be_sent() -> None:
    ours, theirs = socket.socketpair()
    theirs.sendall(encode_reply(reply_of(Refused("too many connections"))))
    theirs.close()
    with Connection(ours) as connection, pytest.raises(Refused, match="too many connections"):
        connection.call("a.B", {})


def test_a_stream_ends_with_its_last_reply() -> None:
    with daemon(replying(Reply({"n": 1}, continues=True), Reply({"n": 2}))) as connection:
        assert list(connection.stream("a.B", {})) == [{"n": 1}, {"n": 2}]


def test_an_empty_end_of_a_stream_is_no_reply() -> None:
    with daemon(replying(Reply({"n": 1}, continues=True), Reply({}))) as connection:
        assert list(connection.stream("a.B", {})) == [{"n": 1}]


def test_a_stream_may_end_with_an_error() -> None:
    with daemon(replying(Reply({"n": 1}, continues=True), reply_of(NotFound("gone")))) as connection:
        replies = connection.stream("a.B", {})
        assert next(replies) == {"n": 1}
        with pytest.raises(NotFound):
            next(replies)
        assert connection.fileno() >= 0


def test_leaving_a_stream_hangs_up() -> None:
    def serve(theirs: socket.socket) -> None:
        theirs.recv(1 << 16)
        theirs.sendall(encode_reply(Reply({"n": 1}, continues=True)))
        assert theirs.recv(1) == b""

    with daemon(serve) as connection:
        for _ in connection.stream("a.B", {}):
            break
        assert connection.fileno() == -1


def test_feeding_never_waits() -> None:
    ours, theirs = socket.socketpair()
    with Connection(ours) as connection, theirs:
        assert connection.feed()
        assert list(connection.messages()) == []
        theirs.sendall(encode_reply(Reply({"x": 1})) + b'{"half')
        assert connection.feed()
        assert list(connection.messages()) == [Reply({"x": 1})]
        theirs.close()
        assert not connection.feed()


def test_many_calls_are_under_way_at_once_but_not_too_many() -> None:
    most = 0

    def serve(theirs: socket.socket) -> None:
        nonlocal most
        data, seen = b"", 0
        while seen < 600:
            data += theirs.recv(1 << 16)
            *calls, data = data.split(b"\0")
            most = max(most, len(calls))
            seen += len(calls)
            theirs.sendall(b"".join(encode_reply(answer(decode_call(call))) for call in calls))

    def answer(call: Call) -> Reply:
        return reply_of(NotFound("odd")) if call.parameters["n"] % 2 else Reply(call.parameters)

    with daemon(serve) as connection:
        replies: list[dict[str, int] | MlosError] = list(connection.pipeline(("a.B", {"n": n}) for n in range(600)))
    assert replies[::2] == [{"n": n} for n in range(0, 600, 2)]
    assert all(isinstance(reply, NotFound) for reply in replies[1::2])
    assert 1 < most <= UNDER_WAY


def test_neither_side_waits_for_the_other_to_read_first() -> None:
    big = "x" * 200_000

    def serve(theirs: socket.socket) -> None:
        data = b""
        for _ in range(20):
            while b"\0" not in data:
                data += theirs.recv(1 << 16)
            call, data = data.split(b"\0", 1)
            theirs.sendall(encode_reply(Reply(decode_call(call).parameters)))

    with daemon(serve) as connection:
        assert list(connection.pipeline(("a.B", {"x": big}) for _ in range(20))) == [{"x": big}] * 20


def test_losing_the_daemon_among_many_calls_is_told_after_the_answers_that_came() -> None:
    with daemon(replying(Reply({"n": 1}))) as connection:
        replies = connection.pipeline(("a.B", {}) for _ in range(5))
        assert next(replies) == {"n": 1}
        with pytest.raises(Unreachable):
            next(replies)


@pytest.mark.parametrize(
    ("environ", "root", "path"),
    [
        ({}, None, "/run/mlosd/mlosd.sock"),
        ({}, "/tmp/x", "/tmp/x/run/mlosd.sock"),
        ({"MLOSD_SOCKET": "/a.sock"}, "/tmp/x", "/a.sock"),
        ({"MLOSD_SOCKET": ""}, None, "/run/mlosd/mlosd.sock"),
    ],
)
def test_the_socket_is_found(environ: dict[str, str], root: str | None, path: str) -> None:
    assert address.socket_path(root=root, environ=environ) == path
