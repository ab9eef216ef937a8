"""Write mlosd.toml.5 from the shipped settings, whose comments are their manual: python docs/man/settings.py."""

import re
from collections.abc import Iterator
from pathlib import Path

from mlosd import __version__
from mlosd.core import data

HERE = Path(__file__).resolve().parent
DATE = "2026-11-28"
PAGE = "mlosd.toml.5"

BEFORE = f""".\\" Made by docs/man/settings.py from daemon/mlosd.toml; change that instead.
.TH MLOSD.TOML 5 "{DATE}" "mlosd {__version__}" "mlosd"
.SH NAME
mlosd.toml \\- settings of the mlosd daemon
.SH DESCRIPTION
The shipped file has every setting and its default.
What is to be different goes into
.IR /etc/mlosd/mlosd.toml ,
or into files in
.IR /etc/mlosd/mlosd.toml.d/ ,
read in the order of their names.
The last word wins.
An unknown key, or a value of the wrong type, is an error that names the file and the key, and mlosd does not start.
.B mlosctl config show
prints what is in effect and which file said so."""

AFTER = """.SH EXAMPLE
.EX
# /etc/mlosd/mlosd.toml.d/50\\-this\\-box.toml
[jobs]
cpus = 30
memory_reserve_mib = 8192
.EE
.SH SEE ALSO
.BR mlosd (8),
.BR mlosctl\\-config (1)"""


def page() -> str:
    """The whole page."""
    return "\n".join([BEFORE, *_sections(data.path("mlosd.toml").read_text("utf-8").splitlines()), AFTER]) + "\n"


def _sections(lines: list[str]) -> Iterator[str]:
    comment: list[str] = []
    for line in lines[lines.index("[daemon]") :]:
        if line.startswith("#"):
            comment.append(line.removeprefix("#").strip())
        elif section := re.fullmatch(r"\[(.+)\]", line):
            yield f".SH [{section[1]}]"
        elif setting := re.fullmatch(r"(\w+) = (.+)", line):
            yield f'.TP\n.BR {setting[1]} " = {_escaped(setting[2])}"'
            yield _escaped(" ".join(comment))
            comment = []


def _escaped(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-").replace('"', "\\(dq")


if __name__ == "__main__":
    (HERE / PAGE).write_text(page(), encoding="utf-8")
