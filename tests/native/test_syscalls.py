"""The thin wrappers of mlosd.kernel over native/*.c, on the kernel that runs the tests."""

import errno
import os
import subprocess
from pathlib import Path

import pytest

from mlosd.kernel import fanotify, inode_flags, reflink
from mlosd.kernel.file_handle import FileHandle, fd_to_handle, name_to_handle_at, open_by_handle_at
from mlosd.kernel.filesystem_uuid import filesystem_id
from mlosd.kernel.landlock import landlock_abi
from mlosd.kernel.openat2 import RESOLVE_BENEATH, RESOLVE_NO_SYMLINKS, openat2
from mlosd.kernel.pidfd import Credentials, pidfd_get_info
from mlosd.kernel.renameat2 import RENAME_EXCHANGE, RENAME_NOREPLACE, renameat2

NOT_HERE = (errno.ENOSYS, errno.ENOTTY, errno.EOPNOTSUPP, errno.EPERM, errno.EINVAL)


def skip_where_refused(error: OSError) -> None:
    if error.errno in NOT_HERE:
        pytest.skip(f"this kernel says: {error}")


def test_openat2_follows_no_symlink_when_told_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to("file")
    os.close(openat2(tmp_path / "file", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS))
    with pytest.raises(OSError, match="link") as refused:
        openat2(tmp_path / "link", os.O_RDONLY, resolve=RESOLVE_NO_SYMLINKS)
    assert refused.value.errno == errno.ELOOP
    assert refused.value.filename == str(tmp_path / "link")


def test_openat2_does_not_leave_the_directory(tmp_path: Path) -> None:
    directory = os.open(tmp_path, os.O_PATH)
    try:
        with pytest.raises(OSError, match="cross-device"):
            openat2("../", os.O_RDONLY, resolve=RESOLVE_BENEATH, dirfd=directory)
    finally:
        os.close(directory)


def test_openat2_makes_a_file_that_no_program_inherits(tmp_path: Path) -> None:
    fd = openat2(tmp_path / "new", os.O_WRONLY | os.O_CREAT, resolve=0, mode=0o600)
    assert not os.get_inheritable(fd)
    os.close(fd)


def test_a_nul_in_a_path_is_refused_before_the_kernel_sees_half_of_it() -> None:
    with pytest.raises(ValueError, match="NUL"):
        openat2("/etc\0/shadow", os.O_RDONLY, resolve=0)


