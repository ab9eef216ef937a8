"""What a run remembers beside its files: chosen variables, git's answers, packages by their paths, the processor."""

import asyncio
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some
from tests.fakes.tree import materialize

from mlosd.kernel.nvml import Gpu, Gpus
from mlosd.lineage import environment, facts, git, packages
from mlosd.lineage.as_user import Unanswered, User, digested, printed
from mlosd.lineage.facts import Command, Facts
from mlosd.lineage.packages import Package

ME = User(os.getuid(), os.getgid(), ())
COMMIT = "2f" * 20


@pytest.mark.parametrize(
    "name",
    [
        "PATH", "VIRTUAL_ENV", "CONDA_PREFIX", "PYTHONPATH", "CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "HF_HOME",
        "LC_ALL", "SLURM_JOB_ID", "MLOSD_JOB", "TORCH_LOGS", "TOKENIZERS_PARALLELISM", "HF_MAX_TOKENS", "WORLD_SIZE",
    ],
)  # fmt: skip
def test_what_changes_a_computation_is_remembered(name: str) -> None:
    assert environment.wanted(name)


@pytest.mark.parametrize(
    "name",
    [
        "HF_TOKEN", "HF_HUB_TOKEN", "SLURM_API_KEY", "MLOSD_SECRET_WORD", "PYTHON_KEYRING_PASSWORD", "TORCH_ACCESSKEY",
        "CUDA_SSH_KEYS", "NVIDIA_API_KEY", "HF_AUTH", "slurm_jwt", "SLURM_JWT", "HOME", "AWS_REGION", "TF_HTTP_COOKIE",
    ],
)  # fmt: skip
def test_what_may_be_a_secret_or_matters_to_nobody_is_not(name: str) -> None:
    assert not environment.wanted(name)


@given(some.dictionaries(some.text(max_size=20), some.text(max_size=20), max_size=20))
def test_whatever_looks_secret_is_never_chosen(variables: dict[str, str]) -> None:
    secret = {f"HF_{name}_TOKEN": value for name, value in variables.items()}
    assert environment.chosen(secret) == {}
    assert environment.chosen(variables).keys() <= variables.keys()


def test_the_word_in_an_address_is_left_out() -> None:
    chosen = environment.chosen({"HF_ENDPOINT": "https://ann:hunter2@hub.example/x", "PATH": "/bin"})
    assert chosen == {"HF_ENDPOINT": "https://***@hub.example/x", "PATH": "/bin"}


STATUS = (
    f"# branch.oid {COMMIT}\0# branch.head main\0"
    f"1 .M N... 100644 100644 100644 {COMMIT} {COMMIT} train.py\0? notes.txt\0? data/\0"
).encode()


def test_a_status_is_read() -> None:
    assert git.status(STATUS) == git.Status(COMMIT, "main", changed=True, untracked=(b"notes.txt", b"data/"))


def test_before_the_first_commit_and_off_every_branch_there_is_nothing_to_name() -> None:
    told = git.status(b"# branch.oid (initial)\0# branch.head (detached)\0")
    assert told == git.Status(None, None, changed=False, untracked=())


@given(some.binary(max_size=200))
def test_no_status_stops_the_reader(output: bytes) -> None:
    git.status(output)
    git.status(b"# branch.oid " + output + b"\0? " + output)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    root = materialize(tmp_path / "project", {"train.py": "print(1)\n", "deep/data.csv": "a\n"})
    for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
        who = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org"]
        subprocess.run(["git", "-C", root, *who, *command], check=True)
    return root


def looked(directory: Path) -> git.Repository:
    found = git.look(directory, ME)
    assert found is not None
    return found


def test_a_commit_is_found_with_what_was_changed_since(repository: Path) -> None:
    clean = looked(repository / "deep")
    assert (clean.branch, clean.dirty, clean.untracked, clean.notes) == ("main", git.CLEAN, git.CLEAN, ())
    assert clean.commit is not None
    assert len(clean.commit) == 40
    (repository / "train.py").write_text("print(2)\n")
    changed = looked(repository)
    assert changed.commit == clean.commit
    assert changed.dirty not in (git.CLEAN, None)
    assert looked(repository) == changed
    (repository / "train.py").write_text("print(3)\n")
    assert looked(repository).dirty not in (git.CLEAN, None, changed.dirty)
    (repository / "new.py").write_text("")
    assert looked(repository).untracked not in (git.CLEAN, None)


def test_equal_changes_have_equal_digests_whatever_the_user_likes_to_see(repository: Path) -> None:
    (repository / "train.py").write_text("print(2)\n")
    before = looked(repository).dirty
    for setting in ("diff.noprefix=true", "diff.context=9", "color.ui=always", "diff.algorithm=patience"):
        subprocess.run(["git", "-C", repository, "config", *setting.split("=")], check=True)
    assert looked(repository).dirty == before


