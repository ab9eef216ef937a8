"""Makes what image.py keeps: a Debian by debootstrap, then an image of a recipe on top of it.

Needs root, because debootstrap makes device nodes and runs package scripts in a chroot. Everything happens below the
given folder and in a mount namespace of its own; no loop device, no mount that the machine could see.
"""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

from tests.vm.recipes import COMMON, MASKED, SUITE, KernelPackage, Recipe

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parent.parent
PYTHON = "3.13"
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


def path() -> str:
    """Where programs are: a user's PATH may lack the folders of the administrator's."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def run(*argv: str | Path, **environment: str) -> str:
    """Run it in a mount namespace of its own, so that no mount of debootstrap's outlives it."""
    done = subprocess.run(
        ("unshare", "--mount", "--propagation", "private", *argv),
        # INITRD: Debian's own is large and slow; see initrd.sh.
        env={**os.environ, "PATH": path(), "LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive", "INITRD": "No"}
        | environment,
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


def mirror() -> str | None:
    """The Debian archive that this machine's apt uses, however its sources are written; or one that the user names."""
    if named := os.environ.get("MLOSD_DEBIAN_MIRROR"):
        return named
    release = run("sh", "-c", '. /etc/os-release && echo "$VERSION_CODENAME"').strip()
    targets = run("apt-get", "indextargets", "--format", "$(ORIGIN) $(CODENAME) $(SITE)", "Created-By: Packages")
    for line in targets.splitlines():
        origin, codename, site = line.split(maxsplit=2)
        if (origin, codename) == ("Debian", release):
            return site
    return None


def dependencies() -> list[str]:
    """What mlosd itself needs of PyPI."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    return [str(dependency) for dependency in project["dependencies"]]


def _proxy() -> dict[str, str]:
    """Apt's own proxy, which debootstrap's wget and the apt in the chroot would not know of."""
    value = run("sh", "-c", 'eval "$(apt-config shell P Acquire::http::Proxy)"; echo "${P-}"').strip()
    return {"http_proxy": value} if value else {}


def debian(folder: Path) -> None:
    """`root.tar`: what all images begin with. It takes longer than all the rest, so that it is kept, too."""
    root = folder / "root"
    include = ",".join(COMMON)
    run("debootstrap", "--variant=minbase", f"--include={include}", SUITE, root, mirror() or "", **_proxy())
    shutil.rmtree(root / "var/cache/apt")
    run("tar", "-C", root, "--xattrs", "--numeric-owner", "-cf", folder / "root.tar", ".")
    shutil.rmtree(root)


def image(recipe: Recipe, base: Path, folder: Path) -> None:
    """`disk.raw` and `kernels/NAME/` of a recipe, on top of what `debian` left in the folder `base`."""
    root = folder / "root"
    root.mkdir()
    run("tar", "-C", root, "--xattrs", "--numeric-owner", "-xf", base / "root.tar")
    if recipe.packages:
        _install_packages(root, recipe)
    for name, wanted in recipe.kernels.items():
        _take_kernel(root, wanted, folder / "kernels" / name)
    for table in recipe.firmware:
        _compile(root, HERE / table, folder)
    _configure(root, recipe)
    _install_wheels(root, folder / "wheels", [*dependencies(), *recipe.wheels])
    shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
    for directory in ("etc", "var"):  # nothing is newer than these: ConditionNeedsUpdate= of several units
        (root / directory / ".updated").touch()
    run("mkfs.ext4", "-q", "-F", "-L", "guest", "-d", root, folder / "disk.raw", recipe.disk)
    shutil.rmtree(root)
    shutil.rmtree(folder / "wheels")


def _install_packages(root: Path, recipe: Recipe) -> None:
    excluded = [f"path-exclude=/usr/lib/modules/*/kernel/{directory}/*" for directory in recipe.without]
    # What is half written after a crash of this machine is thrown away anyway.
    (root / "etc/dpkg/dpkg.cfg.d/guest").write_text("\n".join(["force-unsafe-io", *excluded, ""]))
    authorities = Path("/etc/ssl/certs/ca-certificates.crt")
    if authorities.exists():  # an archive reached by https: the chroot trusts whom this machine trusts
        (root / "etc/ssl/certs").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(authorities, root / "etc/ssl/certs/ca-certificates.crt")
    _apt(root, "update")
    _apt(root, "install", *recipe.packages)


def _apt(root: Path, *words: str) -> None:
    (root / "var/cache/apt/archives/partial").mkdir(parents=True, exist_ok=True)
    run("chroot", root, "apt-get", "-q", "-y", "--no-install-recommends", *words, **_proxy())


def _take_kernel(root: Path, wanted: KernelPackage, folder: Path) -> None:
    """`vmlinuz`, and `initrd` if it needs one; or `absent`, the reason why this archive's kernel cannot be had."""
    folder.mkdir(parents=True)
    if wanted.package not in COMMON:
        try:
            _install_kernel(root, wanted)
        except RuntimeError as error:
            if wanted.needed:
                raise
            reason = str(error).splitlines()[-1]
            (folder / "absent").write_text(f"no {wanted.package} of {wanted.suite}: {reason}")
            return
    depends = run("chroot", root, "dpkg-query", "-W", "-f", "${Depends}", wanted.package)
    [version] = re.findall(r"linux-image-(\d[^ ,]+)", depends)
    shutil.copyfile(root / f"boot/vmlinuz-{version}", folder / "vmlinuz")
    run("sh", HERE / "initrd.sh", root, version, folder / "initrd")


def _install_kernel(root: Path, wanted: KernelPackage) -> None:
    if wanted.suite != SUITE:
        source = f"deb {mirror()} {wanted.suite} main\n"
        (root / f"etc/apt/sources.list.d/{wanted.suite}.list").write_text(source)
        _apt(root, "update")
    _apt(root, "install", "--target-release", wanted.suite, wanted.package)


def _compile(root: Path, table: Path, folder: Path) -> None:
    shutil.copyfile(table, root / "tmp" / table.name)
    run("chroot", root, "iasl", "-p", "/tmp/table", f"/tmp/{table.name}")
    shutil.move(root / "tmp/table.aml", folder / f"{table.stem}.aml")


def _configure(root: Path, recipe: Recipe) -> None:
    (root / "etc/hostname").write_text("guest\n")
    (root / "etc/fstab").write_text("/dev/nvme0n1 / ext4 defaults 0 0\n")
    # Persistent, so that a test can read what was logged before a power cut.
    (root / "var/log/journal").mkdir(exist_ok=True)
    for user, uid in USERS.items():
        run("chroot", root, "useradd", "--create-home", "--uid", str(uid), "--shell", "/bin/bash", user)
    for source, place in {"agent.py": "usr/local/lib/mlosd-vm-agent.py", **recipe.files}.items():
        shutil.copyfile(HERE / source, root / place)
    (root / "etc/systemd/system/mlosd-vm-agent.service").write_text(AGENT_UNIT)
    run("chroot", root, "systemctl", "enable", "mlosd-vm-agent.service")
    run("chroot", root, "systemctl", "mask", *MASKED)
    if recipe.disabled:
        run("chroot", root, "systemctl", "disable", *recipe.disabled)
    run("chroot", root, "systemctl", "set-default", "multi-user.target")


def _install_wheels(root: Path, wheels: Path, wanted: list[str]) -> None:
    """What pip would fetch for mlosd, in the virtual environment that the tests install mlosd into."""
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in (41, 39, 36, 35, 34, 31, 28, 17)]
    run(
        sys.executable, "-m", "pip", "download", "-q", "--only-binary=:all:", f"--python-version={PYTHON}",
        *platforms, "--platform=manylinux2014_x86_64", "-d", wheels, *wanted,
    )  # fmt: skip
    inside = root / "tmp/wheels"
    shutil.copytree(wheels, inside)
    run("chroot", root, "python3", "-m", "venv", "/opt/mlosd")
    run("chroot", root, "/opt/mlosd/bin/pip", "install", "-q", "--no-index", "--find-links=/tmp/wheels", *wanted)
    shutil.rmtree(inside)
