"""What both backends tell the keeper of a job."""

from mlosd.jobs.backend import Launch
from mlosd.kernel.job_files import Knob, LaunchSpec

# memory.high throttles and reclaims before memory.max kills: a job that grows slowly gets a warning, not a bullet.
HIGH_PERCENT = 95
# Half a job computes nothing: when the kernel must kill one process of it, it kills them all.
KILL_WHOLE = Knob("memory.oom.group", "1")


def launch_spec(launch: Launch, *, cgroup: str | None, knobs: tuple[Knob, ...]) -> LaunchSpec:
    """The keeper's orders. `cgroup`: an absolute path, "self" (delegated by systemd), or None."""
    return LaunchSpec(
        id=str(launch.job),
        argv=launch.argv,
        environment=launch.environment,
        cwd=launch.cwd,
        uid=launch.uid,
        gid=launch.gid,
        groups=launch.groups,
        umask=launch.umask,
        terminal=launch.terminal,
        cpus=launch.cpus,
        grace=launch.grace,
        cgroup=cgroup,
        knobs=knobs,
        trace=launch.trace,
    )
