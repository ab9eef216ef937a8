"""In what two jobs differ, for `run --diff` and `job rerun`."""

from typing import Any

from mlosd.cli import paint, printing, say
from mlosd.cli.lineage_graph import path, text
from mlosd.cli.reach import Address
from mlosd.cli.table import Column

MANY = 10
"""More differences of one kind than this are counted: libraries come by the hundred."""
SAME, DIFFERENT = 0, 1
DIGEST = 64

Answer = dict[str, Any]


def between(address: Address, a: int, b: int, *, json: bool) -> int:
    """Print them all; 0 when there are none, else 1."""
    answer = _ask(address, a, b)
    if json:
        printing.json_line({"a": a, "b": b, **answer})
        return _code(answer["differences"])
    for reason in answer["reasons"]:
        say.tell(f"something may be missing: {reason}")
    if answer["differences"]:
        columns = [
            Column("WHAT", colour=lambda what: paint.BOLD),
            Column("NAME", cut=True),
            Column(f"JOB {a}", cut=True),
            Column(f"JOB {b}", cut=True),
        ]
        printing.rows(columns, list(_rows(answer["differences"])))
    print(_outputs(answer))
    return _code(answer["differences"])


def outputs(address: Address, a: int, b: int, *, json: bool) -> int:
    """Say whether both wrote the same; 0 if so, else 1."""
    answer = _ask(address, a, b)
    different = [d for d in answer["differences"] if d["what"] == "output"]
    if json:
        printing.json_line({"a": a, "b": b, **answer})
        return _code(different)
    for reason in answer["reasons"]:
        say.tell(f"something may be missing: {reason}")
    for difference in different:
        print(f"{paint.visible(difference['name'])}: {_how(difference)}")
    print(_outputs(answer))
    return _code(different)


def changed(change: Answer) -> str:
    """An input that is not any more what it was, as a sentence."""
    then, now = change["then"], change["now"]
    return f"{path(then)} {'has changed since' if now else 'is gone'}"


def _ask(address: Address, a: int, b: int) -> Answer:
    return address.connect().call("io.mlosd.Lineage.Diff", {"a": a, "b": b})


def _code(found: list[Answer]) -> int:
    return DIFFERENT if found else SAME


def _outputs(answer: Answer) -> str:
    different = sum(1 for difference in answer["differences"] if difference["what"] == "output")
    same = answer["same_outputs"]
    if not same and not different:
        return "neither wrote a file"
    return f"{same} of {same + different} written files are equal"


def _how(difference: Answer) -> str:
    if difference["a"] is None or difference["b"] is None:
        return "written by the second only" if difference["a"] is None else "written by the first only"
    return f"{_short(difference['a'])} became {_short(difference['b'])}"


def _rows(differences: list[Answer]) -> list[tuple[str, str, str, str]]:
    kinds: dict[str, list[Answer]] = {}
    for difference in differences:
        kinds.setdefault(difference["what"], []).append(difference)
    rows = []
    for what, found in kinds.items():
        rows += [(what, text(d["name"]), _short(d["a"]), _short(d["b"])) for d in found[:MANY]]
        if len(found) > MANY:
            rows.append((what, f"and {len(found) - MANY} more: --json names them", "", ""))
    return rows


def _short(value: str | None) -> str:
    """A digest by its beginning, as git does."""
    if value is None:
        return "-"
    is_digest = len(value) == DIGEST and value.isalnum()
    return value[:12] if is_digest else text(value)
