"""Any other zip. A wheel or an egg has code; what else is in one, content alone does not tell."""

from mlosd.content import facts
from mlosd.content.encodings.central_directory import directory
from mlosd.content.format import Format, Strength
from mlosd.content.identity import LIBRARY, Identity
from mlosd.content.window import Window


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith((b"PK\x03\x04", b"PK\x05\x06"))


def describe(window: Window) -> Identity:
    found = window.once(directory)
    names = [member.name for member in found.members]
    wheel = any(name.endswith(".dist-info/WHEEL") for name in names)
    told = {
        "files": len(names),
        "unpacked_bytes": sum(member.size for member in found.members),
        "names": facts.first(names),
    }
    return Identity("wheel" if wheel else "zip", LIBRARY if wheel else None, found.complete, told, found.warnings)


FORMAT = Format("zip", Strength.CONTAINER, matches, describe, extensions=(".zip",))
