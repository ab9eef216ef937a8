"""The opt-in measures for keyboards, pointers and screens, on real input devices and a real X server."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.vm.guest import Guest

PYTHON = "/opt/mlosd/bin/python"
LAB = "/root/input_lab.py"
XORG = """\
Section "Device"
  Identifier "dummy"
  Driver "dummy"
EndSection
Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AllowEmptyInput" "true"
EndSection
"""
# What the agent does, without a daemon that asks for it.
AGENT = """\
import signal, sys, time
from mlosd.cli import screen_agent
from mlosd.cli.xrandr import RandR

def states():
    yield 20
    open("/run/agent-is-ready", "w").close()
    time.sleep(3600)

for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, screen_agent._end)
try:
    screen_agent.follow(states(), RandR(), print)
except screen_agent._Ended:
    pass
"""
SHOWN = "DISPLAY=:7 xrandr --current"


@pytest.fixture
def lab(mode_guest: Guest) -> Guest:
    """The guest with uinput, and the lab in it."""
    mode_guest.run("modprobe uinput")
    mode_guest.write(LAB, Path(__file__).with_name("input_lab.py").read_bytes())
    return mode_guest


def scenario(guest: Guest, name: str) -> dict[str, Any]:
    seen: dict[str, Any] = json.loads(guest.run(f"{PYTHON} -I {LAB} {name}", timeout=180))
    return seen


def test_strokes_arrive_late_in_order_and_all_of_them(lab: Guest) -> None:
    seen = scenario(lab, "late")
    assert seen["all in order"]
    assert seen["others heard"] == 0
    assert seen["flushes"] <= seen["typed for"] / 2 + 2
    assert seen["waited"] <= seen["typed for"] + 2 + 3
    assert seen["locked"] > 0
    assert seen["said"] == "ended: the daemon is gone"


def test_after_a_kill_at_any_moment_the_keyboard_is_everybodys_and_no_key_is_stuck(lab: Guest) -> None:
    assert scenario(lab, "killed")["rounds"] == [True] * 8


def test_a_keyboard_is_not_taken_while_a_key_is_down(lab: Guest) -> None:
    seen = scenario(lab, "held")
    assert (seen["grabbed while down"], seen["grabbed when up"]) == (False, True)
    assert [stroke for stroke in seen["others"] if stroke[1] != 2] == [[30, 1], [30, 0]]


def test_the_panic_chord_gives_the_keyboard_back_at_once(lab: Guest) -> None:
    seen = scenario(lab, "panic")
    assert seen["said"] == "panic"
    assert seen["took"] < 5
    assert (seen["given on"], seen["others"], seen["down"], seen["grabbed"]) == (True, True, [], False)


def test_what_was_typed_last_is_given_on_when_the_mode_ends(lab: Guest) -> None:
    assert scenario(lab, "released") == {"said": "ended: released", "given on": True, "grabbed": False}


def test_a_keyboard_that_another_program_has_is_left_to_it(lab: Guest) -> None:
    ready, skipped, ended = scenario(lab, "busy")["said"]
    assert ready == "ready"
    assert skipped.endswith(": another program has it")
    assert ended == "ended: no keyboard is left"


def test_a_typist_that_does_not_get_round_to_flushing_loses_the_keyboard(lab: Guest) -> None:
    assert scenario(lab, "stopped") == {"ended by": 14, "grabbed": False}


def test_a_keyboard_that_is_unplugged_is_no_fault(lab: Guest) -> None:
    seen = scenario(lab, "unplugged")
    assert seen["said"] == [f"skipped {seen['path']}: unplugged", "ended: no keyboard is left"]


def test_a_switch_of_the_virtual_terminal_ends_it(lab: Guest) -> None:
    assert scenario(lab, "terminal") == {"said": "ended: another terminal", "given on": True}


def test_a_pointer_that_is_switched_off_sends_nothing_until_it_is_on_again(lab: Guest) -> None:
    lab.run(f"systemd-run -q --unit=lab-mouse --collect {PYTHON} -I {LAB} mouse")
    try:
        lab.eventually('test "$(cat /run/lab-mouse)" = 10')
        look = (
            "from pathlib import Path; from mlosd.mode.knobs.pointers_off import KNOB; "
            "from mlosd.mode.scene import Host, Scene; from mlosd.kernel.topology import Topology; "
            "print(*(w.target for w in KNOB.wishes(True, Scene(Host(), Topology(())))))"
        )
        targets = lab.run(f"{PYTHON} -I -c '{look}'").split()
        names = [
            lab.run(f"cat $(dirname {target})/name").strip() for target in targets if target.endswith("/inhibited")
        ]
        assert "lab mouse" in names
        target = targets[names.index("lab mouse")]
        lab.run(f"echo 1 > {target}")
        lab.eventually('test "$(cat /run/lab-mouse)" = 0')
        lab.run(f"echo 0 > {target}")
        lab.eventually('test "$(cat /run/lab-mouse)" = 10')
    finally:
        lab.run("systemctl stop lab-mouse")


@pytest.fixture
def x_session(mode_guest: Guest) -> Iterator[Guest]:
    """An X server on a screen that nobody sees."""
    mode_guest.write("/root/xorg.conf", XORG.encode())
    mode_guest.write("/root/agent.py", AGENT.encode())
    mode_guest.run(
        "systemd-run -q --unit=lab-x --collect Xorg :7 -config /root/xorg.conf -novtswitch -sharevts vt7 -noreset"
    )
    mode_guest.eventually(SHOWN)
    yield mode_guest
    mode_guest.run("systemctl stop lab-x; rm -f /run/agent-is-ready")


def begin_agent(guest: Guest) -> None:
    guest.run("rm -f /run/agent-is-ready")
    guest.run(f"systemd-run -q --unit=lab-agent --collect -E DISPLAY=:7 {PYTHON} -I /root/agent.py")
    guest.eventually("test -e /run/agent-is-ready")


@pytest.mark.parametrize("number", ["TERM", "INT"])
def test_the_screen_is_slow_while_the_mode_lasts_and_as_before_afterwards(x_session: Guest, number: str) -> None:
    before = x_session.run(SHOWN)
    begin_agent(x_session)
    assert "20.00*" in x_session.run(SHOWN)
    x_session.run(f"systemctl kill -s {number} lab-agent")
    x_session.eventually("! systemctl is-active -q lab-agent")
    assert x_session.run(SHOWN) == before


def test_the_screen_recovers_from_an_agent_that_was_killed(x_session: Guest) -> None:
    before = x_session.run(SHOWN)
    begin_agent(x_session)
    x_session.run("systemctl kill -s KILL lab-agent")
    x_session.eventually("! systemctl is-active -q lab-agent")
    assert "20.00*" in x_session.run(SHOWN)
    begin_agent(x_session)
    x_session.run("systemctl stop lab-agent")
    assert x_session.run(SHOWN) == before
