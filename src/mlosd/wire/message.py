"""Calls and replies (https://varlink.org/Method-Call), to bytes and back."""

from typing import Any, NamedTuple

from mlosd.core.errors import BY_WIRE_NAME, BadMessage, BadRequest, MlosError
from mlosd.wire import standard_errors, strict_json

LARGEST_CALL = 1 << 20
LARGEST_REPLY = 16 << 20
"""More than a call, because lists grow; systemd's clients stop reading at 16 MiB, too (VARLINK_BUFFER_MAX)."""

Parameters = dict[str, Any]

_CALL_KEYS = frozenset({"method", "parameters", "more", "oneway", "upgrade"})
_REPLY_KEYS = frozenset({"parameters", "continues", "error"})


# Named tuples, here and in frames.py: importing dataclasses alone would take a command line 5 ms.
class Call(NamedTuple):
    """A client asks."""

    method: str
    parameters: Parameters
    more: bool = False
    oneway: bool = False
    upgrade: bool = False


class Reply(NamedTuple):
    """The service answers; with `continues`, another reply to the same call will follow."""

    parameters: Parameters
    continues: bool = False
    error: str | None = None


def encode_call(call: Call) -> bytes:
    """The call as bytes, with the NUL that ends it. Raises BadRequest for one that no daemon would take."""
    message: dict[str, object] = {"method": call.method, "parameters": call.parameters}
    message |= {name: True for name in ("more", "oneway", "upgrade") if getattr(call, name)}
    data = strict_json.dumps(message)
    if len(data) > LARGEST_CALL:
        raise BadRequest(
            f"{call.method} is asked with {len(data) / LARGEST_CALL:.1f} MiB, more than the 1 MiB that mlosd takes",
            hint="a command with all of its environment must fit: put long values into files",
        )
    return data + b"\0"


def decode_call(data: bytes) -> Call:
    """Read a call, or raise BadMessage."""
    message = strict_json.loads(data, largest=LARGEST_CALL)
    _refuse_unknown(message, _CALL_KEYS)
    method = message.get("method")
    if not isinstance(method, str):
        raise BadMessage("the message has no method")
    more, oneway, upgrade = _flag(message, "more"), _flag(message, "oneway"), _flag(message, "upgrade")
    if more + oneway + upgrade > 1:
        raise BadMessage('"more", "oneway" and "upgrade" exclude each other')
    return Call(method, _parameters(message), more, oneway, upgrade)


def encode_reply(reply: Reply) -> bytes:
    """The reply as bytes, with the NUL that ends it."""
    message: dict[str, object] = {"parameters": reply.parameters}
    if reply.error is not None:
        message["error"] = reply.error
    if reply.continues:
        message["continues"] = True
    return strict_json.dumps(message) + b"\0"


def decode_reply(data: bytes) -> Reply:
    """Read a reply, or raise BadMessage."""
    message = strict_json.loads(data, largest=LARGEST_REPLY)
    _refuse_unknown(message, _REPLY_KEYS)
    error = message.get("error")
    if error is not None and not isinstance(error, str):
        raise BadMessage('"error" is not a string')
    return Reply(_parameters(message), _flag(message, "continues"), error)


def reply_of(error: MlosError) -> Reply:
    """The reply that says what went wrong."""
    if isinstance(error, standard_errors.StandardError):
        return Reply(dict(error.parameters), error=error.wire_name)
    parameters = {"message": error.message, "hint": error.hint, "exit_code": error.exit_code}
    return Reply(parameters, error=error.wire_name)


def error_of(reply: Reply) -> MlosError | None:
    """What a reply says went wrong, as the service raised it; None when nothing did."""
    if reply.error is None:
        return None
    standard = standard_errors.read(reply.error, reply.parameters)
    if standard is not None:
        return standard
    message, hint, code = (reply.parameters.get(name) for name in ("message", "hint", "exit_code"))
    result = BY_WIRE_NAME.get(reply.error, MlosError)(
        message if isinstance(message, str) else f"the service answered {reply.error}",
        hint=hint if isinstance(hint, str) else None,
    )
    if isinstance(code, int) and 0 < code < 256:
        result.exit_code = code
    return result


def _refuse_unknown(message: strict_json.Parsed, known: frozenset[str]) -> None:
    if not message.keys() <= known:
        unknown = min(message.keys() - known)
        raise BadMessage(f"the message has an unknown key {unknown[:64]!a}")


def _flag(message: strict_json.Parsed, name: str) -> bool:
    value = message.get(name)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise BadMessage(f'"{name}" is neither true nor false')
    return value


def _parameters(message: strict_json.Parsed) -> Parameters:
    value = message.get("parameters")
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise BadMessage('"parameters" is not an object')
    return value
