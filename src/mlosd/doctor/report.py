"""Collects what the probes found, says which features work, and writes it for people or, as JSON, for programs."""

import json
import shutil
import textwrap
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TextIO

from mlosd.doctor.attempt import attempt
from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe, find
from mlosd.doctor.verdict import AS_ROOT, Ok, Unavailable, Verdict, to_wire

HEADINGS = {
    Feature.JOBS: "start, stop, survive a restart of the daemon",
    Feature.LIMITS: "CPUs, memory, disk and GPUs for each job",
    Feature.LINEAGE: "what each run really read and wrote",
    Feature.DRIFT: "when your data changed",
    Feature.GUARD: "models that cannot be changed unseen",
    Feature.IDENTITIES: "who is calling",
    Feature.MODE: "training first, everything back afterwards",
}


@dataclass(frozen=True, slots=True)
class Finding:
    probe: Probe
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Standing:
    """How a feature stands: `state` is "yes", "partly" or "no", because of the probes named in `without`."""

    feature: Feature
    state: str
    without: tuple[str, ...]


def collect(host: Host, progress: Callable[[str], None] = lambda name: None) -> Iterator[Finding]:
    """Try everything, one after the other. `progress` hears the name of each probe before it runs."""
    for probe in find(host):
        progress(probe.name)
        yield Finding(probe, attempt(probe, host))


def standings(findings: Iterable[Finding]) -> tuple[Standing, ...]:
    """Every feature that rests on at least one probe."""
    found = tuple(findings)
    return tuple(_standing(feature, found) for feature in Feature if any(feature in f.probe.features for f in found))


def _standing(feature: Feature, findings: tuple[Finding, ...]) -> Standing:
    missing = [f for f in findings if feature in f.probe.needed_by and isinstance(f.verdict, Unavailable)]
    if missing:
        return Standing(feature, "no", tuple(f.probe.name for f in missing))
    less = [f for f in findings if feature in f.probe.features and not isinstance(f.verdict, Ok)]
    return Standing(feature, "partly" if less else "yes", tuple(f.probe.name for f in less))


def runs_jobs(findings: Iterable[Finding]) -> bool:
    """Nothing that a plain job needs is missing."""
    return not any(Feature.JOBS in f.probe.needed_by and isinstance(f.verdict, Unavailable) for f in findings)


def write_json(finding: Finding, out: TextIO) -> None:
    """One object on one line."""
    probe = finding.probe
    line = {
        "name": probe.name,
        "group": str(probe.group),
        **to_wire(finding.verdict),
        "for": probe.purpose,
        "needed_by": [str(feature) for feature in probe.needed_by],
        "used_by": [str(feature) for feature in probe.used_by],
    }
    out.write(json.dumps(line, ensure_ascii=False) + "\n")
    out.flush()


# --- for people ---

_MARKS = {"ok": ("32", "✓ "), "degraded": ("33", "~ "), "unavailable": ("31", "✗ "), "lesser": ("33", "- ")}
_IN_SHORT = {"yes": "yes", "partly": "partly: less because of {}", "no": "no: it needs {}"}
_STANDING_STATE = {"yes": "ok", "partly": "degraded", "no": "unavailable"}
_DIM, _BOLD, _CYAN = "2", "1", "36"
_WIDEST = 120


@dataclass(frozen=True, slots=True)
class Page:
    """Where the table goes: plain text, or with colours."""

    out: TextIO
    width: int
    colour: bool

    @classmethod
    def of(cls, out: TextIO, *, colour: bool) -> "Page":
        return cls(out, min(shutil.get_terminal_size((100, 24)).columns, _WIDEST), colour)

    def paint(self, text: str, code: str) -> str:
        return f"\033[{code}m{text}\033[0m" if self.colour else text

    def entry(self, state: str, name: str, column: int, text: str) -> None:
        """A mark, a name, and text that stays in its own column."""
        code, mark = _MARKS[state]
        first, *rest = self._wrap(text, column)
        self.out.write(f"  {self.paint(mark, code)}{name.ljust(column - 4)}{first}\n")
        self._lines(rest, column)

    def note(self, column: int, text: str, code: str) -> None:
        self._lines((self.paint(line, code) for line in self._wrap(text, column, hanging="  ")), column)

    def heading(self, text: str, after: str) -> None:
        self.out.write(f"\n{self.paint(text, _BOLD)}{self.paint(after, _DIM)}\n")

    def _lines(self, lines: Iterable[str], column: int) -> None:
        self.out.writelines(" " * column + line + "\n" for line in lines)

    def _wrap(self, text: str, column: int, *, hanging: str = "") -> list[str]:
        room = max(24, self.width - column - 1)
        return textwrap.wrap(text, room, subsequent_indent=hanging, break_on_hyphens=False) or [""]


def write_table(findings: Iterable[Finding], page: Page) -> None:
    """Everything, by group; then what works."""
    found = tuple(findings)
    column = 4 + max(len(f.probe.name) for f in found) + 2
    for feature in Feature:
        group = [f for f in found if f.probe.group is feature]
        if group:
            page.heading(str(feature).capitalize() if feature.islower() else str(feature), f": {HEADINGS[feature]}")
        for finding in group:
            _write_finding(finding, column, page)
    page.heading("In short", "")
    for standing in standings(found):
        text = _IN_SHORT[standing.state].format(", ".join(standing.without))
        page.entry(_STANDING_STATE[standing.state], str(standing.feature), column, text)


def _write_finding(finding: Finding, column: int, page: Page) -> None:
    verdict = finding.verdict
    # Red is for what switches a feature off: a server without a mouse is not broken.
    lesser = isinstance(verdict, Unavailable) and not finding.probe.needed_by
    page.entry("lesser" if lesser else verdict.state, finding.probe.name, column, verdict.detail)
    if isinstance(verdict, Ok):
        return
    purpose = finding.probe.purpose
    page.note(column, f"What for: {purpose[0].lower()}{purpose[1:]}", _DIM)
    if verdict.hint and verdict.hint != AS_ROOT:
        page.note(column, f"→ {verdict.hint}", _CYAN)
