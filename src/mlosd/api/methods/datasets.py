"""io.mlosd.Datasets."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.projects.dataset_service import DatasetService
from mlosd.projects.service import MayTouch

Parameters = dict[str, Any]


class Datasets:
    """The methods of io.mlosd.Datasets over a DatasetService."""

    def __init__(self, service: DatasetService, authority: Authority) -> None:
        self._service = service
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Datasets.List": self.list,
            "io.mlosd.Datasets.Show": self.show,
            "io.mlosd.Datasets.Status": self.status,
            "io.mlosd.Datasets.Rescan": self.rescan,
        }

    async def list(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"datasets": self._service.all(parameters.get("project"), self._mine(caller))}

    async def show(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        dataset, versions = self._service.show(parameters["path"], self._mine(caller))
        return {"dataset": dataset, "versions": versions}

    async def status(
        self, caller: Caller, parameters: Parameters, call: CallContext
    ) -> AsyncGenerator[Parameters, None]:
        async with aclosing(self._service.status(parameters["path"], self._mine(caller))) as replies:
            async for reply in replies:
                if call.more or reply["status"]:
                    yield reply

    async def rescan(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._service.rescan(parameters["project"], self._mine(caller))

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)
