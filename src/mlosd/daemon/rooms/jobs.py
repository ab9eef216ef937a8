"""Jobs, put together: from what a caller asks to a keeper and back."""

from dataclasses import dataclass

from mlosd.api.caller import user_name
from mlosd.daemon import joints
from mlosd.daemon.rooms.ground import Ground
from mlosd.daemon.rooms.observing import Observing
from mlosd.daemon.rooms.projects import ProjectRooms
from mlosd.jobs import classes, machine
from mlosd.jobs.backend import Backend
from mlosd.jobs.backends.choose import choose
from mlosd.jobs.control import Control
from mlosd.jobs.job import Job
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.logs import Logs
from mlosd.jobs.runner import Runner
from mlosd.jobs.service import JobService
from mlosd.jobs.spec import Defaults
from mlosd.jobs.table import JobTable
from mlosd.store.runs import Runs


@dataclass(frozen=True, slots=True)
class JobRooms:
    """What callers ask (`service`), every unfinished job (`table`), their rows (`runs`), who starts and ends them."""

    service: JobService
    table: JobTable
    runs: Runs
    runner: Runner
    control: Control
    backend: Backend


def job_rooms(ground: Ground, projects: ProjectRooms, seen: Observing) -> JobRooms:
    """Make every part. Nothing runs yet."""
    where, settings, emit = ground.where, ground.settings.jobs, ground.emit
    backend = choose(settings.backend, where.run, is_default=where.is_default, parent=settings.cgroup_parent)
    ledger = machine.ledger(cpus=settings.cpus, memory_reserve=settings.memory_reserve_mib << 20)
    keepers, logs, runs = Keepers(where.jobs), Logs(where.output), Runs(ground.database)
    table = JobTable(runs, logs, emit)

    def on_start(job: Job) -> None:
        seen.follower.begin(joints.subject(job))
        projects.gains.begin(job.id, job.request.project, joints.reader(job))

    def on_end(job: Job) -> None:
        seen.follower.end(job.id)
        projects.gains.end(job.id, joints.waited(job))

    runner = Runner(
        table=table,
        backend=backend,
        keepers=keepers,
        ledger=ledger,
        logs=logs,
        emit=emit,
        keep_finished=settings.keep_finished,
        traces=where.traces if seen.is_possible else None,
        on_start=on_start,
        on_end=on_end,
    )
    control = Control(table, runner, keepers)
    service = JobService(
        table=table,
        runner=runner,
        control=control,
        backend=backend,
        ledger=ledger,
        keepers=keepers,
        logs=logs,
        defaults=Defaults(settings.default_env, settings.grace, classes.names()),
        user_name=user_name,
        find_project=projects.service.find_id_and_name,
    )
    return JobRooms(service, table, runs, runner, control, backend)
