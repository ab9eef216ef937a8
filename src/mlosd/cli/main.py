"""mlosctl: what people and scripts type to talk to mlosd. One module per noun, loaded when it is asked for."""

import os
import sys

from mlosd import __version__

NOUNS = {
    "run": "Run a command as a job, on this terminal.",
    "job": "Submit, list, follow, stop and freeze jobs.",
    "mode": "Put training first on this machine, and everything back afterwards.",
    "project": "Register project directories.",
    "lineage": "Show what something was made from, and what was made of it.",
    "dataset": "Look at datasets and whether they changed.",
    "export": "Export everything that mlosd knows of yours.",
    "import": "Take in what MLflow, DVC or another mlosd knows.",
    "model": "Look at models and their versions, move aliases, roll back.",
    "status": "Show what the daemon is and how it fares.",
    "watch": "Print what happens, as it happens.",
    "doctor": "Say what works on this machine, what does not, and why.",
    "config": "Show every setting in effect and where it comes from.",
    "completion": "Print the completion script of a shell.",
}


def main() -> None:
    """The mlosctl command."""
    _open_what_is_closed()
    code = run(sys.argv[1:])
    # Everything is flushed, and taking the interpreter apart would take a tenth of what a short job costs.
    os._exit(code)


def run(argv: list[str]) -> int:
    """Do what `argv` says; the exit code."""
    from mlosd.cli import ending

    return ending.of(lambda: _act(argv))


def _open_what_is_closed() -> None:
    """After `mlosctl ... <&-`: or the next descriptor, one of our own, would be a stream of ours and of the job.

    They are open the wrong way round, so that who uses one hears EBADF, as if it were closed.
    """
    for fd, wrong_way in enumerate((os.O_WRONLY, os.O_RDONLY, os.O_RDONLY)):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, wrong_way)
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)


def _act(argv: list[str]) -> int:
    if argv == ["--version"]:
        print(f"mlosctl {__version__}")
        return 0
    from mlosd.cli import quick

    if (work := quick.understood(argv)) is not None:
        return work()
    from mlosd.cli import program

    return program.run(argv)


if __name__ == "__main__":
    main()
