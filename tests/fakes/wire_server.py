"""A real server, with methods that do what a test needs, in a thread of the test's own process."""

import asyncio
import os
import socket
import threading
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path
from types import TracebackType
from typing import Any

from mlosd.api import caller as callers
from mlosd.api import service_interface
from mlosd.api.answering import Service
from mlosd.api.call import CallContext
from mlosd.api.caller import Caller
from mlosd.api.limits import Limits
from mlosd.api.listener import listen
from mlosd.api.registry import Method, Registry
from mlosd.api.server import Server
from mlosd.client import Connection
from mlosd.core import data
from mlosd.core.errors import NotFound, NotPermitted
from mlosd.core.events import Event, Failed
from mlosd.wire import idl

INTERFACE = """# Methods for tests.
interface io.mlosd.Test

type Word (text: string, times: ?int)

# Says it again.
method Echo(word: Word) -> (word: Word, note: ?string)
method Sleep(seconds: float, text: string) -> (text: string)
method Large(size: int) -> (text: string)
method Fail() -> ()
method Lie() -> (number: int)
method Missing() -> ()
method Forbidden() -> ()
method Read(fds: []int) -> (contents: []string)
method Count(to: int, pause: float) -> (n: int)
method Forever() -> (n: int)
method Flood(size: int) -> (text: string)
"""
TEST = "io.mlosd.Test"
Parameters = dict[str, Any]
Stream = AsyncGenerator[Parameters, None]


class Methods:
    """The methods, and what happened in them."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.finished: list[str] = []
        self.flooded = 0
        self.open_streams = 0
        self.hung_up: list[bool] = []

    async def echo(self, _caller: Caller, parameters: Parameters, _call: CallContext) -> Parameters:
        return {"word": parameters["word"], "note": None}

    async def sleep(self, _caller: Caller, parameters: Parameters, _call: CallContext) -> Parameters:
        self.begun.append(parameters["text"])
        await asyncio.sleep(parameters["seconds"])
        self.finished.append(parameters["text"])
        return {"text": parameters["text"]}

    async def large(self, _caller: Caller, parameters: Parameters, _call: CallContext) -> Parameters:
        return {"text": "x" * parameters["size"]}

    async def fail(self, _caller: Caller, _parameters: Parameters, _call: CallContext) -> Parameters:
        raise ZeroDivisionError("secret detail")

    async def lie(self, _caller: Caller, _parameters: Parameters, _call: CallContext) -> Parameters:
        return {"number": "seven"}

    async def missing(self, _caller: Caller, _parameters: Parameters, _call: CallContext) -> Parameters:
        raise NotFound("there is no such thing", hint="look elsewhere")

    async def forbidden(self, _caller: Caller, _parameters: Parameters, _call: CallContext) -> Parameters:
        raise AssertionError("authorisation let it through")

    async def read(self, _caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        contents = []
        for fd in call.take_fds(*parameters["fds"]):
            with open(fd, encoding="ascii") as file:
                contents.append(file.read())
        return {"contents": contents}

    async def count(self, _caller: Caller, parameters: Parameters, _call: CallContext) -> Stream:
        for n in range(parameters["to"]):
            yield {"n": n}
            if parameters["pause"]:
                await asyncio.sleep(parameters["pause"])

    async def forever(self, _caller: Caller, _parameters: Parameters, call: CallContext) -> Stream:
        self.open_streams += 1
        try:
            yield {"n": 0}
            await asyncio.Event().wait()
        finally:
            self.open_streams -= 1
            self.hung_up.append(call.hung_up)

    async def flood(self, _caller: Caller, parameters: Parameters, _call: CallContext) -> Stream:
        self.open_streams += 1
        try:
            while True:
                self.flooded += parameters["size"]
                yield {"text": "x" * parameters["size"]}
        finally:
            self.open_streams -= 1


def registry(methods: Methods) -> Registry:
    """Everything that the test interface describes, and org.varlink.service."""
    service = idl.read(data.path("interfaces/org.varlink.service.varlink"))
    made = Registry([idl.parse(INTERFACE), service])
    for name in made.interfaces[TEST].methods:
        made.add(f"{TEST}.{name}", getattr(methods, name.lower()))
    service_interface.register(made)
    made.complete()
    return made


def authorise(_caller: Caller, method: str) -> None:
    if method == f"{TEST}.Forbidden":
        raise NotPermitted("you may not", hint="ask root")


class WireServer:
    """The server, as a context manager; everything about it may be looked at from the test's own thread."""

    def __init__(
        self,
        path: Path,
        *,
        limits: Limits | None = None,
        identify: Callable[[socket.socket], Caller] = callers.of_socket,
    ) -> None:
        self.path = path
        self.methods = Methods()
        self.events: list[Event] = []
        self.server: Server
        self._limits = limits or Limits()
        self._identify = identify
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "WireServer":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def stop(self) -> None:
        """Close the server, as the daemon does when it stops."""
        asyncio.run_coroutine_threadsafe(self.server.close(grace=1.0), self._loop).result(10)

    def connect(self) -> Connection:
        return Connection.open(self.path)

    def raw(self) -> socket.socket:
        """A bare socket, for what no client of ours would send."""
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.settimeout(10)
        connected.connect(os.fspath(self.path))
        return connected

    def failures(self) -> list[Failed]:
        return [event for event in self.events if isinstance(event, Failed)]

    def timers(self) -> int:
        """How many timers the event loop has set."""
        return sum(not timer.cancelled() for timer in vars(self._loop)["_scheduled"])

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._start)
        self._loop.run_forever()

    def _start(self) -> None:
        service = Service(
            registry(self.methods), authorise, self.events.append, check_reply=Method.check_reply, limits=self._limits
        )
        self.server = Server(service, identify=self._identify)
        self.server.serve(listen(self.path))
        self._ready.set()


def eventually(condition: Callable[[], bool], *, within: float = 5.0) -> None:
    """Wait for something that another thread does."""
    until = time.monotonic() + within
    while not condition():
        assert time.monotonic() < until, "it never happened"
        time.sleep(0.005)
