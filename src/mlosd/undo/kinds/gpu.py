"""Targets that are settings of an NVIDIA GPU, through the driver's library NVML. A GPU is named by its UUID.

Each read or write opens NVML and closes it again: an open NVML keeps the driver from being unloaded.
"""

import contextlib
import ctypes
import errno
import os
from collections.abc import Iterator
from ctypes import byref, c_uint, c_void_p
from pathlib import Path

from mlosd.undo.kind import Plain

LIBRARY = "libnvidia-ml.so.1"
LOCKS = Path("/run/mlosd/mode/gpu-clocks")
LOADED = Path("/proc/driver/nvidia/version")

_SUCCESS = 0
_GRAPHICS = 0  # NVML_CLOCK_GRAPHICS
_SWITCH = ("off", "on")
_MODES = ("default", "exclusive-thread", "prohibited", "exclusive-process")
_DEFAULT = "default"
# nvmlReturn_t. Where the driver or the GPU is away, what was set is away with it: ENODEV. All else is EIO.
_ERRNO = {
    2: errno.EINVAL,
    3: errno.EOPNOTSUPP,
    4: errno.EPERM,
    6: errno.ENODEV,  # NOT_FOUND
    9: errno.ENODEV,  # DRIVER_NOT_LOADED
    13: errno.ENOSYS,  # FUNCTION_NOT_FOUND
    15: errno.ENODEV,  # GPU_IS_LOST
}


class Gpu(Plain):
    """A setting of a GPU. `target` is "GPU-d8a3... persistence", or "... clocks", or "... compute-mode".

    persistence: "on", "off". compute-mode: "default", "exclusive-process", "exclusive-thread", "prohibited".

    clocks: "locked 1410 1410" (lowest and highest MHz), "default". NVML sets locked clocks and cannot tell them, so
    what is read is our own note below `locks`: what we locked, "default" where we did not. Hence a lock that somebody
    else set before us is not seen and ends with ours; one that somebody sets meanwhile is taken for ours. The note is
    written before the lock and removed after it: after a crash in between, the worst is a reset that was not needed.
    """

    def __init__(self, library: str = LIBRARY, *, locks: Path = LOCKS, loaded: Path = LOADED) -> None:
        """`loaded` exists while the kernel's part of the driver is there."""
        self._library = library
        self._locks = locks
        self._loaded = loaded

    def read(self, target: str) -> str | None:
        uuid, setting = _parts(target)
        with self._device(uuid) as (nvml, device):
            match setting:
                case "persistence":
                    return _word(_SWITCH, _number(nvml, "nvmlDeviceGetPersistenceMode", device))
                case "compute-mode":
                    return _word(_MODES, _number(nvml, "nvmlDeviceGetComputeMode", device))
        try:
            return (self._locks / uuid).read_text(encoding="ascii")
        except FileNotFoundError:
            return _DEFAULT

    def write(self, target: str, value: str | None) -> None:
        uuid, setting = _parts(target)
        with self._device(uuid) as (nvml, device):
            match setting:
                case "persistence":
                    _call(nvml, "nvmlDeviceSetPersistenceMode", device, c_uint(_index(_SWITCH, value)))
                case "compute-mode":
                    _call(nvml, "nvmlDeviceSetComputeMode", device, c_uint(_index(_MODES, value)))
                case _:
                    self._lock(nvml, device, uuid, value)

    def command(self, target: str, value: str | None) -> str:
        uuid, setting = _parts(target)
        match setting:
            case "persistence":
                return f"nvidia-smi -i {uuid} -pm {_index(_SWITCH, value)}"
            case "compute-mode":
                return f"nvidia-smi -i {uuid} -c {_index(_MODES, value)}"
        clocks = _clocks(value)
        return f"nvidia-smi -i {uuid} " + (f"-lgc {clocks[0]},{clocks[1]}" if clocks else "-rgc")

    def highest_clock(self, uuid: str) -> int:
        """The highest graphics clock in MHz. Raises OSError where this GPU cannot tell."""
        with self._device(uuid) as (nvml, device):
            return _number(nvml, "nvmlDeviceGetMaxClockInfo", device, c_uint(_GRAPHICS))

    def _lock(self, nvml: ctypes.CDLL, device: c_void_p, uuid: str, value: str | None) -> None:
        note = self._locks / uuid
        clocks = _clocks(value)
        if clocks is None:
            _call(nvml, "nvmlDeviceResetGpuLockedClocks", device)
            note.unlink(missing_ok=True)
            return
        earlier = note.read_text(encoding="ascii") if note.exists() else None
        _keep(note, value)
        try:
            _call(nvml, "nvmlDeviceSetGpuLockedClocks", device, c_uint(clocks[0]), c_uint(clocks[1]))
        except OSError:
            _keep(note, earlier)
            raise

    @contextlib.contextmanager
    def _device(self, uuid: str) -> Iterator[tuple[ctypes.CDLL, c_void_p]]:
        try:
            nvml = self._load()
            _call(nvml, "nvmlInit_v2")
            try:
                device = c_void_p()
                _call(nvml, "nvmlDeviceGetHandleByUUID", uuid.encode(), byref(device))
                yield nvml, device
            finally:
                nvml.nvmlShutdown()
        except OSError as e:
            if e.errno == errno.ENODEV:  # no GPU, no lock
                (self._locks / uuid).unlink(missing_ok=True)
            raise

    def _load(self) -> ctypes.CDLL:
        try:
            return ctypes.CDLL(self._library)
        except OSError as e:
            # A driver that is loaded keeps what was set in it, library or not.
            number = errno.ELIBACC if self._loaded.exists() else errno.ENODEV
            raise OSError(number, f"{self._library} is not installed") from e


