"""The server on a real socket: with our client, with somebody else's, and with clients that mean harm."""

import contextlib
import gc
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import varlink
from tests.fakes import fuzzing
from tests.fakes.wire_server import TEST, WireServer, eventually

from mlosd.api import caller as callers
from mlosd.api.caller import Caller
from mlosd.api.limits import Limits
from mlosd.api.listener import listen
from mlosd.client import Connection
from mlosd.core.errors import BadMessage, BadRequest, MlosError, NotFound, NotPermitted, Refused, Unreachable
from mlosd.kernel.pidfd import pidfd_get_info
from mlosd.wire.message import Call, Reply, decode_reply, encode_call, error_of

QUICK = Limits(stalled=0.3, unfinished=0.3, tick=0.05)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[WireServer]:
    with WireServer(tmp_path / "run" / "mlosd.sock", limits=QUICK) as running:
        yield running


@pytest.fixture
def client(server: WireServer) -> Iterator[Connection]:
    with server.connect() as connection:
        yield connection


def echo(text: str) -> tuple[str, dict[str, Any]]:
    return f"{TEST}.Echo", {"word": {"text": text}}


def still_answers(server: WireServer) -> None:
    with server.connect() as connection:
        assert connection.call(*echo("here"))["word"] == {"text": "here"}


def everything_from(connected: socket.socket) -> list[Reply]:
    """Read until the server hangs up."""
    data = b""
    while True:
        try:
            more = connected.recv(1 << 16)
        except ConnectionResetError:
            more = b""
        if not more:
            break
        data += more
    assert data == b"" or data.endswith(b"\0")
    return [decode_reply(message) for message in data.split(b"\0")[:-1]]


def send(connected: socket.socket, data: bytes, fds: list[int] | None = None) -> None:
    """Send as much as the server takes before it hangs up."""
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        sent = socket.send_fds(connected, [data], fds) if fds else 0
        connected.sendall(data[sent:])
    with contextlib.suppress(OSError):
        connected.shutdown(socket.SHUT_WR)


def refusal(connected: socket.socket) -> MlosError:
    """The only reply before the server hangs up, an error."""
    (reply,) = everything_from(connected)
    error = error_of(reply)
    assert error is not None
    return error


# What a client sees


def test_a_call_is_answered(client: Connection) -> None:
    assert client.call(*echo("hello")) == {"word": {"text": "hello"}, "note": None}


def test_a_string_that_is_no_utf8_comes_back_to_the_byte(client: Connection) -> None:
    path = os.fsdecode(b"/data/caf\xe9")
    assert client.call(*echo(path))["word"]["text"] == path


def test_a_wrong_parameter_is_named(client: Connection) -> None:
    with pytest.raises(BadRequest, match=r"word\.times: expected int, got string"):
        client.call(f"{TEST}.Echo", {"word": {"text": "x", "times": "3"}})
    assert client.call(*echo("next"))


@pytest.mark.parametrize("method", [f"{TEST}.Nothing", "io.mlosd.Nowhere.Echo", "Echo", "", "..", f"{TEST}."])
def test_a_method_that_does_not_exist_is_refused(client: Connection, method: str) -> None:
    with pytest.raises(Refused, match="there is no"):
        client.call(method, {})


def test_an_error_arrives_with_its_hint(client: Connection) -> None:
    with pytest.raises(NotFound) as caught:
        client.call(f"{TEST}.Missing", {})
    assert caught.value.hint == "look elsewhere"


def test_who_may_not_call_learns_nothing_of_the_parameters(client: Connection) -> None:
    with pytest.raises(NotPermitted):
        client.call(f"{TEST}.Forbidden", {"nonsense": 1})


def test_a_mistake_in_a_method_is_logged_and_not_told(server: WireServer, client: Connection) -> None:
    with pytest.raises(MlosError) as caught:
        client.call(f"{TEST}.Fail", {})
    assert "secret" not in f"{caught.value.message} {caught.value.hint}"
    assert "secret detail" in server.failures()[0].reason


def test_a_reply_that_breaks_the_interface_is_found(client: Connection) -> None:
    with pytest.raises(MlosError, match="number: expected int, got string"):
        client.call(f"{TEST}.Lie", {})


@pytest.mark.parametrize("pause", [0, 0.01])
def test_a_stream_says_which_reply_is_its_last(client: Connection, pause: float) -> None:
    assert [reply["n"] for reply in client.stream(f"{TEST}.Count", {"to": 3, "pause": pause})] == [0, 1, 2]
    assert client.call(*echo("after"))


