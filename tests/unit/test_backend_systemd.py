"""How a start through PID 1 ends, told by a stand-in for PID 1 and records that the test writes as the keeper would."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlosd.jobs.backend import AlreadyStarted, Launch, LaunchFailed, Started
from mlosd.jobs.backends import systemd
from mlosd.jobs.backends.systemd import SystemdBackend
from mlosd.kernel.systemd1 import UNIT_EXISTS, SystemdError, Unreachable

STARTED = "keeper=10\nkeeper_start=5\npid=11\npid_start=6\ncgroup=/sys/fs/cgroup/x/job\nboot_id=b\nat=1.5\n"
REFUSED = "error_step=exec\nerror_errno=2\nat=1.5\nend\n"
LAUNCH = Launch(
    job=7, argv=("true",), environment={}, cwd="/", umask=0o22, uid=1000, gid=1000, groups=(), env="dev",
    stdin=0, stdout=1, stderr=2, terminal=False, cpus=(1,), memory=1000, io_weight=50, grace=2.0,
)  # fmt: skip


class Pid1:
    """Does what the keeper would do, then says how the start ended (None: its word is lost)."""

    def __init__(self, keeper: Callable[[], None], result: str | None, *, error: SystemdError | None = None) -> None:
        self._keeper, self._result, self._error = keeper, result, error
        self.unit: dict[str, Any] = {"ActiveState": "inactive", "Job": (0, "/")}
        self.properties: Mapping[str, Any] = {}

    async def start_transient_unit(
        self, _name: str, properties: Mapping[str, Any], *, fds: Sequence[int]
    ) -> asyncio.Future[str]:
        self.properties = properties
        assert list(fds) == [0, 1, 2]
        self._keeper()
        if self._error:
            raise self._error
        ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if self._result:
            ended.set_result(self._result)
        return ended

    async def unit_properties(self, _name: str) -> dict[str, Any]:
        return self.unit


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(systemd, "LOOK_AGAIN", 0.01)
    folder = tmp_path / "jobs/7"
    folder.mkdir(parents=True)
    return folder


def _start(directory: Path, pid1: Pid1) -> Started:
    async def run() -> Started:
        backend = SystemdBackend(run=directory.parent.parent, tag="")
        backend._systemd = pid1  # type: ignore[assignment]
        async with asyncio.timeout(10):
            return await backend.start(LAUNCH)

    return asyncio.run(run())


def _keeper(directory: Path, **records: str) -> Callable[[], None]:
    def write() -> None:
        for name, text in records.items():
            (directory / name).write_text(text)

    return write


def test_a_job_runs_once_pid_1_says_so(directory: Path) -> None:
    pid1 = Pid1(_keeper(directory, started=STARTED), "done")
    started = _start(directory, pid1)
    assert (started.keeper, started.pid, started.cgroup) == (10, 11, Path("/sys/fs/cgroup/x/job"))
    assert pid1.properties["Slice"] == "mlos-dev.slice"
    assert pid1.properties["MemoryMax"] == 1000
    assert pid1.properties["MemoryHigh"] == 950
    assert pid1.properties["AllowedCPUs"] == b"\x02"
    assert pid1.properties["TimeoutStopUSec"] > LAUNCH.grace * 1e6


def test_a_command_that_cannot_run_names_its_step(directory: Path) -> None:
    with pytest.raises(LaunchFailed) as raised:
        _start(directory, Pid1(_keeper(directory, started=STARTED, exit=REFUSED), "failed"))
    assert (raised.value.step, raised.value.errno) == ("exec", 2)


def test_a_job_so_short_that_pid_1_missed_it_has_started(directory: Path) -> None:
    ended = "code=0\nat=1.5\nend\n"
    assert _start(directory, Pid1(_keeper(directory, started=STARTED, exit=ended), "failed")).pid == 11


def test_a_keeper_that_never_came_to_be_can_not_come_later(directory: Path) -> None:
    with pytest.raises(LaunchFailed, match="could not start the keeper"):
        _start(directory, Pid1(_keeper(directory), "failed"))
    assert (directory / "started").exists()


def test_a_keeper_that_died_in_between_is_told_apart(directory: Path) -> None:
    with pytest.raises(LaunchFailed, match="died before the command ran"):
        _start(directory, Pid1(_keeper(directory, started=""), "failed"))


def test_a_refused_unit_is_a_failed_launch(directory: Path) -> None:
    with pytest.raises(LaunchFailed, match="systemd refused the unit: no"):
        _start(directory, Pid1(_keeper(directory), None, error=SystemdError("x.InvalidArgs", "no")))


def test_a_lost_answer_is_no_failure_when_the_keeper_was_faster(directory: Path) -> None:
    pid1 = Pid1(_keeper(directory, started=STARTED), None, error=Unreachable("x.NoReply", "gone"))
    assert _start(directory, pid1).pid == 11


def test_a_unit_that_exists_is_the_one_that_was_asked_for(directory: Path) -> None:
    pid1 = Pid1(_keeper(directory, started=STARTED), None, error=SystemdError(UNIT_EXISTS, "exists"))
    assert _start(directory, pid1).pid == 11


def test_a_unit_that_waits_in_pid_1s_queue_is_waited_for(directory: Path) -> None:
    pid1 = Pid1(_keeper(directory), None)
    pid1.unit["Job"] = (5, "/job/5")

    async def run() -> Started:
        backend = SystemdBackend(run=directory.parent.parent, tag="")
        backend._systemd = pid1  # type: ignore[assignment]
        starting = asyncio.create_task(backend.start(LAUNCH))
        await asyncio.sleep(0.1)
        assert not starting.done()
        (directory / "started").write_text(STARTED)
        pid1.unit.update(ActiveState="active", Job=(0, "/"))
        async with asyncio.timeout(10):
            return await starting

    assert asyncio.run(run()).pid == 11


def test_a_job_whose_token_is_taken_is_not_started_again(directory: Path) -> None:
    (directory / "started").write_text("")
    with pytest.raises(AlreadyStarted):
        _start(directory, Pid1(_keeper(directory), "done"))
