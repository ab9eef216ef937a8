"""Answers one call: finds the method, asks whether the caller may, checks the parameters, sends what comes back."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from mlosd.api import replies
from mlosd.api.call import CallContext
from mlosd.api.caller import Caller
from mlosd.api.limits import Limits
from mlosd.api.registry import Method, Registry
from mlosd.core.errors import MlosError, Refused
from mlosd.core.events import Event, Failed
from mlosd.wire.message import LARGEST_REPLY, Call, Parameters, Reply, encode_reply, reply_of
from mlosd.wire.standard_errors import MethodNotImplemented


def unchecked(_method: Method, _parameters: Parameters) -> None:
    """Trust our own replies. Tests use Method.check_reply instead."""


@dataclass(frozen=True, slots=True)
class Service:
    """What all connections of a server share. `authorise` raises NotPermitted."""

    registry: Registry
    authorise: Callable[[Caller, str], None]
    report: Callable[[Event], None]
    check_reply: Callable[[Method, Parameters], None] = unchecked
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True, slots=True)
class Client:
    """What a call in progress needs of the connection that it came by."""

    caller: Caller
    send: Callable[[bytes], None]
    turn: Callable[[], Awaitable[None]]
    """Called once by a call that is a stream: waits for the calls before it, or is cancelled at once."""
    ready: Callable[[], Awaitable[None]]
    """Waits until the client has read most of what was sent."""
    cut: Callable[[], None]
    """Ends the connection without another reply."""


async def answer(service: Service, client: Client, call: Call, context: CallContext) -> None:
    """Answer one call, whatever happens. Owns `context`."""

    def send(reply: Reply) -> None:
        if not call.oneway:
            client.send(_encoded(reply))

    try:
        await _run(service, client, call, context, send)
    except asyncio.CancelledError:
        # The client hung up, or mlosd stops. A call that goes on in truth, such as waiting for a job, must not
        # look answered: to the client mlosd goes away, and it asks again.
        client.cut()
    except MlosError as error:
        if error.wire_name == MlosError.wire_name:
            service.report(Failed(call.method, error.message))
        send(reply_of(error))
    except Exception as error:  # the daemon outlives any mistake in a method
        service.report(Failed(call.method, _described(error)))
        send(reply_of(MlosError(f"{call.method} failed inside mlosd", hint="the log of mlosd has the details")))
    finally:
        context.close()


async def _run(
    service: Service, client: Client, call: Call, context: CallContext, send: Callable[[Reply], None]
) -> None:
    method = service.registry.method(call.method)
    service.authorise(client.caller, method.name)
    if call.upgrade:
        raise MethodNotImplemented(f"{call.method} with an upgrade")
    method.check_parameters(call.parameters)
    result = method.handler(client.caller, call.parameters, context)
    if isinstance(result, Awaitable):
        parameters = await result
        service.check_reply(method, parameters)
        send(Reply(parameters))
    else:
        await _stream(service, client, method, result, send, more=call.more)


async def _stream(
    service: Service,
    client: Client,
    method: Method,
    stream: AsyncIterator[Parameters],
    send: Callable[[Reply], None],
    *,
    more: bool,
) -> None:
    if not isinstance(stream, AsyncGenerator):
        raise TypeError(f"the handler of {method.name} is neither a coroutine nor an async generator")

    def send_checked(reply: Reply) -> None:
        if reply.parameters or reply.continues:
            service.check_reply(method, reply.parameters)
        send(reply)

    try:
        await client.turn()
    except BaseException:
        await stream.aclose()
        raise
    if more:
        await replies.send_all(stream, send=send_checked, ready=client.ready)
    else:
        send_checked(await replies.first(stream))


def _encoded(reply: Reply) -> bytes:
    data = encode_reply(reply)
    if len(data) > LARGEST_REPLY:
        raise Refused(f"the answer is larger than {LARGEST_REPLY >> 20} MiB", hint="ask for less at once")
    return data


def _described(error: BaseException) -> str:
    traceback: Any = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = f" ({traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno})" if traceback else ""
    return f"{type(error).__name__}: {error}{where}"
