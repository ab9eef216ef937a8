"""YAML of other tools, as strings, lists and dicts alone: no tags, no types that are guessed, no code.

So it does not matter whether a writer thought in YAML 1.1 or 1.2: an MD5 of digits stays one, and so does a file "on".
"""

from typing import Any

import yaml

LARGEST = 64 << 20
# libyaml where PyYAML was built with it: ten times as fast.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)


def read(text: bytes) -> Any:
    """What the document says. Raises ValueError."""
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes of YAML")
    try:
        return yaml.load(text, _Loader)  # the base loader makes no objects
    except (yaml.YAMLError, RecursionError, UnicodeDecodeError) as e:
        raise ValueError(f"not YAML: {' '.join(str(e).split())}") from e
