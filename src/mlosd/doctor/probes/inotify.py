"""inotify: make a file in a watched directory, and hear of it."""

from inotify_simple import INotify, flags

from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe
from mlosd.doctor.verdict import Degraded, Ok, Unavailable, Verdict

_FEW = 65536


def run(host: Host) -> Verdict:
    with INotify() as inotify:
        inotify.add_watch(str(host.scratch), flags.CLOSE_WRITE)
        file = host.scratch / "drop"
        file.write_bytes(b"")
        try:
            names = [event.name for event in inotify.read(timeout=1000)]
        finally:
            file.unlink()
    if "drop" not in names:
        return Unavailable("a file was written in a watched directory, and no event came")
    watches = int((host.proc / "sys/fs/inotify/max_user_watches").read_text(encoding="ascii"))
    if watches < _FEW:
        return Degraded(f"works, but for {watches} directories at most", "sysctl fs.inotify.max_user_watches=524288")
    return Ok(f"hears of a new file; up to {watches} directories")


PROBE = Probe(
    name="inotify",
    group=Feature.DRIFT,
    purpose="Notices that a dataset has changed, and scans what is new.",
    used_by=(Feature.DRIFT,),
    run=run,
)
