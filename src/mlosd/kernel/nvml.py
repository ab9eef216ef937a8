"""NVIDIA GPUs through NVML, the driver's own library (libnvidia-ml.so.1). Reads only.

    found = nvml.read()
    found.gpus      # () on a machine without one
    found.reason    # then: why

The library is loaded at run time: a machine without NVIDIA's driver simply has no GPUs.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from ctypes import POINTER, Structure, byref, c_char, c_uint, c_ulonglong, c_void_p
from dataclasses import dataclass

LIBRARY = "libnvidia-ml.so.1"

_SUCCESS = 0
_NOT_SUPPORTED = 3
_INSUFFICIENT_SIZE = 7
_NOT_FOUND = 13  # NVML_ERROR_FUNCTION_NOT_FOUND
_NAME_LENGTH = 96


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `uuid` stays the same over reboots, `index` may not. `minor`: /dev/nvidia<minor>.

    None where this GPU cannot tell, as the memory of one that shares the host's.
    """

    index: int
    uuid: str
    name: str
    minor: int | None
    memory_total: int | None
    memory_free: int | None
    processes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Gpus:
    gpus: tuple[Gpu, ...]
    reason: str | None


class NvmlError(Exception):
    """A call that NVML refused, with its name and NVML's own words."""

    def __init__(self, call: str, code: int, text: str) -> None:
        super().__init__(f"{call}: {text}")
        self.code = code


def read(library: str = LIBRARY) -> Gpus:
    """Every GPU now, with its memory and the pids that compute on it; or no GPU and the reason."""
    try:
        loaded = ctypes.CDLL(library)
    except OSError:
        return Gpus(gpus=(), reason=f"{library} is not installed")
    try:
        with _session(loaded):
            found = tuple(_gpu(loaded, index) for index in range(_count(loaded)))
    except NvmlError as e:
        return Gpus(gpus=(), reason=str(e))
    return Gpus(gpus=found, reason=None if found else "the driver sees no GPU")


class _Memory(Structure):
    _fields_ = (("total", c_ulonglong), ("free", c_ulonglong), ("used", c_ulonglong))


class _Process(Structure):
    """nvmlProcessInfo_t of the calls with the suffix _v2 and _v3."""

    _fields_ = (
        ("pid", c_uint),
        ("used_memory", c_ulonglong),
        ("gpu_instance", c_uint),
        ("compute_instance", c_uint),
    )


@contextmanager
def _session(library: ctypes.CDLL) -> Iterator[None]:
    _call(library, "nvmlInit_v2")
    try:
        yield
    finally:
        library.nvmlShutdown()


def _count(library: ctypes.CDLL) -> int:
    count = c_uint()
    _call(library, "nvmlDeviceGetCount_v2", byref(count))
    return count.value


def _gpu(library: ctypes.CDLL, index: int) -> Gpu:
    device = c_void_p()
    _call(library, "nvmlDeviceGetHandleByIndex_v2", c_uint(index), byref(device))
    memory = _Memory()
    has_memory = _supported(library, "nvmlDeviceGetMemoryInfo", device, byref(memory))
    minor = c_uint()
    has_minor = _supported(library, "nvmlDeviceGetMinorNumber", device, byref(minor))
    return Gpu(
        index=index,
        uuid=_text(library, "nvmlDeviceGetUUID", device),
        name=_text(library, "nvmlDeviceGetName", device),
        minor=minor.value if has_minor else None,
        memory_total=memory.total if has_memory else None,
        memory_free=memory.free if has_memory else None,
        processes=_processes(library, device),
    )


def _processes(library: ctypes.CDLL, device: c_void_p) -> tuple[int, ...]:
    name = "nvmlDeviceGetComputeRunningProcesses_v3"
    if not hasattr(library, name):  # drivers before 510 have _v2, with the same struct
        name = "nvmlDeviceGetComputeRunningProcesses_v2"
    room = 16
    while True:
        count = c_uint(room)
        buffer = (_Process * room)()
        try:
            if not _supported(library, name, device, byref(count), ctypes.cast(buffer, POINTER(_Process))):
                return ()
        except NvmlError as e:
            if e.code != _INSUFFICIENT_SIZE:
                raise
            # More may have started since NVML counted: leave it room.
            room = max(count.value, room) * 2
            continue
        return tuple(sorted(entry.pid for entry in buffer[: count.value]))


def _text(library: ctypes.CDLL, name: str, device: c_void_p) -> str:
    buffer = (c_char * _NAME_LENGTH)()
    _call(library, name, device, buffer, c_uint(_NAME_LENGTH))
    return buffer.value.decode("utf-8", "replace")


def _supported(library: ctypes.CDLL, name: str, *arguments: object) -> bool:
    """Call, and say whether this GPU can do that at all."""
    try:
        _call(library, name, *arguments)
    except NvmlError as e:
        if e.code == _NOT_SUPPORTED:
            return False
        raise
    return True


def _call(library: ctypes.CDLL, name: str, *arguments: object) -> None:
    try:
        function = getattr(library, name)
    except AttributeError as e:
        raise NvmlError(name, _NOT_FOUND, "this driver's library does not have it") from e
    code = function(*arguments)
    if code != _SUCCESS:
        library.nvmlErrorString.restype = ctypes.c_char_p
        text = library.nvmlErrorString(code) or b"unknown error"
        raise NvmlError(name, code, text.decode("utf-8", "replace"))
