"""What a name means, the graph as the wire has it, what differs between two runs, and which inputs have changed."""

from dataclasses import replace
from typing import Any

import pytest
from tests.fakes.lineage import run as job_view

from mlosd.core.errors import BadRequest, NotFound
from mlosd.lineage import diff, graph, rerun
from mlosd.lineage.facts import Facts
from mlosd.lineage.names import Meant, Names
from mlosd.lineage.packages import Package
from mlosd.store.lineage import EXEC, READ, WRITE, Closure, Described, Edge
from mlosd.store.models import AliasRow, ModelRow, ModelVersionRow
from mlosd.store.projects import ProjectRow

ANN, BOB = 1001, 1002


def described(number: int, path: str = "a.csv", **more: Any) -> Described:
    row = Described(
        number=number,
        resource=path,
        project="p",
        project_name="flights",
        owner=ANN,
        root="/home/ann/flights",
        path=path,
        role="dataset",
        format=None,
        digest=number.to_bytes(32, "big"),
        size=1,
        mtime_ns=1,
        seen_at=1.0,
        made_by=None,
        manifest=None,
        header=None,
        newest=number,
        bound=True,
        model=None,
    )
    return replace(row, **more)


# Names


class Known:
    """Projects, models and files by hand: `files` are (project, path) -> version."""

    def __init__(self, files: dict[tuple[str, str], Described]) -> None:
        self.files = files

    def all(self) -> list[ProjectRow]:
        return [
            ProjectRow("p", "flights", "/home/ann/flights", ANN, "dev", 0),
            ProjectRow("inner", "inner", "/home/ann/flights/inner", ANN, "dev", 0),
            ProjectRow("b", "bobs", "/home/bob", BOB, "dev", 0),
        ]

    def named(self, name: str) -> list[Any]:
        return [row for row in self.all() if name in (row.name, row.id)]

    def elsewhere(self) -> list[tuple[str, int]]:
        return [("-a", ANN), ("-b", BOB)]

    def at_path(self, project: str, path: str) -> Described | None:
        return self.files.get((project, path))

    def below(self, project: str, folder: str, *, limit: int) -> list[Described]:
        return [row for (of, path), row in self.files.items() if of == project and path.startswith(folder + "/")][
            :limit
        ]


class KnownModels:
    def named(self, name: str) -> list[ModelRow]:
        rows = [
            ModelRow("m1", "resnet", "p", "flights", "/", ANN, None, None, 0, None),
            ModelRow("m2", "resnet", "inner", "inner", "/", ANN, None, None, 0, None),
            ModelRow("m3", "bert", "p", "flights", "/", ANN, None, None, 0, None),
            ModelRow("m4", "secret", "b", "bobs", "/", BOB, None, None, 0, None),
        ]
        return [row for row in rows if row.name == name]

    def versions(self, model: str) -> list[ModelVersionRow]:
        return [
            ModelVersionRow(model, number, 100 + number, b"", "stored", 1, 0, None, 1, None, None, None)
            for number in (3, 2, 1)
        ]

    def log(self, model: str) -> list[AliasRow]:
        return [
            AliasRow("production", 1, 0, "", 0),
            AliasRow("production", 2, 0, "", 1),
            AliasRow("gone", 1, 0, "", 2),
            AliasRow("gone", None, 0, "", 3),
        ]


def names(*files: tuple[str, str]) -> Names:
    known: Any = Known({place: described(number, place[1]) for number, place in enumerate(files, 1)})
    models: Any = KnownModels()
    return Names(known, known, models)


def ann(owner: int) -> bool:
    return owner == ANN


def test_a_path_means_the_file_of_the_innermost_project() -> None:
    found = names(("p", "a.csv"), ("inner", "a.csv"), ("p", "inner/a.csv"))
    assert found.file("/home/ann/flights/a.csv", None, ann) == Meant(versions=(1,))
    assert found.file("/home/ann/flights/inner/a.csv", None, ann) == Meant(versions=(2,))


def test_a_file_outside_of_any_project_is_known_by_its_absolute_path() -> None:
    found = names(("-a", "/data/big.csv"), ("-b", "/data/his.csv"))
    assert found.file("/data/big.csv", None, ann) == Meant(versions=(1,))
    with pytest.raises(NotFound):
        found.file("/data/his.csv", None, ann)


def test_a_relative_path_is_below_the_root_of_a_project() -> None:
    found = names(("p", "a.csv"), ("p", "both.csv"), ("inner", "both.csv"))
    assert found.file("a.csv", None, ann) == Meant(versions=(1,))
    assert found.file("both.csv", "inner", ann) == Meant(versions=(3,))
    with pytest.raises(BadRequest, match="2 projects have a file"):
        found.file("both.csv", None, ann)


