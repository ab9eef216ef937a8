"""What is in the guests' images: values that say it. How they are made of it: build.py; where they are kept: image.py.

BASE is a small server with a kernel for clouds; it boots fast and is what most tests want. MODE is a workstation as ML
mode meets one: a kernel with everything, the daemons that set the same knobs, an X server, something that loads the
machine. None of its daemons runs until a test starts it.
"""

from dataclasses import dataclass, field

SUITE = "trixie"
# Installed by debootstrap, the same for all recipes.
COMMON = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "util-linux", "e2fsprogs", "acl", "linux-image-cloud-amd64",
    "python3", "python3-venv", "git", "strace", "man-db",
)  # fmt: skip
# Nothing of these helps a test, and each costs seconds of emulated time or wakes up in the middle of one.
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "e2scrub_all.timer", "fstrim.timer",
    "man-db.timer", "e2scrub_reap.service", "systemd-timesyncd.service", "getty@.service", "serial-getty@.service",
    "ldconfig.service", "systemd-firstboot.service", "modprobe@drm.service",
)  # fmt: skip
WORKSTATION = (
    "irqbalance", "tuned", "power-profiles-daemon", "gamemode", "gamemode-daemon", "libpam-systemd",
    "dbus-user-session", "stress-ng", "fio", "xserver-xorg-core", "xserver-xorg-video-dummy", "x11-xserver-utils",
    "nftables", "iproute2", "busybox-static", "acpica-tools",
)  # fmt: skip
# Modules: the large ones, and those that udev would load for what QEMU shows. Slow, and none of our business.
UNWANTED = (
    "sound", "drivers/media", "drivers/net/wireless", "drivers/gpu/drm/amd", "drivers/infiniband",
    "arch/x86/kvm", "drivers/ata", "drivers/crypto/ccp", "drivers/i2c/busses", "drivers/watchdog",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class KernelPackage:
    """A kernel to boot, by the package that names its newest version. One that is not `needed` may be absent."""

    package: str
    suite: str = SUITE
    needed: bool = True


@dataclass(frozen=True, slots=True)
class Recipe:
    """An image. All of this is part of its key in the cache.

    `packages` come on top of COMMON, `wheels` on top of what mlosd depends on. `disabled`: units that stay installed
    but do not start at boot. `without`: directories of modules, relative to a kernel's own, that are not unpacked.
    `firmware`: sources of ACPI tables, compiled with the iasl of the `packages`. `files`: copied from here to there.
    """

    name: str
    disk: str
    kernels: dict[str, KernelPackage]
    packages: tuple[str, ...] = ()
    wheels: tuple[str, ...] = ()
    disabled: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    firmware: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)


BASE = Recipe(name="base", disk="4G", kernels={"stock": KernelPackage("linux-image-cloud-amd64")})

MODE = Recipe(
    name="mode",
    disk="8G",
    kernels={
        "stock": KernelPackage("linux-image-amd64"),
        # sched_ext and uclamp, which Debian's stable kernel is built without.
        "backports": KernelPackage("linux-image-amd64", suite=f"{SUITE}-backports", needed=False),
    },
    packages=WORKSTATION,
    wheels=("numpy>=1.26",),
    disabled=("irqbalance.service", "tuned.service", "power-profiles-daemon.service", "nftables.service"),
    without=UNWANTED,
    firmware=("cpufreq.asl",),
    files={"xorg.conf": "etc/X11/xorg.conf"},
)
