"""Write mlosd-knobs.7 from the knobs, whose docstrings are their manual: python docs/man/knobs.py."""

import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from mlosd import __version__
from mlosd.mode.knob import AnyKnob
from mlosd.mode.knobs import Described, described

HERE = Path(__file__).resolve().parent
DATE = "2026-11-28"
PAGE = "mlosd-knobs.7"

BEFORE = f""".\\" Made by docs/man/knobs.py from the docstrings in src/mlosd/mode/knobs; change those instead.
.TH MLOSD\\-KNOBS 7 "{DATE}" "mlosd {__version__}" "mlosd"
.SH NAME
mlosd\\-knobs \\- what ML mode sets on a machine
.SH DESCRIPTION
A knob is something of the machine that ML mode may set while training runs, and puts back afterwards.
Which knobs are set, and to what, is said by the profile of the mode and by
.BR "mlosctl mode enter \\-\\-set" " \\fIknob\\fR=\\fIvalue\\fR;"
the value
.B false
leaves a knob out.
.B mlosctl mode plan
shows every value that would be written, and what this machine does not have; it writes nothing.
.PP
Without a
.I core
knob the mode is not entered, if the machine has such a thing at all.
An
.I optional
one that is refused is listed.
An
.I opt\\-in
one is only set where a person asked for it.
.PP
What goes through the
.I undo log
is remembered before it is written and put back when the mode ends, also after a crash; a value that somebody else
changed meanwhile is left as it is and named.
A
.I lease
is let go by the kernel or the bus when mlosd dies.
.SH KNOBS
In the order in which they are set."""

AFTER = """.SH SEE ALSO
.BR mlosctl\\-mode (1),
.BR mlosd.toml (5),
.BR mlosd (8)"""


def page() -> str:
    """The whole page."""
    return "\n".join([BEFORE, *(line for one in described().values() for line in _knob(one)), AFTER]) + "\n"


def _knob(one: Described) -> Iterator[str]:
    yield f".SS {_escaped(one.knob.name)}"
    for number, paragraph in enumerate(one.manual.split("\n\n")):
        if number:
            yield ".PP"
        yield from _paragraph(paragraph)
    yield ".TP"
    yield f".I {_escaped(one.knob.use)}"
    yield from _wrapped(" ".join(_facts(one.knob)))


def _facts(knob: AnyKnob) -> Iterator[str]:
    through = {"undo log": "the undo log", "lease": "a lease"}.get(knob.through, knob.through)
    yield f"Set through {through}."
    if values := _values(knob):
        yield f"Value: {values}."
    if knob.rivals:
        yield f"Also set by {', '.join(knob.rivals)}."


def _values(knob: AnyKnob) -> str | None:
    """What it accepts, in the words in which it refuses."""
    try:
        knob.accepts("")
    except ValueError as e:
        return re.sub(r"'([^']*)'", r'"\1"', str(e))
    return None


def _paragraph(text: str) -> Iterator[str]:
    if all(line.startswith("    ") for line in text.splitlines()):
        yield from (".EX", *map(_escaped, textwrap.dedent(text).splitlines()), ".EE")
    else:
        yield from _wrapped(text)


def _wrapped(text: str) -> Iterator[str]:
    yield from map(_escaped, textwrap.wrap(text, 76, break_on_hyphens=False, break_long_words=False))


def _escaped(text: str) -> str:
    """As it is, in roff(7): no escapes, no control lines, hyphens that can be copied."""
    escapes = {"\\": "\\e", "-": "\\-", "'": "\\(aq", "~": "\\(ti", "^": "\\(ha", '"': "\\(dq"}
    text = "".join(escapes.get(letter, letter) for letter in text)
    return f"\\&{text}" if text.startswith(".") else text


if __name__ == "__main__":
    (HERE / PAGE).write_text(page(), encoding="utf-8")