def test_a_file_of_somebody_else_and_one_that_does_not_exist_get_the_same_answer() -> None:
    found = names(("b", "his.csv"))
    with pytest.raises(NotFound) as there:
        found.file("/home/bob/his.csv", None, ann)
    with pytest.raises(NotFound) as not_there:
        names().file("/home/bob/his.csv", None, ann)
    assert there.value.message == not_there.value.message


def test_a_file_in_a_directory_that_is_one_dataset_means_the_dataset() -> None:
    known: Any = Known({("p", "data/train"): described(7, "data/train", manifest=b"m")})
    models: Any = KnownModels()
    found = Names(known, known, models)
    assert found.file("/home/ann/flights/data/train/1/2.jpg", None, ann) == Meant(versions=(7,))
    assert found.dataset("/home/ann/flights/data/train/", None, ann) == Meant(versions=(7,))


def test_a_directory_of_files_means_all_of_them() -> None:
    found = names(("p", "data/1.csv"), ("p", "data/2.csv"), ("p", "other.csv"))
    assert found.dataset("/home/ann/flights/data", None, ann) == Meant(versions=(1, 2))
    with pytest.raises(NotFound):
        found.file("/home/ann/flights/data", None, ann)


@pytest.mark.parametrize(
    ("name", "version"), [("bert", 103), ("bert:2", 102), ("bert:production", 102), ("flights/resnet:1", 101)]
)
def test_a_model_is_named_with_an_alias_or_a_number_or_neither(name: str, version: int) -> None:
    assert names().model(name, None, ann) == Meant(versions=(version,))


@pytest.mark.parametrize("name", ["secret", "nothing", "bert:9", "bert:gone", "bert:staging", "bobs/secret", ":"])
def test_a_model_that_is_not_there_or_not_mine_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        names().model(name, None, ann)


def test_a_name_that_two_projects_have_is_asked_back() -> None:
    with pytest.raises(BadRequest, match="2 projects have a model"):
        names().model("resnet", None, ann)
    assert names().model("resnet", "inner", ann) == Meant(versions=(103,))


# The graph


def test_what_is_not_the_askers_is_in_no_graph() -> None:
    closure = Closure(
        (1, 2), (10, 11), (Edge(1, 10, READ, 5), Edge(2, 11, READ, 1), Edge(1, 11, WRITE, 2)), {1: 3}, False
    )
    told = graph.graph(
        Meant(versions=(10,)),
        [closure],
        table="t",
        versions={10: described(10)},
        jobs={1: job_view(1, "true")},
        states={1: ("complete", ())},
        parents={},
    )
    assert told["edges"] == [{"run": 1, "version": 10, "modes": ["read"], "first_use_ns": 5}]
    assert [run["left_out"] for run in told["runs"]] == [3]
    assert told["roots"] == [10]


@pytest.mark.parametrize(
    ("state", "recorded", "told"),
    [
        ("DONE", ("partial", ("an overflow",)), ("partial", ["an overflow"])),
        ("DONE", None, ("none", ["nothing was recorded"])),
        ("RUNNING", None, ("watching", [])),
    ],
)
def test_how_much_is_known_of_a_run_is_told(
    state: str, recorded: graph.State | None, told: tuple[str, list[str]]
) -> None:
    assert graph.known({"state": state}, recorded) == told


def test_a_file_of_no_project_has_none_and_a_directory_says_how_many_files() -> None:
    told = graph.version(described(1, "/data", project_name="-", manifest=b"\1", header='{"files": 1000000}'))
    assert (told["project"], told["files"], told["manifest"]) == (None, 1_000_000, "01")


# Differences


def manifest(**more: Any) -> diff.Manifest:
    given = {"argv": ("python", "train.py"), "cwd": "/p", "result": "ok", "facts": Facts()}
    return diff.Manifest(**{**given, **more})


def file(version: int, kind: str = "input", digest: bytes | None = b"\1") -> diff.File:
    return diff.File(kind, "/p/a", version, digest)


