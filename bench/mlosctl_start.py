"""How long until mlosctl has answered a question? Beside it: Python that does nothing.

The rounds take turns; whole processes, in milliseconds. `mlosctl run` has a script of its own, run_true.
"""

import sys
from pathlib import Path

from bench import daemon

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 10


def main() -> None:
    daemon.machine()
    with daemon.mlosd() as (root, _):
        mlosctl: list[str | Path] = [Path(sys.executable).parent / "mlosctl", "--root", root]
        ways: dict[str, list[str | Path]] = {
            "python -c pass": [sys.executable, "-c", "pass"],
            "mlosctl --version": [mlosctl[0], "--version"],
            "mlosctl status": [*mlosctl, "status"],
            "mlosctl config show": [*mlosctl, "config", "show"],
            "mlosctl job list --all": [*mlosctl, "job", "list", "--all"],
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        daemon.seconds([*mlosctl, "run", "true"])
        for _ in range(ROUNDS + 1):
            for way, command in ways.items():
                times[way].append(daemon.seconds(command) * 1000)
    for way, values in times.items():
        daemon.tell(way=way, milliseconds=daemon.spread(values[1:]), rounds=ROUNDS)


if __name__ == "__main__":
    main()
