"""Numbers of ioctl(2) requests, as include/uapi/asm-generic/ioctl.h makes them: not for Alpha, MIPS, PowerPC, SPARC."""

_WRITE, _READ = 1, 2


def io(kind: str, number: int) -> int:
    """_IO: no argument."""
    return _ioc(0, kind, number, 0)


def ior(kind: str, number: int, size: int) -> int:
    """_IOR: the kernel writes `size` bytes for us."""
    return _ioc(_READ, kind, number, size)


def iow(kind: str, number: int, size: int) -> int:
    """_IOW: the kernel reads `size` bytes of ours."""
    return _ioc(_WRITE, kind, number, size)


def _ioc(direction: int, kind: str, number: int, size: int) -> int:
    return direction << 30 | size << 16 | ord(kind) << 8 | number
