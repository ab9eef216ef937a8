"""Projects through the real daemon."""

import os
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd
from tests.fakes.tree import materialize

from mlosd.core.errors import BadConfig, BadRequest, NotFound, NotPermitted, Refused


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A small project with every role."""
    return materialize(
        tmp_path.resolve() / "flights",
        {
            "mlos.toml": 'name = "flights"\nenvironment = "ci"\n'
            '[roles]\ndataset = ["data/**"]\nmodel = ["*.joblib"]\ncode = ["**/*.py"]\n',
            "train.py": "print()",
            "data/2013/a.csv": "a\n1\n",
            "data/b.csv": "b\n",
            "flights.joblib": "",
            "notes.txt": "has no role",
            ".git/config": "",
        },
    )


def test_a_project_is_found_with_its_resources_and_their_handles(mlosd: Mlosd, project: Path) -> None:
    added = mlosd.call("io.mlosd.Projects.Add", path=str(project))["project"]
    assert (added["name"], added["environment"]) == ("flights", "ci")
    assert added["resources"] == {"root": 1, "dataset": 2, "model": 1, "code": 1}
    shown = mlosd.call("io.mlosd.Projects.Show", project="flights")
    paths = {resource["path"]: resource for resource in shown["resources"]}
    assert set(paths) == {".", "train.py", "data/2013/a.csv", "data/b.csv", "flights.joblib"}
    resource = paths["data/b.csv"]
    assert (resource["inode"], resource["size"], resource["present"]) == (
        (project / "data/b.csv").stat().st_ino,
        2,
        True,
    )
    assert resource["filesystem"]
    assert len(resource["handle"]) > 8


def test_a_project_without_a_file_of_its_own_gets_the_usual_roles(mlosd: Mlosd, tmp_path: Path) -> None:
    root = materialize(tmp_path.resolve() / "plain", {"data/x.csv": "", "a.py": ""})
    assert mlosd.call("io.mlosd.Projects.Add", path=str(root))["project"]["name"] == "plain"


def test_a_project_is_remembered_until_it_is_removed(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    with pytest.raises(Refused, match="you have a project flights already"):
        mlosd.call("io.mlosd.Projects.Add", path=str(project))
    mlosd.kill()
    mlosd.start()
    assert [p["name"] for p in mlosd.call("io.mlosd.Projects.List")["projects"]] == ["flights"]
    job = mlosd.wait(mlosd.submit("true", project="flights"))
    assert job["result"] == "ok"
    mlosd.call("io.mlosd.Projects.Remove", project="flights")
    assert mlosd.call("io.mlosd.Projects.List")["projects"] == []
    assert (project / "train.py").exists()
    mlosd.call("io.mlosd.Projects.Add", path=str(project))


def test_a_project_that_nobody_added_is_not_found(mlosd: Mlosd) -> None:
    with pytest.raises(NotFound, match="no project 'nope' of yours"):
        mlosd.call("io.mlosd.Projects.Show", project="nope")
    with pytest.raises(NotFound):
        mlosd.submit("true", project="nope")


def test_a_root_behind_a_symbolic_link_is_refused(mlosd: Mlosd, project: Path, tmp_path: Path) -> None:
    link = tmp_path.resolve() / "link"
    link.symlink_to(project)
    with pytest.raises((NotFound, NotPermitted)):
        mlosd.call("io.mlosd.Projects.Add", path=str(link))
    with pytest.raises(BadRequest):
        mlosd.call("io.mlosd.Projects.Add", path=f"{project}/../flights")


def test_a_typo_in_mlos_toml_is_named(mlosd: Mlosd, project: Path) -> None:
    (project / "mlos.toml").write_text('[roles]\ndatasets = ["data/**"]\n')
    with pytest.raises(BadConfig, match=r"mlos\.toml: roles\.datasets"):
        mlosd.call("io.mlosd.Projects.Add", path=str(project))


def test_links_and_fifos_below_the_root_are_left_alone(mlosd: Mlosd, project: Path) -> None:
    (project / "data/link.csv").symlink_to("/etc/passwd")
    os.mkfifo(project / "data/fifo.csv")
    assert mlosd.call("io.mlosd.Projects.Add", path=str(project))["project"]["resources"]["dataset"] == 2


def test_files_may_have_names_of_any_bytes(mlosd: Mlosd, project: Path) -> None:
    (project / "data" / os.fsdecode(b"caf\xe9.csv")).write_text("x\n")
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    resources = mlosd.call("io.mlosd.Projects.Show", project="flights")["resources"]
    assert ("data/caf\udce9.csv", True) in [(resource["path"], resource["present"]) for resource in resources]


def test_a_root_may_have_a_name_of_any_bytes_but_the_project_may_not(mlosd: Mlosd, tmp_path: Path) -> None:
    root = tmp_path.resolve() / os.fsdecode(b"caf\xe9")
    root.mkdir()
    with pytest.raises(BadRequest, match="a project's name is UTF-8"):
        mlosd.call("io.mlosd.Projects.Add", path=str(root))
    assert mlosd.call("io.mlosd.Projects.Add", path=str(root), name="cafe")["project"]["root"] == str(root)
    with pytest.raises(NotFound):
        mlosd.call("io.mlosd.Projects.Show", project=root.name)
    with pytest.raises(NotFound):
        mlosd.submit("true", project=root.name)


def test_a_projects_name_fits_on_a_line(mlosd: Mlosd, project: Path) -> None:
    for name in ("a\nb", "\x1b[31m", "x" * 201):
        with pytest.raises(BadRequest, match="1 to 200 printable characters"):
            mlosd.call("io.mlosd.Projects.Add", path=str(project), name=name)
    assert mlosd.call("io.mlosd.Projects.Add", path=str(project), name="x" * 200)["project"]["name"] == "x" * 200


def test_what_a_link_leads_to_is_not_told(mlosd: Mlosd, project: Path) -> None:
    mlosd.call("io.mlosd.Projects.Add", path=str(project))
    elsewhere = project.with_name("elsewhere")
    project.rename(elsewhere)
    project.symlink_to(elsewhere)
    assert not any(r["present"] for r in mlosd.call("io.mlosd.Projects.Show", project="flights")["resources"])
