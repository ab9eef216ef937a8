"""mlosctl mode benefit: the user's own command with the mode off and on, in turn, and what that gained.

Off, on, on, off, off, on ...: a machine that gets warmer, or busier, does so for both. One run before, so that none of
those that count is the first to read the data. The lease ends with this process, whatever becomes of it.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn, Protocol

from mlosd.cli import interval, paint, printing, progress, say
from mlosd.cli.reach import Address
from mlosd.cli.timed_run import CommandFailed, Run, timed
from mlosd.core.errors import BadRequest, NotFound, Refused

_STOPPING = (signal.SIGTERM, signal.SIGHUP)


class Switch(Protocol):
    """Turns the mode on and off."""

    def enter(self) -> frozenset[int]:
        """The CPUs that are the command's own; none: all of them."""

    def leave(self) -> None:
        """As before."""


class Mode:
    """The daemon's mode, by a lease of this process."""

    def __init__(self, address: Address, asked: Mapping[str, object]) -> None:
        self._address = address
        self._asked = {**asked, "pid": os.getpid()}
        self._lease: int | None = None

    def require_free(self, *, anyway: bool) -> None:
        """Raises Refused where it cannot be entered, or is not off before it is on."""
        mode = self._call("Status", {})["mode"]
        if mode["state"] in ("unsupported", "drained"):
            raise Refused(f"ML mode is {mode['state']}: {mode.get('reason') or 'no reason given'}")
        others = ", ".join(lease["who"] for lease in mode["leases"])
        if others and not anyway:
            raise Refused(
                f"ML mode is on already, for {others}: off would not be off",
                hint="--anyway measures what one more lease gains",
            )
        if others:
            say.tell(f"ML mode is on already, for {others}: this is what one more lease gains")

    def enter(self) -> frozenset[int]:
        """Be in the mode when this returns."""
        lease = self._call("Enter", {"asked": self._asked})["lease"]
        self._lease = lease["id"]
        return frozenset(lease.get("cpus", ()))

    def leave(self) -> None:
        """Raises Refused where somebody ended it meanwhile: then what was measured was not the mode."""
        try:
            self._call("Leave", {"lease": self._lease})
        except NotFound as e:
            raise Refused("somebody ended the mode while it was measured: nothing is known", hint="again?") from e

    def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        with self._address.connect() as connection:
            return connection.call(f"io.mlosd.Mode.{method}", parameters)


class Stopped(Exception):
    """A signal asked us to end."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def run(
    address: Address,
    argv: Sequence[str],
    *,
    rounds: int,
    profile: str | None = None,
    cpus: str | None = None,
    anyway: bool = False,
    json: bool = False,
) -> int:
    """Measure and tell; the exit code. Raises Refused where the mode is on already, without `anyway`."""
    if not argv or not argv[0]:
        raise BadRequest("no command to run", hint="write it after --, e.g. mlosctl mode benefit -- make epoch")
    mode = Mode(address, {name: value for name, value in (("profile", profile), ("cpus", cpus)) if value is not None})
    mode.require_free(anyway=anyway)
    try:
        with _signals():
            off, on = _shown(mode, argv, rounds)
    except CommandFailed as failed:
        sys.stderr.write(failed.said if failed.said.endswith("\n") or not failed.said else f"{failed.said}\n")
        say.failed(f"{argv[0]}: exit code {failed.code}; nothing was measured")
        return failed.code
    except Stopped as stopped:
        return 128 + stopped.number
    _tell(off, on, json=json)
    return os.EX_OK


def order(rounds: int) -> Iterator[bool]:
    """Whether the mode is on: off on, on off, off on ..."""
    for number in range(rounds):
        yield from (False, True) if number % 2 == 0 else (True, False)


def measure(mode: Switch, once: Callable[[frozenset[int]], Run], rounds: int) -> tuple[list[Run], list[Run]]:
    """The runs with the mode off, and those with it on: pairs. Leaves the mode, whatever happens."""
    once(frozenset())
    off: list[Run] = []
    on: list[Run] = []
    is_on, cpus = False, frozenset[int]()
    try:
        for wanted in order(rounds):
            if wanted and not is_on:
                cpus, is_on = mode.enter(), True
            elif is_on and not wanted:
                is_on = False
                mode.leave()
            (on if wanted else off).append(once(cpus if wanted else frozenset()))
    finally:
        if is_on:
            mode.leave()
    return off, on


def _shown(mode: Mode, argv: Sequence[str], rounds: int) -> tuple[list[Run], list[Run]]:
    """`measure`, with a line on the terminal that says how far it is."""
    from tempfile import TemporaryFile

    done = 0

    def once(cpus: frozenset[int]) -> Run:
        nonlocal done
        result = timed(argv, cpus, output)
        done += 1
        return result

    with TemporaryFile() as output, progress.waiting(lambda: progress.counted(done, 2 * rounds + 1, "runs")):
        return measure(mode, once, rounds)


@contextmanager
def _signals() -> Iterator[None]:
    """Signals that would end us become exceptions: the mode is left, and the command ended, on the way out."""

    def stop(number: int, frame: FrameType | None) -> NoReturn:
        raise Stopped(number)

    before = {number: signal.signal(number, stop) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _tell(off: Sequence[Run], on: Sequence[Run], *, json: bool) -> None:
    steps = all(one.step is not None for one in (*off, *on))
    before, after = ([one.step if steps and one.step else one.wall for one in runs] for runs in (off, on))
    found = interval.ratio(before, after)
    verdict = interval.verdict(found)
    if json:
        printing.json_line(
            {
                "rounds": len(off),
                "measured": "step_time" if steps else "wall",
                "off": before,
                "on": after,
                "gain": 1 - found.middle,
                "low": 1 - found.high,
                "high": 1 - found.low,
                "verdict": verdict,
            }
        )
        return
    colour = {"gained": paint.GREEN, "lost": paint.RED}.get(verdict, paint.BOLD)
    printing.heading(f"ML mode {interval.words(found, len(off))}", colour=colour)
    what = "a step, as the command says" if steps else "a run, start and end included"
    printing.facts(
        [
            ("off", f"{interval.median(before):.4g} s for {what}; median of {len(before)}"),
            ("on", f"{interval.median(after):.4g} s"),
        ]
    )
    if verdict == "nothing":
        say.tell("more --rounds, or longer runs, show smaller gains")
