"""The guests' disks and kernels, kept in the user's cache by what is in them: recipes.py says it, build.py makes it."""

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.vm import build
from tests.vm.build import HERE, REPOSITORY
from tests.vm.recipes import BASE, COMMON, MASKED, SUITE, Recipe

__all__ = ["REPOSITORY", "Image", "Kernel", "image", "why_not"]

TOOLS = ("debootstrap", "mkfs.ext4", "qemu-system-x86_64", "qemu-img", "unshare", "chroot", "tar")
KEPT = 2  # of each recipe, and of what they begin with


@dataclass(frozen=True, slots=True)
class Kernel:
    """What QEMU boots. The initrd is for a kernel that has its disk's driver as a module."""

    vmlinuz: Path
    initrd: Path | None


@dataclass(frozen=True, slots=True)
class Image:
    """A bootable disk and its kernels, by name. Never written to: a guest runs on an overlay."""

    folder: Path

    @property
    def disk(self) -> Path:
        """The root file system, raw."""
        return self.folder / "disk.raw"

    @property
    def firmware(self) -> list[Path]:
        """ACPI tables that the machine has beside QEMU's own."""
        return sorted(self.folder.glob("*.aml"))

    def kernel(self, name: str) -> Kernel | None:
        """The kernel of this name in the recipe; None where the archive did not have it: `why_no_kernel`."""
        found = self.folder / "kernels" / name
        if (found / "absent").exists():
            return None
        initrd = found / "initrd"
        return Kernel(found / "vmlinuz", initrd if initrd.exists() else None)

    def why_no_kernel(self, name: str) -> str:
        """Why `kernel` gave None."""
        return (self.folder / "kernels" / name / "absent").read_text()


def why_not() -> str | None:
    """Why no guest can run here, in one line; None when it can."""
    if os.geteuid() != 0:
        return "the guest tests need root (debootstrap)"
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=build.path()) is None]:
        return f"the guest tests need {', '.join(missing)}: run tests/vm/install-tools"
    if build.mirror() is None:
        return "the guest tests need a Debian archive, and apt has none configured: set MLOSD_DEBIAN_MIRROR=URL"
    return None


def image(recipe: Recipe = BASE) -> Image:
    """The image of a recipe; built now (some two minutes, and two for the first of them) if it is not in the cache."""

    base = _key(SUITE, *COMMON, files=["build.py"])

    def make(folder: Path) -> None:
        build.image(recipe, _cached("debian", base, build.debian), folder)

    files = ["initrd.sh", "agent.py", *recipe.firmware, *recipe.files]
    return Image(_cached(recipe.name, _key(base, repr(recipe), *MASKED, *build.dependencies(), files=files), make))


def _key(*parts: str, files: list[str]) -> str:
    contents = [(HERE / name).read_text() for name in files]
    return hashlib.sha256("\0".join([*parts, *contents]).encode()).hexdigest()[:16]


def _cached(kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """The folder `kind`-`key` of the cache; `make` fills it if it is not there."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlosd-vm"
    caches.mkdir(parents=True, exist_ok=True)
    folder = caches / f"{kind}-{key}"
    # Two test runs at once: the second waits for the first one's image, and nobody waits for another kind.
    with open(caches / f"{kind}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            work = folder.with_suffix(".building")
            shutil.rmtree(work, ignore_errors=True)
            work.mkdir()
            make(work)
            work.rename(folder)
            _drop_oldest(caches, kind)
        folder.touch()
    return folder


def _drop_oldest(caches: Path, kind: str) -> None:
    """Keep those used last: checkouts of different ages may share the cache."""
    images = [child for child in caches.glob(f"{kind}-*") if child.is_dir()]
    for old in sorted(images, key=lambda child: child.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old)
