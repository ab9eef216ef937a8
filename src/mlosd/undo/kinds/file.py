"""Targets that are files of sysfs, procfs or a cgroup, and directories in such file systems."""

import contextlib
import os
import shlex

_LARGEST = 1 << 16


class Text:
    """A file with one value. `target` is its path."""

    def read(self, target: str) -> str | None:
        """Its text without the blanks around it."""
        fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return os.read(fd, _LARGEST).decode(errors="replace").strip()
        finally:
            os.close(fd)

    def write(self, target: str, value: str | None) -> None:
        """One write(2): the kernel parses each write on its own."""
        # No O_CREAT: a file that is gone must not be made. O_TRUNC means nothing in sysfs, and all in a test's tree.
        fd = os.open(target, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, f"{value or ''}\n".encode())
        finally:
            os.close(fd)

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def command(self, target: str, value: str | None) -> str:
        return f"echo {shlex.quote(value or '')} > {shlex.quote(target)}"

    def finish(self) -> None:
        pass


class Choice(Text):
    """A file that prints all values and the one chosen in brackets: "always [madvise] never"."""

    def read(self, target: str) -> str | None:
        """The chosen one; the whole text where none is in brackets, as in a file that has no choice."""
        text = super().read(target) or ""
        chosen = [word[1:-1] for word in text.split() if word.startswith("[") and word.endswith("]")]
        return chosen[0] if len(chosen) == 1 else text


class Mask(Text):
    """A CPU mask in hexadecimal, with a comma before each 32 bits: "ff,00000000"."""

    def same(self, one: str | None, other: str | None) -> bool:
        return _mask(one) == _mask(other)


class CpuList(Text):
    """A CPU list: "0-3,8"."""

    def same(self, one: str | None, other: str | None) -> bool:
        return _cpus(one) == _cpus(other)


class Pair(Text):
    """A limit in bytes or as a ratio, where setting one clears the other: vm.dirty_bytes and vm.dirty_ratio.

    `target` is what both names begin with: /proc/sys/vm/dirty. Values: "bytes 1048576", "ratio 20". Zero cannot be
    written to either (mm/page-writeback.c), so what is put back is the one that was in force.
    """

    def read(self, target: str) -> str | None:
        limit = super().read(f"{target}_bytes")
        return f"bytes {limit}" if limit != "0" else f"ratio {super().read(f'{target}_ratio')}"

    def write(self, target: str, value: str | None) -> None:
        which, _, number = (value or "").partition(" ")
        super().write(f"{target}_{which}", number)

    def command(self, target: str, value: str | None) -> str:
        which, _, number = (value or "").partition(" ")
        return super().command(f"{target}_{which}", number)


class Directory:
    """A directory that is there ("") or not (None), in a file system where that means something: resctrl."""

    def read(self, target: str) -> str | None:
        return "" if os.path.isdir(target) else None  # noqa: PTH112

    def write(self, target: str, value: str | None) -> None:
        if value is None:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(target)  # noqa: PTH106
        else:
            os.mkdir(target, 0o755)  # noqa: PTH102

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def command(self, target: str, value: str | None) -> str:
        return f"{'rmdir' if value is None else 'mkdir'} {shlex.quote(target)}"

    def finish(self) -> None:
        pass


def _mask(text: str | None) -> object:
    try:
        return int((text or "").replace(",", ""), 16)
    except ValueError:
        return text


def _cpus(text: str | None) -> object:
    cpus: set[int] = set()
    try:
        for part in filter(None, (text or "").strip().split(",")):
            first, _, last = part.partition("-")
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError:
        return text
    return cpus
