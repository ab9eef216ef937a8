"""Directories that are one dataset each: take inventory of them, or change their manifests by what changed.

Owns LIB/manifests, where the state of every file is kept (state.py). Must not own: when to look.
"""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mlosd.core.errors import Refused
from mlosd.core.own_thread import in_own_thread
from mlosd.projects import inventory, manifest, state
from mlosd.projects.inventory import Task
from mlosd.projects.manifest import Entry, ManifestDamaged
from mlosd.projects.rescan import Rescan, Told, find
from mlosd.projects.rights import Rights
from mlosd.projects.state import Record
from mlosd.projects.survey import dataset_found
from mlosd.projects.walk import DIRECTORY, Looking, Plan, open_beneath, parent_of
from mlosd.store.manifests import DatasetRow, Get, Manifests, Put
from mlosd.store.projects import Found, ProjectRow
from mlosd.store.versions import Seen

NODES_AT_ONCE = 500
MOST_BY_HAND = 2000
"""With more changes than this an inventory is quicker."""
_FRESH = "state", "changes", "partial"


@dataclass(frozen=True, slots=True)
class Inventory:
    """How an inventory went. `read`: files whose content had to be read; `changed`: that differ from before."""

    read: int
    changed: int
    busy: int
    unreadable: int


class Datasets:
    """The datasets of all projects."""

    def __init__(self, *, manifests: Manifests, rescan: Rescan, states: Path) -> None:
        self._manifests = manifests
        self._rescan = rescan
        self._states = states
        self._children: set[subprocess.Popen[bytes]] = set()

    def of(self, project: str) -> dict[str, DatasetRow]:
        """The datasets of a project, by path."""
        return {row.path: row for row in self._manifests.datasets(project)}

    def over(self, project: str, path: str) -> str | None:
        """The path of the dataset that this path below the project's root lies in: it has no row of its own."""
        return next((top for top in self.of(project) if path.startswith(f"{top}/")), None)

    def close(self) -> None:
        """End the inventories; what they found is used by the next one."""
        for child in self._children:
            child.kill()

    async def rename(self, project: str, found: Found, row: DatasetRow) -> None:
        """A directory that is known by its handle, under another name or as another inode: the same until looked at."""
        if row.root is not None:
            await self._record(project, found, row.root, {})

    async def begin(self, project: str, found: Found) -> None:
        """A directory turned out to be a dataset. What is in it nobody knows, unless it was there before."""
        if (before := self._manifests.last(project, found.path)) is not None:
            await self._record(project, found, before, {})
            return
        seen = _seen(project, found, None, files=0, size=0)
        await self._manifests.record(lambda get, put: seen, at=time.time())

    async def take(self, project: ProjectRow, root: int, row: DatasetRow, progress: Callable[[int], None]) -> Inventory:
        """Compare every file with what is known, read those that changed, and note the manifest.

        With the rights of the project's owner: nobody learns of files that they could not read.
        """
        try:
            return await self._take(project, root, row, progress)
        except (LookupError, ManifestDamaged):
            if row.root is None:
                raise
            # A node of the manifest is damaged: all of them are written anew, which takes no reading of files.
            return await self._take(project, root, replace(row, root=None), progress)

    async def _take(
        self, project: ProjectRow, root: int, row: DatasetRow, progress: Callable[[int], None]
    ) -> Inventory:
        with ExitStack() as opened:
            directory = open_beneath(root, row.path, os.O_RDONLY | os.O_DIRECTORY)
            opened.callback(os.close, directory)
            self._states.mkdir(mode=0o700, exist_ok=True)
            tally = await self._run(row, directory, project.owner, opened, progress)
            found = await in_own_thread(lambda: _found(directory, row.path))
            if tally["built"] is not None:
                await self._import(self._file(row, "result"))
                new = bytes.fromhex(tally["built"])
                changes: dict[bytes, Entry | None] = {}
            else:
                assert row.root is not None
                new, changes = row.root, await in_own_thread(lambda: _changes(self._file(row, "result")))
        noted = await self._record(project.id, found, new, changes)
        await in_own_thread(lambda: self._finish(row, noted))
        count = tally["changes"]
        if tally["built"] is not None and row.root is not None:
            count = int(noted != row.root)  # so many, or so unclear, that they were not counted
        return Inventory(tally["hashed"], count, tally["busy"], tally["unreadable"])

    async def change(self, project: ProjectRow, root: int, row: DatasetRow, paths: Sequence[str]) -> Told | None:
        """Look at a few paths below a dataset; None: that is not enough, somebody must take inventory."""
        if row.root is None:
            return None
        top, told = f"{row.path}/", Told()
        plan = Plan(role=lambda path: "dataset", is_dataset=lambda path: False, roll_up=1 << 62)
        rights = Rights.of(project.owner)
        found = await in_own_thread(lambda: _below(root, plan, rights, paths))
        if found is None:
            return None
        changes: dict[bytes, Entry | None] = {}
        for gone in await in_own_thread(lambda: [path for path in paths if path not in found and _is_gone(root, path)]):
            if not self._has(row.root, _inside(gone, top)):
                return None  # perhaps a directory; what was in it only the whole tells
            changes[_inside(gone, top)] = None
        records = [Record(path, 0, -1, 0, 0, None) for path in changes]
        for file, content in await self._rescan.read(root, rights, list(found.values()), told):
            if content is None:
                continue
            path = _inside(file.path, top)
            changes[path] = Entry(path, file.size, content.digest)
            records.append(Record(path, file.inode, file.size, file.mtime_ns, file.ctime_ns, content.digest))
        if changes:
            here = await in_own_thread(lambda: _found_beneath(root, row.path))
            try:
                new = await self._record(project.id, here, row.root, changes)
            except (LookupError, ManifestDamaged):
                return None
            told.changed = len(changes) if new != row.root else 0
            await in_own_thread(lambda: state.append(self._file(row, "changes"), records, new))
        return told

    def _has(self, root: bytes, path: bytes) -> bool:
        try:
            return manifest.find(root, path, self._manifests.get) is not None
        except (LookupError, ManifestDamaged):
            return False

    def _file(self, row: DatasetRow, kind: str) -> Path:
        return self._states / f"{row.resource}.{kind}"

    async def _run(
        self, row: DatasetRow, directory: int, owner: int, opened: ExitStack, progress: Callable[[int], None]
    ) -> dict[str, Any]:
        """The child's last word."""
        out, result = self._file(row, "out"), self._file(row, "result")
        if out.exists():  # an inventory that was cut short: what it read need not be read again
            out.replace(self._file(row, "partial"))
        fds = {kind: _open(self._file(row, kind), os.O_RDONLY) for kind in _FRESH}
        fds |= {"out": _open(out, os.O_RDWR | os.O_CREAT | os.O_TRUNC)}
        fds |= {"result": _open(result, os.O_RDWR | os.O_CREAT | os.O_TRUNC)}
        for fd in fds.values():
            if fd >= 0:
                opened.callback(os.close, fd)
        rights = Rights.of(owner)
        task = Task(
            directory,
            **fds,
            root=row.root.hex() if row.root else None,
            uid=rights.uid,
            gid=rights.gid,
            groups=list(rights.groups),
        )
        command = [sys.executable, "-P", "-m", "mlosd.projects.inventory", json.dumps(asdict(task))]
        loop = asyncio.get_running_loop()
        handed = [directory, *(fd for fd in fds.values() if fd >= 0)]

        def run() -> dict[str, Any]:
            last: dict[str, Any] = {}
            with subprocess.Popen(command, stdout=subprocess.PIPE, pass_fds=handed, cwd="/") as child:
                self._children.add(child)
                assert child.stdout is not None
                for line in child.stdout:
                    last = json.loads(line)
                    with suppress(RuntimeError):  # the loop is closed
                        loop.call_soon_threadsafe(progress, last["files"])
            self._children.discard(child)
            if child.returncode or not last.get("done"):
                raise Refused(f"{row.path}: its inventory did not come to an end ({child.returncode})")
            return last

        return await in_own_thread(run)

    async def _import(self, file: Path) -> None:
        with open(file, "rb") as result:
            contents = inventory.nodes(result)
            while some := await in_own_thread(lambda: list(islice(contents, NODES_AT_ONCE))):
                await self._manifests.put(some)

    async def _record(self, project: str, found: Found, root: bytes, changes: Mapping[bytes, Entry | None]) -> bytes:
        """Note the manifest that the changes make of `root`; its root."""
        new = root

        def make(get: Get, put: Put) -> Seen:
            nonlocal new
            new = manifest.update(root, changes, get, put) if changes else root
            held = manifest.summary(new, get)
            return _seen(project, found, new, files=held.files, size=held.size)

        await self._manifests.record(make, at=time.time())
        return new

    def _finish(self, row: DatasetRow, root: bytes) -> None:
        state.finish(self._file(row, "out"), root, final=self._file(row, "state"))
        for kind in ("changes", "partial", "result"):
            self._file(row, kind).unlink(missing_ok=True)


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_CLOEXEC, 0o600)
    except FileNotFoundError:
        return -1


