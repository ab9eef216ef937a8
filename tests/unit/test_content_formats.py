"""What files are, by their content: each format told, its header's facts, and whether its end is missing."""

import bz2
import gzip
import io
import json
import lzma
import marshal
import pickle
import sqlite3
import struct
import sys
import tarfile
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import model_files
from tests.fakes.torch_files import T, saved, saved_before

from mlosd.content.describe import describe
from mlosd.content.format import known
from mlosd.content.identity import Identity
from mlosd.content.window import Window

PARAMETERS: dict[str, tuple[int, ...]] = {"fc.weight": (4, 4), "fc.bias": (8,)}


def identity(content: bytes, name: str = "x") -> Identity:
    return describe(Window.of_bytes(content, name=name.encode()))


def tarred(members: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return file.getvalue()


def database(path: Path) -> bytes:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (a)")
    connection.commit()
    connection.close()
    return path.read_bytes()


def tf_record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    crc = 0xFFFFFFFF
    for byte in length:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return length + struct.pack("<I", ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF) + data + bytes(4)


CSV = "age,name\n" + "".join(f"{n},p{n}\n" for n in range(20))
PYC = b"\xa7\r\r\n" + bytes(12) + marshal.dumps(compile("x = 1", "x", "exec"))
PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4sII", 13, b"IHDR", 640, 480) + bytes(9) + b"\0\0\0\0IEND\xaeB`\x82"

# What it is called, its content, its format, its role.
KNOWN: list[tuple[str, bytes, str, str | None]] = [
    ("safetensors", model_files.safetensors(PARAMETERS), "safetensors", "model"),
    ("gguf", model_files.gguf({"general.architecture": "llama"}, PARAMETERS), "gguf", "model"),
    ("onnx", model_files.onnx(), "onnx", "model"),
    ("torch", saved(dict.fromkeys(PARAMETERS, T(4))), "torch", "model"),
    ("old torch", saved_before(dict.fromkeys(PARAMETERS, T(4))), "torch legacy", "model"),
    ("torchscript", model_files.zipped({"m/data.pkl": b"\x80\x02}.", "m/constants.pkl": b"\x80\x02)."}), "torchscript",
     "model"),
    ("keras", model_files.zipped({"metadata.json": b"{}", "model.weights.h5": model_files.hdf5()}), "keras", "model"),
    ("keras in HDF5", model_files.hdf5(b"model_weights", b"keras_version"), "hdf5", "model"),
    ("HDF5", model_files.hdf5(b"measurements"), "hdf5", "dataset"),
    ("saved model", model_files.field(1, 1) + model_files.field(2, b"graph"), "tensorflow saved model", "model"),
    ("lightgbm", b"tree\nversion=v4\nnum_class=1\n\nend of trees\n", "lightgbm", "model"),
    ("xgboost", json.dumps({"learner": {}, "version": [2, 0, 0]}).encode(), "xgboost", "model"),
    ("xgboost's JSON", json.dumps({"version": [2, 0, 0], "learner": {}}).encode(), "xgboost", "model"),
    ("PMML", b'<?xml version="1.0"?>\n<PMML version="4.4"></PMML>', "pmml", "model"),
    ("pickled rows", pickle.dumps([{"a": 1}, {"a": 2}]), "pickle", "dataset"),
    ("pickled rows, as text", pickle.dumps([{"a": 1}, {"a": 2}], 0), "pickle", "dataset"),
    ("csv", CSV.encode(), "csv", "dataset"),
    ("tsv", CSV.replace(",", "\t").encode(), "tsv", "dataset"),
    ("jsonl", b'{"a": 1}\n{"a": 2}\n', "jsonl", "dataset"),
    ("json rows", b'[{"a": 1}, {"a": 2}]', "json", "dataset"),
    ("json annotations", b'{"info": {}, "images": [{"id": 1}]}', "json", "dataset"),
    ("json columns", b'{"a": [1, 2], "b": [3, 4]}', "json", "dataset"),
    ("json config", b'{"model_type": "bert", "hidden_size": 768}', "json", "config"),
    ("json results", b'{"accuracy": 0.93}', "json", None),
    ("notebook", b'{"cells": [{"source": []}], "nbformat": 4}', "notebook", "code"),
    ("svmlight", b"1 3:0.5 7:1e-3\n-1 2:4\n", "svmlight", "dataset"),
    ("arff", b"@relation iris\n@attribute x numeric\n", "arff", "dataset"),
    ("tfrecord", tf_record(b"abc"), "tfrecord", "dataset"),
    ("duckdb", bytes(8) + b"DUCK" + bytes(20), "duckdb", "dataset"),
    ("png", PNG, "png", "dataset"),
    ("jpeg", b"\xff\xd8\xff\xe0" + bytes(20) + b"\xff\xd9", "jpeg", "dataset"),
    ("wav", b"RIFF" + struct.pack("<I", 32) + b"WAVE" + bytes(28), "wav", "dataset"),
    ("library", model_files.elf(), "elf", "library"),
    ("program", model_files.elf(pie=True), "elf", "code"),
    ("static program", model_files.elf(kind=2), "elf", "code"),
    ("pyc", PYC, "pyc", "code"),
    ("python", b"import os\nfrom a.b import c\n\ndef f(x):\n    return x\n", "python", "code"),
    ("python by shebang", b"#!/usr/bin/env python3\nprint()\n", "python", "code"),
    ("script", b"#!/bin/sh\necho hi\n", "script", "code"),
    ("ini", b"[train]\nlr = 0.1\nepochs = 3\n", "ini", "config"),
    ("yaml", b"train:\n  lr: 0.1\n  steps:\n  - a: 1\n", "yaml", "config"),
    ("prose", b"Once upon a time, there was a model.\nIt was, as models go, small.\n", "text", None),
    ("wheel", model_files.zipped({"a.py": b"", "a-1.dist-info/WHEEL": b""}), "wheel", "library"),
    ("zip", model_files.zipped({"a.txt": b"a"}), "zip", None),
    ("gzipped csv", gzip.compress(CSV.encode()), "gzip", "dataset"),
    ("bzip2", bz2.compress(CSV.encode()), "bzip2", "dataset"),
    ("xz", lzma.compress(CSV.encode()), "xz", "dataset"),
    ("zstd", b"\x28\xb5\x2f\xfd" + bytes(20), "zstd", None),
    ("tar of samples", tarred({"0.png": PNG, "1.png": PNG, "1.cls": b"3"}), "tar", "dataset"),
    ("tar", tarred({"a.txt": b"a"}), "tar", None),
    ("unknown", bytes(range(256)) * 4, "unknown", None),
    ("empty", b"", "empty", None),
]  # fmt: skip


@pytest.mark.parametrize(("content", "format_", "role"), [case[1:] for case in KNOWN], ids=[case[0] for case in KNOWN])
def test_a_file_is_told_by_its_content(content: bytes, format_: str, role: str | None) -> None:
    found = identity(content)
    assert (found.format, found.role, found.complete, found.warnings) == (format_, role, True, ())


@pytest.mark.parametrize("name", ["safetensors", "gguf", "onnx", "torch", "old torch", "keras", "HDF5", "pickled rows",
                                  "jsonl", "json rows", "png", "jpeg", "wav", "library", "tar of samples", "tfrecord",
                                  "xz", "lightgbm", "PMML"])  # fmt: skip
def test_a_file_that_was_cut_is_of_the_same_format_and_incomplete(name: str) -> None:
    [(content, format_)] = [(content, format_) for title, content, format_, _ in KNOWN if title == name]
    for cut in (1, 5, len(content) // 3):
        found = identity(content[:-cut])
        whole_enough = name in ("jsonl", "lightgbm", "PMML") and cut == 1 and content.endswith(b"\n")
        if not whole_enough and found.format == format_:
            assert not found.complete, (cut, found)
    assert identity(content[:-5]).format in (format_, "json")


def test_the_name_decides_nothing_where_the_content_does() -> None:
    found = identity(pickle.dumps({"a": 1}), "model.safetensors")
    assert found.format == "pickle"
    assert found.warnings == ("named .safetensors, but it is pickle",)
    assert identity(b"just text", "model.onnx").warnings == ("named .onnx, but it is text",)


def test_the_name_hints_between_texts() -> None:
    assert identity(b"x = 1\n", "a.py").role == "code"
    assert identity(b"x = 1\n", "a.toml").role == "config"
    assert identity(b"x = 1\n", "a.md").role is None
    assert identity(b"height\n1\n2\n", "a.csv").header["names"] == ["height"]
    assert identity(b"numpy\nscipy>=1\n", "requirements.txt").role == "config"


def test_an_empty_file_with_the_name_of_a_model_is_one_that_was_not_written() -> None:
    assert not identity(b"", "model.safetensors").complete
    assert identity(b"", "__init__.py").complete


@pytest.mark.parametrize(
    ("content", "facts"),
    [
        (model_files.safetensors(PARAMETERS, metadata={"format": "pt"}),
         {"tensors": 2, "parameters": 24, "dtypes": ["F32"], "names": ["fc.weight", "fc.bias"],
          "metadata": {"format": "pt"}}),
        (model_files.gguf({"general.architecture": "llama", "general.name": "tiny", "llama.block_count": 2,
                           "tokenizer.ggml.tokens": [f"t{n}" for n in range(5000)]}, PARAMETERS),
         {"architecture": "llama", "name": "tiny", "version": 3, "parameters": 24, "dtypes": ["F32"]}),
        (model_files.gguf({"general.architecture": "llama"}, PARAMETERS, order=">"),
         {"architecture": "llama", "parameters": 24}),
        (model_files.onnx(), {"producer": "pytorch", "opset": {"ai.onnx": 17}, "inputs": ["X"], "outputs": ["Y"],
                              "operators": {"Gemm": 1}, "parameters": 12, "names": ["W"]}),
        (model_files.onnx(external="weights.bin"), {"external_data": ["weights.bin"]}),
        (saved({"state_dict": {"fc.weight": T(4, 3), "fc.bias": T(4, storage="HalfStorage")}, "epoch": 3}),
         {"tensors": 2, "parameters": 16, "dtypes": ["float16", "float32"], "storages": 2}),
        (CSV.encode(), {"columns": 2, "names": ["age", "name"], "delimiter": ",", "header": True}),
        (PNG, {"width": 640, "height": 480}),
    ],
)  # fmt: skip
def test_the_header_has_the_facts(content: bytes, facts: dict[str, Any]) -> None:
    assert facts.items() <= identity(content).header.items()


def test_external_data_that_leads_out_of_the_folder_is_a_warning() -> None:
    assert identity(model_files.onnx(external="../../etc/passwd")).warnings == ("its tensors lie in ../../etc/passwd",)


def test_sqlite_knows_how_long_it_is(tmp_path: Path) -> None:
    content = database(tmp_path / "db")
    assert identity(content).complete
    assert not identity(content[:-100]).complete


def test_arrays_and_tables_as_their_libraries_write_them() -> None:
    np = pytest.importorskip("numpy")
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    file = io.BytesIO()
    np.save(file, np.zeros((3, 4)))
    assert identity(file.getvalue()).header["shape"] == [3, 4]
    assert not identity(file.getvalue()[:-1]).complete

    table = pa.table({"a": [1, 2], "b": ["x", "y"]})
    file = io.BytesIO()
    parquet.write_table(table, file)
    found = identity(file.getvalue())
    assert (found.format, found.header) == ("parquet", {"columns": 2, "names": ["a", "b"], "rows": 2})
    assert not identity(file.getvalue()[:-1]).complete
    for writer, format_ in ((pa.ipc.new_file, "arrow"), (pa.ipc.new_stream, "arrow stream")):
        file = io.BytesIO()
        with writer(file, table.schema) as sink:
            sink.write_table(table)
        found = identity(file.getvalue())
        assert (found.format, found.header["names"], found.complete) == (format_, ["a", "b"], True)
        assert not identity(file.getvalue()[:-30]).complete


def test_this_python_and_its_parts_are_told() -> None:
    assert identity(Path(sys.executable).resolve().read_bytes()[: 1 << 20]).role == "code"
    assert identity(Path(__file__).read_bytes(), "x").format == "python"


def test_every_format_says_what_it_is() -> None:
    for format_ in known():
        assert sys.modules[format_.describe.__module__].__doc__
    assert len(known()) > 30
