"""The stand-alone restorer: it puts everything back while the rest of mlosd is broken, and says what it could not."""

import json
import os
import pkgutil
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.manager import Manager
from tests.fakes.tree import materialize

import mlosd.undo
from mlosd.undo import survivors
from mlosd.undo.change import Change, encode
from mlosd.undo.log import UndoLog

SOURCE = Path(mlosd.undo.__file__).parent.parent
GARBAGE = "((( this is no Python\n"
AT_WORK = {
    "sys/policy0/scaling_governor": "performance\n",
    "sys/thp/enabled": "[always] madvise never\n",
    "sys/rps_cpus": "0000000f\n",
    "proc/irq/9/smp_affinity_list": "0,1\n",
    "sys/resctrl/mlos/tasks": "",
}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Our folder, in a place where everything else is broken."""
    place = tmp_path_factory.mktemp("site-packages")
    for file in sorted(SOURCE.rglob("*.py")):
        copy = place / "mlosd" / file.relative_to(SOURCE)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if file == SOURCE / "__init__.py" or file.is_relative_to(SOURCE / "undo"):
            shutil.copy(file, copy)
        else:
            copy.write_text(GARBAGE)
    for name in ("json", "dataclasses", "typing_extensions"):
        (place / f"{name}.py").write_text(GARBAGE)
    return place / "mlosd" / "undo"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return tmp_path / "run" / "undo.log"


def restorer(
    program: Path, log: Path, *arguments: str | Path, result: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it, as the service's ExecStopPost= where `result` says what systemd says in $SERVICE_RESULT."""
    environment = {"PATH": os.environ["PATH"]} | ({} if result is None else {"SERVICE_RESULT": result})
    command = [sys.executable, "-I", "-S", program, "--log", log, *arguments]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert "Traceback" not in found.stderr
    return found


def remember(log: Path, *changes: Change) -> None:
    """What a daemon that was killed has left."""
    undo_log = UndoLog(log)
    undo_log.append(changes)
    undo_log.close()


def governor(root: Path, *, now: str = "performance") -> Change:
    """A policy that we set to performance; `now`: what it is when the restorer comes."""
    target = materialize(root, {"scaling_governor": f"{now}\n"}) / "scaling_governor"
    return Change("scaling-governor", "text", str(target), "powersave", "performance")


def test_everything_is_put_back_while_the_rest_of_mlosd_is_broken(program: Path, log: Path, tmp_path: Path) -> None:
    root = materialize(tmp_path, AT_WORK)
    (root / "sys/resctrl/mlos/tasks").unlink()
    targets = [str(root / name) for name in AT_WORK]
    remember(
        log,
        Change("scaling-governor", "text", targets[0], "powersave", "performance"),
        Change("thp", "choice", targets[1], "madvise", "always"),
        Change("rps", "mask", targets[2], "ff,00000000", "f"),
        Change("irq", "cpulist", targets[3], "0-3", "0-1"),
        Change("resctrl", "directory", str(root / "sys/resctrl/mlos"), None, ""),
    )
    found = restorer(program, log)
    assert (found.stdout, found.stderr, found.returncode) == ("5 put back, 0 gone with their device\n", "", 0)
    assert [Path(target).read_text() for target in targets[:4]] == [
        "powersave\n",
        "madvise\n",
        "ff,00000000\n",
        "0-3\n",
    ]
    assert not (root / "sys/resctrl/mlos").exists()
    assert list(log.parent.iterdir()) == []


def test_without_a_log_there_is_nothing_to_do(program: Path, log: Path) -> None:
    found = restorer(program, log)
    assert (found.stdout, found.returncode) == ("nothing to put back: the machine is as it was\n", os.EX_OK)
    assert restorer(program, log, "--json").stdout == "{}\n"


def test_a_second_run_finds_nothing_to_do(program: Path, log: Path, tmp_path: Path) -> None:
    remember(log, governor(tmp_path))
    assert restorer(program, log).returncode == os.EX_OK
    assert restorer(program, log).stdout == "nothing to put back: the machine is as it was\n"


def test_a_log_of_another_boot_changes_nothing(program: Path, log: Path, tmp_path: Path) -> None:
    undo_log = UndoLog(log, boot="another")
    undo_log.append([governor(tmp_path)])
    undo_log.close()
    assert restorer(program, log).returncode == os.EX_OK
    assert (tmp_path / "scaling_governor").read_text() == "performance\n"


