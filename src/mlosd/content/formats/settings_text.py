"""TOML, YAML, INI and lists of requirements: by the name, or because the lines are sections and assignments."""

import re

from mlosd.content.encodings.plain_text import CONFIG, plain_text
from mlosd.content.format import Format, Strength
from mlosd.content.identity import CONFIG as CONFIG_ROLE
from mlosd.content.identity import Identity
from mlosd.content.window import Window

_SECTION = re.compile(r"\[\[?[\w. \"'-]+\]\]?\s*$")
_ASSIGNMENT = re.compile(r"[\w.\-]+\s*=\s*\S")
_YAML = re.compile(r"\s*(- )?[\w.\-/]+:( \S.*)?$|\s*- \S|---$|\s*#")
_LOOKED_AT = 100
_ALMOST_ALL = 0.9
_BY_EXTENSION = {".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".ini": "ini", ".cfg": "ini"}


def matches(_: bytes, __: bytes) -> bool:
    return True


def describe(window: Window) -> Identity | None:
    text = window.once(plain_text)
    if text is None:
        return None
    if text.hint == CONFIG:
        return Identity(_BY_EXTENSION.get(window.extension, "settings"), CONFIG_ROLE)
    if text.hint is not None:
        return None
    lines = [line for line in text.lines(_LOOKED_AT) if line.strip() and line.lstrip()[0] not in "#;"]
    if len(lines) < 2:
        return None
    sections = sum(_SECTION.match(line) is not None for line in lines)
    assignments = sum(_ASSIGNMENT.match(line) is not None for line in lines)
    if sections and sections + assignments >= len(lines) * _ALMOST_ALL:
        return Identity("ini", CONFIG_ROLE)
    yaml = sum(_YAML.match(line) is not None for line in lines)
    keys = sum(":" in line for line in lines)
    if yaml >= len(lines) * _ALMOST_ALL and keys * 2 > len(lines):
        return Identity("yaml", CONFIG_ROLE)
    return None


FORMAT = Format("settings", Strength.TEXT, matches, describe)