def _changes(file: Path) -> dict[bytes, Entry | None]:
    with open(file, "rb") as result:
        return {
            record.path: Entry(record.path, record.size, record.digest)
            if record.size >= 0 and record.digest is not None
            else None
            for record in state.records(result)
        }


def _found(directory: int, path: str) -> Found:
    """The dataset's directory, as it is now."""
    looking, status = Looking(), os.fstat(directory)
    here, up = looking.parent(directory), looking.parent_of(directory)
    found = dataset_found(here, up, status, path=path, name=path.rpartition("/")[2])
    # The times of a directory do not tell when its files changed: those of this look do, and no two have the same.
    now = time.time_ns()
    return replace(found, mtime_ns=now, ctime_ns=now)


def _found_beneath(root: int, path: str) -> Found:
    fd = open_beneath(root, path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        return _found(fd, path)
    finally:
        os.close(fd)


def _is_gone(root: int, path: str) -> bool:
    try:
        with parent_of(root, path) as (fd, name):
            os.stat(name, dir_fd=fd, follow_symlinks=False)
    except OSError:
        return True
    return False


def _below(root: int, plan: Plan, rights: Rights, paths: Sequence[str]) -> dict[str, Found] | None:
    """The files at and below these paths; None: too many to do one by one."""
    found: dict[str, Found] = {}
    with rights.taken():
        for path in paths:
            found |= {file.path: file for file in find(root, plan, path)}
            if len(found) > MOST_BY_HAND:
                return None
    return found


def _seen(project: str, found: Found, root: bytes | None, *, files: int, size: int) -> Seen:
    return Seen(
        project=project,
        path=found.path,
        role="dataset",
        role_by="observed",
        filesystem=found.filesystem,
        handle_type=found.handle_type,
        handle=found.handle,
        parent_type=found.parent_type,
        parent=found.parent,
        name=found.name,
        inode=found.inode,
        size=size,
        mtime_ns=found.mtime_ns if root else 0,
        ctime_ns=found.ctime_ns if root else 0,
        digest=root,
        format=DIRECTORY,
        header=json.dumps({"role": "dataset", "files": files}) if root else None,
        manifest=root,
    )


def _inside(path: str, top: str) -> bytes:
    return os.fsencode(path.removeprefix(top))
