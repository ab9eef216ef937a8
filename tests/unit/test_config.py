"""Settings: the last word wins, and a typo is an error that names the file and guesses what was meant."""

from pathlib import Path

import pytest
from tests.fakes.tree import materialize

from mlosd.config import apart, project
from mlosd.config.load import files, load
from mlosd.core import data
from mlosd.core.errors import BadConfig


def test_the_last_word_wins_and_its_file_is_remembered(tmp_path: Path) -> None:
    materialize(
        tmp_path,
        {
            "mlosd.toml": "[jobs]\ngrace = 5.0\ncpus = 3\n",
            "mlosd.toml.d/10-mine.toml": "[jobs]\ngrace = 7.5\n",
            "mlosd.toml.d/20-more.toml": '[daemon]\nadmin_group = "wheel"\n',
        },
    )
    loaded = load(files(tmp_path))
    assert (loaded.settings.jobs.grace, loaded.settings.jobs.cpus) == (7.5, 3)
    origin = {origin.key: Path(origin.file).name for origin in loaded.origins}
    assert origin["jobs.grace"] == "10-mine.toml"
    assert origin["jobs.cpus"] == "mlosd.toml"
    assert origin["daemon.admin_group"] == "20-more.toml"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("[jobs]\ngrase = 1\n", "unknown key jobs.grase", "did you mean grace?"),
        ("[job]\n", "unknown key job", "did you mean jobs?"),
        ("[jobs]\ngrace = 'long'\n", "jobs.grace: Input should be a valid number", None),
        ("[jobs]\ngrace = -1\n", "jobs.grace: Input should be greater than or equal to 0", None),
        ("[jobs]\ncpus = true\n", "jobs.cpus: Input should be a valid integer", None),
        ("[jobs]\nbackend = 'docker'\n", "jobs.backend: Input should be 'auto', 'systemd' or 'direct'", None),
        ("jobs = 1\n", "jobs is a table", "write [jobs] on a line of its own"),
        ("[jobs\n", "Expected ']'", None),
    ],
)
def test_what_is_wrong_is_named_with_its_file(tmp_path: Path, text: str, message: str, hint: str | None) -> None:
    materialize(tmp_path, {"mlosd.toml": text})
    with pytest.raises(BadConfig) as caught:
        load(files(tmp_path))
    assert message in caught.value.message
    assert str(tmp_path / "mlosd.toml") in caught.value.message
    assert caught.value.hint == hint


def test_the_daemon_gets_the_same_values_from_a_process_apart() -> None:
    assert apart.load() == load()


def test_a_project_file_may_be_empty_or_partial() -> None:
    assert project.parse(b"") == project.ProjectFile()
    parsed = project.parse(b'name = "x"\n[roles]\nmodel = ["*.pt"]\n')
    assert (parsed.name, parsed.environment, parsed.roles) == ("x", "dev", {"model": ["*.pt"]})


@pytest.mark.parametrize(
    "text", [b"nam = 1", b"environment = 'x'", b"[roles]\nother = []", b"\xff", b"name = ''", b"["]
)
def test_a_wrong_project_file_is_refused(text: bytes) -> None:
    with pytest.raises(BadConfig, match=r"^mlos\.toml: "):
        project.parse(text)


def test_the_shipped_file_is_complete_by_itself() -> None:
    assert load([data.path("mlosd.toml")]).settings.jobs.default_env == "dev"
