"""What a rollback is about to do, on the disk before it is done: what a crash cuts off is put right at the next start.

One small file each, in the directory of stored bytes.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

_PREFIX = "rollback-"


@dataclass(frozen=True, slots=True)
class Intent:
    """To put the file `fresh` in the place of `path`. `inode` is its; `replaced` that of the live file, if any.

    Done is done when the newest version of `resource` has this `digest`.
    """

    path: str
    owner: int
    fresh: str
    inode: int
    replaced: int | None
    resource: str
    digest: str


class Intents:
    """The intents that are not yet settled."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, intent: Intent) -> Path:
        """Remember an intent; it is on the disk when this returns."""
        path = self._directory / f"{_PREFIX}{os.urandom(8).hex()}"
        with path.open("x", encoding="ascii") as file:
            json.dump(asdict(intent), file)
            file.flush()
            os.fsync(file.fileno())
        directory = os.open(self._directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        return path

    def left(self) -> Iterator[tuple[Path, Intent]]:
        """What an earlier daemon had not settled. One that was cut while it was written had not begun."""
        for path in sorted(self._directory.glob(f"{_PREFIX}*")):
            try:
                yield path, Intent(**json.loads(path.read_text("ascii")))
            except (ValueError, TypeError):
                path.unlink()
