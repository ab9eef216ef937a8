"""mlosctl and the real daemon, as a person and a script see them."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd
from tests.fakes.typist import Typist, until

Ended = subprocess.CompletedProcess[str]
Mlosctl = Callable[..., Ended]


@pytest.fixture
def mlosctl(mlosd: Mlosd) -> Mlosctl:
    """The command, in a script."""

    def mlosctl(*argv: str, stdin: str = "", **environment: str) -> Ended:
        return subprocess.run(
            [sys.executable, "-m", "mlosd.cli.main", "--root", mlosd.root, *argv],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **environment},
        )

    return mlosctl


@pytest.fixture
def types(mlosd: Mlosd) -> Iterator[Callable[..., Typist]]:
    """The command, on a terminal."""
    typists: list[Typist] = []

    def start(*argv: str) -> Typist:
        typists.append(Typist(mlosd.socket, *argv))
        return typists[-1]

    yield start
    for typist in typists:
        typist.close()


def test_run_on_a_terminal_is_like_the_command_itself(types: Callable[..., Typist]) -> None:
    typist = types("run", "--", "sh", "-c", "echo ready; stty size; read line; echo got $line; exit 3")
    assert typist.sees("37 91")
    typist.type("keys\n")
    assert typist.ends() == 3
    assert typist.seen.endswith(b"got keys\r\n")
    assert typist.is_as_before()


def test_ctrl_c_ends_what_runs_and_the_terminal_is_as_before(types: Callable[..., Typist]) -> None:
    typist = types("run", "--", "sh", "-c", "echo ready; exec sleep 60")
    assert typist.sees("ready")
    typist.type("\x03")
    assert typist.ends() == 130
    assert typist.is_as_before()


def test_run_in_a_pipe_passes_bytes_and_the_exit_code(mlosctl: Mlosctl) -> None:
    ended = mlosctl("run", "--", "sh", "-c", "tr a-z A-Z; echo no >&2; exit 4", stdin="text\n")
    assert (ended.returncode, ended.stdout, ended.stderr) == (4, "TEXT\n", "no\n")


def test_a_command_that_does_not_exist_is_said_and_is_127(mlosctl: Mlosctl) -> None:
    ended = mlosctl("run", "no-such-program")
    assert ended.returncode == 127
    assert ended.stderr.startswith("mlosctl: job 1: failed: could not start: exec: No such file")


def test_run_goes_on_when_the_daemon_is_killed_and_started_again(
    mlosd: Mlosd, types: Callable[..., Typist], tmp_path: Path
) -> None:
    typist = types("run", "--", "sh", "-c", "echo ready; read line; echo got $line; exit 6")
    assert typist.sees("ready")
    assert until(lambda: mlosd.show(1)["state"] == "RUNNING")
    mlosd.kill()
    assert typist.sees("the daemon went away; job 1 goes on")
    typist.type("on\n")
    assert typist.sees("got on")
    mlosd.start()
    assert typist.ends() == 6
    assert typist.is_as_before()


def test_a_full_machine_is_explained_and_ctrl_c_gives_up(mlosd: Mlosd, types: Callable[..., Typist]) -> None:
    mlosd.submit("sleep", "60", limits={"cpus": len(os.sched_getaffinity(0))})
    typist = types("run", "--cpus", "1", "true")
    assert typist.sees("mlosctl: job 2 waits for 1 CPU")
    typist.type("\x03")
    assert typist.ends() == 128 + signal.SIGTERM
    assert mlosd.show(2)["result"] == "killed"


def test_a_job_from_submit_to_show(mlosctl: Mlosctl) -> None:
    submitted = mlosctl("job", "submit", "--name", "demo", "--cpus", "1", "--", "sh", "-c", "echo out; exit 2")
    assert (submitted.returncode, submitted.stdout) == (0, "1\n")
    waited = mlosctl("job", "wait", "1")
    assert (waited.returncode, waited.stdout) == (2, "job 1: failed: exit code 2\n")
    assert mlosctl("job", "logs", "1").stdout == "out\n"
    card = mlosctl("job", "show", "1").stdout
    for text in ("Job 1  demo  failed (2)", "sh -c 'echo out; exit 2'", "CPU time", "peak memory", "how    failed"):
        assert text in card
    assert json.loads(mlosctl("job", "show", "1", "--json").stdout)["exit_code"] == 2
    (line,) = mlosctl("job", "list", "--all", "--json").stdout.splitlines()
    assert json.loads(line)["name"] == "demo"
    assert "no jobs" in mlosctl("job", "list").stderr


def test_logs_follow_a_job_to_its_end(mlosctl: Mlosctl) -> None:
    mlosctl("job", "submit", "--", "sh", "-c", "echo one; sleep 0.2; echo two")
    assert mlosctl("job", "logs", "-f", "1").stdout == "one\ntwo\n"
    assert mlosctl("job", "logs", "--tail", "1", "1").stdout == "two\n"


def test_a_job_is_frozen_thawed_and_cancelled(mlosd: Mlosd, mlosctl: Mlosctl) -> None:
    mlosd.wait(mlosd.submit("sleep", "60"), "RUNNING")
    assert mlosctl("job", "freeze", "1").stdout.startswith("job 1: FROZEN")
    assert mlosctl("job", "thaw", "1").stdout.startswith("job 1: RUNNING")
    assert mlosctl("job", "cancel", "1").returncode == 0
    waited = mlosctl("job", "wait", "1")
    assert waited.returncode == 143
    assert "cancelled by" in waited.stdout


def test_hundreds_of_lines_of_stdin_are_hundreds_of_jobs(mlosctl: Mlosctl) -> None:
    lines = "".join(f"echo 'job {number}'\n" for number in range(200))
    ended = mlosctl("job", "submit", "--stdin", "--quiet", "--priority=-1", stdin=f"# a comment\n\n{lines}")
    ids = ended.stdout.split()
    assert ended.stderr == ""
    assert ids == [str(number) for number in range(1, 201)]
    assert mlosctl("job", "wait", *ids).returncode == 0
    assert mlosctl("job", "logs", "200").stdout == "job 199\n"


def test_an_id_that_does_not_exist_does_not_keep_the_others(mlosd: Mlosd, mlosctl: Mlosctl) -> None:
    mlosd.wait(mlosd.submit("sleep", "60"), "RUNNING")
    ended = mlosctl("job", "cancel", "999", "1")
    assert ended.returncode == os.EX_NOINPUT
    assert ended.stderr.startswith("mlosctl: there is no job 999")
    assert ended.stdout.startswith("job 1:")


def test_a_project_from_add_to_remove(mlosctl: Mlosctl, tmp_path: Path) -> None:
    folder = tmp_path / "vision"
    folder.mkdir()
    assert mlosctl("project", "add", str(folder)).returncode == 0
    assert "vision" in mlosctl("project", "list").stdout
    assert mlosctl("job", "submit", "--project", "vision", "true").returncode == 0
    assert "\n  project " in mlosctl("job", "show", "1").stdout
    assert mlosctl("project", "show", "vision", "--json").returncode == 0
    assert mlosctl("project", "remove", "vision").returncode == 0
    assert mlosctl("project", "show", "vision").returncode == os.EX_NOINPUT


def test_status_and_config_answer_people_and_programs(mlosd: Mlosd, mlosctl: Mlosctl) -> None:
    assert "backend   direct" in mlosctl("status").stdout
    assert json.loads(mlosctl("status", "--json").stdout)["backend"] == "direct"
    keys = [json.loads(line)["key"] for line in mlosctl("config", "show", "--json").stdout.splitlines()]
    mlosd.stop()
    without = mlosctl("config", "show", "--json")
    assert [json.loads(line)["key"] for line in without.stdout.splitlines()] == keys
    assert "would start with" in without.stderr


def test_watch_tells_what_happens(mlosd: Mlosd, mlosctl: Mlosctl) -> None:
    watch = subprocess.Popen(
        [sys.executable, "-m", "mlosd.cli.main", "--root", mlosd.root, "watch", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert watch.stdout is not None
    # It says nothing when it is ready; so make things happen until it has seen one.
    assert until(lambda: mlosctl("run", "true").returncode == 0 and watch.poll() is None and _readable(watch))
    assert json.loads(watch.stdout.readline())["event"] == "JobChanged"
    watch.send_signal(signal.SIGINT)
    _, err = watch.communicate()
    assert (watch.returncode, err) == (130, "")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mlosctl jo", "job"),
        ("mlosctl job su", "submit"),
        ("mlosctl job show ", "1"),
        ("mlosctl run --project v", "vision"),
        ("mlosctl run --env p", "prod"),
        ("mlosctl run --mem", "--memory"),
    ],
)
def test_tab_completes_words_jobs_and_projects(
    mlosd: Mlosd, mlosctl: Mlosctl, tmp_path: Path, words: str, expected: str
) -> None:
    (tmp_path / "vision").mkdir()
    mlosd.call("io.mlosd.Projects.Add", path=str(tmp_path / "vision"))
    mlosd.wait(mlosd.submit("true"))
    told = mlosctl(
        _MLOSCTL_COMPLETE="bash_complete",
        COMP_WORDS=words,
        COMP_CWORD=str(words.count(" ")),
        MLOSD_ROOT=str(mlosd.root),
    )
    assert expected in [line.split(",")[1] for line in told.stdout.splitlines()]


def _readable(process: "subprocess.Popen[str]") -> bool:
    import select

    assert process.stdout is not None
    return bool(select.select([process.stdout], [], [], 0.1)[0])


def shell(mlosd: Mlosd, script: str) -> Ended:
    """A script in which $M is mlosctl."""
    environment = {**os.environ, "M": f"{sys.executable} -m mlosd.cli.main --root {mlosd.root}"}
    return subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=False, env=environment)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_job_has_no_stream_that_its_caller_had_closed(mlosd: Mlosd, closed: str) -> None:
    look = "for fd in 0 1 2; do readlink /proc/self/fd/$fd; done"
    streams = shell(mlosd, f"$M run -- sh -c '({look}) >{mlosd.root}/streams' {closed}")
    assert streams.returncode == 0
    names = (mlosd.root / "streams").read_text().split()
    for fd, name in ((0, "<&-"), (2, "2>&-")):
        if name in closed:
            assert names[fd] == "/dev/null"


def test_closed_streams_read_and_write_as_closed_ones(mlosd: Mlosd) -> None:
    bare, ours = shell(mlosd, "cat <&-"), shell(mlosd, "$M run cat <&-")
    assert ours.returncode == bare.returncode == 1
    assert ours.stderr == "cat: -: Bad file descriptor\n" == bare.stderr.splitlines(keepends=True)[0]
    for verb in ("--version", "status", "job list --all --json", "--help"):
        ended = shell(mlosd, f"$M {verb} >&-")
        assert (ended.returncode, ended.stderr) == (os.EX_OSERR, "mlosctl: Bad file descriptor\n"), verb
    assert shell(mlosd, "$M nonsense 2>&-").returncode == os.EX_USAGE


@pytest.mark.parametrize("verb", ["--version", "status", "--help", "run --help"])
def test_a_full_disk_is_told_in_one_line(mlosd: Mlosd, verb: str) -> None:
    ended = shell(mlosd, f"$M {verb} >/dev/full")
    assert (ended.returncode, ended.stderr) == (os.EX_OSERR, "mlosctl: No space left on device\n")


def test_an_environment_that_is_too_large_is_told_with_what_to_do(mlosctl: Mlosctl) -> None:
    ended = mlosctl("run", "true", **{f"LONG_{i}": "x" * 98_000 for i in range(16)})
    assert ended.returncode == os.EX_USAGE
    assert re.search(r"Jobs\.Run is asked with 1\.\d MiB, more than the 1 MiB that mlosd takes\n hint: ", ended.stderr)
