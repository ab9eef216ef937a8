"""`python -m mlosd.config [--json]`: the settings in effect, without a daemon."""

import json
import sys
from dataclasses import asdict

from mlosd.config.load import load
from mlosd.core.errors import MlosError


def main(arguments: list[str]) -> int:
    """Print one setting per line: `key = value`, and the file it came from."""
    try:
        loaded = load()
    except MlosError as e:
        print(f"mlosctl: {e.message}", file=sys.stderr)
        if e.hint:
            print(f"  hint: {e.hint}", file=sys.stderr)
        return e.exit_code
    for origin in loaded.origins:
        if "--json" in arguments:
            print(json.dumps(asdict(origin), default=str))
        else:
            print(f"{origin.key} = {origin.value}  ({origin.file})")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
