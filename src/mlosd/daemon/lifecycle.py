"""The daemon and whoever started it: sockets handed over, READY, WATCHDOG, STOPPING, signals."""

import asyncio
import signal
import socket
from collections.abc import Callable
from pathlib import Path

from mlosd.api.listener import adopt, listen
from mlosd.core.events import Event
from mlosd.kernel import sd_notify

Emit = Callable[[Event], None]


def listener(path: Path) -> socket.socket:
    """The socket that systemd made for us (mlosd.socket), or one of our own."""
    handed_over = sd_notify.take_fds().get("mlosd.socket", [])
    return adopt(handed_over[0]) if handed_over else listen(path)


async def until_told_to_stop(status: str) -> str:
    """Say READY, give signs of life as often as asked, and return when a signal says stop: its name."""
    loop = asyncio.get_running_loop()
    told: asyncio.Future[str] = loop.create_future()

    def tell(name: str) -> None:
        if not told.done():
            told.set_result(name)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, tell, number.name)
    # A daemon whose terminal closes goes on.
    loop.add_signal_handler(signal.SIGHUP, lambda: None)
    sd_notify.ready(status)
    watchdog = loop.create_task(_give_signs_of_life())
    try:
        return await told
    finally:
        watchdog.cancel()
        sd_notify.stopping()


async def _give_signs_of_life() -> None:
    """Twice as often as systemd asks (sd_watchdog_enabled(3)); from the loop, so that a stuck loop is noticed."""
    limit = sd_notify.watchdog_seconds()
    while limit is not None:
        sd_notify.watchdog()
        await asyncio.sleep(limit / 2)
