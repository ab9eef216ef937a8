"""What a probe found: it works, it works in part, or it does not; and then why, and what can be done."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Ok:
    state: ClassVar[str] = "ok"
    detail: str


@dataclass(frozen=True, slots=True)
class Degraded:
    """The feature works, with less. `hint`: what the operator can do; None when nothing has to be done."""

    state: ClassVar[str] = "degraded"
    detail: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Unavailable:
    state: ClassVar[str] = "unavailable"
    detail: str
    hint: str | None = None


# The table for people says this once, the JSON with each probe.
AS_ROOT = "run it as root: sudo mlosctl doctor"

Verdict = Ok | Degraded | Unavailable

_BY_STATE: dict[str, type[Degraded] | type[Unavailable]] = {"degraded": Degraded, "unavailable": Unavailable}


def to_wire(verdict: Verdict) -> dict[str, str | None]:
    """A JSON object: state, reason, hint."""
    hint = None if isinstance(verdict, Ok) else verdict.hint
    return {"state": verdict.state, "reason": verdict.detail, "hint": hint}


def from_wire(message: dict[str, str | None]) -> Verdict:
    state, detail, hint = message["state"], message["reason"] or "", message["hint"]
    if state == Ok.state:
        return Ok(detail)
    return _BY_STATE[state or ""](detail, hint)
