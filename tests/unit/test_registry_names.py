"""What models are called at first, which names are temporary, and what an alias may be called."""

import pytest

from mlosd.core.errors import BadRequest
from mlosd.registry import names


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("flights.joblib", "flights"),
        ("models/resnet50.onnx", "resnet50"),
        ("llama/model.safetensors", "llama"),
        ("runs/exp7/checkpoints/last.ckpt", "checkpoints"),
        ("bert/pytorch_model.bin", "bert"),
        ("out/000012.pt", "out"),
        ("model.pt", "model"),
        ("12.pt", "12"),
        ("a model: v2.pt", "a-model-v2"),
        ("größe.pt", "größe"),
        ("\udcff\udcfe.pt", "model"),
        ("Makefile", "Makefile"),
        ("/srv/shared/net.pt", "net"),
    ],
)
def test_a_model_is_called_after_what_says_most_in_its_path(path: str, name: str) -> None:
    assert names.of_path(path) == name
    assert names.model(name) == name


@pytest.mark.parametrize(
    "name",
    [
        b"net.pt.tmp",
        b"net.part",
        b"net~",
        b"tmpab12cd34",
        b".net.pt.Xk29dQ",
        b".net-8f3a21",
        b"a.incomplete",
        b"\xff.tmp",
    ],
)
def test_names_that_programs_give_to_unfinished_files(name: bytes) -> None:
    assert names.is_temporary(name)


@pytest.mark.parametrize("name", [b"net.pt", b"temperature.pt", b".hidden.pt", b"tmp.pt", b"template.onnx", b"a.b.c"])
def test_names_of_finished_files(name: bytes) -> None:
    assert not names.is_temporary(name)


@pytest.mark.parametrize("alias", ["production", "a", "v1.2", "blue_green-2", "x" * 64])
def test_aliases_that_can_be(alias: str) -> None:
    assert names.alias(alias) == alias


@pytest.mark.parametrize("alias", ["", "3", "Production", "a b", "a:b", "a/b", "x" * 65, "größe", "a\n"])
def test_aliases_that_cannot_be(alias: str) -> None:
    with pytest.raises(BadRequest):
        names.alias(alias)
