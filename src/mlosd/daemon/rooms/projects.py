"""Projects, put together: registered, kept true between jobs, opened; and their datasets."""

import os
from dataclasses import dataclass

from mlosd.api.caller import user_name
from mlosd.config import apart
from mlosd.daemon.rooms.ground import Ground
from mlosd.projects.dataset_service import DatasetService
from mlosd.projects.datasets import Datasets
from mlosd.projects.following import Following
from mlosd.projects.gain import Gains
from mlosd.projects.intent import Declared, Limits
from mlosd.projects.open import Opening, Policy
from mlosd.projects.rescan import Rescan
from mlosd.projects.service import ProjectService
from mlosd.store.manifests import Manifests
from mlosd.store.warming import Warming


@dataclass(frozen=True, slots=True)
class ProjectRooms:
    """What callers ask (`service`, `datasets`, `opening`), what watches (`following`), what measures (`gains`)."""

    service: ProjectService
    datasets: DatasetService
    opening: Opening
    following: Following
    gains: Gains


def project_rooms(ground: Ground) -> ProjectRooms:
    """Make every part. Nothing runs yet."""
    where, settings, emit = ground.where, ground.settings.projects, ground.emit
    manifests, warming = Manifests(ground.database), Warming(ground.database)
    rescan = Rescan(projects=ground.projects, versions=ground.versions, digests=ground.reader)
    limits = Limits(settings.max_resources, settings.roll_up, ours=where.inodes())
    following = Following(
        rescan=rescan,
        datasets=Datasets(manifests=manifests, rescan=rescan, states=where.manifests),
        parse=_parse,
        limits=limits,
        emit=emit,
    )
    service = ProjectService(
        projects=ground.projects, parse=_parse, user_name=user_name, limits=limits, following=following, emit=emit
    )
    datasets = DatasetService(
        projects=ground.projects, service=service, following=following, manifests=manifests, versions=ground.versions
    )
    policy = Policy(
        percent=settings.warm_budget_percent,
        reserve=settings.warm_reserve_mib << 20,
        pressure=settings.warm_pressure,
        threads=settings.warm_threads,
    )
    return ProjectRooms(
        service, datasets, Opening(warming=warming, policy=policy, emit=emit), following, Gains(warming)
    )


def _parse(text: bytes, uid: int, gid: int) -> Declared:
    return apart.parse_project(text, uid=uid, gid=gid, own_uid=os.getuid())
