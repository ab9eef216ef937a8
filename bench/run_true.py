"""What does `mlosctl run true` cost over bare `true`, from the keyboard to the prompt?

Beside it: bare `true`, task-spooler (`tsp -f true`), and where PID 1 is systemd `systemd-run --wait true`.
The rounds take turns; the figures are medians of whole processes, in milliseconds.
"""

import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import daemon

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 15


def main() -> None:
    daemon.machine()
    with daemon.mlosd() as (root, _), tempfile.TemporaryDirectory() as spool:
        mlosctl = Path(sys.executable).parent / "mlosctl"
        ways: dict[str, Callable[[], float]] = {
            "true": lambda: daemon.seconds(["true"]),
            "mlosctl run true": lambda: daemon.seconds([mlosctl, "--root", root, "run", "true"]),
            "python -c pass": lambda: daemon.seconds([sys.executable, "-c", "pass"]),
            "start in the daemon": lambda: start_in_the_daemon(root),
        }
        if shutil.which("tsp"):
            environment = {**os.environ, "TS_SOCKET": f"{spool}/socket", "TMPDIR": spool}
            ways["tsp -f true"] = lambda: daemon.seconds(["tsp", "-f", "true"], env=environment)
        if Path("/run/systemd/system").is_dir():
            ways["systemd-run --wait true"] = lambda: daemon.seconds(["systemd-run", "--quiet", "--wait", "true"])
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(ROUNDS + 1):
            for way, measure in ways.items():
                times[way].append(measure() * 1000)
        if "tsp -f true" in ways:
            daemon.seconds(["tsp", "-K"], env=environment)
    bare = daemon.spread(times["true"][1:])["median"]
    for way, values in times.items():
        # The first round fills caches and starts task-spooler's server.
        figures = daemon.spread(values[1:])
        daemon.tell(way=way, milliseconds=figures, over_bare=round(figures["median"] - bare, 1), rounds=ROUNDS)


def start_in_the_daemon(root: Path) -> float:
    """Seconds from the arrival of a submission to the command's start, by the daemon's and the keeper's own clocks."""
    with daemon.connect(root) as connection:
        job = {"argv": ["true"], "cwd": "/", "environment": {}}
        id_ = connection.call("io.mlosd.Jobs.Submit", {"job": job})["id"]
        done = next(
            r["job"] for r in connection.stream("io.mlosd.Jobs.Wait", {"id": id_}) if r["job"]["state"] == "DONE"
        )
    time.sleep(0.01)
    return float(done["started_at"] - done["submitted_at"])


if __name__ == "__main__":
    main()
