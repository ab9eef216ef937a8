"""The screens of an X11 session, by way of the xrandr program: at a lower rate, and exactly as they were again.

screens = RandR()
try:
    print(*screens.slow(20), sep="\n")
finally:
    print(*screens.restore(), sep="\n")
"""

import contextlib
import re
import subprocess
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from mlosd.core.errors import Refused

# A rate of the monitor's own that is this much above the wanted one is better than one that it never heard of.
_NEAR = 1.5
_PREFIX = "mlos-"
_SECONDS = 20.0

Run = Callable[[Sequence[str]], str]


@dataclass(frozen=True, slots=True)
class Mode:
    """A mode line: `id` is the server's, `clock` in MHz, `horizontal` and `vertical` as xrandr --newmode takes them."""

    id: str
    name: str
    clock: float
    flags: tuple[str, ...]
    horizontal: tuple[int, int, int, int]
    vertical: tuple[int, int, int, int]

    @property
    def rate(self) -> float:
        """In Hz, as xrandr counts it."""
        lines = self.vertical[3] * (2 if "DoubleScan" in self.flags else 1) / (2 if "Interlace" in self.flags else 1)
        return self.clock * 1e6 / (self.horizontal[3] * lines)

    @property
    def size(self) -> tuple[int, int]:
        return self.horizontal[0], self.vertical[0]

    def is_like(self, other: "Mode") -> bool:
        """The same timing: a monitor that is plugged in anew gets new ids."""
        return replace(self, id="") == replace(other, id="")

    @property
    def is_plain(self) -> bool:
        return "Interlace" not in self.flags and "DoubleScan" not in self.flags


@dataclass(frozen=True, slots=True)
class Output:
    """A connector that shows something, in mode `current`."""

    name: str
    current: Mode
    modes: tuple[Mode, ...]
    preferred: Mode | None = None


@dataclass(slots=True)
class _Section:
    """An output while its lines are read."""

    name: str
    modes: list[Mode] = field(default_factory=list)
    current: Mode | None = None
    preferred: Mode | None = None


_OUTPUT = re.compile(r"(?P<name>\S+) (?P<state>connected|disconnected|unknown connection)\b")
_MODE = re.compile(r"  (?P<name>\S.*?) \((?P<id>0x[0-9a-f]+)\)\s+(?P<clock>[\d.]+)MHz(?P<words>.*)")
_TIMING = re.compile(r"\s+(?:h: width|v: height)\s+(\d+)\s+start\s+(\d+)\s+end\s+(\d+)\s+total\s+(\d+)")


def parse(text: str) -> tuple[Output, ...]:
    """The outputs that show something, from what `xrandr --current --verbose` prints."""
    sections: list[_Section] = []
    lines = iter(text.splitlines())
    for line in lines:
        if output := _OUTPUT.match(line):
            sections.append(_Section(output["name"]))
        elif line and not line[0].isspace():
            sections.append(_Section(""))  # "Screen 0: ...", or something newer than this parser
        elif sections and (found := _MODE.fullmatch(line)):
            _take(sections[-1], found, _TIMING.match(next(lines, "")), _TIMING.match(next(lines, "")))
    return tuple(
        Output(one.name, one.current, tuple(one.modes), one.preferred) for one in sections if one.name and one.current
    )


def _take(
    section: _Section, found: re.Match[str], horizontal: re.Match[str] | None, vertical: re.Match[str] | None
) -> None:
    words = found["words"].split()
    # Modes without any flag stand behind the last output and belong to none: those that nobody shows.
    if horizontal is None or vertical is None or not words:
        return
    flags = tuple(word for word in words if word not in ("*current", "+preferred"))
    mode = Mode(found["id"], found["name"], float(found["clock"]), flags, _numbers(horizontal), _numbers(vertical))
    section.modes.append(mode)
    section.current = mode if "*current" in words else section.current
    section.preferred = section.preferred or (mode if "+preferred" in words else None)


def _numbers(match: re.Match[str]) -> tuple[int, int, int, int]:
    active, start, end, total = map(int, match.groups())
    return active, start, end, total


def slower(output: Output, hz: int) -> Mode:
    """The mode for this rate: one of the output's own, or a new one, which has no id yet."""
    current = output.current
    if current.rate <= hz * 1.01:
        return current
    same_size = [mode for mode in output.modes if mode.size == current.size and mode.is_plain]
    near = [mode for mode in same_size if mode.rate <= hz * _NEAR]
    below = [mode for mode in near if mode.rate <= hz * 1.01]
    if below:
        return max(below, key=lambda mode: mode.rate)
    if near:
        return min(near, key=lambda mode: mode.rate)
    # The same picture with a slower pixel clock, as laptops do it to save power: no timing is new to the monitor but
    # the rate.
    return replace(current, id="", name=f"{_PREFIX}{hz}-{output.name}", clock=current.clock * hz / current.rate)


