"""Where the data files are that are shipped beside the code: interfaces, default settings, units."""

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent.parent
_REPOSITORY = _PACKAGE.parent.parent
_IN_REPOSITORY = {
    "interfaces": "daemon/interfaces",
    "mlosd.toml": "daemon/mlosd.toml",
    "profiles": "daemon/profiles",
    "cgroups": "cgroups",
    "systemd": "systemd",
}


def path(name: str) -> Path:
    """The file or folder `name`, e.g. "interfaces/io.mlosd.Jobs.varlink", of the wheel or of the checkout.

    Raises KeyError when `name` begins with no known folder.
    """
    first, _, rest = name.partition("/")
    if (_PACKAGE / "_data").is_dir():
        return _PACKAGE / "_data" / first / rest
    return _REPOSITORY / _IN_REPOSITORY[first] / rest


def program(name: str) -> Path:
    """A program of ours written in C, e.g. "mlos-shepherd"."""
    return _PACKAGE / "bin" / name