def test_a_file_handle_outlives_a_rename_and_not_a_replacement(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    try:
        handle = name_to_handle_at(first)
    except OSError as error:
        skip_where_refused(error)
        raise
    first.rename(second)
    assert name_to_handle_at(second) == handle
    second.unlink()
    second.touch()
    assert name_to_handle_at(second) != handle


def test_a_file_handle_is_the_same_by_name_and_by_fd(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    try:
        assert fd_to_handle(fd) == name_to_handle_at(tmp_path)
    except OSError as error:
        skip_where_refused(error)
        raise
    finally:
        os.close(fd)


def test_a_file_handle_can_be_written_down() -> None:
    handle = FileHandle(0x81, b"\x00\xff")
    assert handle.hex == "81.00ff"
    assert FileHandle.from_hex(handle.hex) == handle
    with pytest.raises(ValueError, match="not a file handle"):
        FileHandle.from_hex("81")


@pytest.mark.kernel
def test_a_file_is_opened_by_its_handle_until_it_is_gone(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("content")
    mount = os.open(tmp_path, os.O_RDONLY)
    try:
        handle = name_to_handle_at(file)
        fd = open_by_handle_at(mount, handle, os.O_RDONLY)
        assert os.read(fd, 64) == b"content"
        os.close(fd)
        file.unlink()
        with pytest.raises(OSError, match=handle.hex) as gone:
            open_by_handle_at(mount, handle, os.O_RDONLY)
        assert gone.value.errno == errno.ESTALE
    except OSError as error:
        skip_where_refused(error)
        raise
    finally:
        os.close(mount)


def test_a_pidfd_tells_who_runs() -> None:
    pidfd = os.pidfd_open(os.getpid())
    try:
        info = pidfd_get_info(pidfd)
    except OSError as error:
        skip_where_refused(error)
        raise
    finally:
        os.close(pidfd)
    assert (info.pid, info.ppid, info.exit_status) == (os.getpid(), os.getppid(), None)
    assert info.credentials == Credentials(os.getuid(), os.geteuid(), os.getgid(), os.getegid())


def test_a_pidfd_tells_how_a_process_ended_after_it_was_reaped() -> None:
    with subprocess.Popen(["sh", "-c", "read x; exit 7"], stdin=subprocess.PIPE) as process:
        pidfd = os.pidfd_open(process.pid)
    try:
        info = pidfd_get_info(pidfd)
    except OSError as error:
        if error.errno == errno.ESRCH:
            pytest.skip("PIDFD_INFO_EXIT: before Linux 6.15")
        skip_where_refused(error)
        raise
    finally:
        os.close(pidfd)
    assert info.pid is None
    assert info.exit_status is not None
    assert os.waitstatus_to_exitcode(info.exit_status) == 7


def test_an_fd_that_is_no_pidfd_is_an_error() -> None:
    with open("/dev/null", "rb") as file, pytest.raises(OSError, match=f"fd {file.fileno()}"):
        pidfd_get_info(file.fileno())


def test_fanotify_reports_an_open_below_a_marked_directory(tmp_path: Path) -> None:
    try:
        flags = fanotify.FAN_REPORT_FID | fanotify.FAN_NONBLOCK
        group = fanotify.fanotify_init(flags)
    except OSError as error:
        skip_where_refused(error)
        raise
    try:
        mask = fanotify.FAN_OPEN | fanotify.FAN_EVENT_ON_CHILD
        fanotify.fanotify_mark(group, fanotify.FAN_MARK_ADD, mask, tmp_path)
        (tmp_path / "file").write_text("x")
        assert os.read(group, 4096)
        directory = os.open(tmp_path, os.O_RDONLY)
        fanotify.fanotify_mark_fd(group, fanotify.FAN_MARK_REMOVE, mask, directory)
        os.close(directory)
    finally:
        os.close(group)


def test_a_mark_on_nothing_names_the_path(tmp_path: Path) -> None:
    try:
        group = fanotify.fanotify_init(fanotify.FAN_REPORT_FID)
    except OSError as error:
        skip_where_refused(error)
        raise
    try:
        with pytest.raises(FileNotFoundError, match="missing"):
            fanotify.fanotify_mark(group, fanotify.FAN_MARK_ADD, fanotify.FAN_OPEN, tmp_path / "missing")
    finally:
        os.close(group)


def test_landlock_has_a_version() -> None:
    try:
        assert landlock_abi() >= 1
    except OSError as error:
        skip_where_refused(error)
        raise


def test_inode_flags_are_set_and_read_back(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    try:
        flags = inode_flags.get_inode_flags(fd)
        inode_flags.set_inode_flags(fd, flags | inode_flags.FS_NODUMP_FL)
        assert inode_flags.get_inode_flags(fd) == flags | inode_flags.FS_NODUMP_FL
    except OSError as error:
        skip_where_refused(error)
        raise
    finally:
        os.close(fd)


def test_a_file_without_verity_has_no_digest(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with (tmp_path / "file").open("rb") as file, pytest.raises(OSError, match=f"fd {file.fileno()}") as none:
        inode_flags.measure_verity(file.fileno())
    assert none.value.errno in (errno.ENODATA, errno.ENOTTY, errno.EOPNOTSUPP)


def test_all_files_of_a_file_system_have_its_identity(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ids = set()
    for path in (tmp_path, tmp_path / "file"):
        fd = os.open(path, os.O_RDONLY)
        ids.add(filesystem_id(fd))
        os.close(fd)
    (one,) = ids
    assert str(one).startswith(("uuid:", "fsid:"))
    assert int(one.value, 16) != 0


def test_a_file_system_without_uuid_has_an_fsid() -> None:
    fd = os.open("/proc", os.O_RDONLY)
    try:
        assert filesystem_id(fd).kind == "fsid"
    finally:
        os.close(fd)


def test_two_names_change_places_in_one_step(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "b").write_text("b")
    directory = os.open(tmp_path, os.O_PATH)
    try:
        renameat2(b"a", b"b", old_dirfd=directory, new_dirfd=directory, flags=RENAME_EXCHANGE)
        with pytest.raises(FileExistsError, match="b"):
            renameat2(b"a", b"b", old_dirfd=directory, new_dirfd=directory, flags=RENAME_NOREPLACE)
    except OSError as error:
        skip_where_refused(error)
        raise
    finally:
        os.close(directory)
    assert ((tmp_path / "a").read_text(), (tmp_path / "b").read_text()) == ("b", "a")


def test_a_reflink_has_the_same_content_or_is_not_to_be_had(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 8192)
    with (tmp_path / "a").open("rb") as source, (tmp_path / "b").open("wb") as target:
        cloned = reflink.clone(source.fileno(), target.fileno())
    assert (tmp_path / "b").stat().st_size == (8192 if cloned else 0)
