"""What every room stands on."""

from collections.abc import Callable
from dataclasses import dataclass

from mlosd.config.settings import Settings
from mlosd.content.reader import Reader
from mlosd.core import events
from mlosd.daemon.paths import Paths
from mlosd.store.db import Database
from mlosd.store.projects import Projects
from mlosd.store.versions import Versions


@dataclass(frozen=True, slots=True)
class Ground:
    """Where things are kept, the settings, the database, who reads contents, and where events go."""

    where: Paths
    settings: Settings
    database: Database
    projects: Projects
    versions: Versions
    reader: Reader
    emit: Callable[[events.Event], None]
