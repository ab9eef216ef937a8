"""How much of what a file of records claims is believed: that depends on who brings it.

Restored: root puts a machine's table back as it was. Adopted: everything becomes the caller's own, and nothing that the
file says about this machine counts: not who owned it, where it lay, which inode it was, or that its bytes are stored.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from mlosd.store.runs import IMPORTED

NOT_CAPTURED = "not captured"
ELSEWHERE = "-"
"""The project of files outside of all projects."""


@dataclass(frozen=True, slots=True)
class Importer:
    """Whoever brings the records."""

    uid: int
    gid: int
    groups: tuple[int, ...]


class Trust(Protocol):
    """What becomes of a claim. `may_count_nodes`: the importer may learn which nodes of manifests were here."""

    may_count_nodes: ClassVar[bool]

    def owner(self, claimed: int | None) -> int: ...
    def job_owner(self, claimed: dict[str, Any] | None) -> dict[str, Any]: ...
    def project_name(self, claimed: str) -> str: ...
    def root(self, claimed: bytes | None) -> bytes: ...
    def path(self, claimed: bytes, root: bytes) -> bytes: ...
    def filesystem(self, claimed: str) -> str: ...
    def number(self, claimed: Any) -> int | None: ...
    def boot(self, claimed: str | None) -> str: ...
    def bound_until(self, claimed: float | None, *, now: float) -> float | None: ...


@dataclass(frozen=True, slots=True)
class Restored:
    """All of it: root could write the database itself."""

    may_count_nodes: ClassVar[bool] = True
    importer: Importer

    def owner(self, claimed: int | None) -> int:
        return self.importer.uid if claimed is None else claimed

    def job_owner(self, claimed: dict[str, Any] | None) -> dict[str, Any]:
        return claimed or _owner(self.importer)

    def project_name(self, claimed: str) -> str:
        return claimed

    def root(self, claimed: bytes | None) -> bytes:
        return claimed or b"imported:"

    def path(self, claimed: bytes, root: bytes) -> bytes:
        return claimed

    def filesystem(self, claimed: str) -> str:
        return claimed

    def number(self, claimed: Any) -> int | None:
        return claimed if isinstance(claimed, int) and 0 < claimed < 1 << 53 else None

    def boot(self, claimed: str | None) -> str:
        return IMPORTED if claimed is None else claimed

    def bound_until(self, claimed: float | None, *, now: float) -> float | None:
        return claimed


@dataclass(frozen=True, slots=True)
class Adopted:
    """None of it."""

    may_count_nodes: ClassVar[bool] = False
    importer: Importer

    def owner(self, claimed: int | None) -> int:
        return self.importer.uid

    def job_owner(self, claimed: dict[str, Any] | None) -> dict[str, Any]:
        return _owner(self.importer)

    def project_name(self, claimed: str) -> str:
        return "elsewhere" if claimed == ELSEWHERE else claimed

    def root(self, claimed: bytes | None) -> bytes:
        # Not a directory, and no way to one: nobody looks there, with rights that the caller has not.
        return b"imported:" + (claimed or b"").removeprefix(b"imported:").replace(b"..", b"%2E%2E")

    def path(self, claimed: bytes, root: bytes) -> bytes:
        """Below the root of a project; anything else as a URI, which is no path."""
        if claimed.startswith(b"/"):
            below = (
                claimed.removeprefix(root.rstrip(b"/") + b"/") if root.startswith(b"/") and root != b"/" else claimed
            )
            claimed = b"file://" + claimed if below == claimed else below
        if b".." in claimed.split(b"/"):
            return b"file:" + claimed.replace(b"..", b"%2E%2E")
        return claimed

    def filesystem(self, claimed: str) -> str:
        return f"imported:{self.importer.uid}:{claimed}"

    def number(self, claimed: Any) -> int | None:
        return None

    def boot(self, claimed: str | None) -> str:
        return IMPORTED

    def bound_until(self, claimed: float | None, *, now: float) -> float | None:
        return now if claimed is None else claimed


def trust_in(importer: Importer, *, source: str, own_uid: Callable[[], int] = os.getuid) -> Trust:
    """Root's own exports are restored; everything else is adopted."""
    if source == "mlosd" and importer.uid in (0, own_uid()):
        return Restored(importer)
    return Adopted(importer)


def captured(claimed: str | None, *, source: str) -> str:
    """Of a model's version: its bytes did not come along."""
    if claimed is not None and claimed.startswith(NOT_CAPTURED):
        return claimed
    return f"{NOT_CAPTURED} (imported from {source})"


def _owner(importer: Importer) -> dict[str, Any]:
    return {"uid": importer.uid, "gid": importer.gid, "groups": list(importer.groups)}
