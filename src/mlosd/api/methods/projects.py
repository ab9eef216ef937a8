"""io.mlosd.Projects."""

from pathlib import Path
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.projects.service import MayTouch, ProjectService

Parameters = dict[str, Any]


class Projects:
    """The methods of io.mlosd.Projects over a ProjectService."""

    def __init__(self, service: ProjectService, authority: Authority) -> None:
        self._service = service
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Projects.Add": self.add,
            "io.mlosd.Projects.List": self.list,
            "io.mlosd.Projects.Show": self.show,
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

    async def remove(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        await self._service.remove(parameters["project"], self._mine(caller))
        return {}

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)
