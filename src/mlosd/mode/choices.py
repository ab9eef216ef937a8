"""Files of sysfs that take one of several words, where another file lists which."""

from pathlib import Path

from mlosd.mode.knob import Cannot, Want, Wish


def words(file: Path) -> tuple[str, ...]:
    """What a file lists; nothing where it is not there. Raises OSError, as of a CPU that is offline (EBUSY)."""
    try:
        return tuple(file.read_text(encoding="ascii", errors="replace").split())
    except FileNotFoundError:
        return ()


def wanted(file: Path, value: str, *, among: Path) -> Wish:
    """That `file` is `value`; why it cannot be where `among` lists others only. A list that is not there allows all."""
    try:
        known = words(among)
    except OSError as e:
        return Cannot(str(file), e.strerror or str(e))
    if known and value not in known:
        return Cannot(str(file), f"there is no {value!r} here, only {', '.join(known)}")
    return Want("text", str(file), value)
