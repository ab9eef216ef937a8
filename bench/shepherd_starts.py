"""How many commands that do nothing can the shepherd start and see to their end in a second?

Beside it in the same run: the same commands by `subprocess`, which records nothing and leaves nothing behind to adopt.
Prints one JSON line per way. With --cgroup DIR each job gets a cgroup below that directory, as in production.
"""

import argparse
import asyncio
import json
import os
import subprocess
import tempfile
import time
from pathlib import Path

from mlosd.core import data
from mlosd.kernel.shepherd import LaunchSpec, Shepherd, read_exit, write_spec


def make_jobs(base: Path, count: int, cgroup: Path | None) -> dict[str, Path]:
    jobs = {}
    for number in range(count):
        job = str(number)
        jobdir = base / job
        jobdir.mkdir()
        spec = LaunchSpec(
            id=job,
            argv=("/bin/true",),
            environment={"PATH": "/usr/bin:/bin"},
            cwd="/",
            uid=os.getuid(),
            gid=os.getgid(),
            cgroup=str(cgroup / job) if cgroup else None,
        )
        write_spec(jobdir / "spec", spec)
        jobs[job] = jobdir
    return jobs


async def by_shepherd(base: Path, count: int, cgroup: Path | None) -> dict[str, object]:
    null = os.open("/dev/null", os.O_RDWR)
    shepherd = await Shepherd.connect(base / "shepherd.sock", data.program("mlos-shepherd"))
    await asyncio.sleep(0.1)
    began = time.perf_counter()
    jobs = make_jobs(base, count, cgroup)
    prepared = time.perf_counter()
    await asyncio.gather(
        *(shepherd.start(job, jobdir, stdin=null, stdout=null, stderr=null) for job, jobdir in jobs.items())
    )
    started = time.perf_counter()
    while not all(read_exit(jobdir) for jobdir in jobs.values()):
        await asyncio.sleep(0.01)
    ended = time.perf_counter()
    shepherd.close()
    return {
        "way": "shepherd, a cgroup per job" if cgroup else "shepherd",
        "jobs": count,
        "specs_per_second": round(count / (prepared - began)),
        "starts_per_second": round(count / (started - prepared)),
        "jobs_per_second": round(count / (ended - began)),
        "microseconds_per_job": round((ended - began) / count * 1e6),
    }


def by_subprocess(count: int) -> dict[str, object]:
    began = time.perf_counter()
    running = []
    for _ in range(count):
        running.append(subprocess.Popen(["/bin/true"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL))
        if len(running) == 64:
            for process in running:
                process.wait()
            running.clear()
    for process in running:
        process.wait()
    seconds = time.perf_counter() - began
    return {
        "way": "subprocess, 64 at once",
        "jobs": count,
        "jobs_per_second": round(count / seconds),
        "microseconds_per_job": round(seconds / count * 1e6),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=2000)
    parser.add_argument("--cgroup", type=Path, help="a cgroup (v2) of yours to make the jobs' cgroups in")
    arguments = parser.parse_args()
    print(json.dumps(by_subprocess(arguments.jobs)))
    for cgroup in (None, arguments.cgroup) if arguments.cgroup else (None,):
        # Where the records lie on a real machine: in memory.
        with tempfile.TemporaryDirectory(dir="/dev/shm") as base:
            print(json.dumps(asyncio.run(by_shepherd(Path(base), arguments.jobs, cgroup))))


if __name__ == "__main__":
    main()
