"""ioprio_set(2): how soon the disk serves a process."""

from mlosd._native import lib
from mlosd.kernel.syscall_error import checked

_WHO_PROCESS = 1
_BEST_EFFORT, _IDLE = 2, 3
_CLASS_SHIFT = 13
_LOWEST = 7


def ioprio_lowest() -> None:
    """Of all that have a share of the disk, this process gets the smallest."""
    _set(_BEST_EFFORT << _CLASS_SHIFT | _LOWEST)


def ioprio_idle() -> None:
    """This process gets the disk when nobody else wants it."""
    _set(_IDLE << _CLASS_SHIFT)


def _set(ioprio: int) -> None:
    checked(lib.mlos_ioprio_set(_WHO_PROCESS, 0, ioprio), "ioprio_set")