def test_while_the_daemon_has_the_log_it_is_asked_instead(program: Path, log: Path, tmp_path: Path) -> None:
    daemon = UndoLog(log)
    daemon.append([governor(tmp_path)])
    found = restorer(program, log)
    daemon.close()
    assert (found.returncode, found.stdout) == (os.EX_TEMPFAIL, "")
    assert found.stderr == "the daemon runs and has the undo log: mlosctl mode restore\n"
    assert (tmp_path / "scaling_governor").read_text() == "performance\n"


def test_what_somebody_else_changed_is_left_and_named(program: Path, log: Path, tmp_path: Path) -> None:
    change = governor(tmp_path, now="schedutil")
    remember(log, change)
    found = restorer(program, log)
    assert found.returncode == os.EX_OK
    assert f"left as it is: {change.target}: it is 'schedutil', was 'powersave' before ML mode" in found.stdout
    assert Path(change.target).read_text() == "schedutil\n"


def test_what_went_away_with_its_device_is_no_failure(program: Path, log: Path, tmp_path: Path) -> None:
    change = governor(tmp_path)
    remember(log, change)
    Path(change.target).unlink()
    found = restorer(program, log)
    assert (found.stdout, found.returncode) == ("0 put back, 1 gone with their device\n", os.EX_OK)
    assert not Path(change.target).exists()


def test_a_leftover_comes_with_a_command_that_puts_it_back(program: Path, log: Path, tmp_path: Path) -> None:
    change = governor(tmp_path)
    remember(log, change)
    stuck = Path(change.target)
    stuck.unlink()
    stuck.mkdir()  # a file that refuses, also to root
    found = restorer(program, log)
    assert found.returncode == os.EX_SOFTWARE
    said, command = found.stderr.splitlines()
    assert said.startswith(f"NOT put back: {change.target}: it is None, was 'powersave' before ML mode (Is a directory")
    stuck.rmdir()
    stuck.write_text("performance\n")
    subprocess.run(["sh", "-c", command], check=True)
    assert stuck.read_text() == "powersave\n"
    # It was pending all the time; now it is as before.
    assert restorer(program, log).returncode == os.EX_OK
    assert not log.exists()


def test_a_directory_in_use_is_a_leftover_and_the_others_are_put_back(program: Path, log: Path, tmp_path: Path) -> None:
    group = materialize(tmp_path, {"mlos group/tasks": "1\n"}) / "mlos group"
    remember(log, Change("resctrl", "directory", str(group), None, ""), governor(tmp_path))
    found = restorer(program, log)
    assert (found.returncode, (tmp_path / "scaling_governor").read_text()) == (os.EX_SOFTWARE, "powersave\n")
    (group / "tasks").unlink()
    subprocess.run(["sh", "-c", found.stderr.splitlines()[1]], check=True)
    assert not group.exists()


def test_json_says_the_same(program: Path, log: Path, tmp_path: Path) -> None:
    back, kept = governor(tmp_path / "0"), governor(tmp_path / "1", now="schedutil")
    gone, stuck = governor(tmp_path / "2"), governor(tmp_path / "3")
    remember(log, back, kept, gone, stuck)
    Path(gone.target).unlink()
    Path(stuck.target).unlink()
    Path(stuck.target).mkdir()
    found = restorer(program, log, "--json")
    assert (found.returncode, found.stderr) == (os.EX_SOFTWARE, "")
    [failed] = (document := json.loads(found.stdout)).pop("failed")
    assert document == {
        "restored": [back.target],
        "gone": [gone.target],
        "kept": [{"target": kept.target, "now": "schedutil", "was": "powersave"}],
        "damaged": 0,
    }
    assert failed == {
        "target": stuck.target,
        "reason": "Is a directory",
        "command": f"echo powersave > {stuck.target}",
    }


def test_a_log_of_another_format_is_left_as_it_is(program: Path, log: Path, tmp_path: Path) -> None:
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    log.parent.mkdir()
    log.write_bytes(newer := encode({"boot": boot, "format": 2}))
    found = restorer(program, log)
    assert (found.returncode, log.read_bytes()) == (os.EX_SOFTWARE, newer)
    assert found.stderr == f"{log} is of another mlosd: format 2, not 1\n"


def test_a_damaged_line_is_told_and_what_can_be_put_back_is(program: Path, log: Path, tmp_path: Path) -> None:
    remember(log, governor(tmp_path / "0"), governor(tmp_path / "1"))
    text = log.read_bytes()
    log.write_bytes(text.replace(b"powersave", b"powerSave", 1))
    found = restorer(program, log)
    assert (found.returncode, found.stderr) == (os.EX_SOFTWARE, "lines of the log that nobody can read: 1\n")
    now = [(tmp_path / name / "scaling_governor").read_text() for name in "01"]
    assert now == ["performance\n", "powersave\n"]


