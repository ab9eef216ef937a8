"""mlosctl lineage, run --diff and job rerun, asked of a real daemon: of runs long ago, and of jobs that it watched."""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest
from tests.fakes.daemon import Mlosd
from tests.fakes.jobs import job
from tests.fakes.typist import Typist

from mlosd.jobs import records
from mlosd.jobs.job import Owner
from mlosd.jobs.state import Done
from mlosd.lineage import facts
from mlosd.lineage.facts import Facts
from mlosd.lineage.packages import Package
from mlosd.store import lineage
from mlosd.store.db import Database
from mlosd.store.lineage import EXEC, READ, WRITE, Edge
from mlosd.store.runs import Runs

Ended = subprocess.CompletedProcess[bytes]
Mlosctl = Callable[..., Ended]

RAW, CLEAN, MODEL, MODEL2, PYTHON, ODD = range(1, 7)
ODD_NAME = b"odd\n\xff.csv"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A state directory in which jobs prepared, trained and trained again, before this daemon came."""
    path = tmp_path / "root" / "lib" / "mlosd.db"
    asyncio.run(_runs(path, tmp_path / "flights"))
    files = [
        (RAW, b"raw.csv", "dataset", None),
        (CLEAN, b"clean.csv", "dataset", 1),
        (MODEL, b"model.onnx", "model", 2),
        (MODEL2, b"model.onnx", "model", 3),
        (PYTHON, b"/usr/bin/python3.11", "library", None),
        (ODD, ODD_NAME, "dataset", 1),
    ]
    with apsw.Connection(os.fspath(path)) as connection:
        connection.execute("INSERT INTO object VALUES (1, 'fs', 1, x'00', 1, 0, NULL)")
        for number, file, role, made_by in files:
            connection.execute(
                "INSERT OR IGNORE INTO resource (id, project, role, path, added_at)"
                " VALUES (?, ?, ?, CAST(? AS TEXT), 0)",
                (f"r-{file.hex()}", "o" if file.startswith(b"/") else "p", role, file),
            )
            connection.execute(
                "INSERT INTO version (id, resource, object, digest, size, mtime_ns, ctime_ns, made_by, seen_at, number)"
                " VALUES (?, ?, 1, ?, 1024, 0, 0, ?, 0, ?)",
                (str(number), f"r-{file.hex()}", number.to_bytes(32, "big"), made_by, number),
            )
        connection.execute(
            "INSERT INTO model (id, project, name, resource, added_at) VALUES ('m', 'p', 'delay', NULL, 0)"
        )
        for number, version in ((1, MODEL), (2, MODEL2)):
            connection.execute(
                "INSERT INTO model_version VALUES ('m', ?, ?, x'00', 'live', 0, 0, NULL)", (number, version)
            )
        connection.execute("INSERT INTO alias_log VALUES (1, 'm', 'production', 1, 0, 'good', 0)")
        _record(connection, 1, {PYTHON: READ | EXEC, RAW: READ, CLEAN: WRITE, ODD: WRITE}, numpy="1.26.4")
        _record(connection, 2, {PYTHON: READ | EXEC, CLEAN: READ, MODEL: WRITE}, numpy="1.26.4")
        _record(connection, 3, {PYTHON: READ | EXEC, CLEAN: READ, MODEL2: WRITE}, numpy="2.0.1", why="an overflow")
    return tmp_path / "root"


async def _runs(path: Path, project: Path) -> None:
    database = Database(path)
    with apsw.Connection(os.fspath(path)) as connection:
        for id_, name, where in (("p", "flights", project), ("o", "-", Path("/"))):
            connection.execute(
                "INSERT INTO project VALUES (?, ?, ?, ?, 'dev', 0, NULL)", (id_, name, os.fspath(where), os.getuid())
            )
    done = Done("ok", None, 0, None, 1.0, 2.0, None)
    owner = Owner(os.getuid(), os.getgid(), ())
    jobs = [replace(job(id_), state=done) for id_ in (1, 2, 3)]
    jobs = [
        replace(one, request=replace(one.request, owner=owner, project="p", project_name="flights")) for one in jobs
    ]
    await Runs(database).insert([records.new_row(one) for one in jobs], first=lambda: None)
    await database.close()


def _record(connection: apsw.Connection, run: int, used: dict[int, int], *, numpy: str, why: str | None = None) -> None:
    remembered = Facts(argv=("true",), packages=(Package("numpy", numpy, "/site-packages"),), commit="abc")
    lineage.record(
        connection,
        run,
        state="partial" if why else "complete",
        reasons=[why] if why else [],
        facts=facts.to_json(remembered),
        edges=[Edge(run, version, modes, order) for order, (version, modes) in enumerate(used.items())],
        processes=[],
    )


@pytest.fixture
def mlosd(root: Path) -> Iterator[Mlosd]:
    with Mlosd(root) as daemon:
        yield daemon


@pytest.fixture
def mlosctl(mlosd: Mlosd, tmp_path: Path) -> Mlosctl:
    """The command, in a script."""

    def mlosctl(*argv: str | bytes, cwd: Path = tmp_path) -> Ended:
        command = [sys.executable, "-m", "mlosd.cli.main", "--root", os.fspath(mlosd.root), *argv]
        return subprocess.run(command, capture_output=True, check=False, cwd=cwd)

    return mlosctl


def test_a_model_is_shown_with_what_made_it(mlosctl: Mlosctl) -> None:
    shown = mlosctl("lineage", "model", "delay:production")
    assert shown.returncode == 0, shown.stderr
    lines = [" ".join(line.split()) for line in shown.stdout.decode().splitlines()]
    assert lines[0].startswith("delay:1 model.onnx model, 1K")
    assert lines[1].startswith("└── made by job 2 true ok")
    assert "read clean.csv dataset" in lines[2]
    assert "made by job 1" in lines[3]
    assert "read raw.csv" in lines[4]
    assert lines[-1] == "└── 1 library"


def test_a_run_of_which_not_all_is_known_says_so(mlosctl: Mlosctl) -> None:
    assert b"lineage partial: an overflow" in mlosctl("lineage", "job", "3").stdout


def test_up_is_what_made_it_and_down_what_was_made_of_it(mlosctl: Mlosctl) -> None:
    up, down = (mlosctl("lineage", "file", "clean.csv", which, "--json") for which in ("--up", "--down"))
    assert [run["id"] for run in json.loads(up.stdout)["runs"]] == [1]
    assert [run["id"] for run in json.loads(down.stdout)["runs"]] == [2, 3]
    both = mlosctl("lineage", "file", "clean.csv", "--up", "--down")
    assert (both.returncode, both.stdout) == (os.EX_USAGE, b"")


def test_libraries_are_there_when_they_are_asked_for(mlosctl: Mlosctl) -> None:
    assert b"python3.11" not in mlosctl("lineage", "job", "2").stdout
    assert b"/usr/bin/python3.11" in mlosctl("lineage", "job", "2", "--libraries").stdout
    assert b"used by job 2" in mlosctl("lineage", "file", "/usr/bin/python3.11", "--down").stdout


def test_a_library_that_everybody_uses_is_cut_and_that_is_said(mlosctl: Mlosctl) -> None:
    assert b"there is more: --limit" in mlosctl("lineage", "file", "/usr/bin/python3.11", "--limit", "2").stdout


def test_a_name_of_any_bytes_is_found_and_breaks_no_line(mlosctl: Mlosctl) -> None:
    shown = mlosctl("lineage", "file", ODD_NAME)
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.splitlines()[0].startswith(rb"odd\n\xff.csv")
    assert len(mlosctl("lineage", "file", ODD_NAME, "--format", "openlineage").stdout.splitlines()) == 2


@pytest.mark.parametrize("format_", ["tree", "dot", "json", "openlineage", "prov"])
def test_every_format_is_printed(mlosctl: Mlosctl, format_: str) -> None:
    shown = mlosctl("lineage", "model", "delay", "--format", format_)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert b"model.onnx" in shown.stdout


def test_sending_events_twice_sends_the_same(mlosctl: Mlosctl, mlosd: Mlosd) -> None:
    first = mlosctl("lineage", "model", "delay", "--format", "openlineage").stdout
    mlosd.stop()
    mlosd.start()
    assert mlosctl("lineage", "model", "delay", "--format", "openlineage").stdout == first


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (("job", "99"), "there is no job 99"),
        (("job", "x"), "'x' is not a job id"),
        (("model", "nothing"), "there is no model 'nothing' of yours"),
        (("model", "delay:9"), "there is no version '9' of it"),
        (("file", "/etc/nothing"), "nothing is known of a file '/etc/nothing' of yours"),
        (("dataset", "nowhere"), "nothing is known of a file 'nowhere' of yours"),
        (("file", "raw.csv", "--project", "other"), "there is no project 'other' of yours"),
    ],
)
def test_what_is_not_known_is_answered_in_one_line(mlosctl: Mlosctl, asked: tuple[str, ...], message: str) -> None:
    answered = mlosctl("lineage", *asked)
    assert answered.returncode in (os.EX_NOINPUT, os.EX_USAGE)
    assert message in answered.stderr.decode()


def test_a_terminal_gets_a_tree_that_fits(mlosd: Mlosd) -> None:
    typist = Typist(mlosd.socket, "lineage", "model", "delay")
    assert typist.ends() == 0
    assert b"\x1b[" in typist.seen
    typist.close()


def test_two_runs_are_compared(mlosctl: Mlosctl) -> None:
    compared = mlosctl("run", "--diff", "2", "3")
    assert compared.returncode == 1
    text = compared.stdout.decode()
    assert "package" in text
    assert "1.26.4" in text
    assert "2.0.1" in text
    assert "0 of 1 written files are equal" in text
    assert "lineage of job 3 is partial: an overflow" in compared.stderr.decode()
    assert "input" not in text


def test_a_run_is_the_same_as_itself(mlosctl: Mlosctl) -> None:
    compared = mlosctl("run", "--diff", "2", "2", "--json")
    assert compared.returncode == 0
    assert json.loads(compared.stdout)["differences"] == []


def test_a_role_is_corrected_for_good(mlosctl: Mlosctl, mlosd: Mlosd) -> None:
    assert mlosctl("lineage", "correct", "clean.csv", "temporary").returncode == 0
    mlosd.stop()
    mlosd.start()
    graph = json.loads(mlosctl("lineage", "job", "2", "--json").stdout)
    assert {version["path"] for version in graph["versions"]} == {"model.onnx"}
    assert graph["runs"][0]["left_out"] == 2
    assert mlosctl("lineage", "correct", "nothing.csv", "dataset").returncode == os.EX_NOINPUT


def test_a_job_is_run_again_as_it_was(mlosctl: Mlosctl, mlosd: Mlosd, tmp_path: Path) -> None:
    first = mlosd.submit("sh", "-c", "echo $WHAT > out; umask", cwd=os.fspath(tmp_path), umask=0o027)
    mlosd.wait(first)
    again = mlosctl("job", "rerun", str(first))
    assert again.returncode == 0, again.stderr
    second = int(again.stdout)
    assert mlosd.wait(second)["result"] == "ok"
    assert mlosd.output(second) == mlosd.output(first) == "0027\n"
    one, other = mlosd.show(first), mlosd.show(second)
    assert all(one[name] == other[name] for name in ("argv", "cwd", "name", "env", "limits", "priority"))


def test_a_job_that_never_was_is_not_run_again(mlosctl: Mlosctl) -> None:
    assert mlosctl("job", "rerun", "99").returncode == os.EX_NOINPUT


@pytest.mark.skipif(os.geteuid() != 0, reason="only root is told what jobs open")
def test_what_a_job_made_is_made_again_or_it_is_said_that_it_was_not(
    mlosctl: Mlosctl, mlosd: Mlosd, tmp_path: Path
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    (work / "in.csv").write_text("a,b\n1,2\n")
    mlosd.call("io.mlosd.Projects.Add", path=os.fspath(work), name="work")
    first = mlosd.submit("sh", "-c", "sort in.csv > out.csv", cwd=os.fspath(work), project="work")
    mlosd.wait(first)
    equal = mlosctl("job", "rerun", str(first), "--wait")
    assert equal.returncode == 0, equal.stderr
    assert equal.stdout.endswith(b"1 of 1 written files are equal\n")
    (work / "in.csv").write_text("a,b\n3,4\n")
    different = mlosctl("job", "rerun", str(first), "--wait")
    assert different.returncode == 1, different.stderr
    assert b"in.csv has changed since" in different.stderr
    assert different.stdout.endswith(b"0 of 1 written files are equal\n")
    shown = mlosctl("lineage", "file", "out.csv", "--project", "work")
    assert b"read in.csv" in shown.stdout


def test_the_graph_of_a_million_questions_is_bounded(mlosctl: Mlosctl) -> None:
    assert mlosctl("lineage", "job", "1", "--limit", "999999").returncode == os.EX_USAGE
    assert mlosctl("lineage", "job", "1", "--depth", "0").returncode == os.EX_USAGE
