"""A stream's replies go out when they should, the last one marked, and nothing stays open behind them."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import pytest

from mlosd.api import replies
from mlosd.wire.message import Reply

Stream = AsyncGenerator[dict[str, Any], None]


async def ready() -> None:
    pass


def run(stream: Stream, sent: list[Reply]) -> None:
    asyncio.run(as_coroutine(replies.send_all(stream, send=sent.append, ready=ready)))


async def as_coroutine(awaitable: Awaitable[None]) -> None:
    await awaitable


def test_the_last_reply_is_marked_when_the_stream_ends_right_after_it() -> None:
    async def stream() -> Stream:
        yield {"n": 1}
        await asyncio.sleep(0)
        yield {"n": 2}

    sent: list[Reply] = []
    run(stream(), sent)
    assert sent == [Reply({"n": 1}, continues=True), Reply({"n": 2})]


def test_a_stream_that_ends_after_waiting_is_ended_by_an_empty_reply() -> None:
    async def stream() -> Stream:
        yield {"n": 1}
        await asyncio.sleep(0)

    sent: list[Reply] = []
    run(stream(), sent)
    assert sent == [Reply({"n": 1}, continues=True), Reply({})]


def test_a_stream_of_nothing_is_one_empty_reply() -> None:
    async def stream() -> Stream:
        for n in range(0):
            yield {"n": n}

    sent: list[Reply] = []
    run(stream(), sent)
    assert sent == [Reply({})]


def test_what_came_before_an_error_is_sent_before_it() -> None:
    async def stream() -> Stream:
        yield {"n": 1}
        raise ValueError

    sent: list[Reply] = []
    with pytest.raises(ValueError):
        run(stream(), sent)
    assert sent == [Reply({"n": 1}, continues=True)]


@pytest.mark.parametrize("waits", [1, 3])
def test_a_cancelled_stream_cleans_up_to_its_end(waits: int) -> None:
    cleaned: list[str] = []

    async def stream() -> Stream:
        try:
            yield {"n": 1}
            for _ in range(waits):
                await asyncio.sleep(0.01 if waits > 1 else 60)
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0)
            cleaned.append("cancelled")
            raise
        finally:
            await asyncio.sleep(0)
            cleaned.append("closed")

    async def cancel_it() -> list[Reply]:
        sent: list[Reply] = []
        task = asyncio.create_task(as_coroutine(replies.send_all(stream(), send=sent.append, ready=ready)))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return sent

    assert asyncio.run(cancel_it()) == [Reply({"n": 1}, continues=True)]
    assert cleaned == ["cancelled", "closed"]


def test_without_more_only_the_first_is_taken() -> None:
    closed: list[bool] = []

    async def stream() -> Stream:
        try:
            yield {"n": 1}
            yield {"n": 2}
        finally:
            closed.append(True)

    assert asyncio.run(replies.first(stream())) == Reply({"n": 1})
    assert closed == [True]
