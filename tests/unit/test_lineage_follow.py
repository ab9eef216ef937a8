"""Following the traces of jobs: nothing is lost with the daemon, and nobody waits for a long trace."""

import asyncio
import json
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from mlosd.core import events
from mlosd.kernel import trace
from mlosd.kernel.trace import Begin, End, File, Record
from mlosd.lineage.account import Account
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.follow import CHUNK, Follower
from mlosd.lineage.subject import Subject

SUBJECT = Subject(7, 1000, 1000, (), None, "/", ("true",), {}, ())


class Desk:
    """A daemon's part in it: what it is asked, and what it is told. `die` ends it without a word."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.asked = 0
        self.recorded: list[tuple[Account, Any]] = []
        self.failures: list[events.Event] = []
        self.before_recording: Callable[[], None] = lambda: None
        self.loop = asyncio.new_event_loop()
        self.follower = Follower(
            directory,
            filesystems=cast(Filesystems, None),
            writes=cast(Any, self),
            facts_at_start=self._facts,
            record=self._record,
            why_not=None,
            emit=self.failures.append,
        )

    async def settle(self, run: int) -> None: ...

    async def _facts(self, subject: Subject) -> str:
        self.asked += 1
        return json.dumps({"asked": self.asked})

    async def _record(self, subject: Subject, account: Account, facts: str) -> None:
        self.before_recording()
        self.recorded.append((account, json.loads(facts)))

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(work)

    async def take_up(self) -> None:
        """As a daemon that starts: to the last row."""
        self.follower.open()
        self.follower.take_up(lambda run: SUBJECT)
        await self.follower.settled(7)
        await self.follower.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    opened = Desk(tmp_path / "traces")
    (tmp_path / "traces").mkdir()
    yield opened
    opened.loop.close()


def write(desk: Desk, *records: Record) -> None:
    (desk.directory / "7.trace").write_bytes(b"".join(map(trace.line, records)))


def a_file(number: int) -> File:
    return File(number, 1, 2, "r", "0" * 16, 1, b"h", 1, b"p", 1, 10, 1, 1, 1, b"/d/" + b"x" * 100)


@pytest.mark.parametrize("left", ["", '{"asked"', "\udcff", None])
def test_facts_that_a_daemon_was_killed_over_are_asked_for_again(desk: Desk, left: str | None) -> None:
    write(desk, Begin(1, 1), End(2))
    if left is not None:
        (desk.directory / "7.facts").write_bytes(os.fsencode(left))
    desk.run(desk.take_up())
    assert [facts for _, facts in desk.recorded] == [{"asked": 1}]
    assert not any(desk.directory.iterdir())
    assert desk.failures == []


def test_facts_from_a_jobs_start_are_not_asked_for_at_its_end(desk: Desk) -> None:
    write(desk, Begin(1, 1), End(2))
    (desk.directory / "7.facts").write_text('{"from": "its start"}')
    desk.run(desk.take_up())
    assert [facts for _, facts in desk.recorded] == [{"from": "its start"}]
    assert desk.asked == 0


def test_everybody_has_his_turn_while_a_long_trace_is_read(desk: Desk) -> None:
    files = [a_file(number) for number in range(20 * CHUNK // 200)]
    write(desk, Begin(1, 1), *files, End(2))
    turns = 0

    async def somebody() -> None:
        nonlocal turns
        while not desk.recorded:
            turns += 1
            await asyncio.sleep(0)

    async def both() -> None:
        await asyncio.gather(desk.take_up(), somebody())

    desk.run(both())
    [(account, _)] = desk.recorded
    assert (len(account.files), account.ended, account.reasons) == (len(files), True, [])
    assert turns > 10
