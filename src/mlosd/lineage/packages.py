"""Python and the packages that a run loaded, told from the files that it opened; nothing is imported.

What is read was written by users: `look` reads it in a process of its own that has become the job's user, and bounded.
"""

import json
import os
import re
import resource
import stat
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from email.parser import HeaderParser

MOST_ENTRIES = 20_000
LARGEST_HEADER = 64 << 10
LARGEST_RECORD = 16 << 20
RECORDS_IN_ALL = 128 << 20
LARGEST_INTERPRETER = 64 << 20
CPU_SECONDS = 10
MEMORY = 1 << 30

_SITE = re.compile(r"(?P<site>/.*?/(?:site|dist)-packages)/(?P<rest>.+)")
_MINOR = re.compile(r"/(?:lib|lib64)/python(3\.\d+)/")
_INTERPRETER = re.compile(r"(?:python3?(?:\.\d+)?[a-z]*|libpython3(?:\.\d+)?[a-z]*\.so(?:\.[\d.]+)?)")
_CACHED = re.compile(r"(?P<folder>.*?)__pycache__/(?P<stem>[^/]+?)\.cpython-\d+(?:\.opt-\d)?\.pyc")
_METADATA_FOLDER = re.compile(r"(?P<name>[^/-]+)-(?P<version>[^/]+?)(?:-py[\d.]+)?\.(?:dist|egg)-info")
_SEPARATORS = re.compile(r"[-_.]+")


@dataclass(frozen=True, slots=True)
class Package:
    """An installed distribution, and the directory that it was loaded from."""

    name: str
    version: str
    path: str


@dataclass(frozen=True, slots=True)
class Loaded:
    """Python's version ("3.11.2", or "3.11" when no file says more; None: no Python) and its packages, by name."""

    python: str | None
    packages: tuple[Package, ...]


def worth_looking(paths: Iterable[str]) -> bool:
    """Whether these files show a Python at all: most commands are none, and need no process to say so."""
    return any("-packages/" in path or "/python3" in path or "/libpython3" in path for path in paths)


def sites(paths: Iterable[str]) -> dict[str, frozenset[str]]:
    """What was loaded from each site-packages directory: paths below it, a compiled module also by its source."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for path in paths:
        match = _SITE.fullmatch(path)
        # Asking for versions, and the .pth files that every start reads, is not loading.
        if match is None or ".dist-info/" in path or ".egg-info" in path or path.endswith(".pth"):
            continue
        rest = match["rest"]
        found[match["site"]].add(rest)
        if cached := _CACHED.fullmatch(rest):
            found[match["site"]].add(f"{cached['folder']}{cached['stem']}.py")
    return {site: frozenset(loaded) for site, loaded in found.items()}


def top_level(loaded: Iterable[str]) -> frozenset[str]:
    """The names that `import` takes, of files below one site-packages directory."""
    return frozenset(path.partition("/")[0].partition(".")[0] for path in loaded if not path.startswith("__pycache__/"))


def minor_version(paths: Iterable[str]) -> str | None:
    """The Python whose library was used most, such as "3.11"."""
    counted = Counter(match[1] for path in paths if (match := _MINOR.search(path)))
    return max(counted, key=lambda minor: counted[minor]) if counted else None


def interpreters(paths: Iterable[str]) -> tuple[str, ...]:
    """The files among these that may be a Python's program or library, the library first: it has the version."""
    named = {path for path in paths if _INTERPRETER.fullmatch(path.rpartition("/")[2])}
    return tuple(sorted(named, key=lambda path: ("libpython" not in path, path)))


def version_in(program: bytes, minor: str | None) -> str | None:
    """The version that an interpreter holds: PY_VERSION is a string of its own in every build of CPython."""
    wanted = re.escape(minor.encode("ascii")) if minor else rb"3\.\d{1,2}"
    match = re.search(rb"\0(" + wanted + rb"\.\d{1,2}(?:(?:a|b|rc)\d{1,2})?\+?)\0", program)
    return match[1].decode("ascii") if match else None


def recorded(record: str) -> Iterator[str]:
    """The paths in a RECORD (a CSV file: path, hash, size); a quoted path has its quotes doubled."""
    for line in record.splitlines():
        if line.startswith('"'):
            end = line.find('",', 1)
            yield line[1 : end if end > 0 else None].replace('""', '"')
        else:
            yield line.partition(",")[0]


