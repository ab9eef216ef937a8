"""The way of a run from its start to its rows: what it remembers, who it belongs to, what its trace comes to."""

import os
from collections.abc import Awaitable, Callable

from mlosd.lineage import facts
from mlosd.lineage.account import EXEC, Account
from mlosd.lineage.as_user import User
from mlosd.lineage.facts import Command
from mlosd.lineage.ingest import Ingest
from mlosd.lineage.subject import Subject

ProjectRoot = Callable[[str], str | None]
"""The root of a project, by its id."""


class Observation:
    """`root_of`: see ProjectRoot; `elsewhere`: a user's project of all files that are in none.

    `doubt`: called with a project whose files may have been used by a run without being seen.
    """

    def __init__(
        self,
        ingest: Ingest,
        *,
        root_of: ProjectRoot,
        elsewhere: Callable[[int], Awaitable[str]],
        doubt: Callable[[str], None],
    ) -> None:
        self._doubt = doubt
        self._ingest = ingest
        self._root_of = root_of
        self._elsewhere = elsewhere

    async def facts_at_start(self, subject: Subject) -> str:
        """What the run remembers that is gone later: the state of its repository, its environment. JSON."""
        command = Command(
            argv=subject.argv,
            environment=subject.environment,
            cwd=subject.cwd,
            root=self._root_of(subject.project) if subject.project else None,
            user=_user(subject),
            gpus=subject.gpus,
        )
        return facts.to_json(await facts.at_start(command))

    async def record(self, subject: Subject, account: Account, facts_at_start: str) -> None:
        """Make the rows of a run that has ended."""
        known = await facts.at_end(
            facts.from_json(facts_at_start),
            user=_user(subject),
            paths=[os.fsdecode(used.path) for used in account.files.values() if used.path],
            executables=[os.fsdecode(used.path) for used in account.files.values() if used.path and used.modes & EXEC],
        )
        elsewhere = await self._elsewhere(subject.uid)
        await self._ingest.ingest(subject, account, elsewhere=elsewhere, facts=facts.to_json(known))
        if subject.project and account.reasons:
            self._doubt(subject.project)


def _user(subject: Subject) -> User:
    return User(subject.uid, subject.gid, subject.groups)
