"""The formats of mlosctl lineage: what people read, and what other programs must be able to."""

import json
import re
import shutil
import subprocess
from typing import Any

import pytest
from tests.fakes.lineage import TABLE, edge, flights, graph, run, version

from mlosd.cli import lineage_formats
from mlosd.cli.lineage_formats import dot, openlineage, prov, tree
from mlosd.cli.lineage_graph import Graph, path, text

AWFUL = 'we"ird\\n\nname\udcff\x1b[31m <b> [red]'


@pytest.fixture
def awful() -> Graph:
    """A file and a job with names that nobody should choose."""
    return graph(
        [run(1, "cat", AWFUL, name=AWFUL, user="ö b", reasons=[AWFUL], lineage="partial")],
        [version(1, AWFUL), version(2, "out", made_by=1, model=AWFUL.replace("\udcff", ""))],
        [edge(1, 1, "read"), edge(1, 2, "write")],
        roots=(2,),
    )


def shown(graph: Graph) -> list[str]:
    return list(tree.lines(graph))


def test_the_formats_are_those_of_the_folder() -> None:
    assert lineage_formats.names() == ["dot", "json", "openlineage", "prov", "tree"]
    assert [json.loads(line) for line in lineage_formats.lines("json", flights())] == [flights().answer]


@pytest.mark.parametrize("format_", lineage_formats.names())
def test_names_that_nobody_should_choose_break_no_format(format_: str, awful: Graph) -> None:
    for line in lineage_formats.lines(format_, awful):
        assert "\x1b[31m" not in line
        assert format_ == "prov" or "\n" not in line
        line.encode("utf-8")


# The tree


def test_the_tree_goes_back_to_what_made_it_and_on_to_what_was_made_of_it() -> None:
    lines = [re.split(r"(?<=\w)  ", line)[0] for line in shown(flights())]
    assert lines == [
        "flights:1",
        "├── made by job 2",
        "│   ├── read train.py",
        "│   ├── read clean.csv",
        "│   │   └── made by job 1",
        "│   │       ├── read raw.csv",
        "│   │       └── 12 libraries",
        "│   └── 214 libraries",
        "└── used by job 3",
        "    └── wrote report.html",
    ]


def test_what_is_not_known_of_a_run_is_said_at_its_line() -> None:
    [line] = [line for line in shown(flights()) if "job 2" in line]
    assert "lineage partial: an NFS mount is not covered" in line


def test_what_has_changed_since_is_said() -> None:
    [line] = [line for line in shown(flights()) if "raw.csv" in line]
    assert line.endswith("changed since")


def test_a_run_shows_what_it_read_and_what_it_wrote() -> None:
    text = "\n".join(shown(flights(roots=(), run_=2)))
    assert text.startswith("job 2  python train.py  ok")
    assert "├── read clean.csv" in text
    assert "└── wrote flights:1  model.onnx" in text


def test_many_files_of_one_directory_are_one_line() -> None:
    files = [version(number, f"shards/{number}.csv", made_by=1) for number in range(10, 40)]
    edges = [edge(1, file["number"], "write") for file in files] + [edge(2, file["number"], "read") for file in files]
    lines = shown(graph([run(1, "split"), run(2, "train")], files, edges, run_=2))
    assert lines[1].endswith("read shards/  30 files, dataset, 30K")
    assert "made by job 1" in lines[2]
    assert len(lines) == 3


def test_a_run_that_was_shown_is_not_opened_again() -> None:
    versions = [version(1, "a", made_by=1), version(2, "b", made_by=1), version(3, "c", made_by=2)]
    edges = [edge(1, 1, "write"), edge(1, 2, "write"), edge(2, 1, "read"), edge(2, 2, "read"), edge(2, 3, "write")]
    lines = shown(graph([run(1, "x"), run(2, "y")], versions, edges, roots=(3,)))
    assert sum("made by job 1 (see above)" in line for line in lines) == 1


def test_a_cycle_ends() -> None:
    versions = [version(1, "a", made_by=2), version(2, "b", made_by=1)]
    edges = [edge(1, 1, "read"), edge(1, 2, "write"), edge(2, 2, "read"), edge(2, 1, "write")]
    assert any("see above" in line for line in shown(graph([run(1, "x"), run(2, "y")], versions, edges, roots=(1,))))


def test_a_long_history_is_cut_and_counted() -> None:
    runs = [run(id_, "append") for id_ in range(1, 41)]
    versions = [version(id_, "log.csv", resource="log", made_by=id_, newest=40) for id_ in range(1, 41)]
    edges = [edge(id_, id_, "write") for id_ in range(1, 41)] + [edge(id_, id_ - 1, "read") for id_ in range(2, 41)]
    lines = shown(graph(runs, versions, edges, roots=(40,)))
    assert lines[-1].strip().endswith("... and 28 jobs behind it: --format dot shows all")


