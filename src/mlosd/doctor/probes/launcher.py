"""mlos-shepherd, the small C program that starts each job: run /bin/true through it, as a job would be."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

from mlosd.core import data
from mlosd.doctor.host import Host
from mlosd.doctor.probe import REINSTALL, Feature, Probe
from mlosd.doctor.verdict import Ok, Unavailable, Verdict
from mlosd.kernel.job_files import ExitRecord, LaunchSpec, read_exit, write_spec

PROGRAM = "mlos-shepherd"


def run(host: Host) -> Verdict:
    program = data.program(PROGRAM)
    if not os.access(program, os.X_OK):
        return Unavailable(f"{program} is not there", REINSTALL)
    with tempfile.TemporaryDirectory(dir=host.scratch) as job:
        return rehearse(program, Path(job))


def rehearse(program: Path, job: Path) -> Verdict:
    """Let the program keep one job, and read how the job ended."""
    spec = LaunchSpec(
        id="0", argv=("/bin/true",), environment={}, cwd="/", uid=os.getuid(), gid=os.getgid(), groups=(), grace=1.0
    )
    write_spec(job / "spec", spec)
    began = time.monotonic()
    keeper = subprocess.run([program, "keep", job], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    milliseconds = (time.monotonic() - began) * 1000
    match read_exit(job):
        case ExitRecord(code=0):
            return Ok(f"ran /bin/true as a job in {milliseconds:.0f} ms")
        case ExitRecord(error_step=str(step)) as ended:
            return Unavailable(f"it could not run /bin/true: {step}: {os.strerror(ended.error_errno or 0)}")
    said = (keeper.stderr or keeper.stdout).decode("utf-8", "replace").strip() or "nothing"
    return Unavailable(f"it ended with status {keeper.returncode} and said {said}", REINSTALL)


PROBE = Probe(
    name="launcher",
    group=Feature.JOBS,
    purpose="Starts each job and writes down how it ended, also while the daemon is away.",
    needed_by=(Feature.JOBS,),
    run=run,
)
