"""Screens at a lower rate and back, with what xrandr prints; and the agent that does it when ML mode asks for it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import pytest

from mlosd.cli import screen_agent
from mlosd.cli.reach import Address
from mlosd.cli.xrandr import Mode, Output, RandR, parse, slower
from mlosd.core.errors import Refused, Unreachable

# As a laptop with Intel graphics and a monitor at its side prints it, shortened.
LAPTOP = """\
Screen 0: minimum 320 x 200, current 3840 x 1080, maximum 16384 x 16384
eDP-1 connected primary 1920x1080+0+0 (0x47) normal (normal left inverted right x axis y axis) 309mm x 174mm
\tIdentifier: 0x42
\tTimestamp:  25423
\tGamma:      1.0:1.0:1.0
\tClones:    \n\
\tCRTC:       0
\tTransform:  1.000000 0.000000 0.000000
\t            0.000000 1.000000 0.000000
\t            0.000000 0.000000 1.000000
\t           filter: \n\
\tEDID: \n\
\t\t00ffffffffffff0006af2d5b00000000
\t\t001c0104a51d107803ee95a3544c9926
\tscaling mode: Full aspect \n\
\t\tsupported: Full, Center, Full aspect
  1920x1080 (0x47) 138.500MHz +HSync -VSync *current +preferred
        h: width  1920 start 1968 end 2000 total 2080 skew    0 clock  66.59KHz
        v: height 1080 start 1083 end 1088 total 1111           clock  59.93Hz
  1920x1080 (0x48) 110.000MHz +HSync -VSync
        h: width  1920 start 1968 end 2000 total 2080 skew    0 clock  52.88KHz
        v: height 1080 start 1083 end 1088 total 1102           clock  47.99Hz
  1280x720 (0x49) 74.500MHz -HSync +VSync
        h: width  1280 start 1344 end 1472 total 1664 skew    0 clock  44.77KHz
        v: height  720 start  723 end  728 total  748           clock  59.86Hz
HDMI-1 connected 1920x1080+1920+0 (0x50) normal (normal left inverted right x axis y axis) 527mm x 296mm
\tIdentifier: 0x43
  1920x1080 (0x50) 148.500MHz +HSync +VSync *current +preferred
        h: width  1920 start 2008 end 2052 total 2200 skew    0 clock  67.50KHz
        v: height 1080 start 1084 end 1089 total 1125           clock  60.00Hz
  1920x1080 (0x51) 74.250MHz +HSync +VSync Interlace
        h: width  1920 start 2008 end 2052 total 2200 skew    0 clock  33.75KHz
        v: height 1080 start 1084 end 1094 total 1125           clock  60.00Hz
  1920x1080 (0x52) 74.250MHz +HSync +VSync
        h: width  1920 start 2448 end 2492 total 2640 skew    0 clock  28.12KHz
        v: height 1080 start 1084 end 1089 total 1125           clock  25.00Hz
  1920x1080 (0x53) 74.176MHz +HSync +VSync
        h: width  1920 start 2558 end 2602 total 2750 skew    0 clock  26.97KHz
        v: height 1080 start 1084 end 1089 total 1125           clock  23.98Hz
DP-1 disconnected (normal left inverted right x axis y axis)
\tIdentifier: 0x44
  1024x768 (0x60) 65.000MHz
        h: width  1024 start 1048 end 1184 total 1344 skew    0 clock  48.36KHz
        v: height  768 start  771 end  777 total  806           clock  60.00Hz
"""
# As the dummy driver of Xorg prints it, and as old xrandrs did: spaces for tabs, one digit of the clock.
DUMMY = """\
Screen 0: minimum 64 x 64, current 1024 x 768, maximum 32767 x 32767
DUMMY0 connected primary 1024x768+0+0 (0x5e) normal (normal) 0mm x 0mm
        Identifier: 0x4e
        non-desktop: 0
                supported: 0, 1
  1024x768 (0x5e)   65.0MHz -HSync -VSync *current
        h: width  1024 start 1048 end 1184 total 1344 skew    0 clock   48.4KHz
        v: height  768 start  771 end  777 total  806           clock   60.0Hz
