"""mlosd, the daemon. Start reading here: `wire` is the table of contents of the whole program."""

import argparse
import asyncio
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import mlosd
from mlosd.api import authz, service_interface
from mlosd.api.answering import Service
from mlosd.api.caller import user_name
from mlosd.api.methods.daemon import Daemon, Watchers
from mlosd.api.methods.datasets import Datasets as DatasetMethods
from mlosd.api.methods.exchange import Exchange
from mlosd.api.methods.jobs import Jobs
from mlosd.api.methods.lineage import Lineage
from mlosd.api.methods.models import Models
from mlosd.api.methods.projects import Projects
from mlosd.api.registry import Registry
from mlosd.api.server import Server
from mlosd.config import apart
from mlosd.config.settings import Loaded
from mlosd.content.reader import Reader
from mlosd.core import events
from mlosd.core.errors import MlosError
from mlosd.daemon import joints, lifecycle
from mlosd.daemon.models import ModelRegistry, model_registry
from mlosd.daemon.paths import Paths, paths
from mlosd.exchange.service import ExchangeService
from mlosd.exchange.shelf import Shelf
from mlosd.jobs import classes, machine
from mlosd.jobs.backends.choose import choose
from mlosd.jobs.control import Control
from mlosd.jobs.job import Job
from mlosd.jobs.keepers import Keepers
from mlosd.jobs.logs import Logs
from mlosd.jobs.runner import Runner
from mlosd.jobs.service import JobService
from mlosd.jobs.spec import Defaults
from mlosd.jobs.table import JobTable
from mlosd.kernel import journald
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.follow import Follower
from mlosd.lineage.ingest import Ingest
from mlosd.lineage.names import Names
from mlosd.lineage.observation import Observation
from mlosd.lineage.service import LineageService
from mlosd.projects import manifest, survey
from mlosd.projects.dataset_service import DatasetService
from mlosd.projects.datasets import Datasets
from mlosd.projects.following import Following
from mlosd.projects.gain import Gains
from mlosd.projects.intent import Declared, Limits
from mlosd.projects.open import Opening, Policy
from mlosd.projects.rescan import Rescan
from mlosd.projects.service import ProjectService
from mlosd.store.db import Database
from mlosd.store.lineage import Lineage as LineageTable
from mlosd.store.manifests import Manifests
from mlosd.store.models import Models as ModelTable
from mlosd.store.projects import Projects as ProjectTable
from mlosd.store.runs import Runs
from mlosd.store.versions import Versions
from mlosd.store.warming import Warming


@dataclass(frozen=True, slots=True)
class House:
    """What lives as long as the daemon does."""

    paths: Paths
    database: Database
    projects: ProjectTable
    following: Following
    jobs: JobTable
    runner: Runner
    follower: Follower
    models: ModelRegistry
    reader: Reader
    service: Service
    emit: lifecycle.Emit
    backend: str


