"""`job submit`: one job from the command line, or thousands from stdin over one connection."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlosd.cli.reach import Address
from mlosd.cli.request import request
from mlosd.core.errors import BadRequest, MlosError

SUBMIT = "io.mlosd.Jobs.Submit"


def one(address: Address, job: dict[str, object]) -> dict[str, Any]:
    """Submit one job; the daemon's answer."""
    return address.connect().call(SUBMIT, {"job": job})


def command_lines(lines: Iterable[str]) -> list[list[str]]:
    """The words of each line, as a shell would split them; blank lines and comments are left out."""
    commands = []
    for number, line in enumerate(lines, start=1):
        try:
            words = shlex.split(line, comments=True)
        except ValueError as e:
            raise BadRequest(
                f"line {number} of stdin: {e}", hint="quote it as for a shell; nothing was submitted"
            ) from e
        if words:
            commands.append(words)
    return commands


def many(
    address: Address, commands: Iterable[list[str]], asked: Mapping[str, Any]
) -> Iterator[dict[str, Any] | MlosError]:
    """Submit them all without waiting for each answer; the answers and refusals, in order."""
    common = request(["-"], asked)
    yield from address.connect().pipeline((SUBMIT, {"job": {**common, "argv": argv}}) for argv in commands)
