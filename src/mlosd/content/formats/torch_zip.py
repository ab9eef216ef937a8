"""torch.save since 1.6: a zip with data.pkl and one file per storage; TorchScript archives; torch.export.

data.pkl is listed, never unpickled. A module, a dict of parameters, a checkpoint with one in it is a model; the state
of an optimizer, a bare tensor, a list of samples is not. Cut off: a zip without its directory.
"""

from dataclasses import replace

from mlosd.content.encodings.central_directory import Directory, directory, open_member
from mlosd.content.encodings.pickle_machine import beginning
from mlosd.content.encodings.stream import Stream
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.pickle_identity import identity
from mlosd.content.window import Window

_PICKLE = "data.pkl"
_SCRIPT = "constants.pkl"
_EXPORTED = ("serialized_exported_program.json", "archive_format")


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def describe(window: Window) -> Identity | None:
    found = window.once(directory)
    if any(found.find(name) for name in _EXPORTED):
        return Identity("torch export", MODEL, found.complete, {"files": len(found.members)}, found.warnings)
    member = found.find(_PICKLE)
    if member is None:
        return None
    inside = open_member(window, member)
    if inside is None:
        return Identity("torch", complete=False, warnings=(*found.warnings, "its data.pkl cannot be read"))
    listing = beginning(Stream(inside))
    told = identity("torch", listing, complete=found.complete, header=_facts(found))
    told = replace(told, warnings=(*told.warnings, *found.warnings))
    if found.find(_SCRIPT):
        return replace(told, format="torchscript", role=MODEL)
    return told


def _facts(found: Directory) -> dict[str, int]:
    storages = [member.size for member in found.members if "/data/" in member.name]
    return {"storages": len(storages), "storage_bytes": sum(storages)}


FORMAT = Format("torch", Strength.INSIDE, matches, describe)
