"""JSON: one object or one list. A list of objects, or an object that has one, is data; known keys, or a name with
"config" or "params" in it, make it configuration; a notebook is code. Cut off: the last character closes nothing.
"""

from typing import Any

from mlosd.content import facts
from mlosd.content.encodings import json_start
from mlosd.content.encodings.plain_text import LINES, name_of, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import CODE, CONFIG, DATASET, MODEL, Identity
from mlosd.content.window import Window

_FIRST = b"{[ \t\r\n\xef\xff\xfe"
_NOTEBOOK = {"cells", "nbformat"}
_TREES = {"learner", "version"}
_OF_CONFIG = {
    "model_type", "architectures", "transformers_version", "torch_dtype", "hidden_size", "tokenizer_class",
    "added_tokens", "weight_map", "do_lower_case", "learning_rate", "batch_size", "hyperparameters", "$schema",
    "feature_extractor_type", "image_processor_type", "_class_name", "peft_type", "scripts", "dependencies",
    "zero_optimization", "quantization_config", "eos_token_id", "compilerOptions",
}  # fmt: skip
_OF_RESULTS = {"log_history", "accuracy", "loss", "metrics", "eval_loss", "train_loss", "f1"}
_NAMES_OF_CONFIG = (
    "config",
    "params",
    "settings",
    "hparams",
    "args",
    "package.json",
    "schema",
    "tokenizer",
    "manifest",
)


def matches(head: bytes, _: bytes) -> bool:
    return head[0] in _FIRST


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None:
        return None
    try:
        found = json_start.start(text.start)
    except json_start.NotJson:
        return None
    except RecursionError:
        return Identity("json", warnings=("it is nested too deeply",))
    if found.rest or (text.hint == LINES and found.ended):
        return None  # something follows: lines of JSON, or no JSON
    if not found.ended and text.is_whole and not found.value:
        return None
    complete = found.ended or window.tail(64).rstrip()[-1:] in (b"}", b"]")
    if text.is_whole and not found.ended:
        complete = False
    if isinstance(found.value, list):
        rows = any(isinstance(item, dict | list) for item in found.value[:100])
        return Identity("json", DATASET if rows else None, complete, {"items": len(found.value), "all": found.ended})
    return _of_object(found.value, name_of(window), complete=complete)


def _of_object(value: dict[str, Any], name: str, *, complete: bool) -> Identity:
    keys = set(value)
    told = {"keys": facts.first(value)}
    if keys >= _NOTEBOOK:
        return Identity("notebook", CODE, complete, {"nbformat": value["nbformat"]})
    if keys >= _TREES and isinstance(value["learner"], dict):
        return Identity("xgboost", MODEL, complete, told)
    if keys & _OF_CONFIG or any(part in name for part in _NAMES_OF_CONFIG):
        return Identity("json", CONFIG, complete, told)
    if keys & _OF_RESULTS:
        return Identity("json", None, complete, told)
    return Identity("json", DATASET if _has_rows(value) else None, complete, told)


def _has_rows(value: dict[str, Any]) -> bool:
    """A list of objects in it, or columns: lists of equal length, objects with the numbers of rows as keys."""
    values = list(value.values())[:100]
    if any(isinstance(item, list) and item and isinstance(item[0], dict) for item in values):
        return True
    if len(values) < 2:
        return False
    if all(isinstance(item, list) for item in values):
        return len({len(item) for item in values}) == 1 and len(values[0]) > 1
    return all(isinstance(item, dict) and item and all(key.isdecimal() for key in item) for item in values)


FORMAT = Format("json", Strength.SAID, matches, describe)
