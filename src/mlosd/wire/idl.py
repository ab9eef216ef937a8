"""Reads Varlink interface definitions. An error names the line and the column."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from mlosd.core.errors import MlosError
from mlosd.wire import types

_TOKEN = re.compile(
    r"""(?P<space>[ \t\r]+) | (?P<newline>\n) | (?P<comment>\#[^\n]*)
      | (?P<sign>->|\[\s*\]|\[\s*string\s*\]|[?:,()])
      | (?P<word>[A-Za-z](?:[A-Za-z0-9._-]*[A-Za-z0-9_])?)""",
    re.VERBOSE,
)
_INTERFACE_NAME = re.compile(r"[A-Za-z](?:-*[A-Za-z0-9])*(?:\.[A-Za-z0-9](?:-*[A-Za-z0-9])*)+")
_MEMBER_NAME = re.compile(r"[A-Z][A-Za-z0-9]*")
_FIELD_NAME = re.compile(r"[A-Za-z](?:_?[A-Za-z0-9])*")
_SIMPLE: dict[str, types.Type] = {
    "bool": types.Bool(),
    "int": types.Int(),
    "float": types.Float(),
    "string": types.String(),
    "object": types.Object(),
    "any": types.Any(),
}
_DEEPEST = 32


class BadInterface(MlosError):
    """An interface definition that could not be read."""


@dataclass(frozen=True, slots=True)
class _Token:
    text: str
    start: int
    doc: str = ""


def parse(source: str) -> types.Interface:
    """Read one interface definition."""
    return _Parser(source).interface()


def read(path: Path) -> types.Interface:
    """Read the interface definition in a file, which is named after the interface."""
    try:
        interface = parse(path.read_text("utf-8"))
    except BadInterface as error:
        raise BadInterface(f"{path}: {error.message}") from error
    if path.stem != interface.name:
        raise BadInterface(f"{path} describes {interface.name}, after which it must be named")
    return interface


class _Parser:
    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = self._scan()
        self._next = next(self._tokens)
        self._depth = 0
        self._references: list[_Token] = []

    def interface(self) -> types.Interface:
        doc = self._next.doc
        self._expect("interface")
        name = self._name(_INTERFACE_NAME, "a reversed domain name such as org.example.Thing")
        members: dict[str, types.Member] = {}
        while self._next.text:
            at = self._next
            member = self._member()
            if member.name in members:
                self._fail(at, f"{member.name} is declared twice")
            members[member.name] = member
        result = types.Interface(
            name=name.text,
            doc=doc,
            types={m.name: m for m in members.values() if isinstance(m, types.TypeAlias)},
            methods={m.name: m for m in members.values() if isinstance(m, types.Method)},
            errors={m.name: m for m in members.values() if isinstance(m, types.ErrorDecl)},
            source=self._source,
        )
        for reference in self._references:
            if reference.text not in result.types:
                self._fail(reference, f"there is no type {reference.text}")
        return result

    def _member(self) -> types.Member:
        keyword = self._advance()
        if keyword.text not in ("type", "method", "error"):
            self._fail(keyword, f"expected type, method or error, got {_shown(keyword)}")
        name = self._name(_MEMBER_NAME, f"the name of the {keyword.text}, which begins with a capital").text
        if keyword.text == "type":
            return types.TypeAlias(name, self._struct_or_enum(), keyword.doc)
        parameters = self._struct()
        if keyword.text == "error":
            return types.ErrorDecl(name, parameters, keyword.doc)
        self._expect("->")
        return types.Method(name, parameters, self._struct(), keyword.doc)

    def _type(self) -> types.Type:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail(self._next, f"types are nested deeper than {_DEEPEST}")
        result = self._type_unbounded()
        self._depth -= 1
        return result

    def _type_unbounded(self) -> types.Type:
        if self._next.text == "(":
            return self._struct_or_enum()
        token = self._advance()
        if token.text == "?":
            if self._next.text == "?":
                self._fail(self._next, "a maybe of a maybe")
            return types.Maybe(self._type())
        if token.text.startswith("["):
            return types.Map(self._type()) if "string" in token.text else types.Array(self._type())
        if token.text in _SIMPLE:
            return _SIMPLE[token.text]
        if not _MEMBER_NAME.fullmatch(token.text):
            self._fail(token, f"expected a type, got {_shown(token)}")
        self._references.append(token)
        return types.Named(token.text)

    def _struct(self) -> types.Struct:
        at = self._next
        result = self._struct_or_enum()
        if isinstance(result, types.Enum):
            self._fail(at, "expected fields with types")
        return result

    def _struct_or_enum(self) -> types.Struct | types.Enum:
        self._expect("(")
        if self._skip(")"):
            return types.Struct(())
        first = self._name(_FIELD_NAME, "a name")
        if self._next.text != ":":
            return self._enum(first)
        fields: dict[str, types.Field] = {}
        name = first
        while True:
            self._expect(":")
            if name.text in fields:
                self._fail(name, f"the field {name.text} is declared twice")
            fields[name.text] = types.Field(name.text, self._type())
            if not self._skip(","):
                break
            name = self._name(_FIELD_NAME, "a name")
        self._expect(")")
        return types.Struct(tuple(fields.values()))

    def _enum(self, first: _Token) -> types.Enum:
        values = {first.text: None}
        while self._skip(","):
            name = self._name(_FIELD_NAME, "a name")
            if name.text in values:
                self._fail(name, f"the value {name.text} is listed twice")
            values[name.text] = None
        self._expect(")")
        return types.Enum(tuple(values))

    def _name(self, pattern: re.Pattern[str], what: str) -> _Token:
        token = self._advance()
        if not pattern.fullmatch(token.text):
            self._fail(token, f"expected {what}, got {_shown(token)}")
        return token

    def _expect(self, text: str) -> None:
        token = self._advance()
        if token.text != text:
            self._fail(token, f"expected {text!r}, got {_shown(token)}")

    def _skip(self, text: str) -> bool:
        if self._next.text != text:
            return False
        self._advance()
        return True

    def _advance(self) -> _Token:
        token = self._next
        if token.text:
            self._next = next(self._tokens)
        return token

    def _scan(self) -> Iterator[_Token]:
        """Split into tokens, the last one empty. The comment lines right above a token are its `doc`."""
        at, doc, line_is_empty = 0, list[str](), True
        while at < len(self._source):
            match = _TOKEN.match(self._source, at)
            if match is None:
                self._fail(_Token(self._source[at], at), f"unexpected character {self._source[at]!r}")
            at = match.end()
            match match.lastgroup:
                case "newline":
                    doc = [] if line_is_empty else doc
                    line_is_empty = True
                case "comment":
                    doc = [*doc, match[0][1:].strip()] if line_is_empty else doc
                    line_is_empty = False
                case "sign" | "word":
                    yield _Token(match[0], match.start(), "\n".join(doc))
                    doc, line_is_empty = [], False
        yield _Token("", at)

    def _fail(self, token: _Token, what: str) -> NoReturn:
        before = self._source[: token.start]
        line, column = before.count("\n") + 1, token.start - (before.rfind("\n") + 1) + 1
        raise BadInterface(f"line {line}, column {column}: {what}")


def _shown(token: _Token) -> str:
    return repr(token.text) if token.text else "the end"
