"""Job classes: one file each in cgroups/classes/, or in /etc/mlosd/classes/ for those of the administrator."""

from pathlib import Path

from mlosd.core import data

ETC = Path("/etc/mlosd/classes")


def names(etc: Path = ETC) -> tuple[str, ...]:
    """Every job class there is, by name."""
    return tuple(
        sorted({file.stem for folder in (data.path("cgroups/classes"), etc) for file in folder.glob("*.toml")})
    )
