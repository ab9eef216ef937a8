"""Turns what a method returns into replies: one, or a stream of which the last is marked as such."""

import types
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import aclosing
from typing import Any

from mlosd.wire.message import Parameters, Reply


async def first(stream: AsyncGenerator[Parameters, None]) -> Reply:
    """The only reply of a stream that was called without "more"; it is closed after it."""
    async with aclosing(stream):
        return Reply(await anext(stream, {}))


async def send_all(
    stream: AsyncGenerator[Parameters, None],
    *,
    send: Callable[[Reply], None],
    ready: Callable[[], Awaitable[None]],
) -> None:
    """Send each reply of a stream, when the client is ready for it; close it in any case.

    Varlink marks the last reply by the lack of "continues". So a reply is held back until the stream either
    waits for something (then it goes on) or ends. One that ends after having waited is ended by an empty reply.
    """
    held: Parameters | None = None

    def pass_on() -> None:
        nonlocal held
        if held is not None:
            send(Reply(held, continues=True))
            held = None

    async with aclosing(stream):
        try:
            while True:
                parameters = await _noticing_pause(anext(stream), pass_on)
                pass_on()
                held = parameters
                await ready()
        except StopAsyncIteration:
            send(Reply({} if held is None else held))
        except BaseException:
            pass_on()
            raise


@types.coroutine
def _noticing_pause(awaitable: Awaitable[Parameters], notice: Callable[[], None]) -> Generator[Any, Any, Parameters]:
    """Await, and call `notice` before control is given up for the first time; without a task of its own."""
    steps = awaitable.__await__()
    try:
        waited_for = next(steps)
        notice()
        while True:
            try:
                yield waited_for
                break
            except BaseException as thrown:
                waited_for = steps.throw(thrown)
    except StopIteration as end:
        result: Parameters = end.value
        return result
    return (yield from steps)
