"""io.mlosd.Jobs."""

import base64
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller, user_name
from mlosd.core.errors import Refused
from mlosd.jobs.job import Owner
from mlosd.jobs.service import JobService, MayTouch
from mlosd.wire.standard_errors import ExpectedMore

Parameters = dict[str, Any]
MOST_LISTED = 1000
MOST_OUTPUT = 8 << 20


class Jobs:
    """The methods of io.mlosd.Jobs over a JobService."""

    def __init__(self, service: JobService, authority: Authority) -> None:
        self._service = service
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Jobs.Submit": self.submit,
            "io.mlosd.Jobs.Run": self.run,
            "io.mlosd.Jobs.List": self.list,
            "io.mlosd.Jobs.Show": self.show,
            "io.mlosd.Jobs.Logs": self.logs,
            "io.mlosd.Jobs.Wait": self.wait,
            "io.mlosd.Jobs.Cancel": self.cancel,
            "io.mlosd.Jobs.Freeze": self.freeze,
            "io.mlosd.Jobs.Thaw": self.thaw,
            "io.mlosd.Jobs.Signal": self.signal,
        }

    async def submit(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        job, warnings = await self._service.submit(parameters["job"], owner(caller))
        return {"id": job["id"], "state": job["state"], "reason": job["reason"], "warnings": warnings}

    async def run(self, caller: Caller, parameters: Parameters, call: CallContext) -> AsyncGenerator[Parameters, None]:
        if not call.more:
            raise ExpectedMore
        stdin, stdout, stderr = call.take_fds(parameters["stdin"], parameters["stdout"], parameters["stderr"])
        job, warnings = await self._service.submit_foreground(
            parameters["job"], owner(caller), stdio=(stdin, stdout, stderr), terminal=parameters["terminal"]
        )
        try:
            async with aclosing(self._service.follow(job["id"], self._mine(caller))) as changes:
                async for job in changes:
                    yield {"job": job, "warnings": warnings}
        finally:
            if call.hung_up:
                self._service.hang_up(job["id"])

    async def list(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        jobs = self._service.listed(
            self._mine(caller),
            finished=bool(parameters.get("all")),
            everyone=bool(parameters.get("everyone")),
            limit=min(parameters.get("limit") or MOST_LISTED, MOST_LISTED),
        )
        return {"jobs": jobs}

    async def show(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"job": self._service.show(parameters["id"], self._mine(caller))}

    async def logs(self, caller: Caller, parameters: Parameters, call: CallContext) -> AsyncGenerator[Parameters, None]:
        output = self._service.output(
            parameters["id"],
            self._mine(caller),
            follow=bool(parameters.get("follow")) and call.more,
            tail=parameters.get("tail"),
        )
        async with aclosing(output) as chunks:
            if call.more:
                async for chunk in chunks:
                    yield {"data": base64.b64encode(chunk).decode("ascii")}
                yield {"data": ""}
            else:
                yield {"data": base64.b64encode(await _at_once(chunks, parameters["id"])).decode("ascii")}

    async def wait(self, caller: Caller, parameters: Parameters, call: CallContext) -> AsyncGenerator[Parameters, None]:
        async with aclosing(self._service.follow(parameters["id"], self._mine(caller))) as changes:
            async for job in changes:
                if call.more or job["state"] == "DONE":
                    yield {"job": job}

    async def cancel(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"job": self._service.cancel(parameters["id"], self._mine(caller), by=user_name(caller.uid))}

    async def freeze(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"job": self._service.freeze(parameters["id"], self._mine(caller))}

    async def thaw(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"job": self._service.thaw(parameters["id"], self._mine(caller))}

    async def signal(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        self._service.signal(parameters["id"], self._mine(caller), parameters["signal"])
        return {}

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)


async def _at_once(chunks: AsyncGenerator[bytes, None], id_: int) -> bytes:
    output = bytearray()
    async for chunk in chunks:
        output += chunk
        if len(output) > MOST_OUTPUT:
            raise Refused(
                f"job {id_} printed more than the {MOST_OUTPUT >> 20} MiB that fit into one answer",
                hint='call with "more", or ask for its tail',
            )
    return bytes(output)


def owner(caller: Caller) -> Owner:
    """Whom the job runs as: the caller, or, where the daemon is not root, the daemon's own user."""
    if os.getuid() != 0:
        return Owner(os.getuid(), os.getgid(), tuple(os.getgroups()))
    return Owner(caller.uid, caller.gid, tuple(sorted(caller.groups)))
