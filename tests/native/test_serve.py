"""Many jobs over one connection: native/serve.c and mlosd.kernel.shepherd."""

import asyncio
import errno
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.native.conftest import PROGRAM, Yard

from mlosd.kernel.shepherd import LaunchStepFailed, Shepherd, ShepherdLost, read_exit, read_started


@asynccontextmanager
async def connected(yard: Yard, on_lost: Callable[[], None] | None = None) -> AsyncIterator[Shepherd]:
    """A connection; the shepherd behind it is ended at the end."""
    shepherd = await Shepherd.connect(socket_of(yard), PROGRAM, on_lost=on_lost)
    try:
        yield shepherd
    finally:
        shepherd.close()
        kill_server(yard, signal.SIGTERM)


def socket_of(yard: Yard) -> Path:
    return yard.path / "shepherd.sock"


def server_pid(yard: Yard) -> int:
    """The resident process, by its arguments: a keeper has them too but another name."""
    wanted = [os.fsencode(PROGRAM), b"serve", os.fsencode(socket_of(yard)), b""]
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            name = (path.parent / "comm").read_text().strip()
            if path.read_bytes().split(b"\0") == wanted and name == "mlos-shepherd":
                return int(path.parent.name)
        except (FileNotFoundError, ProcessLookupError):
            continue
    raise ProcessLookupError("no shepherd serves this yard")


def open_files(pid: int) -> list[str]:
    return [str(path.readlink()) for path in Path(f"/proc/{pid}/fd").iterdir()]


def kill_server(yard: Yard, number: int) -> None:
    os.kill(server_pid(yard), number)


async def start(shepherd: Shepherd, jobdir: Path, *, job: str = "7") -> tuple[int, int]:
    null = os.open("/dev/null", os.O_RDWR)
    try:
        return await shepherd.start(job, jobdir, stdin=null, stdout=null, stderr=null)
    finally:
        os.close(null)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.005)


def run(main: Coroutine[Any, Any, None]) -> None:
    asyncio.run(main)


