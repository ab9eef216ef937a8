"""io.mlosd.Exchange."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.exchange.service import ExchangeService, MayTouch
from mlosd.exchange.trust import Importer
from mlosd.wire.standard_errors import ExpectedMore

Parameters = dict[str, Any]


class Exchange:
    """The methods of io.mlosd.Exchange over an ExchangeService."""

    def __init__(self, service: ExchangeService, authority: Authority) -> None:
        self._service = service
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Exchange.Export": self.export,
            "io.mlosd.Exchange.Import": self.import_,
            "io.mlosd.Exchange.Snapshot": self.snapshot,
        }

    async def export(
        self, caller: Caller, parameters: Parameters, call: CallContext
    ) -> AsyncGenerator[Parameters, None]:
        if not call.more:
            raise ExpectedMore
        batches = self._service.export(
            parameters.get("project"),
            may_touch=self._mine(caller),
            may_see_environment=lambda owner: caller.uid in (owner, 0, os.getuid()),
        )
        async with aclosing(batches) as replies:
            async for reply in replies:
                yield reply

    async def import_(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        [fd] = call.take_fds(parameters["records"])
        importer = Importer(caller.uid, caller.gid, tuple(sorted(caller.groups)))
        return await self._service.take_in(fd, importer, into=parameters.get("project"), may_touch=self._mine(caller))

    async def snapshot(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._service.snapshot(caller.uid, caller.gid, may_touch=self._mine(caller))

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)
