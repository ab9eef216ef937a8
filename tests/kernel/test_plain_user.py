"""The daemon of a plain user: no cgroups of its own, no other users; what is weaker is said, the rest holds."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes import somebody
from tests.fakes.daemon import Mlosd

NOBODY = 65534
pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else"),
]


class OfNobody(Mlosd):
    """A daemon that runs as nobody."""

    def command(self) -> list[str]:
        return [*somebody.as_user(NOBODY), *somebody.PYTHON, *super().command()[1:]]


@pytest.fixture
def plain() -> Iterator[OfNobody]:
    # Below /tmp itself: pytest's own directories are closed to others.
    with tempfile.TemporaryDirectory(prefix="mlosd-plain-") as folder:
        os.chown(folder, NOBODY, NOBODY)
        Path(folder).chmod(0o755)
        if not somebody.can_import(NOBODY, "mlosd.daemon.main, pydantic"):
            pytest.skip("/usr/bin/python3 cannot, as nobody, import what these tests run")
        daemon = OfNobody(Path(folder, "root"))
        daemon.root.mkdir()
        shutil.chown(daemon.root, NOBODY, NOBODY)
        with daemon:
            yield daemon


def test_jobs_run_as_that_user_and_what_is_weaker_is_said(plain: OfNobody) -> None:
    status = plain.call("io.mlosd.Daemon.Status")
    assert any("no cgroup of our own" in reason for reason in status["degraded"]), status
    id_ = plain.submit("sh", "-c", "id -u; exit 2")
    job = plain.wait(id_)
    assert (job["result"], job["exit_code"], plain.output(id_)) == ("failed", 2, f"{NOBODY}\n")
    assert any("no cgroup" in note for note in job["notes"])


def test_a_child_in_a_session_of_its_own_dies_without_cgroups_too(plain: OfNobody) -> None:
    pid_file = plain.root / "pid"
    hide = f"(setsid sh -c 'echo $$ > {pid_file}; exec sleep 600' &) ; while [ ! -s {pid_file} ]; do sleep 0.02; done"
    plain.wait(plain.submit("sh", "-c", f"{hide}; exit 0", grace=1))
    assert not Path("/proc", pid_file.read_text().strip()).exists()


def test_a_job_is_frozen_and_thawed_without_cgroups_too(plain: OfNobody) -> None:
    id_ = plain.submit("sh", "-c", "while :; do date +%s%N; sleep 0.02; done")
    plain.wait(id_, "RUNNING")
    while not plain.output(id_):
        time.sleep(0.02)
    plain.call("io.mlosd.Jobs.Freeze", id=id_)
    time.sleep(0.3)
    before = plain.output(id_)
    time.sleep(0.3)
    assert plain.output(id_) == before
    plain.call("io.mlosd.Jobs.Thaw", id=id_)
    while plain.output(id_) == before:
        time.sleep(0.02)


def test_a_running_job_outlives_a_kill_of_that_daemon_too(plain: OfNobody) -> None:
    id_ = plain.submit("sh", "-c", "sleep 4; exit 6")
    before = plain.wait(id_, "RUNNING")
    plain.kill()
    plain.start()
    assert plain.show(id_)["pid"] == before["pid"]
    assert plain.wait(id_)["exit_code"] == 6


def test_another_user_may_look_but_not_act(plain: OfNobody) -> None:
    code = (
        "from mlosd.client import Connection\n"
        f"c = Connection.open({str(plain.socket)!r})\n"
        "c.call('io.mlosd.Daemon.Status', {})\n"
        "print('looked')\n"
        "c.call('io.mlosd.Jobs.List', {})\n"
    )
    refused = somebody.run_python(12345, code)
    assert refused.stdout == "looked\n"
    assert "NotPermitted: io.mlosd.Jobs.List is for users of this machine" in refused.stderr