def test_a_job_is_started_and_its_end_recorded(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            jobdir = yard.job("exit 6")
            keeper, pid = await start(shepherd, jobdir)
            started = read_started(jobdir)
            assert started is not None
            assert (started.keeper, started.pid) == (keeper, pid)
            await until(lambda: read_exit(jobdir))
            record = read_exit(jobdir)
            assert record is not None
            assert record.code == 6

    run(main())


def test_two_hundred_starts_may_be_in_flight(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            jobs = {str(number): yard.job("", argv=("true",), job=str(number)) for number in range(200)}
            pids = await asyncio.gather(*(start(shepherd, jobdir, job=job) for job, jobdir in jobs.items()))
            assert len({keeper for keeper, _ in pids}) == 200
            await until(lambda: all(read_exit(jobdir) for jobdir in jobs.values()))

    run(main())


def test_a_daemon_that_does_not_read_delays_no_job_and_misses_no_answer(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            jobs = {str(number): yard.job("", argv=("true",), job=str(number)) for number in range(400)}
            starts = [asyncio.create_task(start(shepherd, jobdir, job=job)) for job, jobdir in jobs.items()]
            loop = asyncio.get_running_loop()
            loop.remove_reader(shepherd._sock)
            await until(lambda: all(read_exit(jobdir) for jobdir in jobs.values()))
            loop.add_reader(shepherd._sock, shepherd._read)
            assert len(await asyncio.gather(*starts)) == 400

    run(main())


def test_the_step_that_failed_is_told(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            jobdir = yard.job("", argv=("no-such-command",))
            with pytest.raises(LaunchStepFailed) as failed:
                await start(shepherd, jobdir)
            assert (failed.value.step, failed.value.errno) == ("exec", errno.ENOENT)
            # Told last: by then the record is complete.
            assert read_exit(jobdir) is not None

    run(main())


def test_a_second_start_is_refused(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            jobdir = yard.job("true")
            await start(shepherd, jobdir)
            with pytest.raises(LaunchStepFailed) as failed:
                await start(shepherd, jobdir)
            assert (failed.value.step, failed.value.errno) == ("already-started", errno.EEXIST)

    run(main())


def test_a_spec_of_another_job_is_refused(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            with pytest.raises(LaunchStepFailed) as failed:
                await start(shepherd, yard.job("true"), job="8")
            assert failed.value.step == "spec"

    run(main())


def test_a_job_outlives_the_shepherd_and_its_end_is_not_lost(yard: Yard) -> None:
    async def main() -> None:
        lost = asyncio.Event()
        jobdir = yard.job("until [ -e go ]; do sleep 0.01; done; exit 4")
        async with connected(yard, lost.set) as shepherd:
            await start(shepherd, jobdir)
            kill_server(yard, signal.SIGKILL)
            await asyncio.wait_for(lost.wait(), 10)
            with pytest.raises(ShepherdLost):
                await start(shepherd, yard.job("true", job="8"), job="8")
            (yard.path / "go").touch()
            await until(lambda: read_exit(jobdir))
            record = read_exit(jobdir)
            assert record is not None
            assert record.code == 4
            # A daemon that connects again gets a new shepherd.
            again = await Shepherd.connect(socket_of(yard), PROGRAM)
            await start(again, yard.job("true", job="9"), job="9")
            again.close()

    run(main())


def test_a_daemon_that_comes_back_is_served_in_place_of_the_old_one(yard: Yard) -> None:
    async def main() -> None:
        lost = asyncio.Event()
        async with connected(yard, lost.set):
            before = server_pid(yard)
            again = await Shepherd.connect(socket_of(yard), PROGRAM)
            await start(again, yard.job("true"))
            await asyncio.wait_for(lost.wait(), 10)
            assert server_pid(yard) == before
            again.close()

    run(main())


def test_a_shepherd_that_nobody_needs_leaves(yard: Yard) -> None:
    async def main() -> None:
        shepherd = await Shepherd.connect(socket_of(yard), PROGRAM)
        shepherd.close()
        await until(lambda: not socket_of(yard).exists())

    run(main())


@pytest.mark.parametrize("message", [b"", b"start", b"start 7", b"start 7 relative", b"\xff" * 5000, b"stop 7 /"])
def test_a_malformed_message_is_answered_and_survived(yard: Yard, message: bytes) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as raw:
                raw.settimeout(10)
                directory = os.open(yard.path, os.O_PATH)
                raw.connect(f"/proc/self/fd/{directory}/shepherd.sock")
                os.close(directory)
                assert raw.recv(256) == b"serving 1"
                raw.send(message)
                # An empty packet looks like the end of the connection.
                assert raw.recv(256) == (b"failed ? message 74" if message else b"")
            shepherd.close()
            again = await Shepherd.connect(socket_of(yard), PROGRAM)
            await start(again, yard.job("true"))
            again.close()

    run(main())


def test_the_shepherd_inherits_nothing_and_leads_a_session(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard):
            pid = server_pid(yard)
            assert os.getsid(pid) == pid
            assert Path(f"/proc/{pid}/environ").read_bytes() == b""
            targets = open_files(pid)
            assert [target for target in targets if "socket" not in target and "/dev/null" not in target] == [
                str(yard.path),
                str(yard.path / "shepherd.sock.lock"),
            ]

    run(main())


def test_a_keeper_holds_nothing_of_the_shepherd(yard: Yard) -> None:
    async def main() -> None:
        async with connected(yard) as shepherd:
            keeper, _ = await start(shepherd, yard.job("exec sleep 60"))
            # It hangs up when it has said that the job runs, a moment after we hear it.
            await until(lambda: not any("socket" in target for target in open_files(keeper)))
            assert not any("lock" in target for target in open_files(keeper))
            os.kill(keeper, signal.SIGTERM)

    run(main())
