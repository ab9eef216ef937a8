"""Where a file belongs and what its path tells of its use."""

import pytest

from mlosd.lineage.places import Place, Root, place, role

ROOTS = (Root("outer", b"/home/a/ml"), Root("inner", b"/home/a/ml/vision"))


@pytest.mark.parametrize(
    ("path", "is_"),
    [
        (b"/home/a/ml/train.py", Place("outer", "train.py")),
        (b"/home/a/ml/vision/data/x.csv", Place("inner", "data/x.csv")),
        (b"/home/a/mlx/train.py", Place("-", "/home/a/mlx/train.py")),
        (b"/home/a/ml/\xff\n", Place("outer", "\udcff\n")),
    ],
)
def test_a_file_belongs_to_the_innermost_project(path: bytes, is_: Place) -> None:
    assert place(path, ROOTS, "-") == is_


@pytest.mark.parametrize(
    ("path", "content", "is_"),
    [
        ("data/x.bin", "dataset", "dataset"),
        ("cache/x.pt", "dataset", "dataset"),
        ("models/x.bin", "model", "model"),
        ("train.py", "code", "code"),
        ("/usr/lib/python3.11/json/__init__.py", "code", "library"),
        ("/venv/lib/python3.11/site-packages/torch/x.py", "code", "library"),
        ("/venv/lib/python3.11/site-packages/sklearn/data/iris.csv", "dataset", "library"),
        ("libs/libfast.so.1.2", "library", "library"),
        ("conf/train.yaml", None, "config"),
        ("/etc/localtime", None, "config"),
        ("out/plot.png", None, "component"),
    ],
)
def test_a_file_is_for_what_its_content_says_but_for_libraries(path: str, content: str | None, is_: str) -> None:
    assert role(path, content) == is_
