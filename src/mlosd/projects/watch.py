"""See what changes in projects between jobs: inotify on their directories, and when to look at what it told.

Decides when, and must not own what is done about it. Nothing here runs while nothing changes.
"""

import asyncio
import errno
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

from mlosd.kernel import inotify
from mlosd.kernel.inotify import Event, Inotify
from mlosd.projects.walk import is_skipped

QUIET = 0.5
"""Seconds without a further change until a file is looked at."""
LONGEST = 5.0
"""A file that never is quiet is looked at as often as this."""
TOGETHER = 0.1
"""What is due so soon after something else is looked at with it: the two ends of a rename."""
RESCAN_EVERY = (5.0, 60.0)
"""Seconds between two rescans of a root, growing from the first to the second while they are asked for."""

_MASK = (
    inotify.CLOSE_WRITE | inotify.MOVED_FROM | inotify.MOVED_TO | inotify.CREATE | inotify.DELETE
    | inotify.ATTRIB | inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.EXCL_UNLINK
)  # fmt: skip
_APPEARED = inotify.CREATE | inotify.MOVED_TO
_WENT = inotify.DELETE | inotify.MOVED_FROM
_ROOT_WENT = inotify.DELETE_SELF | inotify.MOVE_SELF | inotify.UNMOUNT

Key = TypeVar("Key", bound=Hashable)


class Debounce(Generic[Key]):
    """Which things have been quiet for long enough, or restless for too long. Pure: it is told what time it is."""

    def __init__(self) -> None:
        self._since: dict[Key, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._since)

    def __iter__(self) -> Iterator[Key]:
        return iter(self._since)

    def note(self, key: Key, now: float) -> None:
        """It changed."""
        first, _ = self._since.get(key, (now, now))
        self._since[key] = (first, now)

    def take(self, now: float) -> list[Key]:
        """What is due, and what is almost; nothing when nothing is due."""
        if not any(self._due(times) <= now for times in self._since.values()):
            return []
        due = [key for key, times in self._since.items() if self._due(times) <= now + TOGETHER]
        for key in due:
            del self._since[key]
        return due

    def take_all(self) -> list[Key]:
        """Everything: somebody wants to know now."""
        everything = list(self._since)
        self._since.clear()
        return everything

    def next_due(self) -> float | None:
        """When take() has something."""
        return min(map(self._due, self._since.values()), default=None)

    @staticmethod
    def _due(times: tuple[float, float]) -> float:
        first, last = times
        return min(last + QUIET, first + LONGEST)


class Backoff:
    """When a root may be rescanned: at most so often, ever more seldom while it is asked for, and never forgotten."""

    def __init__(self) -> None:
        self._interval = RESCAN_EVERY[0]
        self._began: float | None = None
        self._due: float | None = None

    @property
    def due(self) -> float | None:
        """When the rescan that was asked for may begin; None: nobody asked since the last one began."""
        return self._due

    def ask(self, now: float) -> float:
        """Something was missed; when the rescan may begin. Asking again before that changes nothing."""
        if self._due is None:
            self._due = now if self._began is None else max(now, self._began + self._interval)
        return self._due

    def begin(self, now: float) -> None:
        """A rescan begins: what is asked for from now on needs another."""
        least, most = RESCAN_EVERY
        restless = self._began is not None and now - self._began < 2 * self._interval
        self._interval = min(self._interval * 2, most) if restless else least
        self._began, self._due = now, None


class Watch:
    """The watched directories of all projects, on one inotify instance.

    `changed(project, path)`: something is not what it was there; `appeared(project, path)`: a directory is new there,
    and nobody watches it yet; `missed(project)`: look at everything, project None: of all projects.
    """

    def __init__(
        self,
        *,
        changed: Callable[[str, str], None],
        appeared: Callable[[str, str], None],
        missed: Callable[[str | None], None],
    ) -> None:
        self._changed = changed
        self._appeared = appeared
        self._missed = missed
        self._inotify: Inotify | None = None
        # A watch is placed by a thread that walks the tree; its first event must not come before we know whose it is.
        self._lock = threading.Lock()
        self._places: dict[int, list[tuple[str, str]]] = {}
        self._watched: dict[str, dict[str, int]] = {}

    def open(self) -> None:
        """Begin to listen. Raises OSError: this user has too many inotify instances."""
        self._inotify = Inotify()
        asyncio.get_running_loop().add_reader(self._inotify.fileno(), self._read)

    def close(self) -> None:
        """Stop listening."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fileno())
            self._inotify.close()
            self._inotify = None

    def add(self, project: str, path: str, directory: int) -> None:
        """Watch an open directory, from any thread. Raises OSError; ENOSPC: the limit of watches is reached."""
        if self._inotify is None:
            raise OSError(errno.EMFILE, "no inotify instance is to be had")
        with self._lock:
            wd = self._inotify.add_watch(directory, _MASK)
            self._forget(project, path)
            self._watched.setdefault(project, {})[path] = wd
            places = self._places.setdefault(wd, [])
            if (project, path) not in places:
                places.append((project, path))

    def drop(self, project: str, below: str = "") -> None:
        """Watch no directory of a project at and below this path."""
        with self._lock:
            paths = self._watched.get(project, {})
            for path in [p for p in paths if not below or p == below or p.startswith(f"{below}/")]:
                self._forget(project, path)

    def catch_up(self) -> None:
        """Tell at once what the kernel has told already."""
        if self._inotify is not None:
            self._read()

    def count(self, project: str) -> int:
        """How many directories of a project are watched."""
        return len(self._watched.get(project, ()))

    def _forget(self, project: str, path: str) -> None:
        wd = self._watched.get(project, {}).pop(path, None)
        if wd is None:
            return
        places = self._places.get(wd, [])
        if (project, path) in places:
            places.remove((project, path))
        if not places:
            self._places.pop(wd, None)
            if self._inotify is not None:
                with suppress(OSError):  # the directory is gone, and its watch with it
                    self._inotify.rm_watch(wd)

    def _read(self) -> None:
        assert self._inotify is not None
        with self._lock:
            events = [(event, list(self._places.get(event.wd, ()))) for event in self._inotify.read()]
        for event, places in events:
            if event.mask & inotify.Q_OVERFLOW:
                self._missed(None)
            for project, directory in places:
                self._tell(event, project, directory)

    def _tell(self, event: Event, project: str, directory: str) -> None:
        name = event.name.decode("utf-8", "surrogateescape")
        path = f"{directory}/{name}" if directory and name else directory or name
        is_directory = bool(event.mask & inotify.ISDIR)
        if event.mask & inotify.IGNORED:
            with self._lock:
                if self._watched.get(project, {}).get(directory) == event.wd:
                    self._forget(project, directory)
        elif not name:
            if event.mask & _ROOT_WENT and not directory:
                self._missed(project)
        elif is_directory and is_skipped(name):
            return
        elif is_directory and event.mask & _APPEARED:
            self._appeared(project, path)
        elif is_directory and event.mask & _WENT:
            self.drop(project, path)
            self._changed(project, path)
        elif event.mask & inotify.ATTRIB and not is_directory:
            return  # times and permissions are not content; link() is told by CREATE
        else:
            self._changed(project, path)
