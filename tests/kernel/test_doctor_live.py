"""The doctor on the machine that runs the tests: what it says is true, and it leaves nothing behind."""

import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlosd.kernel import cgroup_tree, mountinfo

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

SOURCE = Path(__file__).parents[2] / "src"
NOBODY = 65534
TEMPORARY = Path(tempfile.gettempdir())


def doctor(*arguments: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    # -B: a plain user may not write compiled files, and root should leave none in a checkout.
    return subprocess.run(
        [*before, sys.executable, "-B", "-W", "error", "-m", "mlosd.doctor", *arguments],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(SOURCE)},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def findings(*arguments: str, before: tuple[str, ...] = ()) -> dict[str, Any]:
    done = doctor("--json", *arguments, before=before)
    assert done.stderr == ""
    return {line["name"]: line for line in map(json.loads, done.stdout.splitlines())}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    return tmp_path


def footprint(root: Path) -> dict[str, Any]:
    """What a careless doctor would have changed."""
    mount = cgroup_tree.mount_point(mountinfo.read())
    return {
        "files in the state directory": sorted(root.rglob("*")),
        "temporary files": sorted(TEMPORARY.glob("mlosd-doctor*")),
        "cgroups": sorted(mount.rglob("mlosd-doctor*/")) if mount else [],
        "mounts": mountinfo.read(),
        "modules": [line.split()[0] for line in _lines("/proc/modules")],
        "processes": [entry.name for entry in Path("/proc").glob("[0-9]*") if _is_doctor(entry)],
        "network devices": sorted(Path("/sys/class/net").iterdir()),
    }


def _lines(file: str) -> list[str]:
    return Path(file).read_text().splitlines() if Path(file).exists() else []


def _is_doctor(process: Path) -> bool:
    try:
        return b"mlosd.doctor" in (process / "cmdline").read_bytes()
    except OSError:
        return False


def test_it_leaves_no_file_no_cgroup_no_mount_and_no_process(root: Path) -> None:
    before = footprint(root)
    doctor("--root", str(root))
    assert footprint(root) == before


def test_every_answer_is_complete(root: Path) -> None:
    found = findings("--root", str(root))
    assert {"launcher", "process handles", "cgroup controllers", "Landlock", "TLS 1.3"} <= found.keys()
    for name, line in found.items():
        assert line["state"] in ("ok", "degraded", "unavailable"), name
        assert line["reason"], name
        assert "the probe itself failed" not in line["reason"], line
        assert "ended without an answer" not in line["reason"], line


def test_it_takes_little_time(root: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    doctor("--root", str(root))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime - before.ru_utime < 3.0


def test_controllers_that_version_1_holds_are_named(root: Path) -> None:
    verdict = findings("--root", str(root))["cgroup controllers"]
    held = cgroup_tree.membership().v1
    if held:
        assert verdict["state"] != "ok"
        assert all(name in verdict["reason"] for name in held.keys() & {"cpu", "cpuset", "memory", "pids"})


def test_what_the_kernel_says_of_pressure_is_what_the_doctor_says(root: Path) -> None:
    try:
        Path("/proc/pressure/cpu").read_text()
    except OSError:
        expected = "unavailable"
    else:
        expected = "ok"
    assert findings("--root", str(root))["pressure (PSI)"]["state"] == expected


def test_the_exit_status_is_1_when_jobs_cannot_run(tmp_path: Path) -> None:
    assert doctor("--json", "--root", str(tmp_path)).returncode == 0
    # A read-only mount that nobody else sees.
    script = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    done = doctor("--json", "--root", str(tmp_path), before=("unshare", "-m", "sh", "-c", script, str(tmp_path)))
    assert done.returncode == 1
    assert f"{tmp_path} is read-only" in done.stdout


@pytest.fixture
def overlay(tmp_path: Path) -> Iterator[tuple[str, ...]]:
    """The start of a command that sees an overlay mount which nobody else sees."""
    for name in ("lower", "upper", "work", "merged"):
        (tmp_path / name).mkdir()
    script = 'cd "$0" && mount -t overlay o -o lowerdir=lower,upperdir=upper,workdir=work merged && cd / && exec "$@"'
    before = ("unshare", "-m", "sh", "-c", script, str(tmp_path))
    if subprocess.run([*before, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no overlay on this file system")
    yield before


def test_a_file_system_whose_marks_the_kernel_refuses_is_degraded(overlay: tuple[str, ...], tmp_path: Path) -> None:
    row = findings(before=overlay)[f"overlay on {tmp_path}/merged"]
    # Without nfs_export, overlayfs has no handles to open files by, so fanotify cannot name them.
    assert row["state"] == "degraded"
    assert "Operation not supported" in row["reason"]


@pytest.fixture
def as_nobody() -> tuple[str, ...]:
    if shutil.which("setpriv") is None:
        pytest.skip("no setpriv")
    before = ("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups")
    if subprocess.run(
        [*before, sys.executable, "-c", f"open({str(SOURCE / 'mlosd/__init__.py')!r})"], check=False
    ).returncode:
        pytest.skip("nobody may not read this checkout")
    return before


def test_a_plain_user_is_told_what_needs_root_and_gets_the_rest(as_nobody: tuple[str, ...]) -> None:
    found = findings(before=as_nobody)
    assert found["immutable flag"]["reason"] == "needs root"
    assert found["immutable flag"]["hint"] == "run it as root: sudo mlosctl doctor"
    assert found["launcher"]["state"] == "ok"
    assert found["process handles"]["state"] == "ok"
    assert found["safe paths (openat2)"]["state"] == "ok"
    assert found["state directory"]["state"] == "degraded"
    assert not any("the probe itself failed" in line["reason"] for line in found.values())


def test_a_plain_user_leaves_nothing_behind_either(as_nobody: tuple[str, ...], root: Path) -> None:
    before = footprint(root)
    assert doctor(before=as_nobody).returncode == 0
    assert footprint(root) == before


def test_the_table_fits_a_terminal_and_has_no_colours_in_a_pipe(root: Path) -> None:
    done = doctor("--root", str(root))
    assert max(map(len, done.stdout.splitlines())) <= 100
    assert "\033" not in done.stdout
    assert done.stdout.splitlines()[-8].startswith("In short")