def named_in(folder: str) -> tuple[str, str] | None:
    """Name and version of a distribution, from the name of its .dist-info or .egg-info."""
    match = _METADATA_FOLDER.fullmatch(folder)
    return (match["name"], match["version"]) if match else None


def headed(metadata: str) -> tuple[str, str] | None:
    """Name and version of a distribution, from its METADATA or PKG-INFO."""
    headers = HeaderParser().parsestr(metadata.partition("\n\n")[0])
    name, version = headers.get("Name"), headers.get("Version")
    return (str(name).strip(), str(version).strip()) if name and version else None


def same_name(a: str, b: str) -> bool:
    """Whether two names are one for the index of packages (PEP 503)."""
    return _SEPARATORS.sub("-", a).lower() == _SEPARATORS.sub("-", b).lower()


def loaded(paths: Sequence[str], executables: Sequence[str]) -> Loaded:
    """Read what the files say, as whoever this process is."""
    minor = minor_version(paths)
    found = {
        package
        for site, used in sorted(sites(paths).items())
        for package in _Site(site, used, top_level(used)).packages()
    }
    ordered = tuple(sorted(found, key=lambda package: (package.name.lower(), package.path)))
    return Loaded(_python(interpreters([*paths, *executables]), minor), ordered)


class _Site:
    """One site-packages directory, and what was loaded from it."""

    def __init__(self, path: str, used: frozenset[str], tops: frozenset[str]) -> None:
        self._path, self._used, self._tops = path, used, tops
        self._left = RECORDS_IN_ALL

    def packages(self) -> Iterator[Package]:
        with suppress(OSError), os.scandir(self._path) as entries:
            for _, entry in zip(range(MOST_ENTRIES), entries, strict=False):
                if (named := named_in(entry.name)) and self._is_loaded(entry.name, named[0]):
                    name, version = self._said(entry.name) or named
                    yield Package(name, version, self._path)

    def _is_loaded(self, folder: str, name: str) -> bool:
        record = _read(f"{self._path}/{folder}/RECORD", min(LARGEST_RECORD, self._left))
        if record:
            self._left -= len(record)
            # Parts of a namespace (google/...) belong to many: only the files themselves tell.
            return any(path in self._used for path in recorded(record))
        tops = _read(f"{self._path}/{folder}/top_level.txt", LARGEST_HEADER)
        if tops:
            return not self._tops.isdisjoint(tops.split())
        return any(same_name(name, top) for top in self._tops)

    def _said(self, folder: str) -> tuple[str, str] | None:
        # Debian's .egg-info may be a file: PKG-INFO itself.
        for file in (f"{folder}/METADATA", f"{folder}/PKG-INFO", folder):
            if text := _read(f"{self._path}/{file}", LARGEST_HEADER):
                return headed(text)
        return None


def _python(files: Sequence[str], minor: str | None) -> str | None:
    for file in files:
        if version := version_in(_read_bytes(file, LARGEST_INTERPRETER), minor):
            return version
    return minor


def _read(path: str, most: int) -> str:
    return _read_bytes(path, most).decode("utf-8", "surrogateescape")


def _read_bytes(path: str, most: int) -> bytes:
    """At most so many bytes of a regular file; nothing where there is none."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (OSError, ValueError):
        return b""
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return b""
        with open(fd, "rb", closefd=False) as file:
            return file.read(most)
    except OSError:
        return b""
    finally:
        os.close(fd)


def main(arguments: Sequence[str]) -> int:
    """`python -m mlosd.lineage.packages [UID:GID:GROUP,...]`: {"paths", "executables"} in, a Loaded out, as JSON."""
    # What the codecs and parsers import at their first use, they import while they still may.
    headed("Name: a\nVersion: 1\n")
    asked = json.loads(sys.stdin.buffer.read())
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for identity in arguments:
        uid, gid, groups = identity.split(":")
        os.setgroups([int(group) for group in groups.split(",") if group])
        os.setresgid(int(gid), int(gid), int(gid))
        os.setresuid(int(uid), int(uid), int(uid))
    found = loaded(asked["paths"], asked["executables"])
    packages = [[package.name, package.version, package.path] for package in found.packages]
    print(json.dumps({"python": found.python, "packages": packages}))  # noqa: T201 - read by who started this
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