def test_a_repository_without_a_commit_has_a_branch(tmp_path: Path) -> None:
    if shutil.which("git") is None:
        pytest.skip("no git here")
    subprocess.run(["git", "init", "-q", "-b", "trunk", tmp_path], check=True)
    (tmp_path / "a.py").write_text("")
    found = looked(tmp_path)
    assert (found.commit, found.branch, found.dirty) == (None, "trunk", git.CLEAN)
    assert found.untracked not in (git.CLEAN, None)


def test_where_there_is_no_repository_git_is_not_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(git, "has_repository", lambda directory: False)
    assert git.look(tmp_path, ME) is None


def test_a_broken_repository_is_said(tmp_path: Path) -> None:
    materialize(tmp_path, {".git/HEAD": "nonsense"})
    found = looked(tmp_path)
    assert found.commit is None
    assert found.notes[0].startswith("git: ")


SITE = "/venv/lib/python3.11/site-packages"


def test_files_are_told_by_the_directory_that_they_were_loaded_from() -> None:
    paths = [
        f"{SITE}/numpy/__init__.py",
        f"{SITE}/numpy/core/__pycache__/a.cpython-311.pyc",
        f"{SITE}/six.py",
        f"{SITE}/numpy-2.1.0.dist-info/METADATA",
        f"{SITE}/distutils-precedence.pth",
        "/home/ann/train.py",
    ]
    found = packages.sites(paths)
    assert found == {
        SITE: {"numpy/__init__.py", "numpy/core/__pycache__/a.cpython-311.pyc", "numpy/core/a.py", "six.py"}
    }
    assert packages.top_level(found[SITE]) == {"numpy", "six"}


@given(some.lists(some.text(alphabet="abp/-_.x3site-packages", max_size=60), max_size=10))
def test_no_path_stops_the_reader(paths: list[str]) -> None:
    packages.top_level(
        path for loaded in packages.sites([*paths, *(f"{SITE}/{p}" for p in paths)]).values() for path in loaded
    )
    packages.minor_version(paths)
    packages.interpreters(paths)


@given(some.text(max_size=300))
def test_no_record_and_no_metadata_stops_the_reader(text: str) -> None:
    list(packages.recorded(text))
    packages.headed(text)
    packages.named_in(text)


def test_a_record_is_read_with_its_quotes() -> None:
    record = 'numpy/__init__.py,sha256=x,12\n"odd, ""name"".py",sha256=y,1\nnumpy-2.1.0.dist-info/RECORD,,\n'
    assert list(packages.recorded(record)) == ["numpy/__init__.py", 'odd, "name".py', "numpy-2.1.0.dist-info/RECORD"]


@pytest.mark.parametrize(
    ("folder", "named"),
    [
        ("numpy-2.1.0.dist-info", ("numpy", "2.1.0")),
        ("scikit_learn-1.5.0rc1.dist-info", ("scikit_learn", "1.5.0rc1")),
        ("PyYAML-6.0-py3.11.egg-info", ("PyYAML", "6.0")),
        ("numpy", None),
        ("nothing.dist-info", None),
    ],
)
def test_a_folder_of_metadata_has_a_name_and_a_version(folder: str, named: tuple[str, str] | None) -> None:
    assert packages.named_in(folder) == named


def test_the_version_of_python_is_a_string_of_its_own() -> None:
    program = b"\x7fELF\0/usr/Python-3.11.7\x003.9.1\x003.11.2+\0rest"
    assert packages.version_in(program, "3.11") == "3.11.2+"
    assert packages.version_in(program, None) == "3.9.1"
    assert packages.version_in(program, "3.12") is None


def installed(tmp_path: Path) -> Path:
    """A site-packages with all kinds of metadata."""
    return materialize(
        tmp_path / "lib/python3.11/site-packages",
        {
            "numpy/__init__.py": "",
            "numpy-2.1.0.dist-info/METADATA": "Metadata-Version: 2.1\nName: numpy\nVersion: 2.1.0\n\nVersion: 9\n",
            "numpy-2.1.0.dist-info/RECORD": "numpy/__init__.py,,\n",
            "google/auth/__init__.py": "",
            "google/cloud/__init__.py": "",
            "google_auth-1.0.dist-info/METADATA": "Name: google-auth\nVersion: 1.0\n",
            "google_auth-1.0.dist-info/RECORD": "google/auth/__init__.py,,\n",
            "google_cloud-2.0.dist-info/METADATA": "Name: google-cloud\nVersion: 2.0\n",
            "google_cloud-2.0.dist-info/RECORD": "google/cloud/__init__.py,,\n",
            "yaml/__init__.py": "",
            "PyYAML-6.0-py3.11.egg-info/PKG-INFO": "Name: PyYAML\nVersion: 6.0\n",
            "PyYAML-6.0-py3.11.egg-info/top_level.txt": "_yaml\nyaml\n",
            "six.py": "",
            "six-1.16.egg-info": "Name: six\nVersion: 1.16\n",
            "broken.py": "",
            "broken-3.dist-info/RECORD": "broken.py,,\n",
        },
    )