@pytest.mark.parametrize(
    ("a", "b", "difference"),
    [
        ({"argv": ("x", "1")}, {"argv": ("x", "2")}, ("argument", "1", "1", "2")),
        ({"argv": ("x",)}, {"argv": ("x", "2")}, ("argument", "1", None, "2")),
        ({"cwd": "/a"}, {"cwd": "/b"}, ("directory", "", "/a", "/b")),
        ({"facts": Facts(environment={"A": "1"})}, {}, ("environment", "A", "1", None)),
        ({"facts": Facts(commit="c1")}, {"facts": Facts(commit="c2")}, ("repository", "commit", "c1", "c2")),
        ({"facts": Facts(dirty="clean")}, {"facts": Facts(dirty="ab")}, ("repository", "dirty", "clean", "ab")),
        ({"facts": Facts(python="3.11.1")}, {"facts": Facts(python="3.12.0")}, ("python", "", "3.11.1", "3.12.0")),
        (
            {"facts": Facts(packages=(Package("numpy", "1.26", "/a"),))},
            {"facts": Facts(packages=(Package("numpy", "2.0", "/b"),))},
            ("package", "numpy", "1.26", "2.0"),
        ),
        ({"facts": Facts(kernel="6.1")}, {"facts": Facts(kernel="6.12")}, ("machine", "kernel", "6.1", "6.12")),
        ({"facts": Facts(gpus=("A100",))}, {}, ("machine", "gpus", "A100", None)),
        ({"inputs": {"r": file(1)}}, {"inputs": {"r": file(2, digest=b"\2")}}, ("input", "/p/a", "01", "02")),
        ({"inputs": {"r": file(1, "code")}}, {}, ("code", "/p/a", "01", None)),
        (
            {"outputs": {"r": file(1, "output", None)}},
            {"outputs": {"r": file(2, "output", None)}},
            ("output", "/p/a", "version 1, not digested", "version 2, not digested"),
        ),
        ({"result": "ok"}, {"result": "failed"}, ("result", "", "ok", "failed")),
    ],
)
def test_each_thing_in_which_two_runs_differ_is_told(a: Any, b: Any, difference: tuple[str, ...]) -> None:
    assert diff.differences(manifest(**a), manifest(**b)) == [diff.Difference(*difference)]


def test_files_of_equal_content_do_not_differ_whatever_their_version() -> None:
    one, other = manifest(outputs={"r": file(1, "output")}), manifest(outputs={"r": file(2, "output")})
    assert diff.differences(one, other) == []
    assert diff.same_outputs(one, other) == 1


def test_a_run_found_the_first_version_that_it_read_and_left_the_last_that_it_wrote() -> None:
    versions = {
        1: described(1, "data"),
        2: described(2, "data", made_by=7),
        3: described(3, "data", made_by=7),
        4: described(4, "scratch", role="temporary"),
        5: described(5, "/usr/lib/libc.so", role="library", root="/"),
    }
    edges = [
        Edge(7, 3, WRITE, 30),
        Edge(7, 2, READ | WRITE, 20),
        Edge(7, 1, READ, 10),
        Edge(7, 4, READ, 1),
        Edge(7, 5, READ | EXEC, 0),
    ]
    inputs, outputs = diff.files(edges, versions)
    assert {key: (one.kind, one.version, one.path) for key, one in inputs.items()} == {
        "data": ("input", 1, "/home/ann/flights/data"),
        "/usr/lib/libc.so": ("library", 5, "/usr/lib/libc.so"),
    }
    assert {key: one.version for key, one in outputs.items()} == {"data": 3}


# Again


def test_inputs_that_are_not_what_they_were_are_told() -> None:
    then = [
        described(1, "same"),
        described(2, "changed", newest=12),
        described(3, "went back", newest=13),
        described(4, "gone", bound=False),
        described(5, "unread", newest=15, digest=None),
    ]
    newest = {
        12: described(12, "changed"),
        13: described(13, "went back", digest=(3).to_bytes(32, "big")),
        15: described(15, "unread", digest=None),
    }
    found = [(one.then.path, one.now and one.now.number) for one in rerun.changed(then, newest)]
    assert found == [("changed", 12), ("gone", None), ("unread", 15)]


def test_what_a_run_wrote_is_no_input_of_it() -> None:
    versions = {number: described(number, str(number)) for number in (1, 2, 3)}
    edges = [Edge(7, 1, READ, 0), Edge(7, 2, READ | WRITE, 0), Edge(7, 9, READ, 0)]
    assert [row.number for row in rerun.inputs(edges, versions)] == [1]


def test_files_that_nobody_watches_are_looked_at(tmp_path: Any) -> None:
    there = tmp_path / "there"
    there.write_text("x")
    status = there.stat()
    rows = [
        described(1, str(there), project_name="-", size=1, mtime_ns=status.st_mtime_ns),
        described(2, str(there), project_name="-", size=2, mtime_ns=status.st_mtime_ns),
        described(3, str(tmp_path / "gone"), project_name="-"),
        described(4, "of a project"),
        described(5, "/usr/lib/x.so", project_name="-", role="library"),
    ]
    looked_at = rerun.looked_at(rerun.unwatched(rows))
    assert [(one.then.number, one.now is None) for one in looked_at] == [(2, False), (3, True)]