def _keep(note: Path, text: str | None) -> None:
    """All of it or nothing of it is there, whenever we die."""
    if text is None:
        note.unlink(missing_ok=True)
        return
    note.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    new = note.with_name(f"{note.name}.new")
    new.write_text(text, encoding="ascii")
    new.rename(note)


def _parts(target: str) -> tuple[str, str]:
    uuid, _, setting = target.partition(" ")
    if setting not in ("persistence", "clocks", "compute-mode") or not uuid.replace("-", "").isalnum():
        raise OSError(errno.EINVAL, f"{target!r} is not a GPU and a setting")
    return uuid, setting


def _clocks(value: str | None) -> tuple[int, int] | None:
    words = (value or "").split()
    if words == [_DEFAULT]:
        return None
    if len(words) == 3 and words[0] == "locked" and words[1].isdecimal() and words[2].isdecimal():
        return int(words[1]), int(words[2])
    raise OSError(errno.EINVAL, f"clocks: neither default nor locked: {value!r}")


def _word(words: tuple[str, ...], number: int) -> str:
    return words[number] if number < len(words) else str(number)


def _index(words: tuple[str, ...], value: str | None) -> int:
    if value not in words:
        raise OSError(errno.EINVAL, f"{value!r} is none of {', '.join(words)}")
    return words.index(value)


def _number(nvml: ctypes.CDLL, name: str, *arguments: object) -> int:
    found = c_uint()
    _call(nvml, name, *arguments, byref(found))
    return found.value


def _call(nvml: ctypes.CDLL, name: str, *arguments: object) -> None:
    try:
        function = getattr(nvml, name)
    except AttributeError as e:
        raise OSError(errno.ENOSYS, f"{name}: this driver does not have it") from e
    code = function(*arguments)
    if code != _SUCCESS:
        nvml.nvmlErrorString.restype = ctypes.c_char_p
        words = nvml.nvmlErrorString(code) or os.strerror(errno.EIO).encode()
        raise OSError(_ERRNO.get(code, errno.EIO), f"{name}: {words.decode(errors='replace')}")
