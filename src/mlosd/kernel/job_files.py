"""The files through which a keeper is told what to start and tells what became of it: `spec`, `started`, `exit`.

All lie in the directory of one job. native/spec.c, native/keeper.c and native/ending.c are the other side.
"""

import contextlib
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Knob:
    """One value for one file of the job's new cgroup. A required one that the kernel refuses stops the start."""

    file: str
    value: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class LaunchSpec:
    """What the keeper shall start, and how. `cgroup` is an absolute path, "self" (delegated by systemd) or None.

    `trace`: where the keeper writes which files and processes the job used (kernel/trace.py); None: it does not look.
    """

    id: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    cwd: str
    uid: int
    gid: int
    groups: tuple[int, ...] = ()
    umask: int = 0o022
    terminal: bool = False
    cpus: tuple[int, ...] | None = None
    grace: float = 10.0
    cgroup: str | None = None
    knobs: tuple[Knob, ...] = ()
    trace: Path | None = None


@dataclass(frozen=True, slots=True)
class StartedRecord:
    """A job that was started: two processes with their start times (proc_pid_stat(5), field 22), in this boot."""

    keeper: int
    keeper_start: int
    pid: int
    pid_start: int
    cgroup: Path | None
    boot_id: str
    at: float
    knobs_failed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """How a job ended: `code`, `signal`, or `error_step` and `error_errno` when its command never ran.

    A None among the costs: this kernel cannot tell. `from_rusage` names those that count only the processes which
    were waited for. `survivors`: something of the job could not be killed within ten seconds.
    """

    code: int | None = None
    signal: int | None = None
    core: bool = False
    cpu_us: int | None = None
    memory_peak: int | None = None
    read_bytes: int | None = None
    written_bytes: int | None = None
    cpu_pressure_us: int | None = None
    memory_pressure_us: int | None = None
    io_pressure_us: int | None = None
    oom_kills: int | None = None
    from_rusage: frozenset[str] = frozenset()
    survivors: bool = False
    at: float = 0.0
    error_step: str | None = None
    error_errno: int | None = None


def write_spec(path: Path, spec: LaunchSpec) -> None:
    """Write the file `spec` of a job's directory. Raises ValueError when a value has a NUL in it."""
    records = list(_records(spec))
    if any("\0" in record for record in records):
        raise ValueError("a NUL byte in the command, its environment or its directory")
    # Names of files are bytes: what Python could not decode goes back as it was.
    text = "".join(f"{record}\0" for record in records).encode("utf-8", "surrogateescape")
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    with open(fd, "wb", buffering=0) as file:
        if file.write(text) != len(text):
            raise OSError(28, "No space left on device", str(path))


def read_started(jobdir: Path) -> StartedRecord | None:
    """The record of the start. None: not started yet, or its keeper died in between (`was_claimed` tells which)."""
    fields = _read(jobdir / "started")
    if not fields:
        return None
    return StartedRecord(
        keeper=int(fields["keeper"]),
        keeper_start=int(fields["keeper_start"]),
        pid=int(fields["pid"]),
        pid_start=int(fields["pid_start"]),
        cgroup=Path(fields["cgroup"]) if "cgroup" in fields else None,
        boot_id=fields["boot_id"],
        at=float(fields["at"]),
        knobs_failed=tuple(fields["knob_failed"].split("\n")) if "knob_failed" in fields else (),
    )


def read_exit(jobdir: Path) -> ExitRecord | None:
    """The record of the end; None while it is not complete."""
    fields = _read(jobdir / "exit")
    if "end" not in fields:
        return None
    numbers = {name: int(fields[name]) for name in _NUMBERS if name in fields}
    return ExitRecord(
        **numbers,
        core=fields.get("core") == "1",
        from_rusage=frozenset(key.removesuffix("_source") for key in fields if key.endswith("_source")),
        survivors="survivors" in fields,
        at=float(fields["at"]),
        error_step=fields.get("error_step"),
    )


def was_claimed(jobdir: Path) -> bool:
    """Whether somebody took the token: a keeper may have started the job, and none will start it from now on."""
    return (jobdir / "started").exists()


def claim(jobdir: Path) -> bool:
    """Take the token, so that no keeper starts this job any more. False: a keeper was faster."""
    try:
        fd = os.open(jobdir / "started", os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return False
    os.close(fd)
    return True


def forget(jobdir: Path) -> None:
    """Remove a job's directory and the files in it."""
    try:
        for name in _FILES:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(f"{jobdir}/{name}")  # noqa: PTH108 - once per job: no objects for a name
        os.rmdir(jobdir)  # noqa: PTH106
    except FileNotFoundError:
        pass
    except OSError:
        # Something else lies there: a keeper's temporary file.
        shutil.rmtree(jobdir, ignore_errors=True)


_FILES = ("spec", "started", "exit")
_LARGEST_RECORD = 1 << 16
_NUMBERS = (
    "code",
    "signal",
    "cpu_us",
    "memory_peak",
    "read_bytes",
    "written_bytes",
    "cpu_pressure_us",
    "memory_pressure_us",
    "io_pressure_us",
    "oom_kills",
    "error_errno",
)


def _records(spec: LaunchSpec) -> Iterator[str]:
    yield f"id={spec.id}"
    yield from (f"argv={argument}" for argument in spec.argv)
    yield from (f"env={name}={value}" for name, value in spec.environment.items())
    yield f"cwd={spec.cwd}"
    yield f"uid={spec.uid}"
    yield f"gid={spec.gid}"
    yield from (f"group={group}" for group in spec.groups)
    yield f"umask={spec.umask:o}"
    yield f"grace={spec.grace:.3f}"
    if spec.terminal:
        yield "terminal=1"
    if spec.cpus is not None:
        yield f"affinity={','.join(map(str, spec.cpus))}"
    if spec.cgroup is not None:
        yield f"cgroup={spec.cgroup}"
    if spec.trace is not None:
        yield f"trace={spec.trace}"
    yield from (f"knob{'!' if knob.required else ''}={knob.file}={knob.value}" for knob in spec.knobs)


def _read(path: Path) -> dict[str, str]:
    """The `key=value` lines of a record. A key that comes again gains a line; "end" has no value."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return {}
    try:
        text = os.read(fd, _LARGEST_RECORD).rstrip(b"\0").decode("utf-8", "surrogateescape")
    finally:
        os.close(fd)
    fields: dict[str, str] = {}
    # What follows the last newline is half a line: still being written.
    for line in text.split("\n")[:-1]:
        key, _, value = line.partition("=")
        fields[key] = f"{fields[key]}\n{value}" if key in fields else value
    return fields
