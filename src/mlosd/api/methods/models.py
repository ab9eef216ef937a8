"""io.mlosd.Models."""

from pathlib import Path
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.registry.service import Actor, MayTouch, ModelService

Parameters = dict[str, Any]


class Models:
    """The methods of io.mlosd.Models over a ModelService."""

    def __init__(self, service: ModelService, authority: Authority) -> None:
        self._service = service
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Models.List": self.list,
            "io.mlosd.Models.Show": self.show,
            "io.mlosd.Models.History": self.history,
            "io.mlosd.Models.Register": self.register,
            "io.mlosd.Models.Alias": self.alias,
            "io.mlosd.Models.Rollback": self.rollback,
            "io.mlosd.Models.Remove": self.remove,
            "io.mlosd.Models.Collect": self.collect,
        }

    async def list(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"models": self._service.listed(self._mine(caller), project=parameters.get("project"))}

    async def show(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        model, versions = self._service.show(parameters["model"], self._mine(caller))
        return {"model": model, "versions": versions}

    async def history(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        model, at = parameters["model"], parameters.get("at")
        if at is None:
            return {"changes": self._service.history(model, self._mine(caller))}
        return {"changes": self._service.meant_at(model, self._mine(caller), float(at))}

    async def register(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        model, version = await self._service.register(
            Path(parameters["path"]),
            name=parameters.get("name"),
            project=parameters.get("project"),
            uid=caller.uid,
            operator=self._authority.is_operator(caller),
        )
        return {"model": model, "version": version}

    async def alias(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        model, alias, number = parameters["model"], parameters["alias"], parameters.get("number")
        actor = _actor(caller, parameters)
        return {"change": await self._service.alias(model, alias, number, self._mine(caller), actor)}

    async def rollback(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        model, alias, number = parameters["model"], parameters.get("alias"), parameters.get("number")
        actor = _actor(caller, parameters)
        version, path = await self._service.rollback(model, alias, number, self._mine(caller), actor)
        return {"version": version, "path": str(path)}

    async def remove(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        freed = await self._service.remove(parameters["model"], parameters["number"], self._mine(caller))
        return {"bytes": freed}

    async def collect(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return self._service.surplus() if parameters.get("dry_run") else await self._service.collect()

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda owner: self._authority.may_touch(caller, owner)


def _actor(caller: Caller, parameters: Parameters) -> Actor:
    return Actor(caller.uid, parameters.get("reason") or "")