def test_a_graph_that_is_not_whole_says_so() -> None:
    assert shown(flights(truncated=True))[-1] == "... there is more: --limit"


# Graphviz


def test_dot_draws_the_way_of_the_data() -> None:
    lines = [line.strip() for line in dot.lines(flights())]
    assert lines[0] == "digraph lineage {"
    assert lines[-1] == "}"
    assert {"version2 -> run2;", "run2 -> version3;", "version3 -> run3;"} <= set(lines)
    assert "version3 -> run2;" not in lines


@pytest.mark.skipif(shutil.which("dot") is None, reason="no dot(1) here")
def test_graphviz_takes_it(awful: Graph) -> None:
    for drawn in (flights(), awful):
        picture = subprocess.run(
            ["dot", "-Tsvg"], input="\n".join(dot.lines(drawn)), capture_output=True, text=True, check=False
        )
        assert (picture.returncode, picture.stderr) == (0, "")


def test_quotes_and_backslashes_do_not_end_a_label(awful: Graph) -> None:
    labels = [line for line in dot.lines(awful) if "label=" in line]
    for line in labels:
        inside = line[line.index('label="') + 7 : line.rindex('"')]
        assert '"' not in inside.replace("\\\\", "").replace('\\"', "")


# OpenLineage


def events(graph: Graph) -> list[dict[str, Any]]:
    return [json.loads(line) for line in openlineage.lines(graph)]


def test_each_run_begins_and_ends() -> None:
    told = [(event["job"]["name"], event["eventType"]) for event in events(flights())]
    assert told == [
        ("flights.python", "START"),
        ("flights.python", "START"),
        ("flights.python", "START"),
        ("flights.python", "COMPLETE"),
        ("flights.python", "COMPLETE"),
        ("flights.python", "FAIL"),
    ]
    assert [event["eventTime"] for event in events(flights())] == sorted(e["eventTime"] for e in events(flights()))


def test_what_is_sent_again_is_the_same_again() -> None:
    assert list(openlineage.lines(flights())) == list(openlineage.lines(flights()))
    ids = {event["run"]["runId"] for event in events(flights())}
    assert len(ids) == 3
    assert ids == {flights().run_uuid(id_) for id_ in (1, 2, 3)}


@pytest.mark.parametrize(
    ("result", "type_"),
    [("ok", "COMPLETE"), ("oom", "FAIL"), ("timeout", "FAIL"), ("killed", "ABORT"), ("lost", "ABORT")],
)
def test_an_end_is_told_by_its_kind(result: str, type_: str) -> None:
    ended = events(graph([run(1, "x", result=result, reason="why")], [], [], run_=1))[-1]
    assert ended["eventType"] == type_
    assert ("errorMessage" in ended["run"]["facets"]) is (result != "ok")


def test_a_run_that_goes_on_has_begun_only_and_one_that_waits_has_not() -> None:
    goes_on = run(1, "x", state="RUNNING", result=None, ended_at=None)
    waits = run(2, "x", state="QUEUED", result=None, started_at=None, ended_at=None)
    assert [event["eventType"] for event in events(graph([goes_on, waits], [], [], run_=1))] == ["START"]


def test_a_job_that_another_one_submitted_names_it() -> None:
    told = events(graph([run(1, "pipeline"), run(2, "step", parent=1)], [], [], run_=2))
    [parent] = {json.dumps(e["run"]["facets"]["parent"]["run"]) for e in told if "parent" in e["run"]["facets"]}
    assert json.loads(parent) == {"runId": flights().run_uuid(1)}


def test_a_directory_of_files_is_one_dataset_with_a_manifest() -> None:
    files = [version(number, f"shards/{number}.csv") for number in range(100)]
    files += [version(200, "train.py", "code")]
    told = events(graph([run(1, "x")], files, [edge(1, file["number"], "read") for file in files], run_=1))[-1]
    assert [dataset["name"] for dataset in told["inputs"]] == ["/home/ann/flights/shards", "/home/ann/flights/train.py"]
    manifest = told["inputs"][0]["facets"]["mlosd_manifest"]
    assert manifest["files"] == 100
    assert manifest["members"][0] == {"name": "0.csv", "digest": f"{0:064x}"}
    assert told["inputs"][0]["inputFacets"]["inputStatistics"]["fileCount"] == 100
    assert told["inputs"][0]["facets"]["version"]["datasetVersion"] == manifest["digest"]


