"""Installing and taking away, in a folder of the test's own; systemd is not asked (tests/vm does that)."""

import sys
from pathlib import Path

import pytest

from mlosd.core import data
from mlosd.core.errors import Refused
from mlosd.setup import layout, main, manifest, place


@pytest.fixture
def source(tmp_path: Path) -> layout.Source:
    venv = tmp_path / "venv"
    for path in ("share/man/man1/mlosctl.1", "share/man/man8/mlosd.8", "share/man/man1/other.1"):
        (venv / path).parent.mkdir(parents=True, exist_ok=True)
        (venv / path).write_text(path)
    return layout.Source(systemd=data.path("systemd"), prefix=venv)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return tmp_path / "usr/local"


def _install(source: layout.Source, prefix: Path) -> list[str]:
    said: list[str] = []
    place.carry_out(place.plan(layout.entries(source, prefix=prefix), list_at=manifest.location(prefix)), said.append)
    return said


def _tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_everything_is_where_the_system_looks(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    assert _tree(prefix) > {
        "lib/systemd/system/mlosd.service",
        "lib/systemd/system/mlosd.socket",
        "lib/systemd/system/mlos.slice",
        "lib/sysusers.d/mlosd.conf",
        "lib/tmpfiles.d/mlosd.conf",
        "share/man/man1/mlosctl.1",
        "share/man/man8/mlosd.8",
    }
    assert (prefix / "bin/mlosctl").readlink() == source.prefix / "bin/mlosctl"


def test_other_packages_pages_are_left_where_they_are(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    assert not (prefix / "share/man/man1/other.1").exists()


def test_the_unit_starts_the_program_of_this_installation(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    unit = (prefix / "lib/systemd/system/mlosd.service").read_text()
    assert f"\nExecStart={source.prefix}/bin/mlosd\n" in unit


def test_doing_it_again_writes_nothing(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    assert _install(source, prefix) == []


def test_what_a_newer_version_no_longer_has_is_removed(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    (source.prefix / "share/man/man8/mlosd.8").unlink()
    assert _install(source, prefix) == [f"removed {prefix}/share/man/man8/mlosd.8"]
    assert not (prefix / "share/man/man8/mlosd.8").exists()


def test_taking_away_leaves_nothing(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    place.take_away(manifest.location(prefix), print)
    assert not prefix.exists()


def test_what_was_there_before_us_stays(source: layout.Source, prefix: Path) -> None:
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/theirs").write_text("theirs")
    _install(source, prefix)
    place.take_away(manifest.location(prefix), print)
    assert _tree(prefix) == {"bin", "bin/theirs"}


def test_a_file_changed_since_is_kept_and_that_is_said(source: layout.Source, prefix: Path) -> None:
    _install(source, prefix)
    unit = prefix / "lib/systemd/system/mlosd.service"
    unit.write_text("theirs now")
    said: list[str] = []
    place.take_away(manifest.location(prefix), said.append)
    assert f"kept {unit}: it was changed since it was installed" in said
    assert unit.read_text() == "theirs now"


def test_somebody_elses_file_in_the_way_stops_it_before_anything_changes(source: layout.Source, prefix: Path) -> None:
    (prefix / "bin").mkdir(parents=True)
    (prefix / "bin/mlosctl").write_text("theirs")
    with pytest.raises(Refused, match="was not put there by mlosd-setup"):
        _install(source, prefix)
    assert _tree(prefix) == {"bin", "bin/mlosctl"}


def test_an_installation_cut_short_can_be_taken_away(
    source: layout.Source, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cut(entry: layout.Entry) -> None:
        if entry.path.name == "mlos.slice":
            raise OSError(28, "No space left on device")
        write(entry)

    write = place._write
    monkeypatch.setattr(place, "_write", cut)
    with pytest.raises(OSError, match="No space"):
        _install(source, prefix)
    place.take_away(manifest.location(prefix), print)
    assert not prefix.exists()


@pytest.mark.parametrize("content", ["{", '{"version": 2}'])
def test_a_list_that_cannot_be_read_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "installed.json").write_text(content)
    with pytest.raises(Refused):
        manifest.load(tmp_path / "installed.json")


def test_a_dry_run_tells_and_changes_nothing(
    source: layout.Source, prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(source.prefix))
    assert main.main(["install", "--prefix", str(prefix), "--dry-run"]) == 0
    assert f"write {prefix}/lib/systemd/system/mlosd.service" in capsys.readouterr().out
    assert not prefix.exists()


def test_below_a_prefix_that_systemd_does_not_know_nothing_is_started(
    source: layout.Source, prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "prefix", str(source.prefix))
    assert main.main(["install", "--prefix", str(prefix)]) == 0
    assert "nothing was started" in capsys.readouterr().out
    assert main.main(["uninstall", "--prefix", str(prefix)]) == 0
    assert not prefix.exists()
    assert main.main(["uninstall", "--prefix", str(prefix)]) == 0


def test_the_unit_sets_nothing_that_breaks_openat2() -> None:
    settings = [line for line in data.path("systemd/mlosd.service").read_text().splitlines() if line[:1] != "#"]
    assert not [line for line in settings if line.startswith(("RestrictSUIDSGID=", "DynamicUser="))]
