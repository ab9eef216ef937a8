"""Export, import and snapshots of several users: each sees and brings only their own."""

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes import somebody
from tests.fakes.daemon import Mlosd
from tests.fakes.exchange import mlflow_db

ANN, BOB = 12345, 12346

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to serve other users"),
]


@pytest.fixture
def mlosd() -> Iterator[Mlosd]:
    with tempfile.TemporaryDirectory(prefix="mlosd-exchange-") as folder:
        Path(folder).chmod(0o755)
        if not somebody.can_import(ANN, "mlosd.client, mlosd.exchange.read, click, pyarrow"):
            pytest.skip("/usr/bin/python3 cannot, as another user, import what mlosctl needs")
        for name, uid in (("ann", ANN), ("bob", BOB)):
            home = Path(folder, name)
            (home / "data").mkdir(parents=True)
            (home / "data" / f"secret-{name}.csv").write_text("a\n")
            for path in (home, home / "data", home / "data" / f"secret-{name}.csv"):
                os.chown(path, uid, uid)
            home.chmod(0o700)
        with Mlosd(Path(folder, "root")) as daemon:
            yield daemon


def mlosctl(mlosd: Mlosd, uid: int, *words: str) -> subprocess.CompletedProcess[str]:
    argv = ["--root", str(mlosd.root), *words]
    return somebody.run_python(uid, f"import sys; from mlosd.cli import main; sys.exit(main.run({argv!r}))")


def home(mlosd: Mlosd, name: str) -> Path:
    return mlosd.root.parent / name


def test_an_export_has_nothing_of_another_user(mlosd: Mlosd) -> None:
    for name, uid in (("ann", ANN), ("bob", BOB)):
        added = mlosctl(mlosd, uid, "project", "add", str(home(mlosd, name)))
        assert added.returncode == 0, added.stderr
    exported = mlosctl(mlosd, ANN, "export").stdout
    assert "secret-ann" in exported
    assert "bob" not in exported
    assert {record["owner"] for record in map(json.loads, exported.splitlines()) if record["kind"] == "project"} == {
        ANN
    }
    assert mlosctl(mlosd, ANN, "export", "--project", "bob").returncode == os.EX_NOINPUT
    everything = "".join(json.dumps(record) for record in _all(mlosd))
    assert "secret-ann" in everything
    assert "secret-bob" in everything


def test_a_snapshot_is_its_owners_alone(mlosd: Mlosd) -> None:
    mlosctl(mlosd, ANN, "project", "add", str(home(mlosd, "ann")))
    made = mlosctl(mlosd, ANN, "export", "--snapshot")
    assert made.returncode == 0, made.stderr
    path = Path(made.stdout.strip())
    assert path.stat().st_uid == 0
    look = f"import mlosd.snapshot as s; print(list(s.open({str(path)!r}).projects()))"
    assert somebody.run_python(ANN, look).stdout.strip() == "['ann']"
    assert "NotPermitted" in somebody.run_python(BOB, look).stderr
    # It is no room of their own in the memory of the machine.
    for act in ("os.chmod(path, 0o700)", "open(path + '/x', 'w')", "os.truncate(path + '/run.arrow', 1 << 30)"):
        assert "PermissionError" in somebody.run_python(ANN, f"import os; path = {str(path)!r}; {act}").stderr
    mlosctl(mlosd, ANN, "run", "true")
    assert mlosctl(mlosd, ANN, "export", "--snapshot").returncode == 0
    assert "true" in somebody.run_python(ANN, f"print(open({str(path / 'run.arrow')!r}, 'rb').read())").stdout


def test_what_a_user_imports_is_theirs_and_makes_root_look_nowhere(mlosd: Mlosd) -> None:
    store = mlflow_db(home(mlosd, "ann"))
    os.chown(store, ANN, ANN)
    imported = mlosctl(mlosd, ANN, "import", "mlflow", str(store))
    assert imported.returncode == 0, imported.stderr
    assert mlosctl(mlosd, BOB, "import", "mlflow", str(store)).returncode == os.EX_NOINPUT
    mlosctl(mlosd, BOB, "project", "add", str(home(mlosd, "bob")))
    stolen = home(mlosd, "ann") / "stolen.jsonl"
    # Root's export of everything, brought by Ann: it becomes hers, and tells her nothing new of Bob's files.
    stolen.write_text("\n".join(json.dumps(record) for record in _all(mlosd)) + "\n")
    os.chown(stolen, ANN, ANN)
    assert mlosctl(mlosd, ANN, "import", "mlosd", str(stolen)).returncode == 0
    projects = [json.loads(line) for line in mlosctl(mlosd, ANN, "project", "list", "--json").stdout.splitlines()]
    assert {project["root"] for project in projects if project["name"] == "bob"} == {f"imported:{home(mlosd, 'bob')}"}
    shown = json.loads(mlosctl(mlosd, ANN, "project", "show", "bob", "--json").stdout)
    assert not any(resource["present"] for resource in shown["resources"])
    [bobs] = [one for one in mlosd.call("io.mlosd.Projects.List")["projects"] if one["root"] == str(home(mlosd, "bob"))]
    assert bobs["name"] == "bob"
    mlosd.stop()
    mlosd.start()


def _all(mlosd: Mlosd) -> list[dict[str, object]]:
    with mlosd.connect() as connection:
        return [r for reply in connection.stream("io.mlosd.Exchange.Export", {}) for r in reply.get("records", [])]
