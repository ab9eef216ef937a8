"""A daemon of root serves every user, each as himself: jobs run as their owner, and nobody learns of another's."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.fakes import somebody
from tests.fakes.daemon import Mlosd

ANN, BOB = 12345, 12346

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to serve other users"),
]


@pytest.fixture
def mlosd() -> Iterator[Mlosd]:
    with tempfile.TemporaryDirectory(prefix="mlosd-users-") as folder:
        Path(folder).chmod(0o755)
        if not somebody.can_import(ANN, "mlosd.client"):
            pytest.skip("/usr/bin/python3 cannot, as another user, import the client")
        with Mlosd(Path(folder, "root")) as daemon:
            yield daemon


def call(mlosd: Mlosd, uid: int, method: str, **parameters: Any) -> dict[str, Any]:
    """One call of that user; {"error": name, "message": ...} when it was refused."""
    code = (
        "import json\nfrom mlosd.client import Connection\nfrom mlosd.core.errors import MlosError\n"
        "try:\n"
        f"    reply = Connection.open({str(mlosd.socket)!r}).call({method!r}, {parameters!r})\n"
        "except MlosError as e:\n    reply = {'error': type(e).__name__, 'message': e.message}\n"
        "print(json.dumps(reply))\n"
    )
    done = somebody.run_python(uid, code)
    assert done.returncode == 0, done.stderr
    reply: dict[str, Any] = json.loads(done.stdout)
    return reply


def submit(mlosd: Mlosd, uid: int, *argv: str) -> int:
    job = {"argv": list(argv), "cwd": "/", "environment": {"PATH": "/usr/bin:/bin"}, "name": f"secret-{uid}"}
    return int(call(mlosd, uid, "io.mlosd.Jobs.Submit", job=job)["id"])


def test_a_job_runs_as_the_user_who_submitted_it(mlosd: Mlosd) -> None:
    id_ = submit(mlosd, ANN, "sh", "-c", "id -u; id -g; id -G; cat /etc/shadow")
    job = mlosd.wait(id_)
    assert job["result"] == "failed"
    assert mlosd.output(id_).startswith(f"{ANN}\n{ANN}\n{ANN}\ncat: /etc/shadow: Permission denied")


def test_another_users_job_is_not_there(mlosd: Mlosd) -> None:
    id_ = submit(mlosd, ANN, "sleep", "600")
    for verb in ("Show", "Cancel", "Freeze", "Thaw", "Wait", "Logs"):
        answer = call(mlosd, BOB, f"io.mlosd.Jobs.{verb}", id=id_)
        assert answer == {"error": "NotFound", "message": f"there is no job {id_} of yours"}, verb
    assert call(mlosd, BOB, "io.mlosd.Jobs.Signal", id=id_, signal=9)["error"] == "NotFound"
    assert mlosd.wait(id_, "RUNNING")["state"] == "RUNNING"
    assert call(mlosd, ANN, "io.mlosd.Jobs.Cancel", id=id_)["job"]["id"] == id_


def test_a_list_of_everyones_jobs_tells_no_details_of_others(mlosd: Mlosd) -> None:
    submit(mlosd, ANN, "sleep", "600")
    assert call(mlosd, BOB, "io.mlosd.Jobs.List")["jobs"] == []
    [job] = call(mlosd, BOB, "io.mlosd.Jobs.List", everyone=True)["jobs"]
    assert (job["name"], job["argv"], job["cwd"], job["pid"]) == ("(another user's)", [], "", None)
    assert "secret" not in json.dumps(job)


def test_events_are_for_operators(mlosd: Mlosd) -> None:
    assert call(mlosd, ANN, "io.mlosd.Daemon.Watch")["error"] == "NotPermitted"


def test_a_directory_of_another_user_is_no_project_whether_it_is_there_or_not(mlosd: Mlosd, tmp_path: Path) -> None:
    anns = mlosd.root.parent / "ann"
    for name, owner in (("ann", ANN), ("bob", BOB)):
        home = mlosd.root.parent / name
        (home / "private").mkdir(parents=True)
        for path in (home, home / "private"):
            os.chown(path, owner, owner)
            path.chmod(0o700)
    (mlosd.root.parent / "bob" / "link").symlink_to(anns / "private")
    answers = [
        call(mlosd, BOB, "io.mlosd.Projects.Add", path=str(path))
        for path in (anns / "private", anns / "nothing", Path("/root"), Path("/nowhere"), anns.parent / "bob" / "link")
    ]
    assert [answer["error"] for answer in answers] == ["NotPermitted"] * 5
    assert all(answer["message"].endswith("is not a directory of yours") for answer in answers)
    own = call(mlosd, BOB, "io.mlosd.Projects.Add", path=str(anns.parent / "bob"))
    assert own["project"]["name"] == "bob"
    assert call(mlosd, ANN, "io.mlosd.Projects.Show", project="bob")["error"] == "NotFound"
    assert call(mlosd, ANN, "io.mlosd.Projects.List")["projects"] == []


@pytest.mark.parametrize("name", ["", "lib", "run"])
def test_a_state_directory_of_another_user_is_refused_untouched(tmp_path: Path, name: str) -> None:
    (tmp_path / "root" / name).mkdir(parents=True)
    os.chown(tmp_path / "root" / name, ANN, ANN)
    command = [sys.executable, "-m", "mlosd.daemon.main", "--root", str(tmp_path / "root")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert refused.returncode == 69
    assert refused.stderr.startswith(f"mlosd: {tmp_path / 'root' / name} belongs to another user\n")
    assert [str(path.relative_to(tmp_path / "root")) for path in (tmp_path / "root").iterdir()] == [name][: bool(name)]


def test_a_link_of_another_user_to_a_directory_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "run").symlink_to(tmp_path / "etc")
    os.chown(tmp_path / "root" / "run", ANN, ANN, follow_symlinks=False)
    command = [sys.executable, "-m", "mlosd.daemon.main", "--root", str(tmp_path / "root")]
    refused = subprocess.run(command, capture_output=True, text=True, check=False, timeout=30)
    assert refused.returncode == 69
    assert list((tmp_path / "etc").iterdir()) == []


def test_a_project_tells_only_what_its_owner_could_see(mlosd: Mlosd) -> None:
    top = mlosd.root.parent / "top"
    root = top / "project"
    (root / "data").mkdir(parents=True)
    (root / "data" / "a.csv").write_text("1\n")
    for path in (root, root / "data", root / "data" / "a.csv"):
        os.chown(path, ANN, ANN)

    def present() -> set[bool]:
        resources = call(mlosd, ANN, "io.mlosd.Projects.Show", project="project")["resources"]
        return {resource["present"] for resource in resources}

    call(mlosd, ANN, "io.mlosd.Projects.Add", path=str(root))
    assert present() == {True}
    top.chmod(0o700)  # root's: Ann can look no further
    assert present() == {False}
