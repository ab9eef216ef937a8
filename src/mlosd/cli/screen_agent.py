"""mlosctl mode screen-agent: in a user's X11 session, sets the screens to the rate that ML mode asks for, and back.

The daemon has no say in a user's session, so the user runs this one: ~/.config/autostart, or ~/.xsession.
"""

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from types import FrameType
from typing import Protocol

import click

from mlosd.cli import say
from mlosd.cli.reach import Address
from mlosd.cli.xrandr import RandR
from mlosd.client import Connection
from mlosd.core.errors import Refused, Unreachable

RETRY_SECONDS = 5.0
_SIGNALS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)


class Screen(Protocol):
    """What `follow` needs of mlosd.cli.xrandr.RandR."""

    def slow(self, hz: int) -> Iterable[str]:
        """Set it to this rate; what could not be done."""

    def restore(self) -> Iterable[str]:
        """Set it back; what could not be done."""


def follow(states: Iterable[int | None], screen: Screen, tell: Callable[[str], None]) -> None:
    """Do to the screen what each state says: a rate, or None, as before. Whatever ends it, the screen is as before."""
    now: int | None = None
    try:
        for state in states:
            if state != now:
                now = state
                for problem in screen.restore() if state is None else screen.slow(state):
                    tell(problem)
    finally:
        for problem in screen.restore():
            tell(problem)


def states(address: Address, hz: int | None, *, sleep: Callable[[float], None] = time.sleep) -> Iterator[int | None]:
    """The rate that the mode asks for, or `hz` whenever it asks for one; None without the mode, or without a daemon."""
    connection = address.connect()
    while True:
        try:
            for reply in connection.stream("io.mlosd.Mode.Status", {}):
                asked = reply["mode"].get("screen_hz")
                yield hz if hz is not None and asked is not None else asked
        except Unreachable:
            pass
        yield None
        connection = _again(address, sleep)


def _again(address: Address, sleep: Callable[[float], None]) -> Connection:
    while True:
        sleep(RETRY_SECONDS)
        with contextlib.suppress(Unreachable):
            return address.connect()


def run(address: Address, *, hz: int | None = None) -> int:
    """Follow ML mode with the screens of this X11 session, until a signal. `hz`: instead of what the mode asks for."""
    if not os.environ.get("DISPLAY"):
        raise Refused("this is no X11 session: DISPLAY is not set", hint="run it from the desktop's autostart")
    if os.environ.get("XDG_SESSION_TYPE") == "wayland":
        raise Refused("a Wayland session has no interface for the rate of its screens")
    for number in _SIGNALS:
        signal.signal(number, _end)
    with contextlib.suppress(_Ended):
        follow(states(address, hz), RandR(), say.tell)
    return os.EX_OK


@click.command(
    "screen-agent", epilog="\b\nExamples:\n  mlosctl mode screen-agent &\n  mlosctl mode screen-agent --hz 30 &"
)
@click.option("--hz", type=click.IntRange(1, 60), help="This rate, instead of the one that the mode asks for.")
@click.pass_obj
def command(address: Address, *, hz: int | None) -> None:
    """In your X11 session: show the screen less often while the mode asks for it, and as before afterwards."""
    raise SystemExit(run(address, hz=hz))


class _Ended(BaseException):
    """A signal asked us to end."""


def _end(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        signal.signal(each, signal.SIG_IGN)  # putting the screens back is not to be interrupted
    raise _Ended
