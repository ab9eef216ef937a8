"""What the administrator decided, and mlosd therefore leaves alone. Reads only.

Pinned is what `[mode] pinned` names (knobs, or targets with * in them), every sysctl that /etc says something about
(sysctl.d(5)), and every property of a slice that a drop-in below /etc/systemd/system sets (systemd.unit(5)).
"""

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

# A drop-in sets CPUQuota= where the bus says CPUQuotaPerSecUSec.
_SETTING = {"CPUQuotaPerSecUSec": "CPUQuota"}
_LINE = re.compile(r"^\s*-?\s*([A-Za-z0-9_./*-]+)\s*=\s*(.*)$")


class Pins:
    """Read once for each plan. `etc`: /etc, or a test's."""

    def __init__(self, listed: Sequence[str], *, etc: Path = Path("/etc"), proc: Path = Path("/proc")) -> None:
        self._listed = tuple(listed)
        self._etc = etc
        self._sysctls = {str(proc / "sys" / key): file for key, file in _sysctls(etc)}

    def __call__(self, knob: str, target: str) -> str | None:
        """Why this target of this knob is not ours to set; None when it is."""
        for pin in self._listed:
            if pin == knob or fnmatchcase(target, pin):
                return "pinned in mlosd.toml"
        unit, _, name = target.partition(" ")
        if name and (file := self._drop_in(unit, name)):
            return f"set in {file}"
        for path, file in self._sysctls.items():
            # A limit in bytes and the same as a ratio are one thing: vm.dirty_bytes, vm.dirty_ratio.
            if path == target or path.rpartition("_")[0] == target:
                return f"set in {file}"
        return None

    def _drop_in(self, unit: str, name: str) -> Path | None:
        setting = _SETTING.get(name, name)
        system, control = self._etc / "systemd/system", self._etc / "systemd/system.control"  # systemctl set-property
        files = [system / unit, *sorted((system / f"{unit}.d").glob("*.conf"))]
        files += sorted((control / f"{unit}.d").glob("*.conf"))
        return next((file for file in files if any(key == setting and value for key, value in _pairs(file))), None)


def _sysctls(etc: Path) -> Iterator[tuple[str, Path]]:
    for file in [*sorted((etc / "sysctl.d").glob("*.conf")), etc / "sysctl.conf"]:
        for key, _ in _pairs(file):
            # Both vm.swappiness and vm/swappiness mean it.
            yield (key if "/" in key.partition(".")[0] else key.replace(".", "/")), file


def _pairs(file: Path) -> Iterator[tuple[str, str]]:
    try:
        lines = file.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return
    for line in lines:
        if not line.lstrip().startswith(("#", ";")) and (match := _LINE.match(line)):
            yield match[1], match[2].strip()
