"""What aliases mean, meant, and meant before: answers from their log. Pure; rows come oldest first."""

from collections.abc import Sequence

from mlosd.store.models import AliasRow


def meaning(log: Sequence[AliasRow], at: float | None = None) -> dict[str, AliasRow]:
    """The row that said what each alias means, or meant at that time. Those that mean nothing are left out."""
    last = {row.alias: row for row in log if at is None or row.at <= at}
    return {alias: row for alias, row in last.items() if row.number is not None}


def before(log: Sequence[AliasRow], alias: str) -> int | None:
    """The version that an alias meant before the one that it means (or, if it means none, that it meant last)."""
    meant = [row.number for row in log if row.alias == alias]
    now = meant[-1] if meant else None
    return next((number for number in reversed(meant) if number not in (None, now)), None)


def needed(log: Sequence[AliasRow]) -> dict[int, str]:
    """Versions that an alias means or would go back to, and that alias."""
    result: dict[int, str] = {}
    for alias in dict.fromkeys(row.alias for row in log):
        if (earlier := before(log, alias)) is not None:
            result.setdefault(earlier, alias)
    # Whoever means a version now is the better reason.
    result.update({row.number: alias for alias, row in meaning(log).items() if row.number is not None})
    return result
