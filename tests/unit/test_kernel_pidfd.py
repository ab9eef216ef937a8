"""pidfd_open(2): a process that is gone is gone, however the kernel puts it."""

import errno
import os
from pathlib import Path

import pytest

from mlosd.jobs.keepers import Keepers
from mlosd.kernel.pidfd import pidfd_open


def refuse(number: int) -> object:
    def pidfd_open(pid: int) -> int:
        raise OSError(number, os.strerror(number))

    return pidfd_open


@pytest.mark.parametrize("number", [errno.ESRCH, errno.EINVAL])
def test_a_number_that_no_process_has_any_more_is_a_process_that_is_gone(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr(os, "pidfd_open", refuse(number))
    with pytest.raises(ProcessLookupError):
        pidfd_open(4242)


def test_other_refusals_are_told_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "pidfd_open", refuse(errno.EMFILE))
    with pytest.raises(OSError, match="Too many open files"):
        pidfd_open(4242)


async def watched(keepers: Keepers) -> list[str]:
    import asyncio

    told: list[str] = []
    keepers.watch(4242, lambda: told.append("ended"))
    await asyncio.sleep(0.01)
    return told


def test_the_end_of_a_keeper_that_was_reaped_a_moment_ago_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import asyncio

    monkeypatch.setattr(os, "pidfd_open", refuse(errno.EINVAL))
    assert asyncio.run(watched(Keepers(tmp_path / "jobs"))) == ["ended"]
