"""What an attack on ML mode found, each by the real daemon on a machine made of files."""

import contextlib
import os
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.mode_machine import ModeMlosd
from tests.journeys.test_mode import GOVERNOR, SWAPPINESS, enter, eventually, status

from mlosd.core.errors import BadConfig, BadRequest, MlosError, NotFound, Refused


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[ModeMlosd]:
    with ModeMlosd(tmp_path) as daemon:
        yield daemon


def test_who_leaves_while_somebody_else_writes_finds_the_machine_as_it_was(mlosd: ModeMlosd) -> None:
    for _ in range(15):
        enter(mlosd)
        mlosd.write(SWAPPINESS, "77")
        threading.Event().wait(0.05)  # as long as drift waits before it looks
        mlosd.call("io.mlosd.Mode.Leave")
        assert mlosd.read(SWAPPINESS) in ("60", "77")
        mlosd.write(SWAPPINESS, "60")


def test_leaving_works_where_nothing_can_be_written_down(mlosd: ModeMlosd) -> None:
    before = mlosd.snapshot()
    enter(mlosd)
    (mlosd.root / "run/mode/leases.json").unlink()
    (mlosd.root / "run/mode/leases.json").mkdir()
    mlosd.call("io.mlosd.Mode.Leave")
    assert (mlosd.snapshot(), status(mlosd)["state"]) == (before, "off")
    with pytest.raises(Refused, match="cannot be written down"):
        enter(mlosd)
    assert (mlosd.snapshot(), status(mlosd)["leases"]) == (before, [])


def test_a_user_holds_the_mode_so_often_and_no_more(mlosd: ModeMlosd) -> None:
    for _ in range(32):
        enter(mlosd)
    with pytest.raises(Refused, match="32 times already"):
        enter(mlosd)
    assert len(mlosd.call("io.mlosd.Mode.Leave")["leases"]) == 32
    assert mlosd.read(GOVERNOR) == "powersave"


def test_a_job_that_is_done_is_nothing_to_wait_for(mlosd: ModeMlosd) -> None:
    job = mlosd.submit("true")
    mlosd.wait(job)
    with pytest.raises(BadRequest, match="is done"):
        enter(mlosd, job=job)


def test_a_refused_enter_holds_nothing(mlosd: ModeMlosd) -> None:
    (mlosd.machine / "dev").mkdir()
    (mlosd.machine / "dev/cpu_dma_latency").write_bytes(b"")
    (mlosd.machine / GOVERNOR).unlink()
    (mlosd.machine / GOVERNOR).symlink_to("/proc/version")
    with pytest.raises(Refused):
        enter(mlosd, set=["cpu-dma-latency=0"])
    assert mlosd.process is not None
    assert not any("cpu_dma_latency" in path for path in descriptors(mlosd.process.pid))


def descriptors(pid: int) -> Iterator[str]:
    """What a process has open now."""
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            yield str(fd.readlink())


def test_a_damaged_log_drains_the_mode_until_somebody_has_looked(mlosd: ModeMlosd) -> None:
    enter(mlosd, seconds=3600.0)
    mlosd.kill()
    log = mlosd.root / "run/mode/undo.log"
    lines = log.read_bytes().splitlines(keepends=True)
    log.write_bytes(b"".join([lines[0], b"garbage\n", *lines[2:]]))
    mlosd.start()
    assert status(mlosd)["state"] == "drained"
    assert "cannot be read" in status(mlosd)["reason"]
    with pytest.raises(Refused, match="drained"):
        enter(mlosd)
    mlosd.call("io.mlosd.Mode.Restore")
    assert status(mlosd)["state"] == "off"


@pytest.mark.parametrize("leases", ['{"leases": [{"id": "1"}]}', '{"leases": [7, null]}', "[" * 5000, "{}"])
def test_any_record_of_leases_lets_the_daemon_start(mlosd: ModeMlosd, leases: str) -> None:
    before = mlosd.snapshot()
    enter(mlosd)
    mlosd.kill()
    (mlosd.root / "run/mode/leases.json").write_text(leases)
    mlosd.start()
    assert (mlosd.snapshot(), status(mlosd)["state"]) == (before, "off")


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"cpus": "0-99999999999"}, BadRequest),
        ({"cpus": "9" * 10_000}, BadRequest),
        ({"cpus": "0," * 50_000}, BadRequest),
        ({"pid": 1 << 31}, BadRequest),
        ({"profile": "x" * 5000}, NotFound),
        ({"set": ["scaling-governor=" + "x" * 900_000]}, BadRequest),
        ({"set": ["swappiness=" + "[" * 400]}, BadRequest),
        ({"set": ["swappiness=" + "9" * 400]}, BadRequest),
        ({"set": ['swappiness=10\nscaling-governor="x"']}, BadRequest),
        ({"set": ["swappiness=10"] * 5000}, BadRequest),
        ({"seconds": 1e308}, BadRequest),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_is_too_large_gets_one_short_line(
    mlosd: ModeMlosd, asked: dict[str, object], error: type[MlosError]
) -> None:
    with pytest.raises(error) as said:
        enter(mlosd, **asked)
    assert len(said.value.message) < 300
    assert "\n" not in said.value.message


@pytest.mark.parametrize(
    "text",
    ["headroom = 3\n", "a = " + "[" * 3000, "x = " + "9" * 6000, "#" * 70_000, 'inherits = "mine"\n', "summary = 3\n"],
    ids=lambda text: text[:12],
)
def test_a_hostile_profile_breaks_no_other(mlosd: ModeMlosd, text: str) -> None:
    (mlosd.machine / "etc/mlosd/profiles/mine.toml").write_text(text)
    profiles = {one["name"]: one for one in mlosd.call("io.mlosd.Mode.Profiles")["profiles"]}
    assert profiles["training"]["settings"]
    if text != "summary = 3\n":
        with pytest.raises(BadConfig, match=r"mine\.toml"):
            enter(mlosd, profile="mine")


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be another user")
def test_another_user_learns_that_the_mode_is_held_and_not_by_whom(mlosd: ModeMlosd) -> None:
    mlosd.root.chmod(0o755)
    mlosd.submit("sleep", "600", name="SECRET")
    eventually(lambda: status(mlosd)["state"] == "on")
    code = (
        "import json, socket, sys\n"
        "s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n"
        's.sendall(b\'{"method": "io.mlosd.Mode.Status"}\\0\')\n'
        "d = b''\n"
        "while not d.endswith(b'\\0'): d += s.recv(65536)\n"
        "print(d[:-1].decode())"
    )
    seen = subprocess.run(
        ["/usr/bin/python3", "-c", code, str(mlosd.socket)],
        user=65534, group=65534, extra_groups=[], capture_output=True, text=True, check=False, cwd="/",
    )  # fmt: skip
    if "Permission denied" in seen.stderr or seen.returncode:
        pytest.skip("another user cannot reach the folder of this test")
    assert "SECRET" not in seen.stdout
    assert "another user" in seen.stdout
