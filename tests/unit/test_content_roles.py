"""Which files are models: a labelled corpus of what training leaves behind, by structure and classes, not by name."""

import io
import pickle
import warnings
from collections import OrderedDict
from typing import Any

import pytest
from tests.fakes.model_files import safetensors
from tests.fakes.torch_files import Instance, T, module, pickled, saved, saved_before

from mlosd.content import tensor_names
from mlosd.content.describe import describe
from mlosd.content.window import Window

LAYERS = OrderedDict({"conv1.weight": T(8, 3), "conv1.bias": T(8), "bn.running_mean": T(8), "fc.weight": T(2, 8)})
ADAM = {
    "state": {0: {"step": T(), "exp_avg": T(8), "exp_avg_sq": T(8)}},
    "param_groups": [{"lr": 0.1, "params": [0]}],
}
ADAM_BY_NAME = {
    "state": {"fc.weight": {"step": T(), "exp_avg": T(8), "exp_avg_sq": T(8)}},
    "param_groups": [{"lr": 0.1, "params": ["fc.weight"]}],
}
BATCH = {"input_ids": T(4, 9), "attention_mask": T(4, 9), "labels": T(4)}

TORCH: list[tuple[str, Any, str | None]] = [
    ("a state dict", LAYERS, "model"),
    ("a state dict as a plain dict", dict(LAYERS), "model"),
    ("one layer", {"weight": T(3), "bias": T(3)}, "model"),
    ("a whole module", module(weight=T(3, parameter=True)), "model"),
    ("a module of the user's own", module("__main__.Net", w=T(3, parameter=True)), "model"),
    ("a module with layers inside", module("nets.Net", fc=module(weight=T(3, parameter=True))), "model"),
    ("a checkpoint", {"epoch": 3, "model_state_dict": LAYERS, "optimizer_state_dict": ADAM, "loss": 0.1}, "model"),
    ("a lightning checkpoint", {"state_dict": LAYERS, "optimizer_states": [ADAM], "callbacks": {}, "hparams": {}},
     "model"),
    ("a checkpoint of several nets", {"G": LAYERS, "D": LAYERS, "step": 9}, "model"),
    ("a checkpoint with a whole module", {"model": module(), "ema": None, "optimizer": None}, "model"),
    ("a deepspeed model", {"module": LAYERS, "buffer_names": [], "optimizer": None, "ds_version": "0.9"}, "model"),
    ("a LoRA adapter", {"base_model.model.l.0.q.lora_A.weight": T(2), "base_model.model.l.0.q.lora_B.weight": T(2)},
     "model"),
    ("transformer blocks", {f"model.layers.{n}.attn.q": T(2) for n in range(8)}, "model"),
    ("parameters with odd names", {"a": T(2, parameter=True), "b": T(3, parameter=True)}, "model"),
    ("a list of models", [LAYERS, LAYERS], "model"),
    ("adam", ADAM, None),
    ("adam by name", ADAM_BY_NAME, None),
    ("an optimizer beside a scheduler", {"optimizer": ADAM, "scheduler": {"last_epoch": 3}}, None),
    ("a deepspeed optimizer shard", {"optimizer_state_dict": {"fp32_flat_groups": [T(9)], "zero_stage": 2}}, None),
    ("a megatron optimizer shard", {0: {"param": T(9), "exp_avg": T(9), "exp_avg_sq": T(9)}}, None),
    ("flat moments", {"fc.weight.exp_avg": T(9), "fc.weight.exp_avg_sq": T(9)}, None),
    ("momentum", {"state": {0: {"momentum_buffer": T(3)}}, "param_groups": [{"lr": 1}]}, None),
    ("a scheduler", {"last_epoch": 3, "base_lrs": [0.1], "_step_count": 4}, None),
    ("random states", {"python": (3, (1, 2), None), "cpu": T(5056, storage="ByteStorage")}, None),
    ("training arguments", Instance("transformers.training_args.TrainingArguments", {"lr": 0.1}), None),
    ("a tensor", T(100, 3), "dataset"),
    ("a pair of tensors", (T(100, 3), T(100, storage="LongStorage")), "dataset"),
    ("samples", [(T(3, 32, 32), 1), (T(3, 32, 32), 0)], "dataset"),
    ("batches", [BATCH, BATCH], "dataset"),
    ("a batch", BATCH, "dataset"),
    ("cached features", {"features": T(100, 9), "ids": ["a", "b"]}, "dataset"),
    ("train and test", {"x_train": T(9), "y_train": T(9), "x_test": T(9)}, "dataset"),
    ("embeddings by word", {"cat": T(300), "dog": T(300), "cow": T(300)}, "dataset"),
    ("a data set object", Instance("torch.utils.data.dataset.TensorDataset", {"tensors": (T(3), T(3))}), "dataset"),
    ("a graph", Instance("torch_geometric.data.data.Data", {"_store": {"x": T(3)}}), "dataset"),
    ("losses", {"train_loss": [0.3, 0.2], "val_loss": [0.4, 0.3]}, None),
    ("a number", 3.5, None),
]  # fmt: skip

