"""The wheel hook: compiles the C into the wheel, and ships the data that lives in top-level folders.

A wheel gets `mlosd/_native.abi3.so`, `mlosd/bin/mlos-shepherd` and `mlosd/_data/`. An editable install is built in
place and finds its data in the repository (`mlosd.core.data`).
"""

import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

DATA = {
    "daemon/interfaces": "interfaces",
    "daemon/mlosd.toml": "mlosd.toml",
    "daemon/profiles": "profiles",
    "cgroups": "cgroups",
    "systemd": "systemd",
}
# Where a file of the operating system goes, below the prefix that the wheel is installed to.
SHARED = {
    "docs/man/*.1": "share/man/man1",
    "docs/man/*.5": "share/man/man5",
    "docs/man/*.7": "share/man/man7",
    "docs/man/*.8": "share/man/man8",
    "docs/completions/mlosctl.bash": "share/bash-completion/completions",
    "docs/completions/_mlosctl": "share/zsh/site-functions",
    "docs/completions/mlosctl.fish": "share/fish/vendor_completions.d",
}


class NativeBuildHook(BuildHookInterface):  # type: ignore[type-arg]
    """Called by hatchling for each target; the source distribution needs nothing."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Build, and tell hatchling what else belongs in."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        sys.path.insert(0, self.root)
        from native import build  # noqa: PLC0415  (hatchling imports this file with no package around it)

        build_data["pure_python"] = False
        build_data["tag"] = f"cp311-abi3-{_platform()}"
        if version == "editable":
            build.build_extension(build.IN_PLACE)
            build.build_shepherd(build.IN_PLACE / "bin")
            return
        package = root / "build" / "native"
        package.mkdir(parents=True, exist_ok=True)
        include = build_data["force_include"]
        include[str(build.build_extension(package))] = f"mlosd/{build.EXTENSION_NAME}"
        include[str(build.build_shepherd(package / "bin"))] = f"mlosd/bin/{build.SHEPHERD_NAME}"
        for source, name in DATA.items():
            if _has_files(root / source):
                include[str(root / source)] = f"mlosd/_data/{name}"
        for pattern, directory in SHARED.items():
            for source_path in sorted(root.glob(pattern)):
                build_data["shared_data"][str(source_path)] = f"{directory}/{source_path.name}"


def _platform() -> str:
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


def _has_files(path: Path) -> bool:
    return path.is_file() or any(child.is_file() for child in path.rglob("*"))