def test_packages_are_known_by_the_files_that_were_loaded(tmp_path: Path) -> None:
    site = installed(tmp_path)
    used = ("numpy/__init__.py", "google/auth/__init__.py", "yaml/__init__.py", "six.py", "broken.py")
    found = packages.loaded([str(site / name) for name in used], [])
    assert found.python == "3.11"
    assert found.packages == tuple(
        Package(name, version, str(site))
        for name, version in [
            ("broken", "3"),
            ("google-auth", "1.0"),
            ("numpy", "2.1.0"),
            ("PyYAML", "6.0"),
            ("six", "1.16"),
        ]
    )


def test_a_fifo_in_place_of_metadata_holds_nobody_up(tmp_path: Path) -> None:
    site = installed(tmp_path)
    (site / "numpy-2.1.0.dist-info/RECORD").unlink()
    os.mkfifo(site / "numpy-2.1.0.dist-info/RECORD")
    assert [p.name for p in packages.loaded([str(site / "numpy/__init__.py")], []).packages] == ["numpy"]


def test_a_run_of_python_remembers_it_and_its_packages(tmp_path: Path) -> None:
    site = installed(tmp_path)
    paths = [str(site / "numpy/__init__.py")]
    end = asyncio.run(facts.at_end(Facts(argv=("python",)), user=ME, paths=paths, executables=[]))
    assert (end.python, end.packages) == ("3.11", (Package("numpy", "2.1.0", str(site)),))


def test_a_run_of_something_else_costs_no_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "_packages", pytest.fail)
    began = Facts(argv=("true",))
    assert asyncio.run(facts.at_end(began, user=ME, paths=["/lib/libc.so.6"], executables=["/bin/true"])) is began


def test_a_job_remembers_the_gpus_that_it_was_granted(tmp_path: Path) -> None:
    two = (Gpu(0, "GPU-a", "NVIDIA H200", 0, 1, 1, ()), Gpu(1, "GPU-b", "NVIDIA L4", 1, 1, 1, ()))
    command = Command(
        ("python", "train.py"), {"PATH": "/bin", "HOME": "/x"}, str(tmp_path), None, ME, ("GPU-b", "GPU-c")
    )
    told = asyncio.run(facts.at_start(command, gpus=lambda: Gpus(two, None)))
    assert told.gpus == ("NVIDIA L4 (GPU-b)", "GPU-c")
    assert told.environment == {"PATH": "/bin"}
    assert told.kernel is not None
    assert os.uname().release in told.kernel


def test_facts_can_be_written_down_and_read_by_another_version() -> None:
    some_facts = replace(
        Facts(argv=("a\udcff",), environment={"PATH": "/b"}, gpus=("x",)), packages=(Package("numpy", "2", "/site"),)
    )
    assert facts.from_json(facts.to_json(some_facts)) == some_facts
    assert facts.from_json('{"argv": ["a"], "later": 1}') == Facts(argv=("a",))


@pytest.mark.parametrize(
    ("cpuinfo", "model"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9654\n\nprocessor\t: 1\nmodel name\t: Other\n", "AMD EPYC 9654"),
        ("processor : 0\nCPU implementer : 0x41\nCPU part : 0xd40\n", "CPU implementer 0x41 part 0xd40"),
        ("processor : 0\ncpu : POWER9\n", "POWER9"),
        ("", None),
        ("nonsense", None),
    ],
)
def test_the_processor_has_a_name(cpuinfo: str, model: str | None) -> None:
    assert facts.cpu_model(cpuinfo) == model


def test_a_program_that_talks_too_much_or_too_long_is_ended() -> None:
    for code, most, seconds in (("print('x' * 100000)", 1000, 5.0), ("import time; time.sleep(60)", 1000, 0.3)):
        with pytest.raises(Unanswered):
            printed([sys.executable, "-S", "-c", code], None, environment={}, seconds=seconds, most=most)
    with pytest.raises(Unanswered, match="ended with 3"):
        digested([sys.executable, "-S", "-c", "raise SystemExit(3)"], None, environment={}, seconds=5, most=10)
