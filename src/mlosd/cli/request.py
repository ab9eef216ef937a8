"""What a job asks for: the options of `run` and `job submit`, once, and the request that they make.

Nothing here needs click: `mlosctl run` reads its words with `take` when they are plain ones (quick.py).
"""

import os
from collections.abc import Callable, Mapping, Sequence

from mlosd.cli import quantity
from mlosd.core.errors import BadRequest, NotFound

Reader = Callable[[str], str | int]


class Ask:
    """An option with a value: how it is typed, what it is called on the wire, and how its text is read."""

    __slots__ = ("field", "flag", "help", "metavar", "read")

    def __init__(self, flag: str, metavar: str, read: Reader, help_: str) -> None:
        self.flag, self.metavar, self.read, self.help = flag, metavar, read, help_
        self.field = flag[2:].replace("-", "_")


def _text(text: str) -> str:
    if not text:
        raise BadRequest("an empty value", hint="leave the option out")
    return text


def _environment(text: str) -> str:
    if "=" in text:
        raise BadRequest(
            f"{text!r} is a variable; --env names an environment: prod, dev, ci, data",
            hint=f"the job gets the variables of your shell: {text} mlosctl run ...",
        )
    return _text(text)


WHERE = (
    Ask("--root", "DIR", _text, "Talk to the daemon that keeps its state below DIR. [env: MLOSD_ROOT]"),
    Ask("--socket", "PATH", _text, "Talk to the daemon that listens at PATH. [env: MLOSD_SOCKET]"),
)
LIMITS = (
    Ask("--cpus", "N", quantity.count, "CPUs of its own."),
    Ask("--memory", "SIZE", quantity.size, "Most memory it may use, e.g. 8G; beyond that it is killed."),
    Ask("--io-weight", "N", quantity.count, "Share of the disks, 1 to 10000; others have 100."),
    Ask("--gpus", "N", quantity.count, "GPUs of its own."),
    Ask("--time", "TIME", quantity.duration, "Longest run time, e.g. 2h; then it is stopped."),
)
OPTIONS = (
    Ask("--project", "P", _text, "Project that the job belongs to."),
    Ask("--class", "C", _text, "Job class, which sets what the other options leave open."),
    Ask("--env", "E", _environment, "Environment to run in: prod, dev, ci or data."),
    Ask("--name", "N", _text, "Name shown in lists; the command's by default."),
    *LIMITS,
    Ask("--priority", "N", quantity.whole, "Larger goes first in the queue; 0 by default."),
    Ask("--grace", "TIME", quantity.duration, "Time between SIGTERM and SIGKILL when it is stopped, e.g. 30s."),
)
STRICT = "--strict"
STRICT_HELP = "Refuse the job if this machine cannot enforce one of its limits."
NO_TTY = "--no-tty"
NO_TTY_HELP = "Give the job these file descriptors themselves, no terminal of its own."


def take(
    words: Sequence[str], asks: Sequence[Ask], switches: Sequence[str]
) -> tuple[dict[str, str | int], list[str]] | None:
    """The leading options of `words` by field, and the words after them. None where a word needs a closer look."""
    by_flag = {ask.flag: ask for ask in asks}
    taken: dict[str, str | int] = {}
    left = list(reversed(words))
    while left and left[-1].startswith("-") and left[-1] != "-":
        flag, equals, value = left.pop().partition("=")
        if flag == "--" and not equals:
            break
        if flag in switches and not equals:
            taken[flag[2:].replace("-", "_")] = 1
        elif flag in by_flag and (equals or left):
            ask = by_flag[flag]
            taken[ask.field] = ask.read(value if equals else left.pop())
        else:
            return None
    return taken, left[::-1]


def request(argv: Sequence[str], asked: Mapping[str, object]) -> dict[str, object]:
    """The Request of io.mlosd.Jobs for `argv`, run as if it were started here: this directory, environment, umask."""
    if not argv or not argv[0]:
        raise BadRequest("no command to run", hint="write it after --, e.g. mlosctl run --cpus 2 -- python train.py")
    limits = {ask.field for ask in LIMITS}
    known = {name: value for name, value in asked.items() if value is not None}
    job: dict[str, object] = {
        "argv": list(argv),
        "cwd": _directory(),
        "environment": dict(os.environ),
        "umask": _umask(),
    }
    job.update((name, value) for name, value in known.items() if name not in limits)
    job["limits"] = {name: value for name, value in known.items() if name in limits}
    return job


def _directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 (pathlib is slow to import)
    except FileNotFoundError as e:
        raise NotFound("the current directory no longer exists", hint="cd to one that does") from e


def _umask() -> int:
    # umask(2) can only be read by setting it.
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
