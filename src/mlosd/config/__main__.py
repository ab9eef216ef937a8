"""`python -m mlosd.config [--json | --values]`: the settings in effect, without a daemon.

`--values` is for the daemon itself (apart.py): one JSON object with the settings and their origins, or an error.
"""

import json
import sys
from dataclasses import asdict

from mlosd.config import project
from mlosd.config.load import load
from mlosd.core.errors import MlosError


def main(arguments: list[str]) -> int:
    """Print one setting per line: `key = value`, and the file it came from."""
    try:
        if "--project" in arguments:
            print(json.dumps(asdict(project.parse(sys.stdin.buffer.read()))))
            return 0
        loaded = load()
    except MlosError as e:
        if "--values" in arguments or "--project" in arguments:
            print(json.dumps({"error": e.message, "hint": e.hint}))
        else:
            print(f"mlosctl: {e.message}", file=sys.stderr)
            print(f" hint: {e.hint}" if e.hint else "", file=sys.stderr, end="\n" if e.hint else "")
        return e.exit_code
    if "--values" in arguments:
        print(json.dumps(asdict(loaded)))
        return 0
    for origin in loaded.origins:
        if "--json" in arguments:
            print(json.dumps(asdict(origin)))
        else:
            print(f"{origin.key} = {origin.value}  ({origin.file})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