def test_every_facet_names_its_producer_and_its_schema() -> None:
    def facets(value: Any) -> list[dict[str, Any]]:
        if isinstance(value, list):
            return [facet for item in value for facet in facets(item)]
        if not isinstance(value, dict):
            return []
        named = [facet for key, item in value.items() if key.lower().endswith("facets") for facet in item.values()]
        return named + [facet for item in value.values() for facet in facets(item)]

    found = [facet for event in events(flights()) for facet in facets(event)]
    assert len(found) > 20
    assert all({"_producer", "_schemaURL"} <= facet.keys() for facet in found)


def test_the_classes_of_openlineage_accept_it(awful: Graph) -> None:
    from openlineage.client import event_v2 as client
    from openlineage.client import facet_v2
    from openlineage.client.serde import Serde

    kinds = {
        "parent": facet_v2.parent_run.ParentRunFacet,
        "errorMessage": facet_v2.error_message_run.ErrorMessageRunFacet,
        "processing_engine": facet_v2.processing_engine_run.ProcessingEngineRunFacet,
        "jobType": facet_v2.job_type_job.JobTypeJobFacet,
        "version": facet_v2.dataset_version_dataset.DatasetVersionDatasetFacet,
        "storage": facet_v2.storage_dataset.StorageDatasetFacet,
        "inputStatistics": facet_v2.input_statistics_input_dataset.InputStatisticsInputDatasetFacet,
        "outputStatistics": facet_v2.output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet,
    }

    def read(facets: dict[str, Any]) -> dict[str, Any]:
        return {name: kinds[name](**_own(facet)) for name, facet in facets.items() if name in kinds}

    child = graph([run(1, "a"), run(2, "b", parent=1)], [], [], run_=2)
    for event in (*events(flights()), *events(awful), *events(child)):
        parsed = client.RunEvent(
            eventType=client.RunState(event["eventType"]),
            eventTime=event["eventTime"],
            run=client.Run(event["run"]["runId"], read(event["run"]["facets"])),
            job=client.Job(event["job"]["namespace"], event["job"]["name"], read(event["job"]["facets"])),
            inputs=[
                client.InputDataset(
                    d["namespace"], d["name"], facets=read(d["facets"]), inputFacets=read(d["inputFacets"])
                )
                for d in event["inputs"]
            ],
            outputs=[
                client.OutputDataset(
                    d["namespace"], d["name"], facets=read(d["facets"]), outputFacets=read(d["outputFacets"])
                )
                for d in event["outputs"]
            ],
            producer=event["producer"],
        )
        again = json.loads(Serde.to_json(parsed))
        assert again["run"]["runId"] == event["run"]["runId"]
        assert [d["name"] for d in again["outputs"]] == [d["name"] for d in event["outputs"]]
        assert again["schemaURL"] == event["schemaURL"]


def _own(facet: dict[str, Any]) -> dict[str, Any]:
    """What a class takes: the two names with an underscore are its own."""
    return {name: value for name, value in facet.items() if not name.startswith("_")}


# PROV


def test_prov_names_entities_activities_and_agents_and_what_binds_them() -> None:
    told = prov.document(flights())
    assert told["prefix"]["mlosd"] == f"urn:uuid:{TABLE}#"
    assert told["entity"]["mlosd:version-3"]["about:model"] == "flights:1"
    assert told["activity"]["mlosd:run-2"]["prov:startTime"] == "2023-11-14T22:13:22.250000+00:00"
    pairs = {(used["prov:activity"], used["prov:entity"]) for used in told["used"].values()}
    assert pairs == {
        ("mlosd:run-1", "mlosd:version-1"),
        ("mlosd:run-2", "mlosd:version-2"),
        ("mlosd:run-2", "mlosd:version-5"),
        ("mlosd:run-3", "mlosd:version-3"),
    }
    made = {made["prov:entity"]: made["prov:activity"] for made in told["wasGeneratedBy"].values()}
    assert made == {f"mlosd:version-{number}": f"mlosd:run-{number - 1}" for number in (2, 3, 4)}
    named = {one["prov:agent"] for one in told["wasAssociatedWith"].values()}
    assert named == set(told["agent"]) == {"mlosd:user-ann"}


def test_the_prov_package_reads_it(awful: Graph) -> None:
    from prov import model

    for drawn in (flights(), awful):
        document = model.ProvDocument.deserialize(content="\n".join(prov.lines(drawn)), format="json")
        assert len(list(document.get_records(model.ProvEntity))) == len(drawn.versions)
        assert len(list(document.get_records(model.ProvActivity))) == len(drawn.runs)
        assert len(list(document.get_records(model.ProvUsage))) == sum(len(drawn.inputs(id_)) for id_ in drawn.runs)


# Names


def test_bytes_that_are_no_text_are_spelled_out() -> None:
    assert text("caf\u00e9\udcff") == "caf\u00e9\\xff"
    assert path(version(1, "a")) == "/home/ann/flights/a"
    assert path(version(1, "/etc/hosts", root="/")) == "/etc/hosts"
