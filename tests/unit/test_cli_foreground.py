"""`mlosctl run`, seen from the terminal that it is typed on; the daemon is a stand-in."""

import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.fakes.foreground_daemon import ForegroundDaemon
from tests.fakes.typist import PATIENCE, SIZE, Typist, until

Types = Callable[..., Typist]


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[ForegroundDaemon]:
    with ForegroundDaemon(tmp_path / "sock") as daemon:
        yield daemon


@pytest.fixture
def types(tmp_path: Path) -> Iterator[Types]:
    typists: list[Typist] = []

    def start(*argv: str, stderr: int | None = None, shell: Sequence[str] = ()) -> Typist:
        typists.append(Typist(tmp_path / "sock", "run", *argv, stderr=stderr, shell=shell))
        return typists[-1]

    yield start
    for typist in typists:
        typist.close()


def piped(daemon: ForegroundDaemon, *argv: str, **how: int) -> "subprocess.Popen[str]":
    """`mlosctl run` in a script: no terminal anywhere."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlosd.cli.main", "--socket", os.fspath(daemon.path), "run", *argv],
        stdin=how.get("stdin", subprocess.DEVNULL),
        stdout=how.get("stdout", subprocess.PIPE),
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_job_has_a_terminal_of_the_same_size(daemon: ForegroundDaemon, types: Types) -> None:
    typist = types("sh", "-c", "stty size; tty; exit 3")
    assert typist.ends() == 3
    assert f"{SIZE[0]} {SIZE[1]}\r\n/dev/pts/".encode() in typist.seen
    assert os.ttyname(typist.slave).encode() not in typist.seen
    assert typist.is_as_before()
    assert daemon.request["terminal"] is True


def test_what_is_typed_reaches_the_job(daemon: ForegroundDaemon, types: Types) -> None:
    typist = types("sh", "-c", "echo ready; read line; echo got $line")
    assert typist.sees("ready")
    typist.type("hello\n")
    assert typist.sees("got hello")
    assert typist.ends() == 0


def test_ctrl_c_is_the_jobs_own(daemon: ForegroundDaemon, types: Types) -> None:
    typist = types("sh", "-c", "trap 'echo saved; exit 9' INT; echo ready; while :; do sleep 0.05; done")
    assert typist.sees("ready")
    typist.type("\x03")
    assert typist.sees("saved")
    assert typist.ends() == 9
    assert typist.is_as_before()


def test_the_job_learns_of_a_new_size(daemon: ForegroundDaemon, types: Types) -> None:
    typist = types("sh", "-c", "trap 'stty size; exit' WINCH; echo ready; while :; do sleep 0.05; done")
    assert typist.sees("ready")
    termios.tcsetwinsize(typist.master, (50, 120))
    assert typist.sees("50 120")
    assert typist.ends() == 0


def test_all_output_arrives_before_the_prompt(daemon: ForegroundDaemon, types: Types) -> None:
    typist = types("sh", "-c", "seq 1 50000; printf end")
    assert typist.ends() == 0
    assert typist.seen.endswith(b"\r\n50000\r\nend")
    assert len(typist.seen.splitlines()) == 50001


def test_stderr_that_is_no_terminal_stays_what_it_is(daemon: ForegroundDaemon, types: Types, tmp_path: Path) -> None:
    with (tmp_path / "err").open("wb") as file:
        typist = types("sh", "-c", "echo out; echo err >&2", stderr=file.fileno())
        assert typist.ends() == 0
    assert typist.seen == b"out\r\n"
    assert (tmp_path / "err").read_bytes() == b"err\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_the_terminal_is_restored_after_a_signal(
    daemon: ForegroundDaemon, types: Types, number: signal.Signals
) -> None:
    typist = types("sh", "-c", "echo ready; exec sleep 100")
    assert typist.sees("ready")
    typist.process.send_signal(number)
    assert typist.ends() == 128 + number
    assert typist.is_as_before()
    assert daemon.calls == [("Signal", number)]


def test_stopping_gives_the_terminal_back_and_going_on_takes_it_again(daemon: ForegroundDaemon, types: Types) -> None:
    shell = ("bash", "-mc", '"$@"; echo stopped; read line; fg', "-")
    typist = types("sh", "-c", "echo ready; read line; echo got $line; sleep 0.1", shell=shell)
    assert typist.sees("ready")
    os.killpg(os.tcgetpgrp(typist.master), signal.SIGTSTP)
    assert typist.sees("stopped")
    assert typist.is_as_before()
    typist.type("fg\n")
    assert until(lambda: not typist.is_as_before())
    typist.type("on\n")
    assert typist.sees("got on")
    assert typist.ends() == 0
    assert daemon.calls[:2] == [("Signal", signal.SIGSTOP), ("Signal", signal.SIGCONT)]


def test_a_stop_that_nobody_could_undo_stops_nothing(daemon: ForegroundDaemon, types: Types) -> None:
    # A session leader has no shell that could continue it; the kernel ignores its SIGTSTP.
    typist = types("sh", "-c", "echo ready; read line; echo got $line")
    assert typist.sees("ready")
    typist.process.send_signal(signal.SIGTSTP)
    assert until(lambda: ("Signal", signal.SIGCONT) in daemon.calls)
    typist.type("on\n")
    assert typist.sees("got on")
    assert typist.ends() == 0


def test_ctrl_c_while_it_waits_cancels_it(tmp_path: Path, types: Types) -> None:
    with ForegroundDaemon(tmp_path / "sock", queued_for=PATIENCE) as daemon:
        typist = types("true")
        assert typist.sees("mlosctl: job 7 waits: 2 of 2 CPUs in use")
        typist.type("\x03")
        assert typist.ends() == 128 + signal.SIGTERM
        assert daemon.calls == [("Signal", signal.SIGINT), ("Cancel", None)]
        assert typist.seen.count(b"waits") == 1


def test_a_short_wait_is_not_worth_a_word(tmp_path: Path) -> None:
    with ForegroundDaemon(tmp_path / "sock", queued_for=0.05) as daemon:
        assert piped(daemon, "true").communicate() == ("", "")


def test_the_job_goes_on_without_the_daemon(tmp_path: Path, types: Types) -> None:
    with ForegroundDaemon(tmp_path / "sock", hangs_up=True) as daemon:
        typist = types("sh", "-c", "echo ready; read line; echo got $line; exit 5")
        assert typist.sees("the daemon went away; job 7 goes on"), typist.seen
        typist.type("still here\n")
        assert typist.sees("got still here")
        daemon.listen()
        assert typist.ends() == 5
        assert typist.seen.count(b"went away") == 1
        assert typist.is_as_before()


def test_without_a_terminal_the_job_has_our_descriptors(daemon: ForegroundDaemon, tmp_path: Path) -> None:
    (tmp_path / "in").write_text("from a file\n")
    with (tmp_path / "in").open() as file:
        run = piped(daemon, "sh", "-c", "cat; echo err >&2; exit 4", stdin=file.fileno())
    assert run.communicate() == ("from a file\n", "err\n")
    assert run.returncode == 4
    assert daemon.request["terminal"] is False


def test_a_large_pipe_is_copied_by_nobody(daemon: ForegroundDaemon) -> None:
    out, _ = piped(daemon, "head", "-c", "3000000", "/dev/zero").communicate()
    assert len(out) == 3000000


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM, signal.SIGINT])
def test_signals_are_passed_on(daemon: ForegroundDaemon, number: signal.Signals) -> None:
    run = piped(daemon, "sh", "-c", "echo ready; exec sleep 100")
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(number)
    run.communicate()
    assert run.returncode == 128 + number


def test_a_second_ctrl_c_cancels(daemon: ForegroundDaemon) -> None:
    run = piped(daemon, "sh", "-c", "trap '' INT; echo ready; exec sleep 100")
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGINT)
    assert until(lambda: ("Signal", signal.SIGINT) in daemon.calls)
    run.send_signal(signal.SIGINT)
    assert run.wait(PATIENCE) == 128 + signal.SIGTERM
    assert daemon.calls == [("Signal", signal.SIGINT), ("Cancel", None)]
    run.communicate()


def test_what_the_job_is_started_with_is_ours(daemon: ForegroundDaemon, tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        piped(daemon, "--cpus", "2", "--memory=1.5G", "--strict", "--", "true").communicate()
    finally:
        os.umask(old)
    job = daemon.request["job"]
    assert (job["cwd"], job["umask"], job["strict"]) == (str(Path.cwd()), 0o027, True)
    assert job["limits"] == {"cpus": 2, "memory": 3 << 29}
    assert job["environment"]["PATH"] == os.environ["PATH"]
