"""The memory node that a PCI device is on (testing/sysfs-bus-pci, numa_node), and where the driver says a GPU is."""

import re
from pathlib import Path

# domain:bus:device.function. NVML prints the domain with eight digits, sysfs with four or as many as it needs.
_ADDRESS = re.compile(r"([0-9a-f]{4,8}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])", re.IGNORECASE)


def of_device(address: str, sys: Path = Path("/sys")) -> int | None:
    """The node of the device at "0000:65:00.0"; None where the firmware does not tell (-1), or it is not there."""
    parts = _ADDRESS.fullmatch(address)
    if parts is None:
        raise ValueError(f"not a PCI address: {address!r}")
    domain, bus, device, function = (int(part, 16) for part in parts.groups())
    name = f"{domain:04x}:{bus:02x}:{device:02x}.{function}"
    try:
        node = int((sys / "bus/pci/devices" / name / "numa_node").read_text(encoding="ascii"))
    except FileNotFoundError:
        return None
    return node if node >= 0 else None


def of_gpu(uuid: str, *, sys: Path = Path("/sys"), proc: Path = Path("/proc")) -> int | None:
    """The node of an NVIDIA GPU; None where its driver (README, "the /proc file system interface") does not know it."""
    for file in (proc / "driver/nvidia/gpus").glob("*/information"):
        if _uuid(file) == uuid:
            return of_device(file.parent.name, sys)
    return None


def _uuid(file: Path) -> str | None:
    """The line "GPU UUID: GPU-..."; question marks until the GPU is used for the first time."""
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == "GPU UUID":
            return value.strip()
    return None
