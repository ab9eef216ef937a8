"""What `mlosctl mode` prints for people."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from mlosd.cli import paint, printing
from mlosd.cli.printing import moment
from mlosd.cli.table import Column
from mlosd.core.errors import NotFound

View = dict[str, Any]
_COLOURS = {"on": paint.GREEN, "drained": paint.RED, "unsupported": paint.YELLOW}
_CHANGES = ("set", "ours", "void", "hold")
_WORDS = {"ours": "set", "hold": "held"}


def card(mode: View) -> None:
    """The whole of `mode status`."""
    printing.heading(f"ML mode is {mode['state']}", colour=_COLOURS.get(mode["state"], paint.BOLD))
    if mode["reason"]:
        printing.points([mode["reason"]])
    if mode["state"] == "off" and not mode["kept"]:
        return
    counts = Counter(step["what"] for step in mode["steps"])
    ours = sum(counts[what] for what in _CHANGES)
    facts = [("profile", ", ".join(mode["profiles"])), ("since", moment(mode["since"]))] if mode["since"] else []
    if mode["state"] == "on":
        facts += [("CPUs", cpus(mode)), ("changed", f"{ours} values; mlosctl mode verify reads them again")]
    if mode["headroom"]:
        facts.append(("headroom", mode["headroom"]))
    if mode["switch_ms"] is not None and mode["since"]:
        facts.append(("switched in", f"{mode['switch_ms']:.0f} ms"))
    printing.facts(facts)
    if mode["leases"]:
        printing.heading("Held by")
        columns = [Column("LEASE", align=">"), Column("PROFILE"), Column("UNTIL"), Column("WHO", cut=True)]
        printing.rows(columns, map(_lease_row, mode["leases"]))
    troubles(mode)


def troubles(mode: View) -> None:
    """What is not as it should be, or somebody should know of."""
    _list("Refused", [f"{step['target']}: {step['reason']}" for step in mode["steps"] if step["what"] == "refused"])
    _list("Means nothing here", _with_reason(mode["steps"], "void"))
    _list("Left to others", _with_reason(mode["steps"], "yielded") + _with_reason(mode["steps"], "pinned"))
    _list("Also at work", mode["rivals"])
    _list("Notes", mode["notes"])
    _list("Changed by somebody else, and left so", [_leftover(one) for one in mode["kept"]])
    if mode["drained"]:
        printing.heading("Could NOT be put back; no new mode until it is", colour=paint.RED)
        printing.points(_leftover(one) for one in mode["drained"])
        print("  paste these, or try again with mlosctl mode restore:")
        for one in mode["drained"]:
            print(f"    {paint.visible(one['command'])}")


def entered(reply: View) -> None:
    """After `mode enter`."""
    lease, mode = reply["lease"], reply["mode"]
    counts = Counter(step["what"] for step in mode["steps"])
    ours = sum(counts[what] for what in _CHANGES)
    printing.heading(f"ML mode is on: lease {lease['id']}, until {until(lease)}", colour=paint.GREEN)
    printing.facts([("CPUs", cpus(mode)), ("changed", f"{ours} values"), ("not here", f"{counts['unavailable']}")])
    troubles(mode)


def left(reply: View) -> None:
    """After `mode leave`."""
    mode = reply["mode"]
    ids = ", ".join(str(lease["id"]) for lease in reply["leases"])
    if mode["state"] == "off":
        print(f"lease {ids} is given back; the machine is as it was")
    elif mode["leases"]:
        others = ", ".join(lease["who"] for lease in mode["leases"])
        print(f"lease {ids} is given back; the mode stays for {paint.visible(others)}")
    troubles({**mode, "steps": [], "rivals": [], "notes": []})


def plan(reply: View, *, everything: bool) -> None:
    """The whole of `mode plan`."""
    shown = [step for step in reply["steps"] if everything or step["what"] in _CHANGES]
    if shown:
        columns = [Column("KNOB"), Column("USE"), Column("WHAT", colour=_what_colour), Column("OLD -> NEW", cut=True),
                   Column("BACK BY"), Column("TARGET", cut=True)]  # fmt: skip
        printing.rows(columns, map(_step_row, shown))
    else:
        print("nothing would change")
    printing.facts([("CPUs", cpus(reply))])
    if not everything:
        missing = Counter(step["what"] for step in reply["steps"] if step["what"] not in _CHANGES)
        if missing:
            said = ", ".join(f"{count} {what}" for what, count in missing.items())
            printing.points([f"not changed: {said}; --all shows them"])
    _list("Means nothing here", _with_reason(reply["steps"], "void"))
    _list("Notes", reply["notes"])


def findings(found: Sequence[View]) -> None:
    """The whole of `mode verify`."""
    if not found:
        print("nothing of ours is on this machine")
        return
    columns = [Column("SAYS", colour=_says_colour), Column("KNOB"), Column("WANTED"), Column("NOW"),
               Column("EFFECTIVE"), Column("TARGET", cut=True)]  # fmt: skip
    body = [(f["says"], f["knob"], _value(f["wanted"]), _value(f["now"]), _value(f["effective"]), f["target"])
            for f in found]  # fmt: skip
    printing.rows(columns, body)
    printing.points(f"{f['target']}: {f['detail']}" for f in found if f["detail"] and f["says"] != "ok")


def restored(reply: View) -> None:
    """After `mode restore`."""
    print(f"{reply['restored']} put back" + (f", {reply['gone']} gone with their device" if reply["gone"] else ""))
    _list("Changed by somebody else, and left so", [_leftover(one) for one in reply["kept"]])
    for one in reply["failed"]:
        print(f"NOT put back: {paint.visible(_leftover(one))}\n    {paint.visible(one['command'])}")


def knob_table(every: Sequence[View]) -> None:
    """The knobs, with the first sentence of their manuals."""
    columns = [Column("KNOB"), Column("USE"), Column("BACK BY"), Column("WHAT IT IS", cut=True)]
    printing.rows(columns, [(one["name"], one["use"], one["through"], _first(one["manual"])) for one in every])


def manual(knob: View) -> None:
    """The manual of one knob."""
    printing.heading(knob["name"])
    print(knob["manual"])
    print()
    rivals = ", ".join(knob["rivals"]) or "none"
    printing.facts([("use", knob["use"]), ("put back by", knob["through"]), ("set by others", rivals)])


def profile_table(every: Sequence[View]) -> None:
    """The profiles."""
    columns = [Column("PROFILE"), Column("KNOBS", align=">"), Column("SUMMARY", cut=True)]
    printing.rows(columns, [(one["name"], str(len(one["settings"])), one["summary"]) for one in every])


def profile(one: View) -> None:
    """The settings of a profile."""
    printing.heading(f"{one['name']}: {one['summary']}")
    headroom = [("headroom", f"{one['headroom']:g} %")] if one["headroom"] is not None else []
    printing.facts([*sorted(one["settings"].items()), *headroom, ("file", one["file"])])


def named(every: Sequence[View], name: str) -> list[View]:
    """The one of this name. Raises NotFound that guesses."""
    from difflib import get_close_matches

    if found := [one for one in every if one["name"] == name]:
        return found
    guess = get_close_matches(name, [one["name"] for one in every], n=1)
    raise NotFound(f"there is no {name!r}", hint=f"did you mean {guess[0]}?" if guess else None)


def cpus(of: View) -> str:
    """Who has which CPUs."""
    if not of["training"]:
        return f"{of['housekeeping']} shared by weight"
    return f"{of['training']} for training, {of['housekeeping']} for the rest"


def until(lease: View) -> str:
    """What ends a lease."""
    ends = []
    if lease["job"] is not None:
        ends.append(f"job {lease['job']} ends")
    elif lease["pid"] is not None:
        ends.append(f"process {lease['pid']} ends")
    if lease["until"] is not None:
        ends.append(moment(lease["until"]))
    return " or ".join(ends) or "mode leave"


def _lease_row(lease: View) -> tuple[str, ...]:
    return (str(lease["id"]), lease["profile"], until(lease), lease["who"])


def _step_row(step: View) -> tuple[str, ...]:
    if step["what"] in ("set", "void", "ours"):
        change = f"{_value(step['now'])} -> {_value(step['value'])}"
    else:
        change = _value(step["value"]) if step["what"] in ("hold", "same") else str(step["reason"] or "")
    what = _WORDS.get(step["what"], str(step["what"]))
    return (step["knob"], step["use"], what, change, step["through"], step["target"])


def _with_reason(steps: Iterable[View], what: str) -> list[str]:
    return [f"{step['target']}: {step['reason']}" for step in steps if step["what"] == what]


def _leftover(one: View) -> str:
    return f"{one['target']} is {_value(one['now'])}, was {_value(one['was'])} ({one['reason']})"


def _list(title: str, texts: Iterable[str]) -> None:
    if lines := list(texts):
        printing.heading(title)
        printing.points(lines)


def _value(value: str | None) -> str:
    return "-" if value is None else value or "(empty)"


def _first(text: str) -> str:
    return " ".join(text.split()).partition(". ")[0].removesuffix(".")


def _what_colour(what: str) -> str | None:
    return {"set": paint.GREEN, "held": paint.GREEN, "void": paint.YELLOW, "unavailable": paint.YELLOW}.get(what)


def _says_colour(says: str) -> str | None:
    return {"ok": paint.GREEN, "differs": paint.RED}.get(says, paint.YELLOW)
