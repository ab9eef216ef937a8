"""Landlock: which version of it this kernel speaks (landlock_create_ruleset(2))."""

from mlosd._native import lib
from mlosd.kernel.syscall_error import checked


def landlock_abi() -> int:
    """The ABI version, 1 or more. ENOSYS: not built in (before Linux 5.13); EOPNOTSUPP: turned off at boot."""
    return checked(lib.mlos_landlock_abi(), "landlock_create_ruleset")
