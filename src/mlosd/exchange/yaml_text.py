"""YAML of other tools, as strings, lists and dicts alone: no tags, no types that are guessed, no code.

So it does not matter whether a writer thought in YAML 1.1 or 1.2: an MD5 of digits stays one, and so does a file "on".
Made of the parser's events: libyaml's own way to make objects of them recurses, and crashes where it is nested deeply.
"""

from typing import Any

import yaml

LARGEST = 64 << 20
DEEPEST = 64
# libyaml where PyYAML was built with it: ten times as fast.
_Loader = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

_BEGIN = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_END = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


def read(text: bytes) -> Any:
    """What the first document says; None where there is none. Raises ValueError."""
    if len(text) > LARGEST:
        raise ValueError(f"more than {LARGEST} bytes of YAML")
    try:
        return _first_document(text)
    except (yaml.YAMLError, UnicodeDecodeError) as e:
        raise ValueError(f"not YAML: {' '.join(str(e).split())}") from e


def _first_document(text: bytes) -> Any:
    open_: list[_Node] = []
    anchors: dict[str, Any] = {}
    for event in yaml.parse(text, _Loader):
        value: Any = None
        if isinstance(event, _BEGIN):
            if len(open_) == DEEPEST:
                raise ValueError(f"YAML that is nested deeper than {DEEPEST} levels")
            open_.append(_Node({} if isinstance(event, yaml.MappingStartEvent) else []))
            if event.anchor:
                anchors[event.anchor] = open_[-1].value
            continue
        if isinstance(event, _END):
            value = open_.pop().value
        elif isinstance(event, yaml.ScalarEvent):
            value = event.value
            if event.anchor:
                anchors[event.anchor] = value
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise ValueError(f"YAML with an alias of nothing: {event.anchor}")
            value = anchors[event.anchor]
        else:
            continue
        if not open_:
            return value
        open_[-1].add(value)
    return None


class _Node:
    """A list or a mapping that is being read."""

    __slots__ = ("_key", "value")

    def __init__(self, value: dict[str, Any] | list[Any]) -> None:
        self.value = value
        self._key: str | None = None

    def add(self, item: Any) -> None:
        """The next of its items; of a mapping, keys and values in turn."""
        if isinstance(self.value, list):
            self.value.append(item)
        elif self._key is None:
            self._key = str(item)
        else:
            self.value[self._key] = item
            self._key = None
