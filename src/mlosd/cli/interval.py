"""How much faster, and how sure: the ratio of paired times, with an interval that holds it 19 times out of 20.

The mean of log(after / before), and Student's t. Swapping before and after gives the inverse of all three numbers.
"""

from collections.abc import Sequence
from math import exp, log, sqrt

# t(0.975) by degrees of freedom; beyond, four terms of its expansion in 1/df are exact to four digits.
_T = (12.7062, 4.3027, 3.1824, 2.7764, 2.5706, 2.4469, 2.3646, 2.3060, 2.2622, 2.2281)
_Z = 1.959964


class Ratio:
    """`middle`: after / before; the true ratio is between `low` and `high`."""

    __slots__ = ("high", "low", "middle")

    def __init__(self, middle: float, low: float, high: float) -> None:
        self.middle, self.low, self.high = middle, low, high


def ratio(before: Sequence[float], after: Sequence[float]) -> Ratio:
    """Of pairs of times, each more than zero; two pairs at least."""
    if len(before) != len(after) or len(before) < 2:
        raise ValueError(f"two pairs at least, not {len(before)} and {len(after)} times")
    logs = [log(b) - log(a) for a, b in zip(before, after, strict=True)]
    count = len(logs)
    mean = sum(logs) / count
    spread = sqrt(sum((one - mean) ** 2 for one in logs) / (count - 1))
    half = student(count - 1) * spread / sqrt(count)
    return Ratio(exp(mean), exp(mean - half), exp(mean + half))


def student(freedom: int) -> float:
    """The 0.975 quantile of Student's t (Abramowitz and Stegun 26.7.5)."""
    if freedom <= len(_T):
        return _T[freedom - 1]
    z, n = _Z, freedom
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / n + second / n**2 + third / n**3


def verdict(found: Ratio) -> str:
    """ "gained", "lost", or "nothing" where one in twenty such results would be chance."""
    if found.high < 1:
        return "gained"
    return "lost" if found.low > 1 else "nothing"


def words(found: Ratio, rounds: int) -> str:
    """For people: "gained 4.1 % (1.2 to 6.9 %)"; less time is a gain."""
    middle, low, high = (_percent(1 - one) for one in (found.middle, found.high, found.low))
    match verdict(found):
        case "gained":
            return f"gained {middle} % ({low} to {high} %)"
        case "lost":
            middle, low, high = (_percent(one - 1) for one in (found.middle, found.low, found.high))
            return f"lost {middle} % ({low} to {high} %)"
        case _ if found.high > 10 * found.low:
            return f"gained nothing that {rounds} rounds can show: the times vary too much; take a longer command"
        case _:
            return f"gained nothing that {rounds} rounds can show ({low} to {high} %)"


def _percent(part: float) -> str:
    return f"{round(100 * part, 1) + 0.0:.1f}"  # + 0.0: no minus before a zero


def median(values: Sequence[float]) -> float:
    """The middle one; of two, their mean."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
