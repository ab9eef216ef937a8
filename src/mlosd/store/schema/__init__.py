"""The schema, one SQL file per version. A released file never changes; a new one only adds."""

from dataclasses import dataclass
from pathlib import Path

APPLICATION_ID = 0x6D6C6F73  # "mlos", for file(1) and for us


@dataclass(frozen=True, slots=True)
class Migration:
    """One step. `usable_since`: the oldest schema whose program still reads and writes the result correctly."""

    version: int
    usable_since: int
    file: str

    def sql(self) -> str:
        """The statements of this step."""
        return (Path(__file__).parent / self.file).read_text("utf-8")


MIGRATIONS = (
    Migration(version=1, usable_since=1, file="0001_metadata.sql"),
    Migration(version=2, usable_since=1, file="0002_runs.sql"),
    Migration(version=3, usable_since=1, file="0003_lineage.sql"),
)
