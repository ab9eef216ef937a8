"""What models and aliases may be called, and which files are not finished by their names. Pure."""

import re

from mlosd.core.errors import BadRequest

_ALIAS = re.compile(r"[a-z0-9._-]{1,64}")
_MODEL = re.compile(r"[\w.-]+(?: [\w.-]+)*")
_LONGEST = 100

# Stems that tell one model from no other: what they lie in says more.
_SAYS_NOTHING = re.compile(
    r"(?:pytorch_|adapter_|flax_|tf_)?(?:model|weights|checkpoint|ckpt|best|last|latest|final|params|state|data)"
    r"|[\d_.-]+",
    re.IGNORECASE,
)
_TEMPORARY = re.compile(
    rb".*(?:\.tmp|\.temp|\.part|\.partial|\.incomplete|\.swp|~)|tmp[a-z0-9_]{8}|\.[^/]*[.-][A-Za-z0-9_]{5,}", re.DOTALL
)


def of_path(path: str) -> str:
    """What the model in this file is called at first: the stem, or where that says nothing, the directory's name."""
    *directories, name = path.split("/")
    stem = name.rpartition(".")[0] or name
    for candidate in (stem, *reversed(directories)):
        if (clean := _clean(candidate)) and not _SAYS_NOTHING.fullmatch(clean):
            return clean
    return _clean(stem) or "model"


def is_temporary(name: bytes) -> bool:
    """Whether a file of this name is on its way to become another: editors, mkstemp(3), downloads, torch savers."""
    return bool(_TEMPORARY.fullmatch(name))


def model(name: str) -> str:
    """`name`, if a model may be called so. Raises BadRequest."""
    if len(name) > _LONGEST or not _MODEL.fullmatch(name):
        raise BadRequest(f"a model cannot be called {name!r}", hint="letters, digits and . _ - are fine")
    return name


def alias(name: str) -> str:
    """`name`, if an alias may be called so. Raises BadRequest."""
    if name.isdigit() or not _ALIAS.fullmatch(name):
        raise BadRequest(
            f"an alias cannot be called {name!r}",
            hint="use up to 64 of a-z, 0-9, dot, underscore and hyphen; a number alone means a version",
        )
    return name


def _clean(text: str) -> str:
    return re.sub(r"[^\w.-]+", "-", text.encode("utf-8", "replace").decode("utf-8")).strip("-.")[:_LONGEST]