def test_a_symlink_in_place_of_the_log_is_not_followed(program: Path, log: Path, tmp_path: Path) -> None:
    precious = materialize(tmp_path, {"precious": "text\n", "run/x": ""}) / "precious"
    log.symlink_to(precious)
    found = restorer(program, log)
    assert (found.returncode, found.stderr) == (os.EX_IOERR, f"{log}: Too many levels of symbolic links\n")
    assert precious.read_text() == "text\n"


# After the daemon stopped: it may come back, and somebody may still train.


def leases(folder: Path, *held: Mapping[str, Any]) -> None:
    (folder / survivors.FILE).write_text(json.dumps({"leases": held}))


def test_after_a_crash_under_a_training_nothing_is_put_back_yet(program: Path, log: Path, tmp_path: Path) -> None:
    change = governor(tmp_path)
    remember(log, change)
    myself = {"who": "pid of a test", "pid": os.getpid(), "starttime": survivors.starttime(os.getpid())}
    leases(log.parent, {"who": "x", "until": 0}, myself)
    with Manager(tmp_path, {survivors.UNIT: {}}) as pid1:
        found = restorer(program, log, "--after-stop", "--systemd", pid1.socket, result="signal")
    assert found.stdout == "ML mode stays for pid of a test: the daemon comes back\n"
    assert (found.returncode, Path(change.target).read_text()) == (os.EX_OK, "performance\n")
    assert (log.exists(), len(survivors.read(log.parent))) == (True, 2)


HELD = {"who": "x", "held": True}
OVER = {"who": "x", "until": 0}


@pytest.mark.parametrize(
    ("lease", "result", "option"),
    [
        pytest.param(HELD, "success", "--after-stop", id="stopped for good"),
        pytest.param(OVER, "signal", "--after-stop", id="crashed, and nobody trains"),
        pytest.param(HELD, None, "--after-stop", id="typed by a person"),
        pytest.param(HELD, "signal", "--json", id="systemd gave up: OnFailure="),
    ],
)
def test_in_every_other_case_all_is_put_back_and_nobody_holds_the_mode(
    program: Path, tmp_path: Path, *, lease: dict[str, Any], result: str | None, option: str
) -> None:
    log, change = tmp_path / "run" / "undo.log", governor(tmp_path)
    remember(log, change)
    leases(log.parent, lease)
    with Manager(tmp_path, {survivors.UNIT: {}}) as pid1:
        found = restorer(program, log, option, "--systemd", pid1.socket, result=result)
    assert (found.returncode, Path(change.target).read_text()) == (os.EX_OK, "powersave\n")
    assert list(log.parent.iterdir()) == []


def test_what_pid_1_owns_is_put_back_through_it(program: Path, log: Path, tmp_path: Path) -> None:
    remember(log, Change("background", "unit-state", "man-db.timer", "active", "inactive"))
    with Manager(tmp_path, {"man-db.timer": {"ActiveState": "inactive"}}) as pid1:
        found = restorer(program, log, "--systemd", pid1.socket)
        assert pid1.units["man-db.timer"]["ActiveState"] == "active"
    assert (found.stdout, found.returncode) == ("1 put back, 0 gone with their device\n", os.EX_OK)


def test_undoing_imports_nothing_outside_the_standard_library(program: Path) -> None:
    names = ["mlosd.undo", *(one.name for one in pkgutil.walk_packages(mlosd.undo.__path__, "mlosd.undo."))]
    assert {"mlosd.undo.__main__", "mlosd.undo.kinds.file"} <= {*names}
    code = (
        f"import sys; sys.path.append({str(program.parent.parent)!r})\n"
        f"for name in {names}: __import__(name)\n"
        "standard = {*sys.stdlib_module_names, '__main__'}\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] not in standard))\n"
    )
    found = subprocess.run([sys.executable, "-I", "-S", "-c", code], capture_output=True, text=True, check=True)
    assert sorted(found.stdout.split()) == sorted(["mlosd", *names])


def test_undoing_has_no_import_of_the_rest_of_mlosd_not_even_a_late_one() -> None:
    for file in (SOURCE / "undo").rglob("*.py"):
        for line in file.read_text("utf-8").splitlines():
            if found := re.match(r"\s*(?:from|import) (mlosd[\w.]*)", line):
                assert found[1].startswith("mlosd.undo"), f"{file}: {line}"