PICKLES: list[tuple[str, Any, str | None]] = [
    ("an xgboost model", Instance("xgboost.sklearn.XGBClassifier", {"n": 1}), "model"),
    ("a booster", Instance("lightgbm.basic.Booster", {"handle": 1}), "model"),
    ("a model of statsmodels", Instance("statsmodels.regression.linear_model.OLSResults", {"n": 1}), "model"),
    ("a model and its vectorizer", (Instance("sklearn.svm._classes.SVC", {}), ["a", "b"]), "model"),
    ("a model in a dict", {"clf": Instance("catboost.core.CatBoost", {}), "columns": ["a"], "when": "now"}, "model"),
    ("a class of one's own around a model", Instance("app.Predictor", {"m": Instance("sklearn.tree.T", {})}), "model"),
    ("a splitter", Instance("sklearn.model_selection._split.KFold", {"n_splits": 5}), None),
    ("a tokenizer", Instance("transformers.models.bert.tokenization_bert.BertTokenizer", {"vocab": {}}), None),
    ("rows", [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], "dataset"),
    ("pairs", [("text", 1), ("more", 0)], "dataset"),
    ("a vocabulary", {"the": 0, "a": 1, "of": 2}, None),
    ("words", ["the", "a", "of"], None),
    ("an object of one's own", Instance("app.State", {"a": 1, "b": [1, 2]}), None),
    ("nothing", None, None),
]

SAFETENSORS: list[tuple[str, list[str], str | None]] = [
    (
        "a transformer",
        ["model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "lm_head.weight"],
        "model",
    ),
    ("a quantized one", ["l.0.qweight", "l.0.qzeros", "l.0.scales", "l.0.g_idx"], "model"),
    ("a flux", ["double_blocks.0.img_attn.norm.key_norm.scale", "img_in.weight", "img_in.bias"], "model"),
    ("cached latents", ["latents", "prompt_embeds", "mask"], "dataset"),
    ("a batch", ["input_ids", "attention_mask", "labels"], "dataset"),
    ("an optimizer", ["state.0.exp_avg", "state.0.exp_avg_sq", "state.0.step"], None),
    ("an optimizer by name", ["optimizer.state.fc.weight", "optimizer.state.fc.bias"], None),
]


def role_of(content: bytes) -> str | None:
    # By a name that says nothing, and by one that lies.
    roles = {describe(Window.of_bytes(content, name=name)).role for name in (b"x", b"best_model.pt")}
    assert len(roles) == 1
    return roles.pop()


def corpus() -> list[tuple[str, bytes, str | None]]:
    cases = [
        (f"{what} ({how.__name__})", how(value), role) for what, value, role in TORCH for how in (saved, saved_before)
    ]
    cases += [(f"{what} ({n})", pickled(value, n), role) for what, value, role in PICKLES for n in (0, 2, 4, 5)]
    cases += [(what, safetensors(dict.fromkeys(names, (2,))), role) for what, names, role in SAFETENSORS]
    return cases


def test_what_is_called_a_model_is_one_and_models_are_found() -> None:
    found = [(what, role, role_of(content)) for what, content, role in corpus()]
    called = [(what, role) for what, role, answer in found if answer == "model"]
    models = [(what, answer) for what, role, answer in found if role == "model"]
    wrong = [what for what, role in called if role != "model"]
    missed = [what for what, answer in models if answer != "model"]
    assert len(found) > 100
    assert 1 - len(wrong) / len(called) >= 0.95, wrong
    assert 1 - len(missed) / len(models) >= 0.95, missed
    others = [(what, role, answer) for what, role, answer in found if answer != role]
    assert len(others) <= len(found) * 0.05, others


def test_the_estimators_of_scikit_learn_are_models_and_its_data_is_not() -> None:
    pytest.importorskip("sklearn")
    joblib = pytest.importorskip("joblib")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import numpy as np
        import pandas as pd
        from sklearn.datasets import load_iris
        from sklearn.ensemble import RandomForestClassifier
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        iris = load_iris()
        forest = RandomForestClassifier(3).fit(iris.data, iris.target)
        pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(iris.data, iris.target)
        cases = [
            (forest, "model"),
            (pipeline, "model"),
            ({"model": pipeline, "labels": np.array(["a", None], dtype=object)}, "model"),
            (iris, "dataset"),
            (iris.data, "dataset"),
            (pd.DataFrame({"a": [1.0, 2.0]}), "dataset"),
            ([np.zeros(3), np.ones(3)], "dataset"),
            ({"auc": np.float64(0.5)}, None),
        ]
        for value, role in cases:
            for protocol in (2, 5):
                assert role_of(pickle.dumps(value, protocol)) == role
            for compress in (0, 3):
                file = io.BytesIO()
                joblib.dump(value, file, compress=compress)
                assert role_of(file.getvalue()) == role, (value, compress)


@pytest.mark.parametrize(
    ("names", "meaning"),
    [
        (["W1", "b1", "W2", "b2"], "parameters"),
        (["coef", "intercept"], "parameters"),
        (["x", "y"], "data"),
        (["arr_0"], "data"),
        ([], "data"),
        (["w"], "data"),
        (["layers.0.weight", "layers.0.weight.exp_avg", "layers.0.weight.exp_avg_sq"], "optimizer state"),
        (["model.fc.weight", "model.fc.bias", "model.a.weight", "optimizer.state.0"], "parameters"),
    ],
)
def test_names_of_tensors_say_what_they_are(names: list[str], meaning: str) -> None:
    assert tensor_names.meaning(names) == meaning
