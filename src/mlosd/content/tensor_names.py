"""What the names of tensors say: parameters of a model, the state of an optimizer, or data.

A file of named tensors (safetensors, npz, a dict in a pickle) may be any of the three, and nothing but the names tells.
"""

import re
from collections.abc import Sequence

PARAMETERS = "parameters"
OPTIMIZER = "optimizer state"
DATA = "data"

_MOST = 2000

# The last part of a dotted name, as torch, transformers, keras, flax and mlx call parameters and buffers.
_PARAMETER = re.compile(
    r"""weights?(_[a-z0-9_]+)? | bias(es)?(_[a-z0-9_]+)? | kernel | gamma | beta | moving_(mean|variance)
    | running_(mean|var) | num_batches_tracked | in_proj_(weight|bias) | [a-z]+_(weight|bias|kernel|proj)
    | lora_[abAB](\.\w+)? | lora_(up|down) | q(weight|zeros) | scales | g_idx | inv_freq | A_log | dt_bias | absmax
    | quant_map | logit_(scale|bias) | (cls|mask|class|distill)_(token|embedding)
    | pos(itional|ition)?_embed(ding|dings)?
    | position_ids | relative_position_(bias_table|index) | tok_embeddings | wte | wpe | c_attn | masked_bias""",
    re.VERBOSE,
)
# A short name is a parameter where it is one of a pair, or behind a dot.
_SHORT = re.compile(r"[wWbB]_?\d*|[wW][qkvo]|coef_?|intercept_?|embed(ding|dings)?|scale|D")
_OPTIMIZER = re.compile(
    r"""(max_)?exp_avg(_sq|_diff|_inf)?(_row|_col)? | momentum(_buffer)? | square_avg | acc_delta | grad_avg
    | fp32_(from_fp16|param|master|flat).* | master_(weight|param).* | param_groups | adam_?[mv]
    | moment_?[12](_0)? | step
    | (state[12]|qmap[12]|absmax[12]) | prev_grad | lookahead.* | slow_(buffer|param)""",
    re.VERBOSE,
)
_OF_OPTIMIZER = re.compile(r"(^|[./])(optim(izer)?(_state)?|opt_state)([./]|$)")
_DATA = re.compile(
    r"""[xy](_?(train|test|val|valid|dev))? | (train|test|val|valid)(_?[a-z]+)? | inputs?(_ids)? | labels? | targets?
    | attention_mask | token_type_ids | pixel_values | images? | masks? | features?
    | samples? | data | ids | text | audio
    | embeddings? | logits | outputs? | scores? | hidden_states? | arr_\d+ | latents? | mean | std | row | col | indices
    | indptr | shape | format | edge_(index|attr) | coords? | timestamps?""",
    re.VERBOSE | re.IGNORECASE,
)
_SEPARATOR = re.compile(r"[./:]")


def meaning(names: Sequence[str]) -> str:
    """Of many names, what most of them say. Where nothing is said: data."""
    votes = {PARAMETERS: 0, OPTIMIZER: 0, DATA: 0}
    some = names[:_MOST]
    paired = _paired(some)
    for name in some:
        votes[_one(name, paired=paired)] += 1
    # Where an optimizer keeps two moments a parameter, its names are two of three; where they are a few beside a
    # model's, the file is a checkpoint with a model in it.
    if votes[OPTIMIZER] >= max(1, votes[PARAMETERS]):
        return OPTIMIZER
    if votes[PARAMETERS] * 2 >= len(some) > 0:
        return PARAMETERS
    return PARAMETERS if _is_deep(some) else DATA


def _one(name: str, *, paired: bool) -> str:
    parts = _SEPARATOR.split(name)
    last = parts[-1]
    if _OF_OPTIMIZER.search(name) or _OPTIMIZER.fullmatch(last):
        return OPTIMIZER
    if _PARAMETER.fullmatch(last):
        return PARAMETERS
    if _SHORT.fullmatch(last) and (len(parts) > 1 or paired):
        return PARAMETERS
    return DATA


def _paired(names: Sequence[str]) -> bool:
    """W1 beside b1, coef beside intercept: the names of a small model written by hand."""
    firsts = {name[:1].lower() for name in names if _SHORT.fullmatch(name)}
    return {"w", "b"} <= firsts or {"c", "i"} <= firsts


def _is_deep(names: Sequence[str]) -> bool:
    """Most names are paths with a layer's number in them: model.layers.3.attn.q."""
    deep = [name for name in names if len(parts := _SEPARATOR.split(name)) > 2 and any(map(str.isdecimal, parts[1:-1]))]
    plain = [name for name in deep if not _DATA.fullmatch(_SEPARATOR.split(name)[-1])]
    return len(plain) * 2 > len(names)
