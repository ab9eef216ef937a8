"""Targets that are files of sysfs, procfs or a cgroup, and directories in such file systems."""

import contextlib
import errno
import os
import shlex

from mlosd.undo.kind import Plain

_LARGEST = 1 << 16
_LARGEST_CPU = (1 << 16) - 1


class Text(Plain):
    """A file with one value. `target` is its path."""

    def read(self, target: str) -> str | None:
        """Its text without the blanks around it."""
        fd = os.open(target, os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(fd, _LARGEST)
            if len(text) == _LARGEST:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), target)
            return text.decode(errors="surrogateescape").strip()
        finally:
            os.close(fd)

    def write(self, target: str, value: str | None) -> None:
        """One write(2): the kernel parses each write on its own."""
        # No O_CREAT: a file that is gone must not be made. O_TRUNC means nothing in sysfs, and all in a test's tree.
        fd = os.open(target, os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, f"{value or ''}\n".encode(errors="surrogateescape"))
        finally:
            os.close(fd)

    def command(self, target: str, value: str | None) -> str:
        return f"echo {shlex.quote(value or '')} > {shlex.quote(target)}"


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

    `target` is what both names begin with: /proc/sys/vm/dirty. Values: "bytes 1048576", "ratio 20". Zero bytes cannot
    be written (dirty_bytes_handler in mm/page-writeback.c), so what is put back is the one that was in force.
    """

    def read(self, target: str) -> str | None:
        limit = super().read(f"{target}_bytes")
        return f"bytes {limit}" if limit != "0" else f"ratio {super().read(f'{target}_ratio')}"

    def write(self, target: str, value: str | None) -> None:
        for step in (*self.passing(target, value), value or ""):
            which, _, number = step.partition(" ")
            super().write(f"{target}_{which}", number)

    def passing(self, target: str, value: str | None) -> tuple[str, ...]:
        # dirty_ratio_handler clears the bytes only when the ratio changes; beside bytes it is 0 already.
        return ("ratio 1",) if value == "ratio 0" else ()

    def command(self, target: str, value: str | None) -> str:
        steps = [step.partition(" ") for step in (*self.passing(target, value), value or "")]
        return "; ".join(super(Pair, self).command(f"{target}_{which}", number) for which, _, number in steps)


class Directory(Plain):
    """A directory that is there ("") or not (None), in a file system where that means something: resctrl."""

    def read(self, target: str) -> str | None:
        return "" if os.path.isdir(target) else None  # noqa: PTH112

    def write(self, target: str, value: str | None) -> None:
        if value is None:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(target)  # noqa: PTH106
        else:
            os.mkdir(target, 0o755)  # noqa: PTH102

    def command(self, target: str, value: str | None) -> str:
        return f"{'rmdir' if value is None else 'mkdir'} {shlex.quote(target)}"


def _mask(text: str | None) -> object:
    bits = 0
    try:
        for word in (text or "").split(","):
            bits = bits << 32 | int(word, 16)
    except ValueError:
        return text
    return bits


def _cpus(text: str | None) -> object:
    if text is None:
        return None
    cpus: set[int] = set()
    try:
        for part in filter(None, text.strip().split(",")):
            first, _, last = part.partition("-")
            if int(last or first) > _LARGEST_CPU:
                return text
            cpus.update(range(int(first), int(last or first) + 1))
    except ValueError:
        return text
    return cpus
