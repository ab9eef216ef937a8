"""The guest's disk: Debian 13 with systemd as PID 1, built once by debootstrap and kept in the user's cache.

Needs root, because debootstrap makes device nodes and runs package scripts in a chroot. Everything happens below the
cache folder and in a mount namespace of its own; no loop device, no mount that the machine could see.
The kernel has NVMe and ext4 built in, so the guest boots without an initrd.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
SUITE = "trixie"
PYTHON = "3.13"
DISK = "4G"
PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "util-linux", "e2fsprogs", "acl", "linux-image-cloud-amd64",
    "python3", "python3-venv", "git", "strace", "man-db",
)  # fmt: skip
TOOLS = ("debootstrap", "mkfs.ext4", "qemu-system-x86_64", "qemu-img", "unshare", "chroot")
# Nothing of these helps a test, and each costs seconds of emulated time or wakes up in the middle of one.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "man-db.timer", "e2scrub_reap.service", "systemd-timesyncd.service", "getty@.service", "serial-getty@.service",
    "ldconfig.service", "systemd-firstboot.service",
)  # fmt: skip
USERS = {"alice": 1000, "bob": 1001}

AGENT_UNIT = """\
[Unit]
Description=Control channel of the guest tests

[Service]
ExecStart=/usr/bin/python3 -u /usr/local/lib/mlosd-vm-agent.py
KillMode=process
TasksMax=infinity
OOMScoreAdjust=-1000

[Install]
WantedBy=multi-user.target
"""


@dataclass(frozen=True, slots=True)
class Image:
    """A bootable disk and its kernel. Never written to: a guest runs on an overlay."""

    disk: Path
    kernel: Path


def why_not() -> str | None:
    """Why no guest can run here, in one line; None when it can."""
    if os.geteuid() != 0:
        return "the guest tests need root (debootstrap)"
    if missing := [tool for tool in TOOLS if shutil.which(tool, path=_path()) is None]:
        return f"the guest tests need {', '.join(missing)}: run tests/vm/install-tools"
    if _mirror() is None:
        return "the guest tests need a Debian archive, and apt has none configured: set MLOSD_DEBIAN_MIRROR=URL"
    return None


def image() -> Image:
    """The image for this list of packages and dependencies; built now (about two minutes) if it is not in the cache."""
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlosd-vm"
    caches.mkdir(parents=True, exist_ok=True)
    folder = caches / _content_key()
    with open(caches / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two test runs at once: the second waits for the first one's image
        if not folder.is_dir():
            work = folder.with_suffix(".building")
            shutil.rmtree(work, ignore_errors=True)
            _build(work)
            work.rename(folder)
            _drop_oldest(caches)
        folder.touch()
    return Image(disk=folder / "disk.raw", kernel=folder / "vmlinuz")


def _drop_oldest(caches: Path) -> None:
    """Keep the three images used last: checkouts of different ages may share the cache."""
    images = sorted((child for child in caches.iterdir() if child.is_dir()), key=lambda child: child.stat().st_mtime)
    for old in images[:-3]:
        shutil.rmtree(old)


def _path() -> str:
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _content_key() -> str:
    parts = [SUITE, *PACKAGES, *_dependencies(), *((HERE / name).read_text() for name in ("image.py", "agent.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]


def _dependencies() -> list[str]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [str(dependency) for dependency in project["dependencies"]]


def _run(*argv: str | Path, **environment: str) -> str:
    """Run it in a mount namespace of its own, so that no mount of debootstrap's outlives it."""
    done = subprocess.run(
        ("unshare", "--mount", "--propagation", "private", *argv),
        env=os.environ | {"PATH": _path(), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, argv))}: exit {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout


def _mirror() -> str | None:
    """The Debian archive that this machine's apt uses, however its sources are written; or one that the user names."""
    if named := os.environ.get("MLOSD_DEBIAN_MIRROR"):
        return named
    release = _run("sh", "-c", '. /etc/os-release && echo "$VERSION_CODENAME"').strip()
    targets = _run("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(SITE)", "Created-By: Packages")
    for line in targets.splitlines():
        origin, codename, site = line.split(maxsplit=2)
        if (origin, codename) == ("Debian", release):
            return site
    return None


def _proxy() -> dict[str, str]:
    """Apt's own proxy, which debootstrap's wget would not know of."""
    value = _run("sh", "-c", 'eval "$(apt-config shell P Acquire::http::Proxy)"; echo "${P-}"').strip()
    return {"http_proxy": value} if value else {}


def _build(folder: Path) -> None:
    root = folder / "root"
    folder.mkdir()
    include = ",".join(PACKAGES)
    _run(
        "debootstrap", "--variant=minbase", f"--include={include}", SUITE, root, _mirror() or "",
        INITRD="No", **_proxy(),
    )  # fmt: skip
    _configure(root)
    _install_dependencies(root, folder / "wheels")
    kernel = next((root / "boot").glob("vmlinuz-*"))
    shutil.copyfile(kernel, folder / "vmlinuz")
    shutil.rmtree(root / "var/cache/apt")
    _run("mkfs.ext4", "-q", "-F", "-L", "guest", "-d", root, folder / "disk.raw", DISK)
    shutil.rmtree(root)
    shutil.rmtree(folder / "wheels")


def _configure(root: Path) -> None:
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/fstab").write_text("/dev/nvme0n1 / ext4 defaults 0 0\n")
    # Persistent, so that a test can read what was logged before a power cut.
    (root / "var/log/journal").mkdir(exist_ok=True)
    for user, uid in USERS.items():
        _run("chroot", root, "useradd", "--create-home", "--uid", str(uid), "--shell", "/bin/bash", user)
    shutil.copyfile(HERE / "agent.py", root / "usr/local/lib/mlosd-vm-agent.py")
    (root / "etc/systemd/system/mlosd-vm-agent.service").write_text(AGENT_UNIT)
    _run("chroot", root, "systemctl", "enable", "mlosd-vm-agent.service")
    _run("chroot", root, "systemctl", "mask", *MASKED)
    _run("chroot", root, "systemctl", "set-default", "multi-user.target")


def _install_dependencies(root: Path, wheels: Path) -> None:
    """What pip would fetch for mlosd, in the virtual environment that the tests install mlosd into."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (41, 39, 36, 35, 34, 31, 28, 17)]
    _run(
        sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", f"--python-version={PYTHON}",
        *platforms, "--platform=manylinux2014_x86_64", "-d", wheels, *_dependencies(),
    )  # fmt: skip
    inside = root / "tmp/wheels"
    shutil.copytree(wheels, inside)
    _run("chroot", root, "python3", "-m", "venv", "/opt/mlosd")
    _run(
        "chroot",
        root,
        "/opt/mlosd/bin/pip",
        "install",
        "-q",
        "--no-index",
        "--find-links=/tmp/wheels",
        *_dependencies(),
    )
    shutil.rmtree(inside)
