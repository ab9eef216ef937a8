"""However a file is replaced, it stays one resource, and it gets a version exactly when its content differs.

Each pattern by the tool itself where it is installed; where it is only its system calls, the name says so.
"""

import os
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.fakes.daemon import Mlosd

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="projects are watched as root")]

OLD, NEW = "a,b\n1,2\n", "a,b\n1,3\n"


@dataclass(frozen=True)
class Pattern:
    """A way to give `path` a content. `aside`: a directory outside of the project; `needs`: a program."""

    name: str
    act: Callable[[Path, str, Path], None]
    needs: str | None = None


def run(*command: object, **options: Any) -> None:
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


def aside(content: str, directory: Path) -> Path:
    file = directory / "new.csv"
    file.write_text(content)
    return file


def vim(option: str) -> Callable[[Path, str, Path], None]:
    def act(path: Path, content: str, directory: Path) -> None:
        orders = ["set " + option, "silent %d _", f"silent 0r {aside(content, directory)}", "wq!"]
        run("vim", "-Es", "-u", "NONE", "-i", "NONE", "-n", *(part for o in orders for part in ("-c", o)), path)

    return act


def sed(path: Path, content: str, directory: Path) -> None:
    run("sed", "-i", f"s/^1,.$/{content.splitlines()[1]}/", path)


def mv(path: Path, content: str, directory: Path) -> None:
    run("mv", aside(content, directory), path)


def cp(path: Path, content: str, directory: Path) -> None:
    run("cp", aside(content, directory), path)


def cp_remove(path: Path, content: str, directory: Path) -> None:
    run("cp", "--remove-destination", aside(content, directory), path)


def rsync(path: Path, content: str, directory: Path) -> None:
    run("rsync", "--times", "--ignore-times", aside(content, directory), path)


def git_checkout(path: Path, content: str, directory: Path) -> None:
    root = path.parent.parent
    git = ("git", "-c", "user.name=t", "-c", "user.email=t@example.org", "-C", root)
    run(*git, "init", "-q", "-b", "main")
    run(*git, "add", "-A")
    run(*git, "commit", "-q", "-m", "before")
    run(*git, "checkout", "-q", "-b", "other")
    path.write_text(content)
    run(*git, "commit", "-q", "-a", "--allow-empty", "-m", "after")
    run(*git, "checkout", "-q", "main")
    path.unlink()
    run(*git, "checkout", "-q", "-f", "other")


def pandas(path: Path, content: str, directory: Path) -> None:
    code = "import sys, pandas; pandas.read_csv(sys.argv[1]).to_csv(sys.argv[2], index=False)"
    run(sys.executable, "-W", "ignore", "-c", code, aside(content, directory), path)


def vscode(path: Path, content: str, directory: Path) -> None:
    code = "require('fs').writeFileSync(process.argv[1], process.argv[2])"
    run("node", "-e", code, path, content)


def python(code: str) -> Callable[[Path, str, Path], None]:
    """System calls of a program that is not installed here, in a process of their own."""

    def act(path: Path, content: str, directory: Path) -> None:
        run(
            sys.executable,
            "-c",
            "import os, sys\npath, content = sys.argv[1:]\n" + textwrap.dedent(code),
            path,
            content,
        )

    return act


VSCODE_ATOMIC = """
    with open(path + '.vsctmp', 'w') as file:
        file.write(content)
    os.rename(path + '.vsctmp', path)
"""
TORCH_IN_PLACE = """
    with open(path, 'wb') as file:
        for byte in content.encode():
            file.write(bytes([byte]))
            file.flush()
"""
TORCH_REPLACE = """
    with open(path + '.tmp', 'wb') as file:
        file.write(content.encode())
        os.fsync(file.fileno())
    os.replace(path + '.tmp', path)
"""


def hub(path: Path, content: str, directory: Path) -> None:
    """What huggingface_hub does: a blob named by its content, and a link that is swapped."""
    blob = path.parent.parent / "blobs" / f"{abs(hash(content)):x}"
    blob.parent.mkdir(exist_ok=True)
    blob.write_text(content)
    link = path.with_name("link.tmp")
    link.symlink_to(os.path.relpath(blob, path.parent))
    link.rename(path)


