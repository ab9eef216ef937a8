"""Mount namespaces: a private one with a mount of its own that nobody outside sees; and nested ones."""

from pathlib import Path

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import AS_ROOT, Degraded, Ok, Unavailable, Verdict
from mlosd.kernel.namespaces import CloneFlags, MountFlags, mount, unshare


def run_private(host: Host) -> Verdict:
    if host.uid != 0:
        unshare(CloneFlags.NEWUSER | CloneFlags.NEWNS)
        return Degraded("only inside a user namespace of your own", AS_ROOT)
    unshare(CloneFlags.NEWNS)
    # Slave: what the host mounts later still comes in, what we mount stays in.
    mount("none", Path("/"), None, MountFlags.REC | MountFlags.SLAVE)
    mount("tmpfs", host.scratch, "tmpfs", MountFlags.NOSUID | MountFlags.NODEV)
    (host.scratch / "inside").touch()
    mount(str(host.scratch), host.scratch, None, MountFlags.BIND)
    mount("none", host.scratch, None, MountFlags.REMOUNT | MountFlags.BIND | MountFlags.RDONLY)
    try:
        (host.scratch / "inside").write_text("not read-only")
    except OSError:
        return Ok("made a private one with a read-only view in it")
    return Unavailable("a read-only view could still be written to")


def run_nested(_: Host) -> Verdict:
    try:
        unshare(CloneFlags.NEWUSER | CloneFlags.NEWNS)
    except PermissionError:
        return Degraded("programs of plain users may not make any: a policy of this machine")
    except OSError as e:
        return Degraded(f"programs inside a job may not make any: {e.strerror}")
    return Ok("programs inside a job may make their own")


PROBES = (
    Probe(
        name="mount namespaces",
        group=Feature.LINEAGE,
        purpose="Gives each job a view of the disks of its own, so that what it reads is told apart from all else.",
        needed_by=(Feature.LINEAGE,),
        used_by=(Feature.GUARD,),
        run=run_private,
    ),
    Probe(
        name="nested namespaces",
        group=Feature.LINEAGE,
        purpose="Lets containers (bwrap, podman, apptainer) run inside a job.",
        used_by=(Feature.LINEAGE,),
        run=run_nested,
    ),
)
