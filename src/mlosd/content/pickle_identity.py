"""What a listing of a pickle comes to: role, header facts, warnings. For all formats that have pickles in them."""

from typing import Any

from mlosd.content import facts
from mlosd.content.encodings.pickled import Listing, Made, Value
from mlosd.content.encodings.torch_tensors import Tensor, tensor
from mlosd.content.identity import Identity
from mlosd.content.pickle_kinds import Judgement, dangers, judge


def identity(format_: str, listing: Listing, *, complete: bool, header: dict[str, Any] | None = None) -> Identity:
    """The identity of a file whose pickle this is."""
    judgement = judge(listing.root)
    told = {
        **(header or {}),
        "kind": str(judgement.kind),
        "class": _class(listing.root),
        "classes": facts.first(sorted(map(str, listing.globals))),
        **_tensors(judgement),
    }
    return Identity(
        format_,
        judgement.role,
        complete,
        {name: value for name, value in told.items() if value not in (None, [])},
        dangers(listing.globals),
    )


def tensor_facts(tensors: dict[str, tuple[str, int]]) -> dict[str, Any]:
    """Facts of named tensors (type, numbers of each), as every format of models tells them."""
    types = sorted({dtype for dtype, _ in tensors.values()})
    return {
        "tensors": len(tensors),
        "parameters": sum(numbers for _, numbers in tensors.values()),
        "dtypes": types,
        "names": facts.first(tensors),
    }


def _tensors(judgement: Judgement) -> dict[str, Any]:
    if judgement.parameters is None:
        return {}
    found: dict[str, Tensor] = {}
    for name, value in judgement.parameters:
        made = tensor(value)
        if isinstance(name, str) and made is not None:
            found[name] = made
    return tensor_facts({name: (made.dtype, made.numbers) for name, made in found.items()}) if found else {}


def _class(root: Value) -> str | None:
    return str(root.origin) if isinstance(root, Made) and root.origin else None
