"""Keras 3: a zip with config.json, metadata.json and model.weights.h5."""

from mlosd.content import facts
from mlosd.content.encodings.central_directory import directory, open_member
from mlosd.content.format import Format, Strength
from mlosd.content.identity import MODEL, Identity
from mlosd.content.window import Window

_WEIGHTS = "model.weights.h5"


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def describe(window: Window) -> Identity | None:
    found = window.once(directory)
    weights = found.find(_WEIGHTS)
    cut = not found.complete and any(member.name == "metadata.json" for member in found.members)
    if weights is None and not cut:
        return None
    metadata = found.find("metadata.json")
    inside = open_member(window, metadata) if metadata else None
    told = {"weights_bytes": weights.size if weights else None, "metadata": facts.text(inside.head) if inside else None}
    return Identity("keras", MODEL, found.complete, told, found.warnings)


FORMAT = Format("keras", Strength.INSIDE, matches, describe, extensions=(".keras",))
