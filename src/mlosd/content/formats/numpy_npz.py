"""numpy's .npz: a zip of .npy files. Names of parameters make it a model (mlx writes those), all else is data."""

from typing import Any

from mlosd.content import facts, tensor_names
from mlosd.content.encodings.central_directory import directory, open_member
from mlosd.content.format import Format, Strength
from mlosd.content.formats.numpy_npy import FORMAT as NPY
from mlosd.content.identity import DATASET, MODEL, Identity
from mlosd.content.window import Window

_ROLES = {tensor_names.PARAMETERS: MODEL, tensor_names.DATA: DATASET}
_MOST = 20


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(b"PK\x03\x04")


def describe(window: Window) -> Identity | None:
    found = window.once(directory)
    if not found.members or not all(member.name.endswith(".npy") for member in found.members):
        return None
    names = [member.name.removesuffix(".npy") for member in found.members]
    meaning = tensor_names.meaning(names)
    arrays: dict[str, Any] = {}
    warnings = list(found.warnings)
    for name, member in list(zip(names, found.members, strict=True))[:_MOST]:
        inside = open_member(window, member)
        if inside is not None and NPY.matches(inside.head, b""):
            array = NPY.describe(inside)
            if array is not None:
                arrays[facts.text(name, most=200)] = [array.header.get("dtype"), array.header.get("shape")]
                warnings += [words for words in array.warnings if words not in warnings]
    told = {"kind": meaning, "tensors": len(names), "names": facts.first(names), "arrays": arrays}
    return Identity("npz", _ROLES.get(meaning), found.complete, told, tuple(warnings))


FORMAT = Format("npz", Strength.INSIDE, matches, describe, extensions=(".npz",))
