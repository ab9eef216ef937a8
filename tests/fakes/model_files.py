"""Small files in the formats of models and data, packed by hand as their libraries write them."""

import io
import json
import struct
import zipfile
from typing import Any


def safetensors(tensors: dict[str, tuple[int, ...]], *, metadata: dict[str, str] | None = None) -> bytes:
    """A safetensors file with float32 tensors of these shapes."""
    header: dict[str, Any] = {"__metadata__": metadata} if metadata else {}
    at = 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        header[name] = {"dtype": "F32", "shape": list(shape), "data_offsets": [at, at + size]}
        at += size
    return safetensors_of(json.dumps(header).encode(), bytes(at))


def safetensors_of(header: bytes, data: bytes) -> bytes:
    """A safetensors file with this very header."""
    return struct.pack("<Q", len(header)) + header + data


def gguf(values: dict[str, Any], tensors: dict[str, tuple[int, ...]], *, order: str = "<") -> bytes:
    """A GGUF file of version 3, with float32 tensors of these shapes."""

    def string(text: str) -> bytes:
        return struct.pack(order + "Q", len(text.encode())) + text.encode()

    def value(item: Any) -> bytes:
        match item:
            case str():
                return struct.pack(order + "I", 8) + string(item)
            case int():
                return struct.pack(order + "II", 4, item)
            case list():
                packed = b"".join(map(string, item))
                return struct.pack(order + "IIQ", 9, 8, len(item)) + packed
        raise TypeError(item)

    parts = [b"GGUF", struct.pack(order + "IQQ", 3, len(tensors), len(values))]
    parts += [string(name) + value(item) for name, item in values.items()]
    at = 0
    for name, shape in tensors.items():
        size = 4
        for length in shape:
            size *= length
        parts.append(string(name) + struct.pack(order + "I", len(shape)))
        parts.append(struct.pack(f"{order}{len(shape)}QIQ", *shape, 0, at))
        at += -(-size // 32) * 32
    header = b"".join(parts)
    return header + bytes(-len(header) % 32) + bytes(at)


def varint(value: int) -> bytes:
    """A protobuf varint."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number: int, value: int | bytes | str) -> bytes:
    """A protobuf field."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(value)) + value


def onnx(*, external: str | None = None, opset: int = 17) -> bytes:
    """An ONNX model of one Gemm, 12 parameters in one tensor."""
    tensor = field(1, 3) + field(1, 4) + field(2, 1) + field(8, "W")
    if external:
        tensor += field(13, field(1, "location") + field(2, external)) + field(14, 1)
    else:
        tensor += field(9, bytes(48))
    graph = field(1, field(1, "X") + field(1, "W") + field(2, "Y") + field(4, "Gemm")) + field(2, "main")
    graph += field(5, tensor) + field(11, field(1, "X")) + field(11, field(1, "W")) + field(12, field(1, "Y"))
    return field(1, 8) + field(2, "pytorch") + field(7, graph) + field(8, field(1, "") + field(2, opset))


def zipped(members: dict[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    """A zip of these members."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def hdf5(*words: bytes) -> bytes:
    """The superblock of an HDF5 file (version 0), and these words somewhere in it."""
    body = b"\0".join(words).ljust(200, b"\0")
    block = b"\x89HDF\r\n\x1a\n" + bytes((0, 0, 0, 0, 0, 8, 8, 0)) + struct.pack("<HHI", 4, 16, 0)
    block += struct.pack("<QQQQ", 0, 2**64 - 1, 96 + len(body), 2**64 - 1)
    return block.ljust(96, b"\0") + body


def elf(*, kind: int = 3, pie: bool = False) -> bytes:
    """A 64-bit ELF file with one dynamic segment and one section."""
    dynamic = struct.pack("<QQ", 0x6FFFFFFB, 0x08000000 if pie else 1) + bytes(16)
    header = b"\x7fELF\x02\x01\x01" + bytes(9)
    header += struct.pack("<HHIQQQIHHHHHH", kind, 62, 1, 0, 64, 64 + 56 + 32, 0, 64, 56, 1, 64, 1, 0)
    segment = struct.pack("<IIQQQQQQ", 2, 6, 120, 0, 0, 32, 32, 8)
    return header + segment + dynamic + bytes(64)