@dataclass(frozen=True, slots=True)
class _Slowed:
    """What we did to an output. `added`: the mode is ours."""

    before: Mode
    mode: Mode
    added: bool

    def is_still(self, now: Mode) -> bool:
        return now.name == self.mode.name if self.added else now.is_like(self.mode)


class RandR:
    """Drives xrandr. Owns the modes that it added, and knows what was before."""

    def __init__(self, run: Run | None = None) -> None:
        self._run = run or _xrandr
        self._slowed: dict[str, _Slowed] = {}

    def slow(self, hz: int) -> Iterator[str]:
        """Set every screen to the rate nearest to `hz`; yields what could not be done."""
        yield from self.restore()
        try:
            outputs = [self._without_leftover(output) for output in self._read()]
        except Refused as e:
            yield e.message
            return
        if not outputs:
            yield "no screen is on"
        for output in outputs:
            if output.name.startswith("XWAYLAND"):
                yield f"{output.name}: a Wayland session has no interface for the rate of its screens"
                continue
            try:
                self._slow(output, hz)
            except Refused as e:
                yield f"{output.name}: cannot be set to {hz} Hz: {e.message}"

    def restore(self) -> Iterator[str]:
        """Everything as it was before `slow`, but what somebody else set meanwhile; yields what is not."""
        while self._slowed:
            name, slowed = self._slowed.popitem()
            try:
                problem = self._restore(name, slowed)
            except Refused as e:
                problem = e.message
            if problem:
                yield f"{name}: not set back to {slowed.before.rate:.2f} Hz: {problem}"

    def _slow(self, output: Output, hz: int) -> None:
        mode = slower(output, hz)
        if mode == output.current:
            return
        # Known before it is done: whatever interrupts us, it is undone.
        slowed = self._slowed[output.name] = _Slowed(output.current, mode, added=not mode.id)
        try:
            if slowed.added:
                self._forget(output.name, mode.name)  # of an agent that was killed
                timing = (f"{mode.clock:.6f}", *map(str, (*mode.horizontal, *mode.vertical)), *mode.flags)
                self._run(("--newmode", mode.name, *timing))
                self._run(("--addmode", output.name, mode.name))
            self._set(output.name, mode)
        except Refused:
            self._restore(output.name, self._slowed.pop(output.name))
            raise

    def _restore(self, name: str, slowed: _Slowed) -> str | None:
        now = next((output for output in self._read() if output.name == name), None)
        problem = None
        if now is not None and not now.current.is_like(slowed.before):
            if not slowed.is_still(now.current):
                problem = f"somebody set it to {now.current.name} at {now.current.rate:.2f} Hz meanwhile"
            elif slowed.before in now.modes:
                self._set(name, slowed.before)
            else:  # it was plugged in anew
                self._run(("--output", name, "--mode", slowed.before.name, "--rate", f"{slowed.before.rate:.2f}"))
        if slowed.added:
            self._forget(name, slowed.mode.name)
        return problem

    def _set(self, output: str, mode: Mode) -> None:
        self._run(("--output", output, "--mode", mode.id or mode.name))

    def _forget(self, output: str, name: str) -> None:
        for words in (("--delmode", output, name), ("--rmmode", name)):
            with contextlib.suppress(Refused):  # there is none
                self._run(words)

    def _without_leftover(self, output: Output) -> Output:
        """After an agent that was killed: what was before it is not known, so what the monitor likes best."""
        others = [mode for mode in output.modes if not mode.name.startswith(_PREFIX)]
        if output.current in others or not others:
            return output
        same_size = [mode for mode in others if mode.size == output.current.size and mode.is_plain]
        best = output.preferred or max(same_size or others, key=lambda mode: mode.rate)
        self._set(output.name, best)
        self._forget(output.name, output.current.name)
        return replace(output, current=best, modes=tuple(others))

    def _read(self) -> tuple[Output, ...]:
        return parse(self._run(("--current", "--verbose")))


def _xrandr(words: Sequence[str]) -> str:
    try:
        done = subprocess.run(
            ("xrandr", *words), capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False
        )
    except FileNotFoundError as e:
        raise Refused("there is no xrandr", hint="it is in Debian's x11-xserver-utils, elsewhere in xrandr") from e
    except subprocess.TimeoutExpired as e:
        raise Refused("xrandr does not answer") from e
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise Refused(f"xrandr: {lines[0] if lines else f'exit code {done.returncode}'}")
    return done.stdout
