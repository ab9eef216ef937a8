"""io.mlosd.Projects."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.core.errors import BadRequest
from mlosd.projects.open import Opening, Wish
from mlosd.projects.resolve import Reader
from mlosd.projects.service import MayTouch, ProjectService

Parameters = dict[str, Any]


class Projects:
    """The methods of io.mlosd.Projects over a ProjectService and an Opening."""

    def __init__(self, service: ProjectService, opening: Opening, authority: Authority) -> None:
        self._service = service
        self._opening = opening
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Projects.Add": self.add,
            "io.mlosd.Projects.List": self.list,
            "io.mlosd.Projects.Show": self.show,
            "io.mlosd.Projects.Open": self.open,
            "io.mlosd.Projects.Remove": self.remove,
        }

    async def add(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        operator = self._authority.is_operator(caller)
        path, name = Path(parameters["path"]), parameters.get("name")
        return {"project": await self._service.add(path, name=name, uid=caller.uid, operator=operator)}

    async def list(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"projects": self._service.owned(self._mine(caller))}

    async def show(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        project, resources = await self._service.show(parameters["project"], self._mine(caller))
        return {"project": project, "resources": resources}

    async def open(self, caller: Caller, parameters: Parameters, call: CallContext) -> AsyncGenerator[Parameters, None]:
        project = self._service.find(parameters["project"], self._mine(caller))
        if (budget := parameters.get("budget")) is not None and budget < 0:
            raise BadRequest("a budget is a number of bytes, none of them negative")
        wish = Wish(budget, force=bool(parameters.get("force")), remote=bool(parameters.get("network")))
        reader = Reader(caller.uid, caller.gid, tuple(sorted(caller.groups)))
        async with aclosing(self._opening.open(project, reader, wish)) as replies:
            async for reply in replies:
                if call.more or reply["opened"]:
                    yield reply

    async def remove(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        await self._service.remove(parameters["project"], self._mine(caller))
        return {}

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)
