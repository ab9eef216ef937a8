"""What people are told of a project that was opened: what was found, what is in memory, what that saves."""

from collections.abc import Iterator, Mapping
from typing import Any

from mlosd.cli.quantity import show_duration, show_size


def facts(opened: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Names and values."""
    yield "resources", resources(opened)
    if opened["run"] is not None:
        yield "order", f"that of job {opened['run']}"
    yield "in memory", memory(opened)
    if opened["warmed"]:
        yield "read now", f"{show_size(opened['warmed'])} in {show_duration(opened['seconds'])}"
    if opened["saves"] is not None:
        yield "saves", saves(opened)
    if opened["stopped"]:
        yield "stopped", opened["stopped"]


def resources(opened: Mapping[str, Any]) -> str:
    """How they were found, and why some were not."""
    parts = [f"{opened['resources']}"]
    for name, words in (
        ("by_handle", "by handle"),
        ("by_path", "by path"),
        ("missing", "missing"),
        ("refused", "not yours to read"),
        ("remote", "on network file systems (--network)"),
    ):
        if opened[name]:
            parts.append(f"{opened[name]} {words}")
    return ": ".join((parts[0], ", ".join(parts[1:]))) if parts[1:] else parts[0]


def memory(opened: Mapping[str, Any]) -> str:
    """How much of the project is in memory now, and how much was before."""
    there = opened["warmed"] + opened["resident"]
    share = f" ({100 * there // opened['total']} %)" if opened["total"] else ""
    unread = f", {show_size(opened['unread'])} could not be read" if opened["unread"] else ""
    return f"{show_size(there)} of {show_size(opened['total'])}{share}{unread}"


def saves(opened: Mapping[str, Any]) -> str:
    """What the next run gains, and how that is known."""
    seconds = show_duration(max(0.0, opened["saves"]))
    if opened["measured"]:
        return f"{seconds} of waiting in the next run (measured, {opened['pairs']} cold and warm runs)"
    return f"about {seconds} of waiting in the next run (an estimate)"
