"""mlockall(2) and PR_SET_DUMPABLE: what this process remembers reaches neither swap nor a core dump."""

import ctypes
import os
from enum import IntFlag

_LIBC = ctypes.CDLL(None, use_errno=True)
_PR_SET_DUMPABLE = 4


class Lock(IntFlag):
    """The flags of mlockall(2), from include/uapi/asm-generic/mman.h."""

    CURRENT = 1
    FUTURE = 2
    ONFAULT = 4


def mlockall(flags: Lock) -> None:
    """Keep our memory in RAM. EPERM or ENOMEM: RLIMIT_MEMLOCK is too small, and CAP_IPC_LOCK is not ours."""
    _check(_LIBC.mlockall(ctypes.c_int(flags)), "mlockall")


def set_not_dumpable() -> None:
    """No core dump, and nobody of the same user may read our memory by ptrace(2)."""
    _check(_LIBC.prctl(ctypes.c_int(_PR_SET_DUMPABLE), ctypes.c_ulong(0), 0, 0, 0), "prctl")


def _check(result: int, call: str) -> None:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{call}: {os.strerror(number)}")
