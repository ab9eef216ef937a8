"""The kernel says who calls, and who changed users since is refused."""

import os
import socket
import struct

import pytest

from mlosd.api import caller
from mlosd.core.errors import NotPermitted
from mlosd.kernel.pidfd import Credentials, PidInfo


def info(*, ruid: int, euid: int) -> PidInfo:
    return PidInfo(pid=5, ppid=1, credentials=Credentials(ruid, euid, 0, 0), cgroupid=42, exit_status=None)


def test_the_kernels_ucred_is_pid_uid_gid() -> None:
    assert caller.credentials(struct.pack("iII", 7, 1000, 4294967294)) == (7, 1000, 4294967294)


def test_a_peer_in_another_pid_namespace_is_refused() -> None:
    with pytest.raises(NotPermitted, match="pid namespace"):
        caller.credentials(struct.pack("iII", 0, 1000, 1000))


@pytest.mark.parametrize(
    ("uid", "ruid", "euid", "allowed"),
    [
        (1000, 1000, 1000, True),
        (0, 0, 0, True),
        (1000, 1000, 0, False),  # connected, then executed a setuid program
        (1000, 0, 0, False),
        (0, 1000, 0, False),  # a setuid program, run by a user
        (0, 1000, 1000, False),  # dropped its rights, and kept the socket
    ],
)
def test_only_who_still_is_what_connected_is_let_in(uid: int, ruid: int, euid: int, allowed: bool) -> None:
    if allowed:
        assert caller.attested_cgroup(uid, info(ruid=ruid, euid=euid)) == 42
    else:
        with pytest.raises(NotPermitted, match="another user now"):
            caller.attested_cgroup(uid, info(ruid=ruid, euid=euid))


def test_where_the_kernel_knows_nothing_of_the_process_uid_and_gid_must_do() -> None:
    assert caller.attested_cgroup(1000, None) is None
    assert caller.attested_cgroup(1000, PidInfo(5, 1, None, None, None)) is None


def test_the_other_end_of_a_socket_is_told() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = caller.of_socket(ours)
    assert (found.uid, found.gid, found.pid) == (os.geteuid(), os.getegid(), os.getpid())
    assert found.groups >= set(os.getgroups()) - {os.getegid()}
    if found.pidfd is not None:
        assert not os.get_inheritable(found.pidfd)
    found.forget()


def test_a_user_without_a_name_is_a_number() -> None:
    assert caller.user_name(0) == "root"
    assert caller.user_name(3999999999) == "3999999999"
