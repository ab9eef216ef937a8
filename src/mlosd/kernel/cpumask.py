"""CPU masks as the kernel prints them, "f,00000001": a comma before each 32 bits (core-api/printk-formats, %*pb)."""

import re
from collections.abc import Iterable

_MASK = re.compile(r"[0-9a-f]{1,8}(?:,[0-9a-f]{1,8})*", re.ASCII | re.IGNORECASE)
_BITS = 32


def parse(text: str) -> tuple[int, ...]:
    """The CPUs in `text`, ascending. Anything that is no mask raises ValueError."""
    stripped = text.strip()
    if _MASK.fullmatch(stripped) is None:
        raise ValueError(f"not a CPU mask: {text!r}")
    mask = 0
    for part in stripped.split(","):
        mask = mask << _BITS | int(part, 16)
    return tuple(cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1)


def format(cpus: Iterable[int]) -> str:  # noqa: A001 - read as cpumask.format
    """The mask that means `cpus`. The kernel reads no more than 32 bits between two commas (lib/bitmap-str.c)."""
    mask = sum(1 << cpu for cpu in set(cpus))
    parts = [f"{mask & 0xFFFFFFFF:x}"]
    while mask := mask >> _BITS:
        parts[-1] = parts[-1].zfill(8)
        parts.append(f"{mask & 0xFFFFFFFF:x}")
    return ",".join(reversed(parts))
