"""Which variables of a job's environment a run remembers: those that change what is computed, and never a secret."""

import re
from collections.abc import Mapping

NAMES = frozenset(
    {
        "PATH", "LD_LIBRARY_PATH", "LD_PRELOAD", "LANG", "LANGUAGE", "TZ", "TMPDIR", "MPLBACKEND",
        "VIRTUAL_ENV", "CONDA_PREFIX", "CONDA_DEFAULT_ENV", "MASTER_ADDR", "MASTER_PORT",
        "WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE",
    }
)  # fmt: skip
PREFIXES = (
    "LC_", "PYTHON", "CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "NCCL_", "HIP_", "ROCR_", "OMP_", "GOMP_", "KMP_", "MKL_",
    "OPENBLAS_", "BLIS_", "NUMEXPR_", "NUMBA_", "TORCH_", "TORCHINDUCTOR_", "PYTORCH_", "TF_", "XLA_", "JAX_", "KERAS_",
    "HF_", "TRANSFORMERS_", "TOKENIZERS_", "SLURM_", "MLOSD_", "MALLOC_",
)  # fmt: skip
LONGEST_VALUE = 8192
MOST_VARIABLES = 512

_SECRET = re.compile(r"SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|COOKIE|BEARER")
_SECRET_WORD = re.compile(r"(TOKEN|KEYS?|AUTH|PASS|PAT|PIN|JWT)$")
# https://user:word@host: the part that lets somebody in.
_USERINFO = re.compile(r"(?<=://)[^/@\s]+(?=@)")


def chosen(environment: Mapping[str, str]) -> dict[str, str]:
    """The variables worth remembering, by name; values cut to a size that a row can hold."""
    names = sorted(name for name in environment if wanted(name))[:MOST_VARIABLES]
    return {name: _USERINFO.sub("***", environment[name][:LONGEST_VALUE]) for name in names}


def wanted(name: str) -> bool:
    """Whether a variable of this name may be remembered."""
    return (name in NAMES or name.startswith(PREFIXES)) and not looks_secret(name)


def looks_secret(name: str) -> bool:
    """Whether a variable of this name may hold what lets somebody in: such are never remembered."""
    upper = name.upper()
    return _SECRET.search(upper) is not None or any(_SECRET_WORD.search(word) for word in upper.split("_"))
