"""Work that may never return, such as looking at a directory of a file server that is gone."""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


async def in_own_thread(work: Callable[[], T]) -> T:
    """What `work` returns. Nothing else waits for its thread: not the next work, nor the end of the program."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(how: Callable[[Any], None], what: object) -> None:
        def unless_cancelled() -> None:
            if not done.done():
                how(what)

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(unless_cancelled)

    def run() -> None:
        try:
            result = work()
        except BaseException as e:
            tell(done.set_exception, e)
        else:
            tell(done.set_result, result)

    threading.Thread(target=run, name="own-thread", daemon=True).start()
    return await done
