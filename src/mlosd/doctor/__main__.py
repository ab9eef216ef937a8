"""`python -m mlosd.doctor`: what `mlosctl doctor` runs.

Exit status 0: jobs can run here; 1: something that they need is missing.
"""

import argparse
import os
import platform
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from mlosd.doctor import report
from mlosd.doctor.host import Host

_STATE = Path("/var/lib/mlosd")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    state = options.root / "lib" if options.root else _STATE
    with tempfile.TemporaryDirectory(prefix="mlosd-doctor-") as scratch:
        host = Host(state=state, scratch=Path(scratch))
        try:
            return _json(host) if options.json else _table(host)
        except BrokenPipeError:
            # Whoever read us has gone. The interpreter must not try again at its end (docs.python.org, signal).
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return os.EX_IOERR
        except KeyboardInterrupt:
            return 128 + signal.SIGINT


def _json(host: Host) -> int:
    findings = []
    for finding in report.collect(host):
        report.write_json(finding, sys.stdout)
        findings.append(finding)
    return 0 if report.runs_jobs(findings) else 1


def _table(host: Host) -> int:
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    findings = tuple(report.collect(host, _show if sys.stderr.isatty() else _say_nothing))
    if sys.stderr.isatty():
        _show("")
    who = "root" if host.uid == 0 else f"user {host.uid}"
    sys.stdout.write(f"mlosd doctor: Linux {platform.release()} on {platform.node()}, asked by {who}\n")
    if host.uid != 0:
        sys.stdout.write("This is what an mlosd of your own could do. For that of the system: sudo mlosctl doctor\n")
    report.write_table(findings, report.Page.of(sys.stdout, colour=colour))
    return 0 if report.runs_jobs(findings) else 1


def _show(name: str) -> None:
    """One line that overwrites itself, gone when all is done."""
    sys.stderr.write(f"\r\033[K{f'trying {name} ...' if name else ''}")
    sys.stderr.flush()


def _say_nothing(_: str) -> None:
    pass


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="mlosctl doctor",
        description="Try every mechanism of this machine that mlosd uses, and say what works. Changes nothing.",
    )
    parser.add_argument("--json", action="store_true", help="one JSON object per line, for programs")
    parser.add_argument("--root", type=Path, metavar="DIR", help="look at the file system of DIR, as mlosd --root DIR")
    return parser


if __name__ == "__main__":
    sys.exit(main())
