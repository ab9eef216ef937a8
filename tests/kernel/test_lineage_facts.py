"""A repository is looked at as the job's user, and none of the programs that its configuration names is started."""

import asyncio
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.somebody import as_user
from tests.fakes.tree import materialize

from mlosd.lineage import facts, git
from mlosd.lineage.as_user import User
from mlosd.lineage.facts import Facts

ANN, BOB = User(12345, 12345, ()), User(12346, 12346, ())

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.getuid() != 0, reason="needs root, to act as other users"),
    pytest.mark.skipif(shutil.which("git") is None, reason="no git here"),
]


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that every user can reach."""
    with tempfile.TemporaryDirectory(prefix="mlosd-facts-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


def run_git(root: Path, *command: str) -> None:
    who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", f"safe.directory={root}"]
    environment = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    subprocess.run([*as_user(ANN.uid), "git", "-C", root, *who, *command], check=True, env=environment)


@pytest.fixture
def canary(place: Path) -> Path:
    """Where a program that was started leaves a file, named after itself and the user that it ran as."""
    folder = place / "canary"
    folder.mkdir()
    folder.chmod(0o777)
    return folder


@pytest.fixture
def malicious(place: Path, canary: Path) -> Path:
    """A repository of Ann's in which everything that can name a program names one."""
    root = materialize(
        place / "project",
        {
            "train.py": "print(1)\n",
            "big.bin": "x\n",
            ".gitattributes": "*.py diff=evil\n*.bin filter=evil\n*.txt filter=odd.name=x\n",
            "a.txt": "a\n",
        },
    )
    for path in (root, *root.rglob("*")):
        os.chown(path, ANN.uid, ANN.gid)
    run_git(root, "init", "-q", "-b", "main")
    run_git(root, "add", ".")
    run_git(root, "commit", "-q", "-m", "first")

    def evil(name: str) -> str:
        script = canary.parent / f"evil-{name}"
        script.write_text(f"#!/bin/sh\ntouch {canary}/{name}-$(id -u)\ncat\n")
        script.chmod(0o755)
        return str(script)

    settings = {
        "core.fsmonitor": evil("fsmonitor"),
        "core.hooksPath": str(canary.parent / "hooks"),
        "core.pager": evil("pager"),
        "pager.status": evil("pager-status"),
        "core.sshCommand": evil("ssh"),
        "diff.external": evil("external"),
        "diff.evil.textconv": evil("textconv"),
        "diff.evil.command": evil("driver"),
        "filter.evil.clean": evil("clean"),
        "filter.evil.smudge": evil("smudge"),
        "filter.evil.process": evil("process"),
        "filter.evil.required": "true",
        "filter.odd.name=x.clean": evil("odd-clean"),
        "alias.status": f"!{evil('alias')}",
        "remote.origin.url": "/nowhere",
        "remote.origin.uploadpack": evil("uploadpack"),
        "credential.helper": f"!{evil('credential')}",
        "gpg.program": evil("gpg"),
        "log.showSignature": "true",
    }
    (canary.parent / "hooks").mkdir()
    for hook in ("post-index-change", "fsmonitor-watchman", "post-checkout", "reference-transaction"):
        shutil.copy(evil(hook), canary.parent / "hooks" / hook)
    with (root / ".git/config").open("a") as config:
        for name, value in settings.items():
            section, _, key = name.rpartition(".")
            first, _, rest = section.partition(".")
            config.write(f'[{first} "{rest}"]\n' if rest else f"[{first}]\n")
            config.write(f'\t{key} = "{value}"\n')
    for name in ("train.py", "big.bin", "a.txt"):
        # The same size, another time: git must read it, through its filter, to know.
        (root / name).write_bytes((root / name).read_bytes().upper())
        os.utime(root / name, ns=(1, 1))
    return root


def test_nothing_that_a_repository_names_is_started(malicious: Path, canary: Path) -> None:
    found = git.look(malicious, ANN)
    assert found is not None
    assert (found.branch, found.notes) == ("main", ())
    assert found.dirty not in (None, git.CLEAN)
    assert list(canary.iterdir()) == []


def test_the_trap_is_a_trap(malicious: Path, canary: Path) -> None:
    """Without our settings the same commands do start programs."""
    environment = {"PATH": os.environ["PATH"], "HOME": str(malicious)}
    command = [*as_user(ANN.uid), "git", "-C", str(malicious)]
    for words in (["status", "--porcelain"], ["diff"]):
        subprocess.run([*command, *words], check=False, env=environment, capture_output=True)
    assert len(list(canary.iterdir())) >= 2


def test_nothing_is_fetched_that_a_partial_clone_lacks(malicious: Path, canary: Path) -> None:
    lacking = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", malicious, "rev-parse", "HEAD:train.py"],
        check=True, capture_output=True, text=True,
    ).stdout.strip()  # fmt: skip
    (malicious / ".git/objects" / lacking[:2] / lacking[2:]).unlink()
    with (malicious / ".git/config").open("a") as config:
        config.write('[protocol "ext"]\n\tallow = always\n[extensions]\n\tpartialClone = origin\n')
        config.write(f'[remote "origin"]\n\tpromisor = true\n\turl = ext::{canary.parent}/evil-ssh\n')
    run_git(malicious, "config", "core.repositoryFormatVersion", "1")
    found = git.look(malicious, ANN)
    assert found is not None
    assert (found.branch, found.dirty) == ("main", None)
    assert found.notes[0].startswith("git diff: ")
    assert list(canary.iterdir()) == []


def test_a_bare_repository_among_the_files_is_not_taken_for_the_projects(malicious: Path, canary: Path) -> None:
    bare = malicious / "data"
    shutil.copytree(malicious / ".git", bare)
    for path in (bare, *bare.rglob("*")):
        os.chown(path, ANN.uid, ANN.gid)
    git.look(bare, ANN)
    assert list(canary.iterdir()) == []


def test_a_job_of_root_does_not_read_the_files_of_a_users_repository(malicious: Path, canary: Path) -> None:
    found = git.look(malicious, User(0, 0, (0,)))
    assert found is not None
    assert found.commit is not None
    assert (found.branch, found.dirty, found.untracked) == ("main", None, None)
    assert found.notes
    assert list(canary.iterdir()) == []


def test_what_a_user_may_not_read_is_not_told(malicious: Path) -> None:
    malicious.chmod(0o700)
    found = git.look(malicious, BOB)
    assert found is not None
    assert (found.commit, found.branch) == (None, None)


def test_packages_are_read_as_the_user(place: Path) -> None:
    site = materialize(
        place / "lib/python3.11/site-packages",
        {
            "six.py": "",
            "six-1.16.dist-info/RECORD": "six.py,,\n",
            "six-1.16.dist-info/METADATA": "Name: six\nVersion: 9\n",
        },
    )
    paths, executables = [str(site / "six.py")], [os.path.realpath(sys.executable)]
    (site / "six-1.16.dist-info/METADATA").chmod(0o600)
    as_bob = asyncio.run(facts.at_end(Facts(), user=BOB, paths=paths, executables=executables))
    as_root = asyncio.run(facts.at_end(Facts(), user=User(0, 0, ()), paths=paths, executables=executables))
    assert [p.version for p in (*as_bob.packages, *as_root.packages)] == ["1.16", "9"]