def test_a_reply_of_a_stream_does_not_wait_for_the_next(client: Connection) -> None:
    assert next(client.stream(f"{TEST}.Forever", {})) == {"n": 0}


def test_a_stream_without_more_is_its_first_reply(server: WireServer, client: Connection) -> None:
    assert client.call(f"{TEST}.Forever", {}) == {"n": 0}
    assert server.methods.open_streams == 0


def test_pipelined_calls_run_side_by_side_and_are_answered_in_order(client: Connection) -> None:
    began = time.monotonic()
    waits = [0.2 - 0.001 * n for n in range(100)]  # 15 s, one after the other
    replies = client.pipeline((f"{TEST}.Sleep", {"seconds": wait, "text": f"{wait}"}) for wait in waits)
    assert [reply["text"] for reply in replies if isinstance(reply, dict)] == [f"{wait}" for wait in waits]
    assert time.monotonic() - began < 10.0


def test_many_pipelined_calls_with_errors_among_them_stay_in_order(client: Connection) -> None:
    calls = [(f"{TEST}.Missing", {}) if n % 7 == 0 else echo(str(n)) for n in range(3000)]
    replies = list(client.pipeline(calls))
    assert [n for n, reply in enumerate(replies) if isinstance(reply, NotFound)] == list(range(0, 3000, 7))
    assert all(isinstance(r, NotFound) or r == {"word": {"text": str(n)}, "note": None} for n, r in enumerate(replies))


def test_a_call_behind_a_stream_is_answered_after_it(server: WireServer) -> None:
    with server.raw() as connected:
        count = Call(f"{TEST}.Count", {"to": 2, "pause": 0.02}, more=True)
        connected.sendall(encode_call(count) + encode_call(count) + encode_call(Call(*echo("last"))))
        connected.shutdown(socket.SHUT_WR)
        replies = everything_from(connected)
    assert [reply.parameters.get("n") for reply in replies[:6]] == [0, 1, None, 0, 1, None]
    assert [reply.continues for reply in replies[:6]] == [True, True, False] * 2
    assert replies[6].parameters["word"] == {"text": "last"}


def test_a_oneway_call_is_not_answered(server: WireServer, client: Connection) -> None:
    client.send(Call(f"{TEST}.Sleep", {"seconds": 0, "text": "quietly"}, oneway=True))
    client.send(Call(f"{TEST}.Missing", {}, oneway=True))
    assert client.call(*echo("loud"))["word"] == {"text": "loud"}
    assert server.methods.finished == ["quietly"]


def test_a_protocol_upgrade_is_refused(server: WireServer, client: Connection) -> None:
    client.send(Call(*echo("x"), upgrade=True))
    while not (replies := list(client.messages())):
        assert client.feed()
    assert replies[0].error == "org.varlink.service.MethodNotImplemented"


# The PyPI package "varlink", which shares no line with us


def test_another_client_learns_and_calls_everything(server: WireServer) -> None:
    with varlink.Client(f"unix:{server.path}") as other:
        info = other.get_interfaces()
        assert set(info) == {TEST, "org.varlink.service"}
        with other.open(TEST) as test:
            assert test.Echo({"text": "caf\N{LATIN SMALL LETTER E WITH ACUTE}"})["word"]["text"] == "caf\xe9"
            assert [reply.get("n") for reply in test.Count(2, 0.01, _more=True)] == [0, 1, None]
            with pytest.raises(varlink.VarlinkError) as caught:
                test.Missing()
            assert caught.value.error() == "io.mlosd.Error.NotFound"


# Those who hang up, or shut up


def test_a_stream_is_closed_as_soon_as_its_client_hangs_up(server: WireServer) -> None:
    connection = server.connect()
    replies = connection.stream(f"{TEST}.Forever", {})
    next(replies)
    assert server.methods.open_streams == 1
    connection.close()
    eventually(lambda: server.methods.open_streams == 0)
    assert server.methods.hung_up == [True]
    eventually(lambda: len(server.server) == 0)


