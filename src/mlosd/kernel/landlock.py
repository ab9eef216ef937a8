"""Landlock, landlock(7): which version of it this kernel speaks, and giving up all that it can forbid."""

from mlosd._native import lib
from mlosd.kernel.syscall_error import checked


def landlock_abi() -> int:
    """The ABI version, 1 or more. ENOSYS: not built in (before Linux 5.13); EOPNOTSUPP: turned off at boot."""
    return checked(lib.mlos_landlock_abi(), "landlock_create_ruleset")


def landlock_refuse_all() -> int:
    """From now on this thread opens, makes, removes and executes nothing, for ever; returns the ABI version.

    With version 4 it makes no TCP connection either, with 6 it sends no signal to others. Needs `no_new_privs`.
    """
    return checked(lib.mlos_landlock_refuse_all(), "landlock_restrict_self")
