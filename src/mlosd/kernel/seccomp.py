"""seccomp(2): a process that has all it needs gives up every system call but those on its descriptors."""

from mlosd._native import lib
from mlosd.kernel.syscall_error import checked


def no_new_privs() -> None:
    """No program that this process executes gets more rights than it has (PR_SET_NO_NEW_PRIVS); for ever."""
    checked(lib.mlos_no_new_privs(), "PR_SET_NO_NEW_PRIVS")


def seccomp_given_fds_only() -> None:
    """Allow reading, writing and closing of what is open, receiving more, memory, and the end; for ever.

    Everything else is EPERM: also fstat(3) of the C library, for which there is `kernel.fstat`. Needs `no_new_privs`.
    EOPNOTSUPP: not on this architecture. EINVAL, ENOSYS: this kernel has no filters.
    """
    checked(lib.mlos_seccomp_given_fds_only(), "seccomp")
