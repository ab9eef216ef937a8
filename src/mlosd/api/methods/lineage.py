"""io.mlosd.Lineage."""

from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller
from mlosd.api.methods.jobs import owner
from mlosd.jobs.service import JobService
from mlosd.lineage.names import MayTouch
from mlosd.lineage.service import Asked, LineageService

Parameters = dict[str, Any]


class Lineage:
    """The methods of io.mlosd.Lineage over a LineageService; a job is run again by the JobService."""

    def __init__(self, service: LineageService, jobs: JobService, authority: Authority) -> None:
        self._service = service
        self._jobs = jobs
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Lineage.Of": self.of,
            "io.mlosd.Lineage.Facts": self.facts,
            "io.mlosd.Lineage.Diff": self.diff,
            "io.mlosd.Lineage.Rerun": self.rerun,
            "io.mlosd.Lineage.Correct": self.correct,
        }

    async def of(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        known = {name: value for name, value in parameters.items() if value is not None}
        return {"graph": await self._service.of(Asked(**known), self._mine(caller))}

    async def facts(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"facts": await self._service.facts(parameters["run"], self._mine(caller))}

    async def diff(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        found, same, reasons = await self._service.diff(parameters["a"], parameters["b"], self._mine(caller))
        return {"differences": found, "same_outputs": same, "reasons": reasons}

    async def rerun(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        changed = await self._service.changed(parameters["run"], self._mine(caller))
        job, warnings = await self._jobs.again(parameters["run"], owner(caller))
        return {"id": job["id"], "changed": changed, "warnings": warnings}

    async def correct(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        path, role, project = parameters["path"], parameters["role"], parameters.get("project")
        await self._service.correct(path, role, project, self._mine(caller))
        return {}

    def _mine(self, caller: Caller) -> MayTouch:
        return lambda uid: self._authority.may_touch(caller, uid)
