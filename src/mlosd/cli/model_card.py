"""Models and versions as cards and rows of tables."""

from typing import Any

from mlosd.cli import printing
from mlosd.cli.printing import moment
from mlosd.cli.quantity import show_duration, show_size
from mlosd.cli.table import Column


def model_row(model: dict[str, Any]) -> tuple[str, ...]:
    """A model in a list."""
    aliases = ", ".join(f"{alias}={number}" for alias, number in model["aliases"].items())
    return model["name"], model["project"], str(model["versions"]), aliases or "-", model["path"] or "-"


def change_row(change: dict[str, Any]) -> tuple[str, ...]:
    """A move of an alias in a list."""
    number = str(change["number"]) if change["number"] is not None else "-"
    return moment(change["at"]), change["alias"], number, change["actor"], change["reason"]


def card(model: dict[str, Any], versions: list[dict[str, Any]]) -> None:
    """Print a model and its versions."""
    printing.heading(model["name"])
    printing.facts(
        [
            ("project", model["project"]),
            ("path", model["path"] or "-"),
            ("aliases", ", ".join(f"{alias}={number}" for alias, number in model["aliases"].items()) or "none"),
            ("added", moment(model["added_at"])),
            ("id", model["id"]),
        ]
    )
    print()
    columns = [
        Column("VERSION", align=">"),
        Column("WHEN"),
        Column("SIZE", align=">"),
        Column("JOB", align=">"),
        Column("DIGEST"),
        Column("ALIASES"),
        Column("KEPT", cut=True),
    ]
    printing.rows(columns, map(_version_row, versions))


def _version_row(version: dict[str, Any]) -> tuple[str, ...]:
    made_by = str(version["made_by"]) if version["made_by"] is not None else "-"
    return (
        str(version["number"]),
        moment(version["added_at"]),
        show_size(version["size"]),
        made_by,
        version["digest"][:12],
        ", ".join(version["aliases"]) or "-",
        version["captured"],
    )


def version_card(model: dict[str, Any], version: dict[str, Any]) -> None:
    """Print a version and what its header says."""
    printing.heading(f"{model['name']}:{version['number']}")
    facts = [
        ("project", model["project"]),
        ("path", model["path"] or "-"),
        ("aliases", ", ".join(version["aliases"]) or "none"),
        ("added", moment(version["added_at"])),
        ("made by", f"job {version['made_by']}" if version["made_by"] is not None else "nobody that was seen"),
        ("inputs", _inputs(version)),
        ("kept", version["captured"]),
        ("size", show_size(version["size"])),
        ("sha256", version["digest"]),
        ("format", version["format"] or "unknown"),
    ]
    header = version["header"] or {}
    facts += [(key, _short(value)) for key, value in header.items() if value and key not in ("warnings", "role")]
    printing.facts(facts)
    printing.points(header.get("warnings", ()))


def _inputs(version: dict[str, Any]) -> str:
    if version["inputs"] is None:
        return "not known"
    if not version["inputs"]:
        return "none"
    age = f"the newest {show_duration(version['age'])} old" if version["age"] is not None else ""
    changed = version["inputs_changed"] or 0
    return ", ".join(
        filter(None, (str(version["inputs"]), age, f"{changed} changed since" if changed else "none changed"))
    )


def _short(value: object) -> str:
    match value:
        case list():
            shown = ", ".join(map(_short, value[:8]))
            return f"{shown}, ... ({len(value)})" if len(value) > 8 else shown
        case dict():
            return ", ".join(f"{key}={_short(one)}" for key, one in list(value.items())[:8])
        case _:
            return str(value)


def collected(reply: dict[str, Any], dry_run: bool) -> None:
    """Print what was or would be removed."""
    for name in reply["removed"]:
        print(name)
    verb = "would be" if dry_run else "were"
    print(f"{len(reply['removed'])} {verb} removed, {show_size(reply['bytes'])}; {reply['kept']} stay")
    printing.points(f"{name} is missing: its stored bytes are gone" for name in reply["missing"])
