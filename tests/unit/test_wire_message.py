"""Calls and replies survive the trip, and errors arrive as the errors they were."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlosd.core.errors import BY_WIRE_NAME, BadMessage, BadRequest, MlosError, NotFound, NotPermitted
from mlosd.wire import standard_errors
from mlosd.wire.message import Call, Reply, decode_call, decode_reply, encode_call, encode_reply, error_of, reply_of

PARAMETERS = st.dictionaries(st.text(st.characters(codec="ascii", exclude_characters="\0")), st.integers())


@given(
    st.text(st.characters(codec="utf-8", exclude_characters="\0")), PARAMETERS, st.sampled_from(["", "more", "oneway"])
)
def test_a_call_survives(method: str, parameters: dict[str, int], flag: str) -> None:
    call = Call(method, parameters, more=flag == "more", oneway=flag == "oneway")
    data = encode_call(call)
    assert data.endswith(b"\0")
    assert decode_call(data[:-1]) == call


@given(PARAMETERS, st.booleans())
def test_a_reply_survives(parameters: dict[str, int], continues: bool) -> None:
    reply = Reply(parameters, continues=continues)
    assert decode_reply(encode_reply(reply)[:-1]) == reply


def test_what_is_left_out_or_null_has_its_default() -> None:
    assert decode_call(b'{"method":"a.B"}') == Call("a.B", {})
    assert decode_call(b'{"method":"a.B","parameters":null,"more":null,"oneway":false}') == Call("a.B", {})


@pytest.mark.parametrize(
    ("data", "complaint"),
    [
        (b"{}", "no method"),
        (b'{"method":1}', "no method"),
        (b'{"method":"a.B","parameters":[]}', '"parameters" is not an object'),
        (b'{"method":"a.B","more":1}', '"more" is neither true nor false'),
        (b'{"method":"a.B","more":true,"oneway":true}', "exclude each other"),
        (b'{"method":"a.B","sudo":true}', "unknown key 'sudo'"),
    ],
)
def test_a_call_with_anything_else_in_it_is_refused(data: bytes, complaint: str) -> None:
    with pytest.raises(BadMessage, match=complaint):
        decode_call(data)


def test_a_reply_with_anything_else_in_it_is_refused() -> None:
    with pytest.raises(BadMessage, match="unknown key"):
        decode_reply(b'{"parameters":{},"surprise":1}')
    with pytest.raises(BadMessage, match='"error" is not a string'):
        decode_reply(b'{"error":7}')


@pytest.mark.parametrize("kind", BY_WIRE_NAME.values())
def test_an_error_arrives_as_the_error_it_was(kind: type[MlosError]) -> None:
    arrived = error_of(decode_reply(encode_reply(reply_of(kind("no such job: 7", hint="mlosctl job list")))[:-1]))
    assert type(arrived) is kind
    assert (arrived.message, arrived.hint, arrived.exit_code) == ("no such job: 7", "mlosctl job list", kind.exit_code)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (standard_errors.InterfaceNotFound("a.b"), MlosError),
        (standard_errors.MethodNotFound("a.B"), MlosError),
        (standard_errors.MethodNotImplemented("a.B"), MlosError),
        (standard_errors.InvalidParameter("job.cwd", "job.cwd: missing"), BadRequest),
        (standard_errors.PermissionDenied(), NotPermitted),
        (standard_errors.ExpectedMore(), BadRequest),
    ],
)
def test_the_errors_of_varlink_are_errors_for_people_too(error: MlosError, kind: type[MlosError]) -> None:
    arrived = error_of(reply_of(error))
    assert type(arrived) is type(error)
    assert isinstance(arrived, kind)
    assert arrived.message == error.message


def test_a_standard_error_of_another_service_needs_no_message_of_ours() -> None:
    error = error_of(Reply({"parameter": "id"}, error="org.varlink.service.InvalidParameter"))
    assert error is not None
    assert error.message == "id: invalid parameter"


@given(st.dictionaries(st.sampled_from(["message", "hint", "exit_code", "x"]), st.none() | st.integers() | st.text()))
def test_any_error_reply_is_some_error(parameters: dict[str, object]) -> None:
    for name in (*BY_WIRE_NAME, "org.example.Other"):
        error = error_of(Reply(parameters, error=name))
        assert error is not None
        assert 0 < error.exit_code < 256


def test_an_unknown_error_is_named() -> None:
    error = error_of(Reply({}, error="org.example.Other"))
    assert error is not None
    assert error.message == "the service answered org.example.Other"


def test_an_error_has_a_code_of_its_own_without_changing_its_kind() -> None:
    error = error_of(Reply({"message": "m", "hint": None, "exit_code": 3}, error=NotFound.wire_name))
    assert error is not None
    assert (error.exit_code, NotFound("m").exit_code) == (3, 66)


def test_what_is_sent_is_ascii() -> None:
    data = encode_reply(Reply({"path": b"/caf\xc3\xa9/\xff".decode("utf-8", "surrogateescape")}))
    assert data.isascii()
    assert json.loads(data[:-1])["parameters"]["path"].encode("utf-8", "surrogateescape") == b"/caf\xc3\xa9/\xff"
