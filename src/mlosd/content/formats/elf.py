"""ELF: shared objects are libraries, programs are code (elf(5)). Cut off: the section headers lie behind the end."""

import struct

from mlosd.content.format import Format, Strength
from mlosd.content.identity import CODE, LIBRARY, Identity
from mlosd.content.window import Window

_MAGIC = b"\x7fELF"
_RELOCATABLE, _EXECUTABLE, _SHARED, _CORE = 1, 2, 3, 4
_DYNAMIC = 2
_FLAGS_1, _PIE = 0x6FFFFFFB, 0x08000000
_MACHINES = {3: "x86", 40: "arm", 62: "x86-64", 183: "aarch64", 190: "cuda", 224: "amdgpu", 243: "riscv", 21: "ppc64"}
_MOST_SEGMENTS = 200
_MOST_DYNAMIC = 16 << 10


def matches(head: bytes, _: bytes) -> bool:
    return head.startswith(_MAGIC)


def describe(window: Window) -> Identity:
    class_, order = window.exactly(4, 2)
    wide, end = class_ == 2, "<" if order == 1 else ">"
    kind, machine = struct.unpack(end + "HH", window.exactly(16, 4))
    if wide:
        segments_at, sections_at = struct.unpack(end + "QQ", window.exactly(32, 16))
    else:
        segments_at, sections_at = struct.unpack(end + "II", window.exactly(28, 8))
    sizes = struct.unpack(end + "HHHH", window.exactly(54 if wide else 42, 8))
    segment_size, segment_count, section_size, section_count = sizes
    complete = sections_at + section_size * section_count <= window.size
    told = {"machine": _MACHINES.get(machine, machine), "bits": 64 if wide else 32}
    if kind not in (_EXECUTABLE, _SHARED):
        what = {_RELOCATABLE: "object", _CORE: "core dump"}.get(kind, "other")
        return Identity("elf", LIBRARY if kind == _RELOCATABLE else None, complete, {**told, "kind": what})
    program = kind == _EXECUTABLE
    if kind == _SHARED and wide and segment_size >= 56:
        for number in range(min(segment_count, _MOST_SEGMENTS)):
            segment = window.at(segments_at + number * segment_size, 56)
            if len(segment) < 56:
                break
            type_, _, offset, _, _, size = struct.unpack_from(end + "IIQQQQ", segment)
            if type_ == _DYNAMIC:
                program = program or _is_pie(window.at(offset, min(size, _MOST_DYNAMIC)), end)
    return Identity(
        "elf", CODE if program else LIBRARY, complete, {**told, "kind": "program" if program else "library"}
    )


def _is_pie(dynamic: bytes, end: str) -> bool:
    """Whether the linker marked it a program; libraries may have an interpreter too (libc.so.6 has)."""
    pairs = (struct.unpack_from(end + "QQ", dynamic, at) for at in range(0, len(dynamic) - 15, 16))
    return any(tag == _FLAGS_1 and value & _PIE for tag, value in pairs)


FORMAT = Format("elf", Strength.MAGIC, matches, describe)
