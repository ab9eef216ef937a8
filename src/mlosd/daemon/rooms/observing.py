"""Observation of jobs, put together: their traces followed, and made rows."""

import os
from dataclasses import dataclass

from mlosd.daemon import joints
from mlosd.daemon.rooms.ground import Ground
from mlosd.daemon.rooms.models import ModelRegistry
from mlosd.daemon.rooms.projects import ProjectRooms
from mlosd.lineage.filesystems import Filesystems
from mlosd.lineage.follow import Follower
from mlosd.lineage.ingest import Ingest
from mlosd.lineage.observation import Observation


@dataclass(frozen=True, slots=True)
class Observing:
    """`follower` hears of each job; `is_possible`: the kernel lets us see what jobs do."""

    follower: Follower
    is_possible: bool


def observing(ground: Ground, projects: ProjectRooms, models: ModelRegistry) -> Observing:
    """Make every part. Nothing runs yet."""
    filesystems = Filesystems()
    why_not = _why_not(ground.settings.lineage.observe)
    ingest = Ingest(
        database=ground.database,
        versions=ground.versions,
        digests=ground.reader,
        filesystems=filesystems,
        roots=lambda uid: joints.roots(ground.projects, uid),
        tops=projects.datasets.tops,
        settle=projects.following.settled,
        largest=ground.settings.lineage.largest_digest_gib << 30,
    )
    observation = Observation(
        ingest,
        root_of=lambda id_: joints.root_of(ground.projects, id_),
        elsewhere=ground.projects.elsewhere,
        doubt=projects.following.doubt,
    )
    follower = Follower(
        ground.where.traces,
        filesystems=filesystems,
        writes=joints.ModelWrites(models.capture, filesystems),
        facts_at_start=observation.facts_at_start,
        record=observation.record,
        why_not=why_not,
        emit=ground.emit,
    )
    return Observing(follower, is_possible=why_not is None)


def _why_not(is_wanted: bool) -> str | None:
    if not is_wanted:
        return "lineage.observe is false in the settings"
    return None if os.geteuid() == 0 else "mlosd is not root, and the kernel tells nobody else what jobs open"
