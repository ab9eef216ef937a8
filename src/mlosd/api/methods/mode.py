"""io.mlosd.Mode."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from mlosd.api.authz import Authority
from mlosd.api.call import CallContext, Handler
from mlosd.api.caller import Caller, user_name
from mlosd.mode import view
from mlosd.mode.answers import ModeAnswers
from mlosd.mode.asked import Asker

Parameters = dict[str, Any]


class Mode:
    """The methods of io.mlosd.Mode over ModeAnswers."""

    def __init__(self, answers: ModeAnswers, authority: Authority) -> None:
        self._answers = answers
        self._authority = authority

    def handlers(self) -> dict[str, Handler]:
        """Every method by its full name."""
        return {
            "io.mlosd.Mode.Plan": self.plan,
            "io.mlosd.Mode.Enter": self.enter,
            "io.mlosd.Mode.Leave": self.leave,
            "io.mlosd.Mode.Status": self.status,
            "io.mlosd.Mode.Verify": self.verify,
            "io.mlosd.Mode.Restore": self.restore,
            "io.mlosd.Mode.Knobs": self.knobs,
            "io.mlosd.Mode.Profiles": self.profiles,
        }

    async def plan(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._answers.plan(parameters["asked"], self._asker(caller))

    async def enter(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._answers.enter(parameters["asked"], self._asker(caller))

    async def leave(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._answers.leave(parameters.get("lease"), self._asker(caller))

    async def status(
        self, caller: Caller, parameters: Parameters, call: CallContext
    ) -> AsyncGenerator[Parameters, None]:
        async with aclosing(self._answers.status(self._asker(caller), more=call.more)) as replies:
            async for reply in replies:
                yield reply

    async def verify(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._answers.verify()

    async def restore(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return await self._answers.restore()

    async def knobs(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return {"knobs": view.every_knob()}

    async def profiles(self, caller: Caller, parameters: Parameters, call: CallContext) -> Parameters:
        return self._answers.profiles()

    def _asker(self, caller: Caller) -> Asker:
        return Asker(caller.uid, user_name(caller.uid), self._authority.is_operator(caller))
