"""The daemon itself: how it starts, what it refuses, what it leaves behind."""

import os
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from tests.fakes.daemon import Mlosd

from mlosd.store.schema import APPLICATION_ID


def start(root: Path) -> subprocess.CompletedProcess[str]:
    """A daemon that is expected to refuse."""
    command = [sys.executable, "-m", "mlosd.daemon.main", "--root", str(root)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)


def test_status_tells_what_it_is_and_what_it_cannot_do(mlosd: Mlosd) -> None:
    status = mlosd.call("io.mlosd.Daemon.Status")
    assert status["backend"] == "direct"
    assert status["root"] == str(mlosd.root / "lib")
    assert status["schema"] == 3
    assert status["jobs"] == {}


def test_settings_are_shown_with_the_file_that_said_so(mlosd: Mlosd) -> None:
    settings = {s["key"]: s for s in mlosd.call("io.mlosd.Daemon.Config")["settings"]}
    assert settings["jobs.grace"]["value"] == "10.0"
    assert settings["jobs.grace"]["origin"].endswith("mlosd.toml")


def test_a_database_newer_than_the_program_is_refused_untouched(tmp_path: Path) -> None:
    lib = tmp_path / "lib"
    lib.mkdir()
    with apsw.Connection(str(lib / "mlosd.db")) as connection:
        connection.pragma("application_id", APPLICATION_ID)
        connection.pragma("user_version", 99)
        connection.execute("CREATE TABLE schema_info (version INTEGER, usable_since INTEGER, applied_at REAL)")
        connection.execute("INSERT INTO schema_info VALUES (99, 98, 0)")
    connection.close()
    before = (lib / "mlosd.db").read_bytes()
    refused = start(tmp_path)
    assert refused.returncode == 73
    assert "has schema 99, which needs a newer mlosd" in refused.stderr
    assert (lib / "mlosd.db").read_bytes() == before


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to be read as one" * 20, b"\0" * 4096])
def test_a_damaged_database_is_refused_untouched(tmp_path: Path, content: bytes) -> None:
    database = tmp_path / "lib" / "mlosd.db"
    database.parent.mkdir()
    database.write_bytes(content)
    refused = start(tmp_path)
    assert refused.returncode == 73
    assert refused.stderr.startswith("mlosd: ")
    assert "Traceback" not in refused.stderr
    assert database.read_bytes() == content


def test_a_database_of_another_program_is_refused_untouched(tmp_path: Path) -> None:
    database = tmp_path / "lib" / "mlosd.db"
    database.parent.mkdir()
    with apsw.Connection(str(database)) as connection:
        connection.execute("CREATE TABLE theirs (x)")
    connection.close()
    before = database.read_bytes()
    assert "of another program" in start(tmp_path).stderr
    assert database.read_bytes() == before


def test_events_are_streamed_to_who_watches(mlosd: Mlosd) -> None:
    with mlosd.connect() as connection:
        events = connection.stream("io.mlosd.Daemon.Watch", {})
        mlosd.submit("true")
        seen = [next(events)["event"] for _ in range(2)]
    assert [event["event"] for event in seen] == ["JobChanged", "JobChanged"]
    assert [event["fields"]["MLOSD_STATE"] for event in seen] == ["RUNNING", "DONE"]


@pytest.mark.parametrize("name", ["", "lib", "run", "lib/output", "run/jobs"])
def test_a_directory_that_others_can_write_is_refused_untouched(tmp_path: Path, name: str) -> None:
    root = tmp_path / "root"
    (root / "lib").mkdir(parents=True)
    (root / name).mkdir(parents=True, exist_ok=True)
    (root / name).chmod(0o1777 if name else 0o777)
    before = sorted(root.rglob("*"))
    refused = start(root)
    assert refused.returncode == 69
    assert refused.stderr.startswith(f"mlosd: {root / name} can be written by others\n")
    assert sorted(root.rglob("*")) == before


def test_what_jobs_were_given_is_for_nobody_else_to_read(tmp_path: Path) -> None:
    (tmp_path / "root" / "lib").mkdir(parents=True, mode=0o755)
    with Mlosd(tmp_path / "root") as mlosd:
        assert (mlosd.root / "lib").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("root", ["/proc/nothing", "/dev/null/x"])
def test_a_place_where_nothing_can_be_kept_is_refused_in_one_line(root: str) -> None:
    refused = start(Path(root))
    assert refused.returncode == os.EX_OSERR
    assert refused.stderr.startswith(f"mlosd: {root}")
    assert refused.stderr.count("\n") == 1


def test_a_place_whose_name_is_not_utf_8_is_refused_untouched(tmp_path: Path) -> None:
    refused = start(tmp_path / os.fsdecode(b"caf\xe9"))
    assert refused.returncode == os.EX_UNAVAILABLE
    assert "is not UTF-8" in refused.stderr
    assert not list(tmp_path.iterdir())
