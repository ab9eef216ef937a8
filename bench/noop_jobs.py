"""How many jobs that do nothing get from submission to their recorded end in a second?

Beside it: task-spooler with as many slots, fed by its own client (`tsp true`, which queues and returns). Ours is fed
over one connection (`mlosctl job submit --stdin`), which is how one would hand it many jobs.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from bench import daemon

JOBS = int(sys.argv[1]) if len(sys.argv) > 1 else 2000
ROUNDS = int(sys.argv[2]) if len(sys.argv) > 2 else 5


def main() -> None:
    tsp = daemon.need("tsp", "task-spooler")
    daemon.machine()
    ways: dict[str, Callable[[], float]] = {
        "mlosctl job submit --stdin": lambda: ours(JOBS),
        "tsp": lambda: task_spooler(tsp, JOBS),
    }
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(ROUNDS):
        for way, measure in ways.items():
            rates[way].append(JOBS / measure())
    for way, values in rates.items():
        daemon.tell(way=way, jobs=JOBS, jobs_per_second=daemon.spread(values, digits=0), rounds=ROUNDS)
    ratios = [mine / peer for mine, peer in zip(rates["mlosctl job submit --stdin"], rates["tsp"], strict=True)]
    daemon.tell(ratio_to_tsp=daemon.spread(ratios, digits=2))


def ours(count: int) -> float:
    """Seconds until the end of the last job is on the disk."""
    with daemon.mlosd() as (root, _):
        mlosctl = Path(sys.executable).parent / "mlosctl"
        began = time.perf_counter()
        subprocess.run(
            [mlosctl, "--root", root, "job", "submit", "--stdin", "--quiet"],
            input=b"true\n" * count,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        with daemon.connect(root) as connection:
            while connection.call("io.mlosd.Daemon.Status", {})["jobs"]:
                time.sleep(0.01)
        took = time.perf_counter() - began
        with daemon.connect(root) as connection:
            jobs = connection.call("io.mlosd.Jobs.List", {"all": True})["jobs"]
        assert all(job["result"] == "ok" for job in jobs)
        return took


def task_spooler(tsp: str, count: int) -> float:
    """The same for task-spooler, whose queue and results are in memory."""
    with tempfile.TemporaryDirectory() as spool:
        environment = {**os.environ, "TS_SOCKET": f"{spool}/socket", "TMPDIR": spool, "TS_MAXFINISHED": str(count + 1)}
        slots = str(len(os.sched_getaffinity(0)))
        subprocess.run([tsp, "-S", slots], env=environment, check=True)
        began = time.perf_counter()
        feed = f"i=0; while [ $i -lt {count} ]; do {tsp} true >/dev/null; i=$((i+1)); done; {tsp} -w"
        subprocess.run(["sh", "-c", feed], env=environment, check=True)
        took = time.perf_counter() - began
        subprocess.run([tsp, "-K"], env=environment, check=True)
        return took


if __name__ == "__main__":
    main()
