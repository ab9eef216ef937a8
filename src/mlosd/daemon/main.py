"""mlosd, the daemon. Start reading here: `wire` is the table of contents of the whole program."""

import argparse
import asyncio
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import mlosd
from mlosd.api import authz, service_interface
from mlosd.api.answering import Service
from mlosd.api.methods.daemon import Daemon, Watchers
from mlosd.api.methods.datasets import Datasets
from mlosd.api.methods.exchange import Exchange
from mlosd.api.methods.jobs import Jobs
from mlosd.api.methods.lineage import Lineage
from mlosd.api.methods.mode import Mode
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
from mlosd.daemon.paths import Paths, paths
from mlosd.daemon.rooms.ground import Ground
from mlosd.daemon.rooms.jobs import JobRooms, job_rooms
from mlosd.daemon.rooms.mode import ModeRooms, mode_rooms
from mlosd.daemon.rooms.models import ModelRegistry, model_registry
from mlosd.daemon.rooms.observing import Observing, observing
from mlosd.daemon.rooms.projects import ProjectRooms, project_rooms
from mlosd.exchange.service import ExchangeService
from mlosd.exchange.shelf import Shelf
from mlosd.kernel import journald
from mlosd.lineage.names import Names
from mlosd.lineage.service import LineageService
from mlosd.projects import manifest, survey
from mlosd.store.db import Database
from mlosd.store.lineage import Lineage as LineageTable
from mlosd.store.models import Models as ModelTable
from mlosd.store.projects import Projects as ProjectTable
from mlosd.store.versions import Versions


@dataclass(frozen=True, slots=True)
class House:
    """What lives as long as the daemon does."""

    ground: Ground
    projects: ProjectRooms
    models: ModelRegistry
    seen: Observing
    jobs: JobRooms
    mode: ModeRooms
    service: Service


def wire(where: Paths, loaded: Loaded, log: lifecycle.Emit) -> House:
    """Make every part and give each what it needs. Nothing runs yet."""
    settings = loaded.settings
    where.make()
    survey.require_openat2()
    database = Database(where.database, keep_backups=settings.store.keep_backups)
    watchers = Watchers()
    listeners = [log, watchers.tell]

    def emit(event: events.Event) -> None:
        for listener in listeners:
            listener(event)

    ground = Ground(where, settings, database, ProjectTable(database), Versions(database), Reader(), emit)
    walks = LineageTable(database)
    projects = project_rooms(ground)
    models = model_registry(ground, walks.inputs_of)
    seen = observing(ground, projects, models)
    jobs = job_rooms(ground, projects, seen)
    mode = mode_rooms(ground, jobs)
    listeners.append(mode.implied.heard)
    lineage = LineageService(
        lineage=walks,
        names=Names(walks, ground.projects, ModelTable(database)),
        show_job=jobs.service.show,
        settled=seen.follower.settled,
        caught_up=seen.follower.caught_up,
        look_again=projects.following.begin_settling,
    )
    exchange = ExchangeService(
        database=database,
        runs=jobs.runs,
        shelf=Shelf(where.snapshots, own_uid=os.getuid()),
        find_project=lambda name, may_touch: projects.service.find(name, may_touch).id,
        children=manifest.children,
        is_ours=manifest.is_ours,
        emit=emit,
    )

    authority = authz.authority(settings.daemon.admin_group)
    registry = Registry(service_interface.interfaces())
    service_interface.register(registry)
    for noun in (
        Daemon(_status(ground, jobs), watchers, loaded.origins),
        Jobs(jobs.service, authority),
        Projects(projects.service, projects.opening, authority),
        Datasets(projects.datasets, authority),
        Lineage(lineage, jobs.service, authority),
        Models(models.service, authority),
        Mode(mode.answers, authority),
        Exchange(exchange, authority),
    ):
        for name, handler in noun.handlers().items():
            registry.add(name, handler)
    registry.complete()
    return House(ground, projects, models, seen, jobs, mode, Service(registry, authority.authorise, emit))


def _status(ground: Ground, jobs: JobRooms) -> Callable[[], dict[str, object]]:
    since = time.time()
    return lambda: {
        "version": mlosd.__version__,
        "pid": os.getpid(),
        "since": since,
        "root": os.fspath(ground.where.lib),
        "backend": jobs.backend.name,
        "schema": ground.database.schema,
        "jobs": jobs.table.counts(),
        "projects": ground.projects.count(),
        "degraded": jobs.backend.degraded(),
    }


async def live(house: House) -> None:
    """From the first job found again to the last client answered."""
    ground, jobs, follower = house.ground, house.jobs, house.seen.follower
    house.models.service.open()
    follower.open()
    await jobs.runner.open()
    await house.mode.open([job.id for job in jobs.table.unfinished()])
    follower.take_up(lambda run: joints.subject_of(jobs.table, run))
    house.projects.following.open(ground.projects.all())
    server = Server(house.service)
    try:
        server.serve(lifecycle.listener(ground.where.socket))
        ground.emit(events.DaemonStarted(mlosd.__version__, jobs.backend.name, os.fspath(ground.where.lib)))
        reason = await lifecycle.until_told_to_stop("ready")
        ground.emit(events.DaemonStopping(reason))
    finally:
        await server.close()
        services = (house.mode, jobs.runner, follower, house.models, house.projects.following)
        for part in (*services, ground.reader, ground.database):
            await part.close()


def arguments() -> argparse.Namespace:
    """The command line of mlosd(8)."""
    parser = argparse.ArgumentParser(prog="mlosd", description="The mlosd daemon. People talk to it with mlosctl(1).")
    about_root = "keep all state below DIR, for demos and tests; settings in DIR/mlosd.toml count last"
    parser.add_argument("--root", type=Path, metavar="DIR", help=about_root)
    parser.add_argument("--version", action="version", version=f"mlosd {mlosd.__version__}")
    return parser.parse_args()


def main() -> int:
    """Run the daemon until it is told to stop. Exits with a sysexits(3) code."""
    given = arguments()
    try:
        own = given.root / "mlosd.toml" if given.root else None
        house = wire(paths(given.root), apart.load(own), journald.open_log())
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
