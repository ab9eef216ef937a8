"""Where the content is that DVC calls by its MD5: in the workspace if that still has it, else in the cache."""

import configparser
import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path

from mlosd.exchange.telling import Telling, progress

CHUNK = 1 << 20
_EVERY = 1 << 30


@dataclass(frozen=True, slots=True)
class Content:
    """What is known of a content. Times are those of a file in the workspace; 0 where it is only in the cache."""

    digest: bytes | None
    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(frozen=True, slots=True)
class _Hashed:
    md5: str
    sha256: bytes
    status: os.stat_result


class Contents:
    """The workspace and the cache of one project. No file is read twice."""

    def __init__(self, root: Path, telling: Telling) -> None:
        self._telling = telling
        self._cache = _cache_directory(root)
        self._workspace: dict[str, _Hashed] = {}
        self._digests: dict[str, bytes] = {}
        self._read = 0

    def find(self, path: str, md5: str, size: int | None) -> Content | None:
        """The content of a file that DVC calls `md5`; None where it is not there, or a directory."""
        if md5.endswith(".dir"):
            self._telling.leave("directories whose files were not read")
            return None
        found = self._in_workspace(path, size)
        if found is not None and found.md5 == md5:
            content = Content(found.sha256, found.status.st_size, found.status.st_mtime_ns, found.status.st_ctime_ns)
        else:
            cached = self._in_cache(md5)
            if cached is None:
                self._telling.leave("files whose content is neither in the workspace nor in the cache")
                return None
            content = cached
        if content.digest is not None:
            self._digests[f"{path}#{md5}"] = content.digest
        return content

    def digest_of(self, path: str, version: str) -> str | None:
        """The SHA-256, in hexadecimal, of a version that was found."""
        digest = self._digests.get(version)
        return None if digest is None else digest.hex()

    def _in_workspace(self, path: str, size: int | None) -> _Hashed | None:
        if path in self._workspace:
            return self._workspace[path]
        found = None if "://" in path else self._hash(Path(path), size)
        if found is not None:
            self._workspace[path] = found
        return found

    def _in_cache(self, md5: str) -> Content | None:
        # DVC 3 keeps what it hashed as it is below files/md5; before, text was hashed with its line ends changed.
        for place in (self._cache / "files" / "md5", self._cache):
            hashed = self._hash(place / md5[:2] / md5[2:], None)
            if hashed is None:
                continue
            if hashed.md5 != md5 and place.name == "md5":
                self._telling.leave("files in the cache that are not what their name says")
                return None
            return Content(hashed.sha256, hashed.status.st_size, 0, 0)
        return None

    def _hash(self, path: Path, size: int | None) -> _Hashed | None:
        """Both digests of a regular file; None where there is none, or not of this size."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with open(fd, "rb", buffering=0) as file:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or (size is not None and status.st_size != size):
                return None
            md5, sha256 = hashlib.md5(usedforsecurity=False), hashlib.sha256()
            while chunk := file.read(CHUNK):
                md5.update(chunk)
                sha256.update(chunk)
                self._tell_progress(len(chunk))
            return _Hashed(md5.hexdigest(), sha256.digest(), os.fstat(fd))

    def _tell_progress(self, count: int) -> None:
        before, self._read = self._read, self._read + count
        if before // _EVERY != self._read // _EVERY:
            progress(f"{self._read >> 30} GiB of content read")


def _cache_directory(root: Path) -> Path:
    """The cache's directory: .dvc/cache, or what the project's configuration says."""
    found = root / ".dvc" / "cache"
    for name in ("config", "config.local"):
        config = configparser.ConfigParser(interpolation=None, strict=False)
        try:
            config.read(root / ".dvc" / name, encoding="utf-8")
        except (configparser.Error, UnicodeDecodeError):
            continue
        if config.has_option("cache", "dir"):
            found = root / ".dvc" / config.get("cache", "dir").strip("'\"")
    return found
