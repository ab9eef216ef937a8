"""What a job finds when it starts: native/launch.c."""

import errno
import fcntl
import os
import subprocess
from pathlib import Path

import pytest
from tests.native.conftest import Yard

from mlosd.kernel.shepherd import read_exit

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user needs root")


def test_the_exit_code_is_that_of_the_command(yard: Yard) -> None:
    record, _ = yard.run("exit 42")
    assert (record.code, record.signal, record.error_step) == (42, None, None)


def test_a_command_that_died_by_a_signal_says_which(yard: Yard) -> None:
    record, _ = yard.run("kill -SEGV $$")
    assert (record.code, record.signal) == (None, 11)


def test_the_cost_is_recorded(yard: Yard) -> None:
    record, _ = yard.run("i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done")
    assert record.cpu_us
    assert record.memory_peak
    assert "cpu_us" in record.from_rusage


def test_a_command_that_does_not_exist_never_ran(yard: Yard) -> None:
    record, _ = yard.run("", argv=("no-such-command",))
    assert (record.code, record.error_step, record.error_errno) == (None, "exec", errno.ENOENT)


def test_a_directory_that_vanished_stops_the_start(yard: Yard) -> None:
    record, output = yard.run("echo ran", cwd=str(yard.path / "vanished"))
    assert (record.error_step, record.error_errno, output) == ("chdir", errno.ENOENT, "")


def test_the_command_is_looked_for_in_the_path_of_the_job(yard: Yard) -> None:
    (yard.path / "mine").write_text("#!/bin/sh\necho mine\n")
    (yard.path / "mine").chmod(0o755)
    _, output = yard.run("", argv=("mine",), environment={"PATH": str(yard.path)})
    assert output == "mine\n"


def test_the_environment_is_the_one_given_and_no_more(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "/nowhere")
    _, output = yard.run("", argv=("/usr/bin/env",), environment={"A": "1", "EMPTY": "", "LINES": "two\nlines"})
    assert output == "A=1\nEMPTY=\nLINES=two\nlines\n"


def test_arguments_are_passed_as_they_are(yard: Yard) -> None:
    _, output = yard.run("", argv=("printf", "[%s]", "a b", "", "ü", "\udcff".encode("utf-8", "surrogateescape").hex()))
    assert output == "[a b][][ü][ff]"


def test_the_streams_are_the_given_ones(yard: Yard) -> None:
    jobdir = yard.job("cat; echo oops >&2")
    with yard.keep(jobdir, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as keeper:
        assert keeper.communicate(b"hello", timeout=30) == (b"hello", b"oops\n")


def test_a_reader_sees_the_end_when_the_job_closes_its_output(yard: Yard) -> None:
    jobdir = yard.job("echo done; exec >&- 2>&-; exec sleep 60")
    with yard.keep(jobdir, stdout=subprocess.PIPE) as keeper:
        assert keeper.stdout is not None
        assert keeper.stdout.read() == b"done\n"
        assert keeper.poll() is None
        keeper.terminate()


def test_no_fd_but_the_streams_reaches_the_job(yard: Yard) -> None:
    stray = os.open("/etc/passwd", os.O_RDONLY)
    try:
        os.set_inheritable(stray, True)
        jobdir = yard.job("ls /proc/$$/fd")
        with yard.keep(jobdir, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, close_fds=False) as keeper:
            # 10 is the script that some shells keep open; a -c script needs none.
            assert keeper.communicate(timeout=30)[0].split() == [b"0", b"1", b"2"]
    finally:
        os.close(stray)


def test_no_signal_is_ignored_or_blocked(yard: Yard) -> None:
    _, output = yard.run("", argv=("grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"))
    assert [int(line.split()[1], 16) for line in output.splitlines()] == [0, 0]


def test_the_job_leads_a_session_of_its_own(yard: Yard) -> None:
    _, output = yard.run("echo $$; cut -d' ' -f6 /proc/$$/stat")
    pid, session = output.split()
    assert pid == session


def test_the_umask_is_the_jobs(yard: Yard) -> None:
    _, output = yard.run("umask", umask=0o027)
    assert output == "0027\n"


def test_the_job_is_not_protected_from_the_oom_killer(yard: Yard) -> None:
    before = max(0, int(Path("/proc/self/oom_score_adj").read_text()))
    _, output = yard.run("cat /proc/self/oom_score_adj")
    assert int(output) == before


def test_the_job_runs_on_its_cpus_only(yard: Yard) -> None:
    cpu = max(os.sched_getaffinity(0))
    _, output = yard.run("grep Cpus_allowed_list /proc/self/status", cpus=(cpu,))
    assert output.split()[1] == str(cpu)


def test_cpus_that_do_not_exist_stop_the_start(yard: Yard) -> None:
    record, _ = yard.run("true", cpus=(8000,))
    assert (record.error_step, record.error_errno) == ("affinity", errno.EINVAL)


@needs_root
def test_the_job_is_its_user_with_its_groups_and_no_capability(yard: Yard) -> None:
    script = "id -u; id -g; id -G; grep -E '^Cap(Prm|Eff|Inh|Amb)' /proc/self/status"
    _, output = yard.run(script, uid=65534, gid=65533, groups=(65533, 4242), cwd="/")
    uid, gid, groups, *capabilities = output.splitlines()
    assert (uid, gid, groups) == ("65534", "65533", "65533 4242")
    assert {int(line.split()[1], 16) for line in capabilities} == {0}


@needs_root
def test_the_directory_is_entered_as_the_user(yard: Yard) -> None:
    private = yard.path / "private"
    private.mkdir(mode=0o700)
    record, _ = yard.run("true", uid=65534, gid=65534, cwd=str(private))
    assert (record.error_step, record.error_errno) == ("chdir", errno.EACCES)


def test_a_terminal_becomes_the_controlling_one(yard: Yard) -> None:
    controller, terminal = os.openpty()
    jobdir = yard.job("tty; echo seen >/dev/tty; ps -o tpgid= -p $$ >/dev/null; exit 3", terminal=True)
    with yard.keep(jobdir, stdin=terminal, stdout=terminal, stderr=terminal) as keeper:
        name = os.ttyname(terminal)
        os.close(terminal)
        assert keeper.wait(30) == 3
    fcntl.fcntl(controller, fcntl.F_SETFL, os.O_NONBLOCK)
    assert os.read(controller, 4096).decode().split() == [name, "seen"]
    os.close(controller)


def test_a_terminal_that_is_none_stops_the_start(yard: Yard) -> None:
    record, _ = yard.run("true", terminal=True)
    assert (record.error_step, record.error_errno) == ("terminal", errno.ENOTTY)


def test_a_keeper_ends_as_its_job_did(yard: Yard) -> None:
    endings = {"exit 5": 5, "kill -KILL $$": 128 + 9}
    for number, (script, status) in enumerate(endings.items()):
        with yard.keep(yard.job(script, job=str(number))) as keeper:
            assert keeper.wait(30) == status
    missing = yard.job("", argv=("no-such-command",), job="missing")
    with yard.keep(missing) as keeper:
        assert keeper.wait(30) == 127
    assert read_exit(missing) is not None