def test_a_stream_is_closed_too_while_the_daemon_reads_no_more_calls(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Forever", {}, more=True)))
        connected.sendall(encode_call(Call(*echo("x"))) * 400)
        eventually(lambda: server.methods.open_streams == 1)
    eventually(lambda: server.methods.open_streams == 0)


def test_a_call_that_has_begun_is_finished_though_its_client_is_gone(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Sleep", {"seconds": 0.1, "text": "done"})))
        eventually(lambda: server.methods.begun == ["done"])
    eventually(lambda: server.methods.finished == ["done"])
    eventually(lambda: len(server.server) == 0)


def test_a_client_that_only_stops_sending_gets_its_answers(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Sleep", {"seconds": 0.05, "text": "late"})))
        connected.shutdown(socket.SHUT_WR)
        assert [reply.parameters for reply in everything_from(connected)] == [{"text": "late"}]


def test_a_client_that_does_not_read_holds_up_nobody_and_is_let_go(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Flood", {"size": 50_000}, more=True)))
        eventually(lambda: server.methods.open_streams == 1)
        began = time.monotonic()
        still_answers(server)
        assert time.monotonic() - began < 2.0
        eventually(lambda: server.methods.open_streams == 0)
        assert server.methods.flooded < 2 << 20
        eventually(lambda: len(server.server) == 0)


def test_pipelined_replies_that_nobody_reads_are_bounded(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Large", {"size": 100_000})) * 200)
        still_answers(server)
        eventually(lambda: len(server.server) == 0)


def test_a_message_must_end_in_time(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(b'{"method":')
        assert "did not end within" in refusal(connected).message
    still_answers(server)


def test_a_client_that_says_nothing_may_stay(server: WireServer) -> None:
    with server.connect() as connection:
        time.sleep(0.6)
        assert connection.call(*echo("still here"))


def test_a_client_that_says_nothing_costs_no_timer(server: WireServer) -> None:
    with server.connect() as connection:
        assert connection.call(*echo("hello"))
        eventually(lambda: server.timers() == 0)
        with server.raw() as other:
            other.sendall(b"{")
            eventually(lambda: server.timers() == 1)
        eventually(lambda: server.timers() == 0)


def test_a_message_cut_short_is_refused(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(b'{"method":')
        connected.shutdown(socket.SHUT_WR)
        assert "does not end with NUL" in refusal(connected).message


# Those who send nonsense


@pytest.mark.parametrize(
    ("message", "complaint"),
    [
        (b"\0", "not JSON"),
        (b"GET / HTTP/1.1\r\n\r\n\0", "not JSON"),
        (b"[]\0", "not a JSON object"),
        (b"{}\0", "no method"),
        (b'{"method":"a.B","method":"a.C"}\0', "twice"),
        (b'{"method":"a.B","parameters":' + b"[" * 100 + b"]" * 100 + b"}\0", "deeper than 32"),
        (b'{"method":"a.B","root":true}\0', "unknown key"),
        (b'{"method":"\xff"}\0', "not UTF-8"),
        (b'{"method":"' + b"x" * (1 << 20), "larger than"),
    ],
)
def test_what_cannot_be_read_is_told_so_and_hung_up_on(server: WireServer, message: bytes, complaint: str) -> None:
    with server.raw() as connected:
        send(connected, message)
        error = refusal(connected)
    assert isinstance(error, BadMessage)
    assert complaint in error.message
    still_answers(server)


def test_calls_before_an_unreadable_one_are_answered_first(server: WireServer) -> None:
    with server.raw() as connected:
        connected.sendall(encode_call(Call(f"{TEST}.Sleep", {"seconds": 0.05, "text": "first"})) + b"nonsense\0")
        first, second = everything_from(connected)
    assert first.parameters == {"text": "first"}
    assert second.error == "io.mlosd.Error.BadMessage"


def test_mutated_messages_never_disturb_another_client(server: WireServer, client: Connection) -> None:
    chance = fuzzing.chance(7)
    good = [
        encode_call(Call(*echo("hello"))),
        encode_call(Call(f"{TEST}.Count", {"to": 3, "pause": 0.0}, more=True)),
        encode_call(Call("org.varlink.service.GetInfo", {})),
        encode_call(Call(f"{TEST}.Read", {"fds": [0]})),
    ]
    for round_ in range(fuzzing.rounds(1000)):
        with server.raw() as connected:
            data = bytearray(b"".join(chance.choice(good) for _ in range(chance.randint(1, 4))))
            for _ in range(chance.randint(1, 6)):
                place = chance.randrange(len(data))
                match chance.randrange(4):
                    case 0:
                        data[place] = chance.randrange(256)
                    case 1:
                        del data[place : place + chance.randint(1, 8)]
                        data += b"\0"
                    case 2:
                        data[place:place] = bytes(chance.randrange(256) for _ in range(chance.randint(1, 8)))
                    case 3:
                        data[place:place] = chance.choice([b"{", b"[", b'"', b"\\ud800", b"\0", b"1e999", b"\\"]) * 3
            send(connected, bytes(data))
            if round_ % 3:
                everything_from(connected)
        assert client.call(*echo(str(round_)))["word"]["text"] == str(round_)
    assert server.failures() == []
    eventually(lambda: len(server.server) == 1)


# Those who take too much


def test_a_user_with_too_many_connections_is_told_so_and_others_get_in(tmp_path: Path) -> None:
    uids = iter([1000] * 1000 + [1001, 0])

    def identify(_: socket.socket) -> Caller:
        return Caller(next(uids), 1000, frozenset(), 1)

    with WireServer(tmp_path / "mlosd.sock", identify=identify) as server:
        idle = [server.connect() for _ in range(64)]
        for _ in range(1000 - 64):
            with server.connect() as connection, pytest.raises(Refused, match="has 64 connections"):
                connection.call(*echo("x"))
        assert idle[0].call(*echo("early"))
        with server.connect() as other_user, server.connect() as root:
            assert other_user.call(*echo("x"))
            assert root.call(*echo("x"))
        for connection in idle:
            connection.close()


def test_when_the_daemon_is_full_root_still_gets_in(tmp_path: Path) -> None:
    uids = iter([1, 2, 3, 0])

    def identify(_: socket.socket) -> Caller:
        return Caller(next(uids), 1000, frozenset(), 1)

    few = Limits(connections=2)
    with (
        WireServer(tmp_path / "mlosd.sock", limits=few, identify=identify) as server,
        server.connect(),
        server.connect(),
        server.connect() as third,
        server.connect() as root,
    ):
        with pytest.raises(Refused, match="2 connections already"):
            third.call(*echo("x"))
        assert root.call(*echo("x"))


def test_a_caller_who_cannot_be_told_is_told_why(tmp_path: Path) -> None:
    def identify(_: socket.socket) -> Caller:
        raise NotPermitted("who are you?")

    with (
        WireServer(tmp_path / "mlosd.sock", identify=identify) as server,
        server.connect() as connection,
        pytest.raises(NotPermitted, match="who are you"),
    ):
        connection.call(*echo("x"))


# Descriptors


def open_fds() -> int:
    gc.collect()
    return len(list(Path("/proc/self/fd").iterdir()))


def file_with(tmp_path: Path, text: str) -> int:
    path = tmp_path / f"{text}.txt"
    path.write_text(text)
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)


def read_with_fds(server: WireServer, indexes: list[int], fds: list[int]) -> Any:
    with server.connect() as connection:
        connection.send(Call(f"{TEST}.Read", {"fds": indexes}), fds=fds)
        while not (replies := list(connection.messages())):
            assert connection.feed()
        error = error_of(replies[0])
        return error or replies[0].parameters["contents"]


def test_descriptors_arrive_with_their_message(server: WireServer, tmp_path: Path) -> None:
    fds = [file_with(tmp_path, "zero"), file_with(tmp_path, "one"), file_with(tmp_path, "two")]
    assert read_with_fds(server, [2, 0], fds) == ["two", "zero"]
    for fd in fds:
        os.close(fd)


def test_descriptors_of_one_of_many_calls_are_not_mixed_up(server: WireServer, tmp_path: Path) -> None:
    names = [f"file{n}" for n in range(10)]
    with server.connect() as connection:
        for name in names:
            connection.send(Call(*echo(name)))
            fd = file_with(tmp_path, name)
            connection.send(Call(f"{TEST}.Read", {"fds": [0]}), fds=[fd])
            os.close(fd)
        replies: list[Reply] = []
        while len(replies) < 20:
            assert connection.feed()
            replies += connection.messages()
    assert [reply.parameters.get("contents") for reply in replies[1::2]] == [[name] for name in names]


def test_an_index_without_a_descriptor_is_refused(server: WireServer, tmp_path: Path) -> None:
    fd = file_with(tmp_path, "only")
    for indexes in ([1], [-1], [0, 1]):
        assert isinstance(read_with_fds(server, indexes, [fd]), BadRequest)
    os.close(fd)


def test_no_descriptor_leaks_whatever_becomes_of_its_message(server: WireServer, tmp_path: Path) -> None:
    fd = file_with(tmp_path, "leak")
    call = encode_call(Call(f"{TEST}.Read", {"fds": [0]}))
    before = open_fds()
    for _ in range(3):
        read_with_fds(server, [0], [fd])
        read_with_fds(server, [7], [fd] * 3)
        for data in (
            call[:-5],  # never ends
            encode_call(Call(*echo("x"))),  # takes none
            encode_call(Call(f"{TEST}.Nothing", {})),
            b"nonsense\0",
            b"nonsense\0" + call,
            b"x" * ((1 << 20) + 1),  # too large
        ):
            with server.raw() as connected:
                send(connected, data, [fd, fd])
                everything_from(connected)
        with server.raw() as connected:
            socket.send_fds(connected, [call[:-5]], [fd, fd])  # and hangs up
    eventually(lambda: len(server.server) == 0)
    eventually(lambda: open_fds() == before)
    os.close(fd)


def test_too_many_descriptors_are_refused_and_closed(server: WireServer, tmp_path: Path) -> None:
    fd = file_with(tmp_path, "many")
    before = open_fds()
    with server.raw() as connected:
        socket.send_fds(connected, [encode_call(Call(*echo("x")))], [fd] * 40)
        connected.shutdown(socket.SHUT_WR)
        assert everything_from(connected)[-1].error == "io.mlosd.Error.BadMessage"
    with server.raw() as connected:
        for _ in range(5):  # none too many by itself
            socket.send_fds(connected, [encode_call(Call(f"{TEST}.Sleep", {"seconds": 0.2, "text": ""}))], [fd] * 5)
        connected.shutdown(socket.SHUT_WR)
        assert everything_from(connected)[-1].error == "io.mlosd.Error.BadMessage"
    eventually(lambda: open_fds() == before)
    os.close(fd)


# The end


def test_a_server_that_stops_answers_what_has_begun(server: WireServer, client: Connection) -> None:
    client.send(Call(f"{TEST}.Sleep", {"seconds": 0.2, "text": "last"}))
    eventually(lambda: server.methods.begun == ["last"])
    server.stop()
    assert client.feed()
    assert [reply.parameters for reply in client.messages()] == [{"text": "last"}]
    with pytest.raises(Unreachable):
        client.call(*echo("too late"))


def test_a_stream_that_the_server_ends_looks_like_a_server_gone(server: WireServer, client: Connection) -> None:
    replies = client.stream(f"{TEST}.Forever", {})
    next(replies)
    server.stop()
    with pytest.raises(Unreachable):
        next(replies)
    assert server.methods.hung_up == [False]


def test_a_second_server_does_not_take_the_socket_of_a_living_one(server: WireServer) -> None:
    with pytest.raises(Refused, match="another mlosd answers"):
        listen(server.path)
    still_answers(server)


def test_the_interface_that_is_described_is_the_one_that_is_served(client: Connection) -> None:
    described = client.call("org.varlink.service.GetInterfaceDescription", {"interface": TEST})["description"]
    assert described.startswith("# Methods for tests.\ninterface io.mlosd.Test\n")
    assert json.loads(json.dumps(described)) == described
    with pytest.raises(Refused, match=r"no interface a\.b"):
        client.call("org.varlink.service.GetInterfaceDescription", {"interface": "a.b"})


def test_when_descriptors_run_out_the_daemon_waits_and_goes_on(server: WireServer, client: Connection) -> None:
    assert client.call(*echo("before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with server.raw() as connected:
        eventually(lambda: len(server.server) == 2)
        with socket.socket(socket.AF_UNIX) as unlucky:
            resource.setrlimit(resource.RLIMIT_NOFILE, (unlucky.fileno() + 1, hard))
            try:
                unlucky.connect(str(server.path))
                eventually(lambda: bool(server.failures()))
                assert client.call(*echo("meanwhile"))
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            eventually(lambda: len(server.server) == 3)
        assert len(server.failures()) <= 2
        assert connected.fileno() > 0


def attests() -> bool:
    """Whether this kernel tells the credentials of a pidfd (Linux 6.13)."""
    pidfd = os.pidfd_open(os.getpid())
    try:
        return pidfd_get_info(pidfd).credentials is not None
    except OSError:
        return False
    finally:
        os.close(pidfd)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
@pytest.mark.skipif(not attests(), reason="this kernel does not tell the credentials of a pidfd")
def test_a_client_that_changes_its_user_after_connecting_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mlosd.sock"
    changed = threading.Event()

    def identify(connected: socket.socket) -> Caller:
        assert changed.wait(10)
        return callers.of_socket(connected)

    with WireServer(path, identify=identify):
        program = (
            "import os, socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1]);"
            "os.setresuid(65534, 65534, 65534); print('changed', flush=True); print(s.recv(1000).decode())"
        )
        client = subprocess.Popen([sys.executable, "-c", program, path], stdout=subprocess.PIPE, text=True)
        assert client.stdout is not None
        assert client.stdout.readline() == "changed\n"
        changed.set()
        answer, _ = client.communicate(timeout=10)
    assert "you connected as user 0 and are another user now" in answer
