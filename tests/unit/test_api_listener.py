"""The socket is made where it should be, and nobody's place is taken."""

import socket
from pathlib import Path

import pytest

from mlosd.api.listener import adopt, listen
from mlosd.core.errors import Refused
from mlosd.wire import address


def test_anybody_may_connect_and_nobody_may_replace_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "run" / "mlosd.sock"
    with listen(path) as listener:
        assert path.stat().st_mode & 0o777 == 0o666
        assert path.parent.stat().st_mode & 0o777 == 0o755
        assert not listener.getblocking()


def test_a_socket_file_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "mlosd.sock"
    listen(path).close()
    assert path.is_socket()
    listen(path).close()


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mlosd.sock"
    path.write_text("precious")
    with pytest.raises(Refused, match="is not a socket"):
        listen(path)
    assert path.read_text() == "precious"


def test_a_folder_that_others_can_write_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(Refused, match="can be written by others"):
        listen(folder / "mlosd.sock")


def test_a_path_too_long_for_the_kernel_works_all_the_same(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 120) / "mlosd.sock"
    with listen(path), socket.socket(socket.AF_UNIX) as client, address.short(path) as name:
        client.connect(name)
        assert path.is_socket()


def test_a_listening_socket_is_adopted_and_nothing_else(tmp_path: Path) -> None:
    with listen(tmp_path / "mlosd.sock") as listener, adopt(listener.detach()) as adopted:
        assert not adopted.getblocking()
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(Refused, match="not a listening stream socket"):
        adopt(ours.fileno())
