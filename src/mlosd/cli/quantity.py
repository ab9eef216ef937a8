"""Sizes and durations as people write them: 8G, 1.5G, 90s, 1d30m. What is shown can be typed again."""

from mlosd.core.errors import BadRequest

SIZES = {"B": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40, "P": 1 << 50}
DURATIONS = {"w": 604800, "d": 86400, "h": 3600, "m": 60, "s": 1}
LARGEST = (1 << 63) - 1

SIZE_HINT = "sizes are numbers with a unit: 512M, 8G, 1.5T (of 1024)"
DURATION_HINT = "durations are numbers with units: 90s, 30m, 2h, 1d12h"
COUNT_HINT = "use a whole number"


def size(text: str) -> int:
    """Bytes of `text`, e.g. "8G". A unit is needed: a bare number means megabytes to Slurm, and bytes to the kernel."""
    number = text.strip().upper()
    for suffix in ("IB", "B"):
        if number.endswith(suffix) and number.removesuffix(suffix)[-1:] in tuple("KMGTP"):
            number = number.removesuffix(suffix)
    unit = SIZES.get(number[-1:])
    if unit is None and _is_number(number):
        raise BadRequest(f"{text!r} has no unit", hint=f"{number}G is {number} GiB, {number}M is {number} MiB")
    if unit is None or not _is_number(number[:-1]):
        raise BadRequest(f"{text!r} is not a size", hint=SIZE_HINT)
    return _at_least_one(_times(number[:-1], unit), text, hint=SIZE_HINT)


def duration(text: str) -> int:
    """Seconds of `text`, e.g. "1h30m"; a bare number is seconds, as for sleep(1). Parts of a second are rounded up."""
    rest = text.strip()
    if _is_number(rest):
        rest += "s"
    seconds = 0
    for letter, unit in DURATIONS.items():
        number, found, after = rest.partition(letter)
        if found:
            if not _is_number(number):
                raise BadRequest(f"{text!r} is not a duration", hint=DURATION_HINT)
            seconds += _times(number, unit)
            rest = after
    if rest:
        raise BadRequest(f"{text!r} is not a duration", hint=DURATION_HINT)
    return _at_least_one(seconds, text, hint=DURATION_HINT)


def count(text: str) -> int:
    """A whole number of one or more."""
    if not (text.isascii() and text.isdigit()) or int(text) == 0:
        raise BadRequest(f"{text!r} is not a count of one or more", hint=COUNT_HINT)
    return _at_least_one(int(text), text, hint=COUNT_HINT)


def whole(text: str) -> int:
    """A whole number, negative ones too."""
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise BadRequest(f"{text!r} is not a whole number", hint=COUNT_HINT)
    return int(text)


def show_size(size_: int) -> str:
    """Three digits and a unit: 8G, 1.5G, 512M."""
    unit, factor = "B", 1
    for name, value in SIZES.items():
        if size_ >= value:
            unit, factor = name, value
    tenths = (size_ * 10 + factor // 2) // factor
    if tenths >= 1000 or tenths % 10 == 0:
        return f"{(size_ + factor // 2) // factor}{unit}"
    return f"{tenths // 10}.{tenths % 10}{unit}"


def show_duration(seconds: float) -> str:
    """The two largest units: 1d12h, 2h, 1m30s, and tenths below ten seconds."""
    if 0 < seconds < 10 and seconds != int(seconds):
        return f"{seconds:.1f}s"
    left, shown = round(seconds), ""
    for letter, unit in DURATIONS.items():
        part, left = divmod(left, unit)
        if shown:
            return shown + (f"{part}{letter}" if part else "")
        if part:
            shown = f"{part}{letter}"
    return shown or "0s"


def _is_number(text: str) -> bool:
    whole_, _, part = text.partition(".")
    digits = whole_ + part
    return digits.isascii() and digits.isdigit() and len(digits) <= 20


def _times(number: str, unit: int) -> int:
    """`number` times `unit`, without the rounding of floats; a rest counts as one."""
    whole_, _, part = number.partition(".")
    scale: int = 10 ** len(part)
    return -(-int(whole_ + part) * unit // scale)


def _at_least_one(value: int, text: str, *, hint: str) -> int:
    if not 1 <= value <= LARGEST:
        raise BadRequest(f"{text!r} is out of range", hint=hint)
    return value
