"""Input devices and their `inhibited` switch (input/input-programming, "Inhibiting input devices"). Reads only."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class InputDevice:
    """`inhibited` is None where the kernel is older than the switch (5.11)."""

    directory: Path
    name: str
    inhibited: bool | None


def read(sys: Path = Path("/sys")) -> tuple[InputDevice, ...]:
    """Every input device, by number."""
    directories = sorted((sys / "class/input").glob("input[0-9]*"), key=_number)
    return tuple(_device(directory) for directory in directories)


def _device(directory: Path) -> InputDevice:
    return InputDevice(
        directory=directory,
        name=(_text_or_none(directory / "name") or "").strip(),
        inhibited=_flag(directory / "inhibited"),
    )


def _number(directory: Path) -> int:
    return int(directory.name.removeprefix("input"))


def _flag(file: Path) -> bool | None:
    text = _text_or_none(file)
    if text is None:
        return None
    if text.strip() not in ("0", "1"):
        raise ValueError(f"{file}: neither 0 nor 1: {text!r}")
    return text.strip() == "1"


def _text_or_none(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