DUMMY1 disconnected (normal)
        Identifier: 0x4f
"""


def rates(output: Output) -> list[float]:
    return [round(mode.rate, 2) for mode in output.modes]


def test_outputs_that_show_something_are_read_with_their_modes() -> None:
    laptop, monitor = parse(LAPTOP)
    assert (laptop.name, laptop.current.id, rates(laptop)) == ("eDP-1", "0x47", [59.93, 47.99, 59.86])
    assert (monitor.name, monitor.current.name, rates(monitor)) == ("HDMI-1", "1920x1080", [60.0, 60.0, 25.0, 23.98])
    assert monitor.current.flags == ("+HSync", "+VSync")
    assert laptop.preferred == laptop.current


def test_old_and_sparse_output_is_read_too() -> None:
    (output,) = parse(DUMMY)
    assert (output.name, rates(output), output.preferred) == ("DUMMY0", [60.0], None)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Can't open display\n",
        "DP-1 connected (normal left)\n",
        "DP-1 connected 1x1+0+0 (0x1) normal\n  1x1 (0x1) 1.000MHz +HSync *current\n",
        "DP-1 connected\n  x (0x1) 1.0MHz +HSync *current\n  h: what\n  v: ever\n",
        "  1024x768 (0x5e) 65.000MHz -HSync *current\n",
    ],
)
def test_what_shows_nothing_or_makes_no_sense_is_left_alone(text: str) -> None:
    assert parse(text) == ()


def test_something_unknown_between_outputs_ends_the_one_before_it() -> None:
    assert [output.name for output in parse(f"{DUMMY}Something new\n{LAPTOP}")] == ["DUMMY0", "eDP-1", "HDMI-1"]


@pytest.mark.parametrize(("hz", "rate"), [(20, 23.98), (24, 23.98), (25, 25.0), (30, 25.0), (48, 25.0), (60, 60.0)])
def test_the_monitors_own_rate_at_or_below_is_chosen_or_one_a_little_above(hz: int, rate: float) -> None:
    _, monitor = parse(LAPTOP)
    assert round(slower(monitor, hz).rate, 2) == rate


def test_without_a_near_rate_the_pixel_clock_is_slowed_down() -> None:
    laptop, _ = parse(LAPTOP)
    mode = slower(laptop, 20)
    assert (mode.id, mode.name, round(mode.rate, 3)) == ("", "mlos-20-eDP-1", 20.0)
    assert (mode.horizontal, mode.vertical, mode.flags) == (
        laptop.current.horizontal,
        laptop.current.vertical,
        laptop.current.flags,
    )


@dataclass
class Server:
    """An X server, as xrandr sees it. `refuses`: the first words of what it does not do."""

    outputs: list[Output]
    refuses: tuple[str, ...] = ()
    unused: dict[str, Mode] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def run(self, words: Sequence[str]) -> str:
        self.asked.append(" ".join(words))
        if words[0] in self.refuses or " ".join(words) in self.refuses:
            raise Refused(f"xrandr: {words[0]} failed")
        match list(words):
            case ["--current", "--verbose"]:
                return "Screen 0: whatever\n" + "".join(map(shown, self.outputs))
            case ["--newmode", name, clock, *rest]:
                if name in self.unused:
                    raise Refused("xrandr: BadName")
                numbers = [int(word) for word in rest[:8]]
                self.unused[name] = Mode(
                    f"0x{len(self.asked) + 0x100:x}", name, float(clock), tuple(rest[8:]),
                    (numbers[0], numbers[1], numbers[2], numbers[3]), (numbers[4], numbers[5], numbers[6], numbers[7]),
                )  # fmt: skip
            case ["--addmode", output, name]:
                self._replace(output, modes=(*self._at(output).modes, self.unused[name]))
            case ["--delmode", output, name]:
                if name not in [mode.name for mode in self._at(output).modes] or self._at(output).current.name == name:
                    raise Refused("xrandr: BadMatch")
                self._replace(output, modes=tuple(mode for mode in self._at(output).modes if mode.name != name))
            case ["--rmmode", name]:
                if name not in self.unused or any(name == mode.name for one in self.outputs for mode in one.modes):
                    raise Refused("xrandr: BadAccess")
                del self.unused[name]
            case ["--output", output, "--mode", which, *rate]:
                wanted = [mode for mode in self._at(output).modes if which in (mode.id, mode.name)]
                wanted = [mode for mode in wanted if not rate or f"{mode.rate:.2f}" == rate[1]]
                if not wanted:
                    raise Refused(f"xrandr: cannot find mode {which}")
                self._replace(output, current=wanted[0])
            case _:
                raise AssertionError(words)
        return ""

    def _at(self, name: str) -> Output:
        return next(output for output in self.outputs if output.name == name)

    def _replace(self, name: str, **changes: Any) -> None:
        self.outputs = [replace(output, **changes) if output.name == name else output for output in self.outputs]


def shown(output: Output) -> str:
    lines = [f"{output.name} connected 1x1+0+0 ({output.current.id}) normal"]
    for mode in output.modes:
        words = [f"{mode.clock:.3f}MHz", *mode.flags]
        words += ["*current"] if mode.id == output.current.id else []
        words += ["+preferred"] if output.preferred and mode.id == output.preferred.id else []
        lines.append(f"  {mode.name} ({mode.id}) {' '.join(words)}")
        for name, numbers in (("h: width", mode.horizontal), ("v: height", mode.vertical)):
            lines.append("        {} {} start {} end {} total {}".format(name, *numbers))
    return "\n".join([*lines, ""])


def test_screens_are_slowed_down_and_exactly_as_before_afterwards() -> None:
    server = Server(list(parse(LAPTOP)))
    screens = RandR(server.run)
    assert list(screens.slow(20)) == []
    assert [round(output.current.rate, 2) for output in server.outputs] == [20.0, 23.98]
    assert list(screens.restore()) == []
    assert server.outputs == list(parse(LAPTOP))
    assert server.unused == {}
    asked = len(server.asked)
    assert list(screens.restore()) == []
    assert len(server.asked) == asked


def test_another_rate_starts_from_what_was_before_the_first() -> None:
    server = Server(list(parse(LAPTOP)))
    screens = RandR(server.run)
    list(screens.slow(20))
    assert list(screens.slow(10)) == []
    assert [round(output.current.rate, 2) for output in server.outputs] == [10.0, 10.0]
    list(screens.restore())
    assert (server.outputs, server.unused) == (list(parse(LAPTOP)), {})


@pytest.mark.parametrize("refused", ["--newmode", "--addmode", "--output eDP-1 --mode mlos-20-eDP-1"])
def test_a_screen_that_cannot_be_slowed_down_is_left_as_it_was_and_named(refused: str) -> None:
    server = Server(list(parse(LAPTOP)), refuses=(refused,))
    screens = RandR(server.run)
    (problem,) = screens.slow(20)
    assert "eDP-1: cannot be set to 20 Hz" in problem
    assert server.outputs[0] == parse(LAPTOP)[0]
    assert server.unused == {}
    assert round(server.outputs[1].current.rate, 2) == 23.98


def test_what_somebody_else_set_meanwhile_is_left_and_named() -> None:
    server = Server(list(parse(LAPTOP)))
    screens = RandR(server.run)
    list(screens.slow(20))
    server.run(("--output", "eDP-1", "--mode", "0x49"))
    (problem,) = screens.restore()
    assert "eDP-1: not set back to 59.93 Hz: somebody set it to 1280x720 at 59.86 Hz meanwhile" in problem
    assert server.outputs[0].current.id == "0x49"
    assert server.unused == {}


def test_a_monitor_that_was_plugged_in_anew_is_set_back_by_name_and_rate() -> None:
    server = Server(list(parse(LAPTOP)))
    screens = RandR(server.run)
    list(screens.slow(20))
    renumbered = [replace(mode, id=f"0x9{mode.id[2:]}") for mode in server.outputs[1].modes]
    server.outputs[1] = replace(server.outputs[1], modes=tuple(renumbered), current=renumbered[3])
    assert list(screens.restore()) == []
    assert server.outputs[1].current == renumbered[0]


def test_a_screen_that_is_gone_is_none_to_put_back() -> None:
    server = Server(list(parse(LAPTOP)))
    screens = RandR(server.run)
    list(screens.slow(20))
    del server.outputs[1]
    assert list(screens.restore()) == []


def test_the_mode_of_an_agent_that_was_killed_is_no_mode_to_go_back_to() -> None:
    server = Server(list(parse(LAPTOP)))
    list(RandR(server.run).slow(20))
    screens = RandR(server.run)
    assert list(screens.slow(20)) == []
    assert round(server.outputs[0].current.rate, 2) == 20.0
    assert list(screens.restore()) == []
    assert server.outputs[0] == parse(LAPTOP)[0]
    assert server.unused == {}


def test_xwayland_is_told_apart() -> None:
    (output,) = parse(DUMMY.replace("DUMMY0", "XWAYLAND0"))
    server = Server([output])
    assert list(RandR(server.run).slow(20)) == [
        "XWAYLAND0: a Wayland session has no interface for the rate of its screens"
    ]
    assert server.asked == ["--current --verbose"]


def test_no_screen_and_no_server_are_said() -> None:
    assert list(RandR(Server([]).run).slow(20)) == ["no screen is on"]
    assert list(RandR(Server([], refuses=("--current",)).run).slow(20)) == ["xrandr: --current failed"]


@dataclass
class Screen:
    """Writes down what is done to it."""

    done: list[object] = field(default_factory=list)

    def slow(self, hz: int) -> list[str]:
        self.done.append(hz)
        return ["a problem"]

    def restore(self) -> list[str]:
        self.done.append("restored")
        return []


def test_the_screen_follows_the_states_and_is_put_back_at_the_end() -> None:
    screen, told = Screen(), list[str]()
    screen_agent.follow([None, 20, 20, None, 30], screen, told.append)
    assert screen.done == [20, "restored", 30, "restored"]
    assert told == ["a problem", "a problem"]


@pytest.mark.parametrize("error", [Unreachable("gone"), KeyboardInterrupt(), Refused("no")])
def test_whatever_ends_it_the_screen_is_put_back(error: BaseException) -> None:
    def states() -> Iterator[int | None]:
        yield 20
        raise error

    screen = Screen()
    with pytest.raises(type(error)):
        screen_agent.follow(states(), screen, lambda _: None)
    assert screen.done == [20, "restored"]


class Daemon(Address):
    """One that says these rates at each connection; None: nobody listens."""

    __slots__ = ("sessions",)

    def __init__(self, *sessions: list[int | None] | None) -> None:
        super().__init__(socket="/nowhere", root=None)
        self.sessions = iter(sessions)

    def connect(self) -> Any:
        session = next(self.sessions)
        if session is None:
            raise Unreachable("nobody answers")

        hz_of_session = session

        class Connection:
            def stream(self, method: str, parameters: dict[str, Any]) -> Iterator[dict[str, Any]]:
                assert method == "io.mlosd.Mode.Status"
                for hz in hz_of_session:
                    yield {"mode": {"screen_hz": hz}}
                raise Unreachable("mlosd hung up")

        return Connection()


def test_a_daemon_that_goes_away_ends_the_mode_and_is_waited_for() -> None:
    slept = list[float]()
    states = screen_agent.states(Daemon([None, 20], None, [15]), None, sleep=slept.append)
    assert list(islice(states, 5)) == [None, 20, None, 15, None]
    assert slept == [screen_agent.RETRY_SECONDS] * 2


def test_ones_own_rate_is_taken_whenever_the_mode_asks_for_one() -> None:
    assert list(islice(screen_agent.states(Daemon([None, 20]), 30), 3)) == [None, 30, None]


def test_without_a_daemon_at_the_start_it_says_so() -> None:
    with pytest.raises(Unreachable):
        next(screen_agent.states(Daemon(None), None))


@pytest.mark.parametrize(
    ("environment", "reason"),
    [({}, "DISPLAY is not set"), ({"DISPLAY": ":0", "XDG_SESSION_TYPE": "wayland"}, "a Wayland session")],
)
def test_outside_an_x11_session_the_agent_refuses(
    environment: dict[str, str], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "XDG_SESSION_TYPE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(Refused, match=reason):
        screen_agent.run(Daemon())