def reflink(path: Path, content: str, directory: Path) -> None:
    new = path.parent.parent / "new.copy"
    new.write_text(content)
    done = subprocess.run(["cp", "--reflink=always", new, path], capture_output=True, text=True, check=False)
    if "not supported" in done.stderr.lower() or "cross-device" in done.stderr.lower():
        pytest.skip(f"no reflinks on this file system: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


PATTERNS = [
    Pattern("vim, by a new file", vim("backupcopy=no writebackup"), "vim"),
    Pattern("vim, in place", vim("backupcopy=yes writebackup"), "vim"),
    Pattern("VS Code: truncate and write, by node", vscode, "node"),
    Pattern("VS Code, atomic: its system calls", python(VSCODE_ATOMIC)),
    Pattern("sed -i", sed, "sed"),
    Pattern("mv", mv, "mv"),
    Pattern("cp", cp, "cp"),
    Pattern("cp --remove-destination", cp_remove, "cp"),
    Pattern("rsync", rsync, "rsync"),
    Pattern("git checkout", git_checkout, "git"),
    Pattern("pandas", pandas),
    Pattern("torch.save in place: its system calls", python(TORCH_IN_PLACE)),
    Pattern("torch.save and replace: its system calls", python(TORCH_REPLACE)),
    Pattern("hub: swap of a link", hub),
    Pattern("reflink", reflink, "cp"),
]


@pytest.fixture(scope="module")
def mlosd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlosd]:
    with Mlosd(tmp_path_factory.mktemp("daemon").resolve()) as daemon:
        yield daemon


@pytest.fixture
def path(mlosd: Mlosd, tmp_path: Path) -> Iterator[Path]:
    """A dataset of a project that is watched."""
    path = tmp_path.resolve() / "project/data/a.csv"
    path.parent.mkdir(parents=True)
    path.write_text(OLD)
    project = mlosd.call("io.mlosd.Projects.Add", path=str(path.parent.parent), name=tmp_path.name)["project"]
    assert status(mlosd, path)["watched_since"] is not None
    yield path
    mlosd.call("io.mlosd.Projects.Remove", project=project["id"])


def status(mlosd: Mlosd, path: Path) -> dict[str, Any]:
    told: dict[str, Any] = mlosd.call("io.mlosd.Datasets.Status", path=str(path))["status"]
    return told


@pytest.mark.parametrize("content", [NEW, OLD], ids=["another content", "the same content"])
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.name)
def test_a_file_stays_one_resource_however_it_is_replaced(
    pattern: Pattern, content: str, mlosd: Mlosd, path: Path, tmp_path: Path
) -> None:
    if pattern.needs and shutil.which(pattern.needs) is None:
        pytest.skip(f"no {pattern.needs} here")
    if pattern.name == "pandas":
        pytest.importorskip("pandas")
    directory = tmp_path / "aside"
    directory.mkdir()
    before = status(mlosd, path)["dataset"]
    pattern.act(path, content, directory)
    assert path.read_text() == content
    told = status(mlosd, path)
    after = told["dataset"]
    assert after["id"] == before["id"]
    assert after["versions"] == before["versions"] + (content != OLD)
    assert (after["digest"] == before["digest"]) == (content == OLD)
    assert told["changed"] == (content != OLD)
    assert told["watched_since"] is not None


def test_a_renamed_file_stays_one_resource(mlosd: Mlosd, path: Path) -> None:
    before = status(mlosd, path)["dataset"]
    renamed = path.with_name("b.csv")
    path.rename(renamed)
    after = status(mlosd, renamed.parent / "b.csv")["dataset"]
    assert (after["id"], after["versions"], after["path"]) == (before["id"], 1, "data/b.csv")


def test_a_hard_link_is_another_resource_of_the_same_object(mlosd: Mlosd, path: Path) -> None:
    before = status(mlosd, path)["dataset"]
    path.with_name("b.csv").hardlink_to(path)
    other = status(mlosd, path.with_name("b.csv"))["dataset"]
    again = status(mlosd, path)["dataset"]
    assert other["id"] != before["id"] == again["id"]
    assert other["digest"] == before["digest"]
    assert again["versions"] == 1


def test_the_same_inode_number_is_another_object_when_the_file_is_another(mlosd: Mlosd, path: Path) -> None:
    def resource() -> dict[str, Any]:
        shown = mlosd.call("io.mlosd.Projects.Show", project=path.parents[2].name)["resources"]
        [found] = [one for one in shown if one["path"] == "data/a.csv"]
        return dict(found)

    before = resource()
    for _ in range(200):
        path.unlink()
        path.write_text(NEW)
        if path.stat().st_ino == before["inode"]:
            break
        spare = path.with_name("spare")
        spare.write_text("")
        spare.unlink()
    else:
        pytest.skip("this file system did not use the inode number again")
    assert status(mlosd, path)["changed"]
    after = resource()
    assert (after["id"], after["inode"]) == (before["id"], before["inode"])
    assert after["handle"] != before["handle"]


def test_a_file_that_is_still_being_written_is_nobodys_version(mlosd: Mlosd, path: Path) -> None:
    with path.open("w") as file:
        file.write("a,b\nhalf a li")
        file.flush()
        told = status(mlosd, path)
        assert (told["changed"], told["dataset"]["versions"]) == (False, 1)
        file.write("ne\n")
    told = status(mlosd, path)
    assert (told["changed"], told["dataset"]["versions"]) == (True, 2)


def test_what_was_changed_back_meanwhile_is_no_version(mlosd: Mlosd, path: Path) -> None:
    path.write_text(NEW)
    path.write_text(OLD)
    assert not status(mlosd, path)["changed"]
