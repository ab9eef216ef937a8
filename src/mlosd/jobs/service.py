"""Jobs for callers: what they ask becomes a Request, what they may see becomes a view. Policy, no machinery."""

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from mlosd.core.errors import NotFound, Refused
from mlosd.jobs import view
from mlosd.jobs.backend import Backend
from mlosd.jobs.control import Control
from mlosd.jobs.job import Job, Limits, Owner
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.ledger import Ledger
from mlosd.jobs.logs import Logs
from mlosd.jobs.runner import Runner, Stdio, close
from mlosd.jobs.spec import Defaults, request, signal_number
from mlosd.jobs.state import Done, Held, Queued, Stopping, process
from mlosd.jobs.table import JobTable

MayTouch = Callable[[int], bool]
View = dict[str, Any]


class JobService:
    """`user_name` turns a uid into a name; `find_project` a name or id into both, of one that the owner may use."""

    def __init__(
        self,
        *,
        table: JobTable,
        runner: Runner,
        control: Control,
        backend: Backend,
        ledger: Ledger,
        keepers: Keepers,
        logs: Logs,
        defaults: Defaults,
        user_name: Callable[[int], str],
        find_project: Callable[[str, int], tuple[str, str]],
    ) -> None:
        self._table = table
        self._runner = runner
        self._control = control
        self._backend = backend
        self._ledger = ledger
        self._logs = logs
        self._keepers = keepers
        self._defaults = defaults
        self._user_name = user_name
        self._find_project = find_project

    async def submit(self, asked: Mapping[str, Any], owner: Owner) -> tuple[View, list[str]]:
        """Queue a job: its view, and a warning for each limit that this machine cannot enforce."""
        return await self._submit(asked, owner, stdio=None, terminal=False)

    async def submit_foreground(
        self, asked: Mapping[str, Any], owner: Owner, *, stdio: Stdio, terminal: bool
    ) -> tuple[View, list[str]]:
        """The same for a job on its client's own descriptors, which are taken over."""
        return await self._submit(asked, owner, stdio=stdio, terminal=terminal)

    async def again(self, id_: int, owner: Owner) -> tuple[View, list[str]]:
        """Queue a job of this owner once more, as it was; warnings say in what it is not."""
        job = self._mine(id_, lambda uid: uid == owner.uid)
        wanted, warnings = replace(job.request, owner=owner, foreground=False, terminal=False), []
        if job.request.foreground:
            warnings.append("it ran in the foreground: now its input is empty, and its output is kept")
        if wanted.project is not None:
            try:
                self._find_project(wanted.project, owner.uid)
            except NotFound:
                warnings.append(f"its project {wanted.project_name} is gone")
                wanted = replace(wanted, project=None, project_name=None)
        notes = self._not_enforced(wanted.limits)
        return self._view(await self._runner.submit(wanted, notes=tuple(notes))), warnings + notes

    async def _submit(
        self, asked: Mapping[str, Any], owner: Owner, *, stdio: Stdio | None, terminal: bool
    ) -> tuple[View, list[str]]:
        try:
            wanted = request(asked, owner, self._defaults, foreground=stdio is not None, terminal=terminal)
            if wanted.project is not None:
                id_, name = self._find_project(wanted.project, owner.uid)
                wanted = replace(wanted, project=id_, project_name=name)
            warnings = self._not_enforced(wanted.limits)
            if warnings and asked.get("strict"):
                raise Refused("; ".join(warnings), hint="without --strict the job runs all the same")
        except BaseException:
            close(stdio)
            raise
        job = await self._runner.submit(wanted, notes=tuple(warnings), stdio=stdio)
        return self._view(job), warnings

    def _not_enforced(self, limits: Limits) -> list[str]:
        reasons = self._backend.unenforceable()
        return [
            f"{limit} is not enforced: {reason}"
            for limit, reason in reasons.items()
            if getattr(limits, limit) is not None
        ]

    def show(self, id_: int, may_touch: MayTouch) -> View:
        """One job. Raises NotFound, also for one that is not the caller's."""
        return self._view(self._mine(id_, may_touch))

    def listed(self, may_touch: MayTouch, *, finished: bool, everyone: bool, limit: int) -> list[View]:
        """Newest first; other people's only with `everyone`, and then without their details."""
        jobs = self._table.newest(limit=limit) if finished else self._table.unfinished()[:limit]
        return [
            self._view(job) if may_touch(job.request.owner.uid) else view.hidden(self._view(job))
            for job in jobs
            if everyone or may_touch(job.request.owner.uid)
        ]

    async def follow(self, id_: int, may_touch: MayTouch) -> AsyncGenerator[View, None]:
        """The job now and after each change, until it is DONE."""
        self._mine(id_, may_touch)
        async for job in self._table.follow(id_):
            yield self._view(job)

    async def output(
        self, id_: int, may_touch: MayTouch, *, follow: bool, tail: int | None
    ) -> AsyncGenerator[bytes, None]:
        """What a queued job printed so far, and with `follow` what it prints until it ends."""
        job = self._mine(id_, may_touch)
        if job.request.foreground:
            raise Refused(f"job {id_} ran in the foreground: its output went to its own terminal")
        if follow:
            await self._table.started(id_)
        reader = self._logs.read(id_, tail=tail)
        if reader is None:
            return
        try:
            if follow:
                grows = self._logs.follow(id_, reader, lambda: isinstance(self._table.look(id_).state, Done))
                async with aclosing(grows) as chunks:
                    async for chunk in chunks:
                        yield chunk
            else:
                for chunk in reader.rest():
                    yield chunk
        finally:
            reader.close()

    def cancel(self, id_: int, may_touch: MayTouch, *, by: str) -> View:
        """End it. Asked a second time: at once."""
        self._mine(id_, may_touch)
        return self._view(self._control.cancel(id_, reason=f"cancelled by {by}"))

    def freeze(self, id_: int, may_touch: MayTouch) -> View:
        """Stop it where it is, or hold it while it waits."""
        self._mine(id_, may_touch)
        return self._view(self._control.freeze(id_))

    def thaw(self, id_: int, may_touch: MayTouch) -> View:
        """Let it go on, or queue again."""
        self._mine(id_, may_touch)
        return self._view(self._control.thaw(id_))

    def signal(self, id_: int, may_touch: MayTouch, number: int) -> None:
        """Send a signal to its main process and process group."""
        self._mine(id_, may_touch)
        self._control.signal(id_, signal_number(number))

    def hang_up(self, id_: int) -> None:
        """The client of a foreground job is gone."""
        self._control.hang_up(id_)

    def _mine(self, id_: int, may_touch: MayTouch) -> Job:
        job = self._table.look(id_)
        if not may_touch(job.request.owner.uid):
            # The same words as for one that does not exist: ids are not a way to learn of others.
            raise NotFound(f"there is no job {id_} of yours", hint="mlosctl job list --all")
        return job

    def _reason(self, job: Job) -> str | None:
        """Why the job is where it is."""
        match job.state:
            case Queued():
                return self._runner.queue.reason(job.id, self._ledger.room())
            case Held(reason) | Stopping(_, _, reason) | Done(_, reason):
                return reason
            case _:
                return None

    def _view(self, job: Job) -> View:
        running = process(job.state)
        return view.shown(
            job,
            user=self._user_name(job.request.owner.uid),
            reason=self._reason(job),
            backend=self._backend.name,
            usage=self._keepers.usage(running) if running else None,
        )
