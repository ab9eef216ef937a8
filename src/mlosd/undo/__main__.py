"""The program: undo what the log says, without the daemon and without anything outside the standard library."""

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

if __package__ in (None, ""):  # run as a folder: `python3 -I -S .../mlosd/undo`
    # Last in line: of the folder above only this package counts, and others there may have the name of a standard one.
    sys.path.append(str(Path(__file__).resolve().parent.parent.parent))

from mlosd.undo import kinds, survivors
from mlosd.undo.kind import Kind
from mlosd.undo.log import Busy, OtherFormat, UndoLog
from mlosd.undo.rollback import Leftover, Report, undo
from mlosd.undo.systemd import Systemd

LOG = Path("/run/mlosd/mode/undo.log")


def main(argv: list[str]) -> int:
    """Exit codes of sysexits(3): 0 all is as before, 75 the daemon has the log, 70 something could not be put back."""
    given = _arguments(argv)
    if not given.log.exists():
        print("{}" if given.json else "nothing to put back: the machine is as it was")
        return os.EX_OK
    if given.after and (who := survivors.keep(given.log.parent, Systemd(given.systemd), after=given.after)):
        print(f"ML mode stays for {who}: the daemon comes back")
        return os.EX_OK
    every = kinds.every(systemd=given.systemd)
    try:
        log = UndoLog(given.log)
    except Busy:
        print("the daemon runs and has the undo log: mlosctl mode restore", file=sys.stderr)
        return os.EX_TEMPFAIL
    except OtherFormat as e:
        print(e, file=sys.stderr)
        return os.EX_SOFTWARE
    except OSError as e:
        print(f"{given.log}: {e.strerror}", file=sys.stderr)
        return os.EX_NOPERM if isinstance(e, PermissionError) else os.EX_IOERR
    report = undo(log, every)
    log.close()
    survivors.forget(given.log.parent)
    if given.json:
        print(json.dumps(_as_json(report, every)))
    else:
        _tell(report, every)
    return os.EX_SOFTWARE if report.failed or report.damaged else os.EX_OK


def _arguments(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mlosd-restore", description="Put back what ML mode changed.")
    parser.add_argument("--log", type=Path, default=LOG, help=f"the undo log ({LOG})")
    parser.add_argument("--systemd", type=Path, help="PID 1's private socket")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    after = parser.add_mutually_exclusive_group()
    for what in ("stop", "failure"):
        text = f"as systemd calls it after a {what}: not if the daemon is about to come back and training still runs"
        after.add_argument(f"--after-{what}", dest="after", action="store_const", const=what, help=text)
    return parser.parse_args(argv)


def _tell(report: Report, every: Mapping[str, Kind]) -> None:
    print(f"{len(report.restored) + len(report.untouched)} put back, {len(report.gone)} gone with their device")
    for one in report.kept:
        print(f"left as it is: {one.pending.target}: {_is(one)} ({one.reason})")
    for one in report.failed:
        print(f"NOT put back: {one.pending.target}: {_is(one)} ({one.reason})", file=sys.stderr)
        if kind := every.get(one.pending.kind):
            print(f"  {kind.command(one.pending.target, one.pending.before)}", file=sys.stderr)
    if report.damaged:
        print(f"lines of the log that nobody can read: {report.damaged}", file=sys.stderr)
    for what in report.unfinished:
        print(f"not finished: {what}", file=sys.stderr)


def _is(one: Leftover) -> str:
    return f"it is {one.now!r}, was {one.pending.before!r} before ML mode"


def _as_json(report: Report, every: Mapping[str, Kind]) -> dict[str, object]:
    return {
        "restored": [one.target for one in (*report.restored, *report.untouched)],
        "gone": [one.target for one in report.gone],
        "kept": [{"target": one.pending.target, "now": one.now, "was": one.pending.before} for one in report.kept],
        "failed": [{"target": one.pending.target, "reason": one.reason, **_paste(one, every)} for one in report.failed],
        "damaged": report.damaged,
    }


def _paste(one: Leftover, every: Mapping[str, Kind]) -> dict[str, str]:
    kind = every.get(one.pending.kind)
    return {"command": kind.command(one.pending.target, one.pending.before)} if kind else {}


def program() -> int:
    """mlosd-restore(8)."""
    return main(sys.argv[1:])


if __name__ == "__main__":
    sys.exit(program())
