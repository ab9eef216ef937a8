"""`python -m mlosd.config [--json]`: the settings in effect, without a daemon.

For the daemon itself (apart.py): `--values [--own=FILE]`, all of it as one JSON object, FILE read last;
`--project [--as=UID:GID]`, what the mlos.toml on standard input says, read as that user. Both give an error as
{"error": ..., "hint": ...}.
"""

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from mlosd.config import project
from mlosd.config.load import files, load
from mlosd.core.errors import MlosError


def main(arguments: list[str]) -> int:
    """Print what was asked for. Exits with a sysexits(3) code."""
    for_the_daemon = "--values" in arguments or "--project" in arguments
    try:
        if "--project" in arguments:
            _tell(asdict(_project([a.removeprefix("--as=") for a in arguments if a.startswith("--as=")])))
        elif "--values" in arguments:
            own = [Path(a.removeprefix("--own=")) for a in arguments if a.startswith("--own=")]
            _tell(asdict(load([*files(), *(file for file in own if file.is_file())])))
        elif "--json" in arguments:
            for origin in load().origins:
                _tell(asdict(origin))
        else:
            for origin in load().origins:
                print(f"{origin.key} = {origin.value}  ({origin.file})")
    except MlosError as e:
        if for_the_daemon:
            _tell({"error": e.message, "hint": e.hint})
        else:
            print(f"mlosctl: {e.message}", *([f" hint: {e.hint}"] if e.hint else []), sep="\n", file=sys.stderr)
        return e.exit_code
    return os.EX_OK


def _project(identity: list[str]) -> project.ProjectFile:
    # Whatever the parser imports at its first use, it imports while it still may.
    project.parse(b"")
    for uid, gid in (map(int, one.split(":")) for one in identity):
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    return project.parse(sys.stdin.buffer.read())


def _tell(value: object) -> None:
    print(json.dumps(value))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