def wire(where: Paths, loaded: Loaded, log: lifecycle.Emit) -> House:
    """Make every part and give each what it needs. Nothing runs yet."""
    settings = loaded.settings
    where.make()
    survey.require_openat2()
    database = Database(where.database, keep_backups=settings.store.keep_backups)
    project_table = ProjectTable(database)

    watchers = Watchers()

    def emit(event: events.Event) -> None:
        log(event)
        watchers.tell(event)

    authority = authz.authority(settings.daemon.admin_group)
    reader, versions = Reader(), Versions(database)
    rescan = Rescan(projects=project_table, versions=versions, digests=reader)
    manifests = Manifests(database)
    datasets = Datasets(manifests=manifests, rescan=rescan, states=where.manifests)
    limits = Limits(settings.projects.max_resources, settings.projects.roll_up, ours=where.inodes())

    def parse(text: bytes, uid: int, gid: int) -> Declared:
        return apart.parse_project(text, uid=uid, gid=gid, own_uid=os.getuid())

    following = Following(rescan=rescan, datasets=datasets, parse=parse, limits=limits, emit=emit)
    projects = ProjectService(
        projects=project_table, parse=parse, user_name=user_name, limits=limits, following=following, emit=emit
    )
    warming = Warming(database)
    gains = Gains(warming)
    dataset_service = DatasetService(
        projects=project_table, service=projects, following=following, manifests=manifests, versions=versions
    )
    opening = Opening(
        warming=warming,
        policy=Policy(
            percent=settings.projects.warm_budget_percent,
            reserve=settings.projects.warm_reserve_mib << 20,
            pressure=settings.projects.warm_pressure,
            threads=settings.projects.warm_threads,
        ),
        emit=emit,
    )
    backend = choose(settings.jobs.backend, where.run, is_default=where.is_default, parent=settings.jobs.cgroup_parent)
    ledger = machine.ledger(cpus=settings.jobs.cpus, memory_reserve=settings.jobs.memory_reserve_mib << 20)
    filesystems, lineage_table = Filesystems(), LineageTable(database)
    models = model_registry(
        where.models,
        settings.models,
        database=database,
        projects=project_table,
        reader=reader,
        inputs_of=lineage_table.inputs_of,
        user_name=user_name,
        emit=emit,
    )
    ingest = Ingest(
        database=database,
        versions=versions,
        digests=reader,
        filesystems=filesystems,
        roots=lambda uid: joints.roots(project_table, uid),
        largest=settings.lineage.largest_digest_gib << 30,
    )
    observation = Observation(
        ingest, root_of=lambda id_: joints.root_of(project_table, id_), elsewhere=project_table.elsewhere
    )
    follower = Follower(
        where.traces,
        filesystems=filesystems,
        writes=joints.ModelWrites(models.capture, filesystems),
        facts_at_start=observation.facts_at_start,
        record=observation.record,
        why_not=None if os.geteuid() == 0 else "mlosd is not root, and the kernel tells nobody else what jobs open",
        emit=emit,
    )

    def on_start(job: Job) -> None:
        follower.begin(joints.subject(job))
        gains.begin(job.id, job.request.project, joints.reader(job))

    def on_end(job: Job) -> None:
        follower.end(job.id)
        gains.end(job.id, joints.waited(job))

    keepers, logs = Keepers(where.jobs), Logs(where.output)
    runs = Runs(database)
    table = JobTable(runs, logs, emit)
    runner = Runner(
        table=table,
        backend=backend,
        keepers=keepers,
        ledger=ledger,
        logs=logs,
        emit=emit,
        keep_finished=settings.jobs.keep_finished,
        traces=where.traces if os.geteuid() == 0 else None,
        on_start=on_start,
        on_end=on_end,
    )
    jobs = JobService(
        table=table,
        runner=runner,
        control=Control(table, runner, keepers),
        backend=backend,
        ledger=ledger,
        keepers=keepers,
        logs=logs,
        defaults=Defaults(settings.jobs.default_env, settings.jobs.grace, classes.names()),
        user_name=user_name,
        find_project=projects.find_id_and_name,
    )
    lineage = LineageService(
        lineage=lineage_table,
        names=Names(lineage_table, project_table, ModelTable(database)),
        show_job=jobs.show,
        settled=follower.settled,
        look_again=following.begin_settling,
    )

    exchange = ExchangeService(
        database=database,
        runs=runs,
        shelf=Shelf(where.snapshots, own_uid=os.getuid()),
        find_project=lambda name, may_touch: projects.find(name, may_touch).id,
        children=manifest.children,
        emit=emit,
    )

    since = time.time()

    def status() -> dict[str, object]:
        return {
            "version": mlosd.__version__,
            "pid": os.getpid(),
            "since": since,
            "root": os.fspath(where.lib),
            "backend": backend.name,
            "schema": database.schema,
            "jobs": table.counts(),
            "projects": project_table.count(),
            "degraded": backend.degraded(),
        }

    registry = Registry(service_interface.interfaces())
    service_interface.register(registry)
    nouns = (
        Daemon(status, watchers, loaded.origins),
        Jobs(jobs, authority),
        Projects(projects, opening, authority),
        DatasetMethods(dataset_service, authority),
        Lineage(lineage, jobs, authority),
        Models(models.service, authority),
        Exchange(exchange, authority),
    )
    for name, handler in (item for noun in nouns for item in noun.handlers().items()):
        registry.add(name, handler)
    registry.complete()
    return House(
        where,
        database,
        project_table,
        following,
        table,
        runner,
        follower,
        models,
        reader,
        Service(registry, authority.authorise, emit),
        emit,
        backend.name,
    )


async def live(house: House) -> None:
    """From the first job found again to the last client answered."""
    house.models.service.open()
    house.follower.open()
    await house.runner.open()
    house.follower.take_up(lambda run: joints.subject_of(house.jobs, run))
    house.following.open(house.projects.all())
    server = Server(house.service)
    try:
        server.serve(lifecycle.listener(house.paths.socket))
        house.emit(events.DaemonStarted(mlosd.__version__, house.backend, os.fspath(house.paths.lib)))
        reason = await lifecycle.until_told_to_stop("ready")
        house.emit(events.DaemonStopping(reason))
    finally:
        await server.close()
        await house.runner.close()
        await house.follower.close()
        await house.models.close()
        await house.following.close()
        await house.reader.close()
        await house.database.close()


def arguments() -> argparse.Namespace:
    """The command line of mlosd(8)."""
    parser = argparse.ArgumentParser(prog="mlosd", description="The mlosd daemon. People talk to it with mlosctl(1).")
    parser.add_argument("--root", type=Path, metavar="DIR", help="keep all state below DIR, for demos and tests")
    parser.add_argument("--version", action="version", version=f"mlosd {mlosd.__version__}")
    return parser.parse_args()


def main() -> int:
    """Run the daemon until it is told to stop. Exits with a sysexits(3) code."""
    given = arguments()
    try:
        house = wire(paths(given.root), apart.load(), journald.open_log())
        asyncio.run(live(house))
    except MlosError as e:
        hint = f"\n  hint: {e.hint}" if e.hint else ""
        print(f"mlosd: {e.message}{hint}", file=sys.stderr)  # noqa: T201 - systemd shows it in the status of the unit
        return e.exit_code
    except OSError as e:
        print(f"mlosd: {e.filename}: {e.strerror}" if e.filename else f"mlosd: {e}", file=sys.stderr)  # noqa: T201
        return os.EX_OSERR
    return os.EX_OK


if __name__ == "__main__":
    sys.exit(main())
