"""The house rules, as tests: lint, types, floors, and what no linter knows."""

import hashlib
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from mlosd.api import authz, service_interface
from mlosd.config.settings import SECTIONS
from mlosd.core import data, events
from mlosd.store.schema import MIGRATIONS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted((ROOT / "src").rglob("*.py"))
CODE = sorted({*SOURCES, *(ROOT / "native").glob("*.[ch]"), *(ROOT / "native").glob("*.py")})

LINES_AT_MOST = 400
NAMES_THAT_SAY_NOTHING = {"manager", "helper", "helpers", "util", "utils", "misc", "common"}

# A released migration never changes: databases out there were made by it.
RELEASED = {
    "0001_metadata.sql": "9fca8304f6053e0b",
    "0002_runs.sql": "eecab5b4c0ef0ea5",
    "0003_lineage.sql": "c7c45c7b8aa119c9",
}


@pytest.mark.parametrize(
    "command",
    [
        ("ruff", "check", "--quiet"),
        ("ruff", "format", "--check", "--quiet"),
        ("mypy", "--no-error-summary"),
        ("lint-imports", "--no-logo"),
    ],
    ids=" ".join,
)
def test_the_tree_is_clean(command: tuple[str, ...]) -> None:
    program = Path(sys.executable).parent / command[0]
    result = subprocess.run([program, *command[1:]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("file", CODE, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_file_is_a_room_and_not_a_hall(file: Path) -> None:
    assert len(file.read_text("utf-8").splitlines()) <= LINES_AT_MOST


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_module_says_what_it_is_and_its_name_says_something(file: Path) -> None:
    assert file.stem not in NAMES_THAT_SAY_NOTHING
    assert file.read_text("utf-8").startswith('"""')


def test_every_kind_of_event_has_a_message_id_of_its_own() -> None:
    everything = vars(events).values()
    kinds = [kind for kind in everything if isinstance(kind, type) and issubclass(kind, events.Event)]
    kinds.remove(events.Event)
    ids = [kind.MESSAGE_ID for kind in kinds]
    assert len(set(ids)) == len(kinds) > 5
    assert all(re.fullmatch("[0-9a-f]{32}", id_) for id_ in ids)


def test_every_method_of_every_interface_has_a_role() -> None:
    methods = {
        f"{interface.name}.{method}" for interface in service_interface.interfaces() for method in interface.methods
    }
    assert methods == authz.ROLES.keys()


def test_every_setting_is_in_the_shipped_file_below_a_comment() -> None:
    lines = data.path("mlosd.toml").read_text("utf-8").splitlines()
    for section in SECTIONS.values():
        for name in (field.name for field in fields(section)):
            [place] = [number for number, line in enumerate(lines) if line.startswith(f"{name} = ")]
            assert lines[place - 1].startswith("#"), name


@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda migration: str(migration.file))
def test_a_released_migration_never_changes(migration: object) -> None:
    file = str(getattr(migration, "file"))  # noqa: B009
    text = (ROOT / "src/mlosd/store/schema" / file).read_bytes()
    assert hashlib.sha256(text).hexdigest()[:16] == RELEASED[file]


def test_the_daemon_imports_nothing_heavy() -> None:
    heavy = "numpy, pyarrow, pandas, rich, click, pydantic, pyroute2, psutil, hypothesis"
    code = f"import mlosd.daemon.main, sys; print([m for m in '{heavy}'.split(', ') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
