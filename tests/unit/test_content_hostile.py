"""Files made to hurt whoever reads them: nothing of them runs, nothing becomes large, and all of them get an answer."""

import gzip
import json
import os
import pickle
import struct
import time
import zipfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from tests.fakes import fuzzing, model_files
from tests.fakes.torch_files import T, saved, saved_before

from mlosd.content import facts
from mlosd.content.describe import describe
from mlosd.content.identity import ROLES, Identity
from mlosd.content.window import Window

WEIGHTS: dict[str, tuple[int, ...]] = {"fc.weight": (4, 4), "fc.bias": (8,)}
SECONDS = 2.0


def identity(content: bytes, name: str = "x") -> Identity:
    began = time.process_time()
    found = describe(Window.of_bytes(content, name=name.encode()))
    assert time.process_time() - began < SECONDS
    assert len(json.dumps(found.header)) <= facts.MOST_BYTES
    assert found.role in ROLES
    assert all(len(words) < 500 for words in found.warnings)
    return found


class Touches:
    """Unpickled, it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", range(6))
def test_nothing_of_a_pickle_is_run(tmp_path: Path, protocol: int) -> None:
    canary = tmp_path / "canary"
    payload = pickle.dumps(Touches(canary), protocol)
    for content in (payload, model_files.zipped({"archive/data.pkl": payload}), gzip.compress(payload)):
        found = identity(content, "model.safetensors")
        assert found.role is None
        assert any("loading it would call" in words for words in found.warnings)
        assert any("named .safetensors, but it is" in words for words in found.warnings)
    assert not canary.exists()
    pickle.loads(payload)
    assert canary.exists()  # it would have


def test_a_model_with_a_payload_inside_is_a_model_with_a_warning(tmp_path: Path) -> None:
    class Weights(dict[str, Any]):
        def __reduce__(self) -> Any:
            return dict, (), None, None, iter([*self.items(), ("z", Touches(tmp_path))])

    found = identity(pickle.dumps(Weights(a=1)))
    assert found.warnings == ("loading it would call posix.system",)


def header(length: int, text: bytes = b'{"a":{') -> bytes:
    return struct.pack("<Q", length) + text


HUGE = 2**62
BOMBS: list[tuple[str, bytes]] = [
    ("a header of 2^62 bytes", header(HUGE)),
    ("a header of 2^64 - 1 bytes", header(2**64 - 1)),
    ("a header as long as allowed", header(99_000_000)),
    ("a deep header", header(200_000, b'{"a":' * 40_000)),
    ("a tensor of 2^124 numbers",
     model_files.safetensors_of(b'{"a":{"dtype":"F32","shape":[%d,%d],"data_offsets":[0,4]}}' % (HUGE, HUGE), b"")),
    ("a shape of a thousand dimensions",
     model_files.safetensors_of(b'{"a":{"dtype":"F32","shape":[%s],"data_offsets":[0,4]}}' % b",".join([b"9"] * 1000),
                                b"")),
    ("deep JSON", b"[" * 60_000),
    ("deep JSON in an object", b'{"a":' * 20_000),
    ("a number of 60,000 digits", b'{"a": ' + b"1" * 60_000 + b"}"),
    ("gguf with 2^62 tensors", b"GGUF" + struct.pack("<IQQ", 3, HUGE, 0)),
    ("gguf with 2^62 values", b"GGUF" + struct.pack("<IQQ", 3, 0, HUGE)),
    ("gguf with a string of 2^62", b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, HUGE)),
    ("gguf with an array of 2^62",
     b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<IIQ", 9, 8, HUGE) + bytes(1000)),
    ("gguf with arrays in arrays",
     b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"a" + struct.pack("<I", 9) + struct.pack("<IQ", 9, 2**40) * 5000),
    ("onnx with a graph of 2^62", b"\x08\x08\x3a" + model_files.varint(HUGE) + bytes(100)),
    ("onnx with a number that does not end", b"\x08\x08\x3a" + b"\xff" * 1000),
    ("npy with a header of 2^32", b"\x93NUMPY\x02\0" + struct.pack("<I", 2**32 - 1)),
    ("npy with a shape of 2^500",
     b"\x93NUMPY\x01\0\xff\0{'descr': '<f8', 'fortran_order': False, 'shape': (" + b"9999999999999999999," * 8 + b")}"),
    ("parquet with a footer of 2^32", b"PAR1" + bytes(100) + struct.pack("<I", 2**32 - 1) + b"PAR1"),
    ("parquet with a list of lists", b"PAR1" + b"\x19" * 50_000 + struct.pack("<I", 50_000) + b"PAR1"),
    ("parquet with a list of 2^62",
     b"PAR1" + b"\x29\xfc" + model_files.varint(HUGE) + struct.pack("<I", 12) + b"PAR1"),
    ("arrow with a footer of -1", b"ARROW1\0\0" + bytes(50) + struct.pack("<i", -1) + b"ARROW1"),
    ("arrow with tables of 2^31", b"ARROW1\0\0" + b"\xff\xff\xff\x7f" * 50 + struct.pack("<i", 100) + b"ARROW1"),
    ("arrow with messages without end", b"\xff\xff\xff\xff\x08\0\0\0" * 8000),
    ("a pickle of marks", b"\x80\x04" + b"(" * 60_000),
    ("a pickle of nested lists", b"\x80\x04" + b"]" * 30_000 + b"a" * 29_999 + b"."),
    ("a pickle of nested tuples", b"\x80\x04)" + b"\x85" * 60_000 + b"."),
    ("a pickle that doubles", b"\x80\x04]\x94" + b"".join(b"](h" + bytes((n,)) + b"h" + bytes((n,)) + b"e\x94"
                                                          for n in range(200)) + b"."),
    ("a pickle with a string of 2^62", b"\x80\x04\x8d" + struct.pack("<Q", HUGE) + b"a"),
    ("a pickle in itself", b"\x80\x04]\x94h\0a."),
    ("a pickle that is its own state", b"\x80\x04cos\nsystem\n)R\x94h\0b."),
    ("a deep joblib", b"\x80\x04" + (b"cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(\x8c\x05dtypecnumpy\ndtype\n"
                                     b"\x8c\x02O8\x85R\x8c\x05shapeK\x01\x85ub") * 300),
    ("a pickle with negative memos", b"(p-1\ng-1\n."),
    ("a tar with a size of 2^88", b"a".ljust(124, b"\0") + b"\x80" + b"\xff" * 11 + bytes(20) + b"0" + bytes(100)
     + b"ustar" + bytes(300)),
    ("a gzip that is nothing", b"\x1f\x8b\x08" + bytes(40)),
    ("elf with sections behind the world", b"\x7fELF\x02\x01\x01" + b"\xff" * 100),
    ("hdf5 that ends nowhere", b"\x89HDF\r\n\x1a\n" + b"\xff" * 100),
    ("a csv of one line", b"," * 60_000),
    ("a csv with an open quote", b'a,b\n"' + b"x,\n" * 20_000),
    ("regular prose", b"key: " * 12_000),
    ("a line of pairs", b"1 " + b"1:1 " * 15_000 + b"!"),
    ("a line of identifiers", b"from " + b"a." * 30_000 + b"!"),
]  # fmt: skip


@pytest.mark.parametrize("content", [case[1] for case in BOMBS], ids=[case[0] for case in BOMBS])
def test_a_bomb_gets_a_short_answer_soon(content: bytes) -> None:
    identity(content)


def test_what_overlaps_or_stands_twice_is_a_warning() -> None:
    entry = '{"dtype":"F32","shape":[1],"data_offsets":[0,4]}'
    overlapping = model_files.safetensors_of(f'{{"a.weight":{entry},"b.weight":{entry}}}'.encode(), bytes(4))
    assert identity(overlapping).warnings == ("tensors in it overlap",)
    twice = model_files.safetensors_of(f'{{"a.weight":{entry},"a.weight":{entry}}}'.encode(), bytes(4))
    assert identity(twice).warnings == ("its header has a.weight twice",)
    longer = model_files.safetensors(WEIGHTS) + b"hidden"
    assert identity(longer).warnings == ("6 bytes behind the last tensor belong to none",)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_zips_that_lie_are_warned_of(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "twice.zip", "w") as archive:
        archive.writestr("a", b"1")
        archive.writestr("a", b"2")
    assert "two of its members have the same name" in identity((tmp_path / "twice.zip").read_bytes()).warnings

    zeros = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = zeros.compress(bytes(10 << 20)) + zeros.flush()
    claim = 2**32 - 2
    name = b"data.pkl"
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 8, 0, 0, 0, len(packed), claim, len(name), 0) + name
    entry = (20, 20, 0, 8, 0, 0, 0, len(packed), claim, len(name), 0, 0, 0, 0, 0, 0)
    central = b"PK\x01\x02" + struct.pack("<HHHHHHIIIHHHHHII", *entry) + name
    end = b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 5, 5, len(central) * 5, len(local) + len(packed), 0)
    found = identity(local + packed + central * 5 + end)
    assert "its members overlap" in found.warnings
    assert any("would unpack to" in words for words in found.warnings)


def test_gzip_in_gzip_in_gzip_is_opened_once() -> None:
    content = b"a,b\n1,2\n"
    for _ in range(50):
        content = gzip.compress(content)
    assert identity(content).header == {"inside": "gzip"}


GOLDENS = (
    model_files.safetensors(WEIGHTS),
    model_files.gguf({"general.architecture": "llama", "t": ["a", "b"]}, WEIGHTS),
    model_files.onnx(),
    model_files.onnx(external="w.bin"),
    saved({"fc.weight": T(4)}),
    saved_before({"fc.weight": T(4)}),
    pickle.dumps({"a": [1, (2.5, None)], "b": {"c"}}, 5),
    pickle.dumps([{"a": 1}, {"a": 2}], 0),
    model_files.zipped({"a.npy": b"\x93NUMPY\x01\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (3,), }"}),
    model_files.zipped({"a.csv": b"a,b\n" * 99}, compression=zipfile.ZIP_DEFLATED),
    model_files.elf(pie=True),
    model_files.hdf5(b"model_weights"),
    gzip.compress(b"a,b\n1,2\n"),
    b'{"a": [1, {"b": null}], "c": "\\u00e9"}\n{"a": 2}\n',
    b"a,b\n1,2\n3,4\n",
)
PIECES = (
    b"\xff" * 8,
    b"\0" * 8,
    struct.pack("<Q", HUGE),
    b"PK\x05\x06",
    b"(",
    b".",
    b"]",
    b"{",
    b"\x80\x04",
    b"R",
    b"b",
)


@settings(max_examples=fuzzing.rounds(400), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(some.data())
def test_a_mutated_file_gets_an_answer(data: some.DataObject) -> None:
    content = data.draw(some.sampled_from(GOLDENS))
    for _ in range(data.draw(some.integers(1, 6))):
        at = data.draw(some.integers(0, len(content)))
        new = data.draw(some.sampled_from(PIECES) | some.binary(max_size=4))
        content = content[:at] + new + content[at + data.draw(some.sampled_from((0, 1, len(new), 50))) :]
    identity(content, data.draw(some.sampled_from(("x", "a.safetensors", "b.csv", "c.py", "d.pt"))))


@settings(max_examples=fuzzing.rounds(200), deadline=None)
@given(some.binary(max_size=300))
def test_any_bytes_get_an_answer(content: bytes) -> None:
    identity(content)
    for start in (b"\x80\x04", b"PK\x03\x04", b"GGUF\x03\0\0\0", b"\x08\x08", b"\xff\xff\xff\xff", b"\x7fELF\x02\x01"):
        identity(start + content)
