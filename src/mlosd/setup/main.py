"""`mlosd-setup install | uninstall`: from a Python environment that has mlosd in it to a machine that runs it."""

import argparse
import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from mlosd.core import data
from mlosd.core.errors import MlosError, Refused
from mlosd.setup import layout, manifest, place, service

# Where systemd looks for units (systemd.unit(5)).
PREFIXES = ("/usr/local", "/usr")
STATE = (Path("/run/mlosd"), Path("/var/lib/mlosd"), Path("/etc/mlosd"))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit code is one of sysexits(3)."""
    options = _parser().parse_args(arguments)
    try:
        if options.verb == "install":
            install(options.prefix, dry_run=options.dry_run)
        elif options.dry_run:
            describe_uninstall(options.prefix, purge=options.purge)
        else:
            uninstall(options.prefix, purge=options.purge)
    except MlosError as e:
        sys.stderr.write(f"mlosd-setup: {e.message}\n" + (f"  hint: {e.hint}\n" if e.hint else ""))
        return e.exit_code
    except OSError as e:
        sys.stderr.write(f"mlosd-setup: {e.filename or ''}: {e.strerror}\n")
        return os.EX_OSERR
    return os.EX_OK


def install(prefix: Path, *, dry_run: bool) -> None:
    """Put everything in place and start the daemon. Doing it again repairs and upgrades."""
    source = layout.Source(systemd=data.path("systemd"), prefix=Path(sys.prefix))
    plan = place.plan(layout.entries(source, prefix=prefix), list_at=manifest.location(prefix))
    if dry_run:
        _say("\n".join(plan.describe()) or "nothing to do")
        return
    place.carry_out(plan, _say)
    if _is_live(prefix):
        service.activate(prefix, _say)
    else:
        _say(f"nothing was started: systemd is not PID 1, or does not look into {prefix}")


def describe_uninstall(prefix: Path, *, purge: bool) -> None:
    """Say what `uninstall` would remove."""
    installed = manifest.load(manifest.location(prefix))
    lines = [f"remove {path}" for path in (*installed.entries, *(STATE if purge else ()))]
    _say("\n".join(lines) or "nothing to do")


def uninstall(prefix: Path, *, purge: bool) -> None:
    """Take away what `install` put there. `purge`: running jobs, records, output and settings, too."""
    live = _is_live(prefix)
    if live:
        _stop(purge=purge)
    place.take_away(manifest.location(prefix), _say)
    if live:
        service.forget_units()
    if live and purge:
        for folder in STATE:
            shutil.rmtree(folder, ignore_errors=True)
            _say(f"removed {folder}")
        service.remove_group(_say)


def _is_live(prefix: Path) -> bool:
    return str(prefix) in PREFIXES and service.is_running()


def _stop(*, purge: bool) -> None:
    jobs = service.running_jobs()
    if jobs and not purge:
        raise Refused(
            f"{len(jobs)} jobs run; without mlosd nobody would record how they end",
            hint="mlosctl job cancel, or wait for them; --purge ends them",
        )
    service.deactivate(_say)
    if jobs:
        service.stop_jobs(_say)


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="mlosd-setup", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    for verb, text in (
        ("install", "put units, manual pages and completions in place, and start the daemon"),
        ("uninstall", "take them away again; jobs' records and settings stay, unless --purge"),
    ):
        sub = verbs.add_parser(verb, help=text, description=text)
        sub.add_argument(
            "--prefix",
            type=Path,
            default=Path(PREFIXES[0]),
            help="below which folder: /usr/local, or /usr for a package",
        )
        sub.add_argument("--dry-run", action="store_true", help="say what would change, change nothing")
        if verb == "uninstall":
            sub.add_argument("--purge", action="store_true", help="end running jobs; remove records, output, settings")
    return parser


if __name__ == "__main__":
    sys.exit(main())
