"""What the reader and its worker say to each other: one JSON object a packet, over a socket that only they have.

A request has the names of its files and, beside it, their descriptors. Its answers come in the same order, several in
a packet, with signs of life in between. The worker is not trusted: whatever it says is checked here.
"""

import json
from dataclasses import dataclass
from typing import Any

from mlosd.content.facts import text
from mlosd.content.identity import ROLES, Content, ContentChanged, ContentUnreadable, Identity, NoSpace

# unix(7): the kernel passes at most 253 descriptors at once, and 208 KiB fit into a socket by default.
MOST_FILES = 200
PACKET = 200 << 10
ROOM_FOR_ANSWERS = 90 << 10
_MOST_NAME = 120

_KINDS: dict[str, type[ContentChanged] | type[NoSpace]] = {"changed": ContentChanged, "space": NoSpace}
_DIGEST_SIZE = 32

Answer = Content | Identity | ContentUnreadable


class Nonsense(ValueError):
    """The worker said what no worker says."""


@dataclass(frozen=True, slots=True)
class Request:
    """`op`: "identify", "read" or "copy"; `names`: the end of each file's name, which is enough for a hint."""

    op: str
    names: tuple[bytes, ...]


def encode_request(op: str, names: list[bytes]) -> bytes:
    """A request for these files."""
    # Latin-1 gives every byte a character: names need not be UTF-8.
    ends = [name[-_MOST_NAME:].decode("latin-1") for name in names]
    return json.dumps({"op": op, "names": ends}, ensure_ascii=False).encode()


def decode_request(packet: bytes) -> Request:
    """The request in a packet of ours."""
    message = json.loads(packet)
    return Request(message["op"], tuple(name.encode("latin-1") for name in message["names"]))


def encode_answer(answer: Answer) -> str:
    """JSON of one answer."""
    match answer:
        case Content(identity, digest, size):
            return json.dumps({"identity": _of_identity(identity), "digest": digest.hex(), "size": size})
        case Identity():
            return json.dumps({"identity": _of_identity(answer)})
        case ContentUnreadable():
            kind = next((kind for kind, class_ in _KINDS.items() if isinstance(answer, class_)), None)
            return json.dumps({"error": answer.reason, "kind": kind})


def encode_answers(answers: list[str]) -> bytes:
    """A packet of answers."""
    return f'{{"answers":[{",".join(answers)}]}}'.encode()


def encode_ready(layers: list[tuple[str, str | None]]) -> bytes:
    """What a worker says first: how it is confined."""
    return json.dumps({"ready": layers}).encode()


def decode_ready(packet: bytes) -> tuple[tuple[str, str | None], ...]:
    """Raises Nonsense."""
    ready = _object(packet).get("ready")
    if not isinstance(ready, list):
        raise Nonsense("not ready")
    return tuple((str(name), None if reason is None else str(reason)) for name, reason in ready)


def decode_answers(packet: bytes) -> list[Answer]:
    """The answers in a packet; none: it is a sign of life. Raises Nonsense."""
    answers = _object(packet).get("answers")
    if not isinstance(answers, list):
        raise Nonsense("no answers")
    return [_answer(answer) for answer in answers]


def _of_identity(identity: Identity) -> list[Any]:
    return [identity.format, identity.role, identity.complete, identity.header, identity.warnings]


def _object(packet: bytes) -> dict[str, Any]:
    try:
        message = json.loads(packet)
    except (ValueError, RecursionError) as e:
        raise Nonsense("not JSON") from e
    if not isinstance(message, dict):
        raise Nonsense("not an object")
    return message


def _answer(answer: Any) -> Answer:
    match answer:
        case {"error": str() as reason, "kind": kind}:
            return _KINDS[kind]() if kind in _KINDS else ContentUnreadable(text(reason))
        case {"identity": identity, "digest": str() as digest, "size": int() as size} if size >= 0:
            return Content(_identity(identity), _digest(digest), size)
        case {"identity": identity}:
            return _identity(identity)
        case _:
            raise Nonsense("no answer")


def _identity(fields: Any) -> Identity:
    match fields:
        case [str() as format_, role, bool() as complete, dict() as header, list() as warnings] if role in ROLES:
            return Identity(text(format_), role, complete, header, tuple(text(str(words)) for words in warnings))
        case _:
            raise Nonsense("no identity")


def _digest(digits: str) -> bytes:
    try:
        digest = bytes.fromhex(digits)
    except ValueError as e:
        raise Nonsense("no digest") from e
    if len(digest) != _DIGEST_SIZE:
        raise Nonsense("no digest")
    return digest
