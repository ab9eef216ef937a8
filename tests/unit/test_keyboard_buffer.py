"""Keyboards that are ours: whatever is typed, and whenever it ends, nothing is lost, reordered or stuck."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.kernel import evdev
from mlosd.mode.keyboard_buffer import GRACE, MODIFIERS, KeyboardBuffer, Stroke

SECONDS = 10.0
A, B, CTRL, ALT, SHIFT, ESC, F2 = (
    evdev.KEY_A, 48, evdev.KEY_LEFTCTRL, evdev.KEY_RIGHTALT, evdev.KEY_LEFTSHIFT, evdev.KEY_ESC, 60,
)  # fmt: skip


def down(*codes: int) -> list[Stroke]:
    return [Stroke(code, True) for code in codes]


def up(*codes: int) -> list[Stroke]:
    return [Stroke(code, False) for code in codes]


def typed(strokes: list[Stroke], *, at: float = 1.0) -> KeyboardBuffer:
    buffer = KeyboardBuffer(SECONDS, 0.0)
    for stroke in strokes:
        buffer.key(0, stroke.code, int(stroke.down), at)
    return buffer


def test_strokes_wait_for_the_end_of_the_period_and_come_in_order() -> None:
    strokes = down(A) + up(A) + down(B) + up(B)
    buffer = typed(strokes, at=12.5)
    assert buffer.due() == 20.0
    assert buffer.flush() == strokes
    assert buffer.due() is None


def test_nothing_is_due_where_nothing_was_typed() -> None:
    assert KeyboardBuffer(SECONDS, 0.0).due() is None
    assert KeyboardBuffer(SECONDS, 0.0).flush() == []


def test_a_flush_waits_a_little_for_a_moment_without_a_key_down() -> None:
    buffer = typed(down(A))
    assert buffer.due() == SECONDS + GRACE
    buffer.key(0, A, 0, 10.1)
    assert buffer.due() == SECONDS


def test_a_key_held_beyond_a_flush_is_typed_once() -> None:
    buffer = typed(down(A))
    assert buffer.flush() == down(A) + up(A)
    buffer.key(0, A, 0, 11.0)
    assert buffer.flush() == []


def test_the_kernels_repetitions_are_dropped() -> None:
    buffer = typed(down(A))
    for _ in range(30):
        buffer.key(0, A, 2, 1.5)
    assert buffer.flush() == down(A) + up(A)


def test_a_modifier_held_beyond_a_flush_still_modifies() -> None:
    buffer = typed(down(SHIFT, A) + up(A))
    assert buffer.flush() == down(SHIFT, A) + up(A, SHIFT)
    for code, value in ((B, 1), (B, 0), (SHIFT, 0)):
        buffer.key(0, code, value, 12.0)
    assert buffer.flush() == down(SHIFT, B) + up(B, SHIFT)


def test_a_modifier_that_was_of_use_is_not_tapped_again_when_it_is_let_go_of() -> None:
    buffer = typed(down(SHIFT, A) + up(A))
    buffer.flush()
    buffer.key(0, SHIFT, 0, 12.0)
    assert buffer.flush() == []


def test_a_modifier_that_is_held_for_what_comes_is_not_tapped() -> None:
    buffer = typed(down(evdev.KEY_LEFTMETA))
    assert buffer.flush() == []
    buffer.key(0, A, 1, 11.0)
    assert buffer.flush() == down(evdev.KEY_LEFTMETA, A) + up(A, evdev.KEY_LEFTMETA)


def test_a_modifier_alone_is_a_stroke_of_its_own() -> None:
    strokes = down(CTRL, SHIFT) + up(SHIFT, CTRL)  # switches the layout on many desktops
    assert typed(strokes).flush() == strokes


def test_the_release_of_a_key_that_was_down_before_us_is_not_ours() -> None:
    assert typed(up(A)).due() is None


def test_a_key_down_on_two_keyboards_is_down_once() -> None:
    buffer = typed(down(SHIFT))
    buffer.key(1, SHIFT, 1, 1.0)
    buffer.key(0, SHIFT, 0, 1.0)
    buffer.key(0, A, 1, 1.0)
    assert buffer.flush() == down(SHIFT, A) + up(A, SHIFT)


@pytest.mark.parametrize("ctrl", [evdev.KEY_LEFTCTRL, evdev.KEY_RIGHTCTRL])
@pytest.mark.parametrize("alt", [evdev.KEY_LEFTALT, evdev.KEY_RIGHTALT])
def test_the_panic_chord_is_noticed_and_its_escape_reaches_nobody(ctrl: int, alt: int) -> None:
    buffer = typed(down(A) + up(A) + down(alt, ctrl, ESC))
    assert buffer.panicked
    assert buffer.flush() == down(A) + up(A)


@pytest.mark.parametrize(
    "strokes", [down(ESC), down(CTRL, ESC), down(ALT) + up(ALT) + down(CTRL, ESC), down(CTRL, ALT)]
)
def test_less_than_the_whole_chord_is_typing(strokes: list[Stroke]) -> None:
    assert not typed(strokes).panicked


@pytest.mark.parametrize(
    "strokes", [down(evdev.KEY_POWER), down(A) + up(A) + down(CTRL, ALT, F2), down(evdev.KEY_SYSRQ)]
)
def test_who_presses_power_or_switches_the_terminal_does_not_wait(strokes: list[Stroke]) -> None:
    assert typed(strokes, at=1.0).due() == 1.0


def test_what_is_typed_while_sysrq_is_held_does_not_wait_either() -> None:
    buffer = typed(down(ALT, evdev.KEY_SYSRQ))
    buffer.flush()
    buffer.key(0, B, 1, 1.2)
    assert buffer.due() == 1.2
    assert buffer.flush() == down(ALT, evdev.KEY_SYSRQ, B) + up(B, evdev.KEY_SYSRQ, ALT)


def test_after_lost_events_what_is_down_now_counts() -> None:
    buffer = typed(down(A, SHIFT))
    buffer.resync(0, {SHIFT, B}, 2.0)
    assert buffer.flush() == down(A) + up(A) + down(SHIFT, B) + up(B, SHIFT)


def test_keys_of_a_keyboard_that_is_unplugged_are_let_go_of() -> None:
    buffer = typed(down(A))
    buffer.key(1, B, 1, 1.0)
    buffer.resync(0, (), 2.0)
    assert buffer.flush() == down(A, B) + up(A, B)
    assert buffer.flush() == []


def test_strokes_that_nobody_flushes_are_overdue() -> None:
    buffer = typed(down(A))
    assert not buffer.is_overdue(SECONDS * 2)
    assert buffer.is_overdue(SECONDS * 2 + GRACE + 1.1)


@dataclass
class Desktop:
    """Whoever reads the virtual keyboard, through the kernel, which drops what changes nothing."""

    held: list[int] = field(default_factory=list)
    seen: list[tuple[int, frozenset[int]]] = field(default_factory=list)
    taps: list[int] = field(default_factory=list)

    def hear(self, stroke: Stroke) -> None:
        if stroke.down and stroke.code not in self.held:
            self._press(stroke.code)
        elif not stroke.down and stroke.code in self.held:
            self.held.remove(stroke.code)

    def _press(self, code: int) -> None:
        if code in MODIFIERS:
            self.taps.append(code)
        else:
            self.seen.append((code, frozenset(self.held) & MODIFIERS))
        self.held.append(code)

    def keyboard_is_gone(self) -> None:
        self.held.clear()  # input_dev_release_keys()


KEYS = st.sampled_from([A, B, ESC, SHIFT, CTRL, evdev.KEY_LEFTMETA, evdev.KEY_SYSRQ, evdev.KEY_POWER])
ACTIONS = st.one_of(
    st.tuples(st.just("key"), st.integers(0, 1), KEYS),
    st.tuples(st.just("wait"), st.sampled_from([0.01, 0.3, 2.0, 9.9, 25.0]), st.just(0)),
    st.tuples(st.just("lost"), st.integers(0, 1), st.just(0)),
)


@dataclass
class Session:
    """Somebody types; we flush when it is due. `direct` is what the same typing shows without us."""

    buffer: KeyboardBuffer = field(default_factory=lambda: KeyboardBuffer(SECONDS, 0.0))
    desktop: Desktop = field(default_factory=Desktop)
    direct: Desktop = field(default_factory=Desktop)
    now: float = 0.0
    physical: set[tuple[int, int]] = field(default_factory=set)
    pressed_at: list[float] = field(default_factory=list)

    def act(self, what: str, number: float, code: int) -> None:
        match what:
            case "key":
                self._toggle(int(number), code)
            case "lost":
                for keyboard, held in sorted(self.physical):
                    if keyboard == number:
                        self._toggle(keyboard, held)
            case "wait":
                self._wait(number)
        self._flush_if_due()

    def _toggle(self, keyboard: int, code: int) -> None:
        before = {code for _, code in self.physical}
        self.physical ^= {(keyboard, code)}
        after = {code for _, code in self.physical}
        for stroke in down(*(after - before)) + up(*(before - after)):
            shown = len(self.direct.seen)
            self.direct.hear(stroke)
            self.pressed_at += [self.now] * (len(self.direct.seen) - shown)
        self.buffer.key(keyboard, code, int((keyboard, code) in self.physical), self.now)

    def _wait(self, seconds: float) -> None:
        end = self.now + seconds
        while (due := self.buffer.due()) is not None and due <= end:
            self.now = max(self.now, due)
            self._flush_if_due()
        self.now = end

    def _flush_if_due(self) -> None:
        due = self.buffer.due()
        if due is not None and due <= self.now:
            self.flush()

    def flush(self) -> None:
        for stroke in self.buffer.flush():
            self.desktop.hear(stroke)


@given(st.lists(ACTIONS, max_size=60))
def test_every_stroke_arrives_once_in_order_with_the_modifiers_it_was_typed_with(
    actions: list[tuple[str, float, int]],
) -> None:
    session = Session()
    for action in actions:
        session.act(*action)
        assert session.desktop.held == []  # whatever happens now, no key is stuck
    session.flush()
    assert session.desktop.seen == session.direct.seen
    assert session.desktop.held == []


@given(st.lists(ACTIONS, max_size=60))
def test_a_modifier_that_was_tapped_alone_is_tapped(actions: list[tuple[str, float, int]]) -> None:
    session = Session()
    for action in actions:
        session.act(*action)
    session.flush()
    held = {code for _, code in session.physical}
    typed_alone = {code for code in session.direct.taps if code not in held}
    assert typed_alone <= set(session.desktop.taps)


@given(st.lists(ACTIONS, max_size=60), st.data())
def test_a_crash_loses_the_last_seconds_and_leaves_no_key_stuck(
    actions: list[tuple[str, float, int]], data: st.DataObject
) -> None:
    session = Session()
    for action in actions:
        session.act(*action)
    # In the middle of a flush, too.
    strokes = session.buffer.flush()
    for stroke in strokes[: data.draw(st.integers(0, len(strokes)))]:
        session.desktop.hear(stroke)
    session.desktop.keyboard_is_gone()
    arrived = len(session.desktop.seen)
    assert session.desktop.held == []
    assert session.desktop.seen == session.direct.seen[:arrived]
    assert all(session.now - moment <= SECONDS + GRACE for moment in session.pressed_at[arrived:])


@given(st.lists(ACTIONS, max_size=60))
def test_what_a_flush_gives_is_balanced(actions: list[tuple[str, float, int]]) -> None:
    session = Session()
    for what, number, code in actions:
        session.act(what, number, code)
        held: set[int] = set()
        for stroke in session.buffer.flush():
            assert stroke.down != (stroke.code in held)
            held ^= {stroke.code}
            session.desktop.hear(stroke)
        assert held == set()
