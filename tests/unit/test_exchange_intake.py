"""Records into rows: what is believed of whom, and that nothing is added twice."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from tests.fakes.exchange import Record, run

from mlosd.exchange.intake import Intake
from mlosd.exchange.trust import Adopted, Importer, Restored, Trust, trust_in
from mlosd.jobs import records as job_records
from mlosd.projects import manifest
from mlosd.store.runs import Run
from mlosd.store.schema import MIGRATIONS

ANN = Importer(1000, 1000, (1000, 27))
ROOT = Importer(0, 0, (0,))
PROJECT = {"kind": "project", "id": "p", "name": "flights", "root": "/home/bob/flights", "owner": 0, "added_at": 1.0}
RESOURCE = {"kind": "resource", "id": "r", "project": "p", "role": "model", "path": "models/a.bin"}
VERSION = {"kind": "version", "id": "v", "number": 7, "resource": "r", "digest": "ab" * 32, "size": 3, "seen_at": 5.0}
MODEL = {"kind": "model", "id": "m", "project": "p", "name": "delays", "added_at": 5.0}


@pytest.fixture
def table() -> Iterator[apsw.Connection]:
    """An empty metadata table."""
    with apsw.Connection(":memory:") as connection:
        for migration in MIGRATIONS:
            connection.execute(migration.sql())
        yield connection


def take(table: apsw.Connection, trust: Trust, *told: Record, source: str = "mlosd", **more: Any) -> Intake:
    """Take these records in."""
    numbers = iter(range(100, 200))
    asked: dict[str, Any] = {"into": None, "is_ours": manifest.is_ours, "at": 50.0, **more}
    intake = Intake(table, trust, source=source, new_run=lambda: next(numbers), **asked)
    for record in told:
        intake.take(record)
    return intake


def rows(table: apsw.Connection, sql: str) -> list[tuple[Any, ...]]:
    return list(table.execute(sql))


def test_only_roots_own_exports_are_restored() -> None:
    assert isinstance(trust_in(ROOT, source="mlosd"), Restored)
    assert isinstance(trust_in(ROOT, source="mlflow"), Adopted)
    assert isinstance(trust_in(ANN, source="mlosd", own_uid=lambda: 0), Adopted)
    assert isinstance(trust_in(ANN, source="mlosd", own_uid=lambda: 1000), Restored)


def test_what_a_user_imports_is_theirs_whoever_the_file_says_owned_it(table: apsw.Connection) -> None:
    owner = {"uid": 0, "gid": 0, "groups": [0]}
    job = run(7, uid=0, project="p")
    job["request"]["owner"] = owner
    take(table, Adopted(ANN), PROJECT, job)
    assert rows(table, "SELECT owner, name, root FROM project") == [
        (1000, "flights", "imported:/home/bob/flights")
    ]  # fmt: skip
    [(number, uid, boot, request)] = rows(table, "SELECT id, uid, boot, request FROM run")
    assert (number, uid, boot) == (100, 1000, "imported")
    assert json.loads(request)["owner"] == {"uid": 1000, "gid": 1000, "groups": [1000, 27]}


def test_root_gets_everything_back_as_it_was(table: apsw.Connection) -> None:
    take(table, Restored(ROOT), PROJECT, run(7, uid=1000, project="p", boot="b"), RESOURCE, VERSION)
    assert rows(table, "SELECT owner, root FROM project") == [(0, "/home/bob/flights")]
    assert rows(table, "SELECT id, uid, boot FROM run") == [(7, 1000, "b")]
    assert rows(table, "SELECT number, digest, size FROM version") == [(7, b"\xab" * 32, 3)]


def test_a_run_that_was_taken_in_loads_as_a_job(table: apsw.Connection) -> None:
    take(table, Adopted(ANN), PROJECT, run(7, project="p"))
    columns = "id, project, uid, env, priority, state, result, submitted_at, ended_at, boot, request, outcome"
    job = job_records.job(Run(*rows(table, f"SELECT {columns} FROM run")[0]))
    assert (job.request.argv, job.request.project_name, job.request.owner.uid) == (("true",), "flights", 1000)
    assert job_records.changed_row(job).state == "DONE"


def test_a_second_time_nothing_is_added(table: apsw.Connection) -> None:
    alias = {"kind": "alias", "model": "m", "alias": "champion", "number": 1, "reason": "x", "at": 6.0}
    told: list[Record] = [
        PROJECT,
        run("a", project="p"),
        {"kind": "lineage", "run": "a", "state": "partial", "reasons": ["x"], "facts": {"k": 1}, "recorded_at": 20.0},
        RESOURCE,
        VERSION,
        {"kind": "edge", "run": "a", "version": 7, "modes": 2},
        MODEL,
        {"kind": "model_version", "model": "m", "number": 1, "version": 7},
        alias,
    ]
    for source in ("mlosd", "mlflow"):
        first = take(table, Adopted(ANN), *told, source=source)
        before = [rows(table, f"SELECT * FROM {name}") for name in ("run", "version", "edge", "alias_log", "lineage")]
        again = take(table, Adopted(ANN), *told, source=source)
        assert (sum(first.added.values()) > 0, dict(again.added)) == (True, {})
        assert again.known["edge"] == again.known["alias"] == again.known["version"] == 1
        assert before == [
            rows(table, f"SELECT * FROM {name}") for name in ("run", "version", "edge", "alias_log", "lineage")
        ]
        assert dict(first.left) == dict(again.left) == {}


def test_a_run_that_nobody_had_seen_the_end_of_may_have_ended_since(table: apsw.Connection) -> None:
    lost = run("a", result="lost", outcome={"state": {"result": "lost", "ended_at": 20.0}})
    take(table, Adopted(ANN), lost, source="mlflow")
    take(table, Adopted(ANN), run("a", ended_at=30.0), source="mlflow")
    assert rows(table, "SELECT id, result, ended_at FROM run") == [(100, "ok", 30.0)]


def test_nobody_gets_at_bytes_that_they_only_know_the_digest_of(table: apsw.Connection) -> None:
    version = {"kind": "model_version", "model": "m", "version": 7, "captured": "stored", "stored": 3}
    for trust in (Adopted(ANN), Restored(ROOT)):
        take(table, trust, PROJECT, RESOURCE, VERSION, MODEL, version)
    found = rows(table, "SELECT captured, stored FROM model_version")
    assert found == [("not captured (imported from mlosd)", 0)] * 2


def test_a_manifest_counts_only_with_its_nodes(table: apsw.Connection) -> None:
    content = b"\x01\x00\x00"
    digest = hashlib.sha256(content).hexdigest()
    take(table, Adopted(ANN), PROJECT, RESOURCE, {**VERSION, "manifest": digest})
    assert rows(table, "SELECT manifest FROM version") == [(None,)]
    node = {"kind": "node", "digest": digest, "content": content.hex()}
    take(table, Adopted(ANN), PROJECT, RESOURCE, node, {**VERSION, "id": "w", "number": 8, "manifest": digest})
    assert (bytes.fromhex(digest),) in rows(table, "SELECT manifest FROM version")
    with pytest.raises(ValueError, match="not what its digest says"):
        take(table, Adopted(ANN), {**node, "content": "00"})


def test_a_manifest_names_no_node_that_did_not_come_along(table: apsw.Connection) -> None:
    nodes: dict[bytes, bytes] = {}
    bobs = manifest.build([manifest.Entry(b"%d.csv" % n, 1, b"x" * 32) for n in range(300)], nodes.__setitem__)
    told = [{"kind": "node", "digest": d.hex(), "content": c.hex()} for d, c in nodes.items()]
    version = {**VERSION, "digest": bobs.hex(), "manifest": bobs.hex()}
    whole = take(table, Adopted(ANN), PROJECT, RESOURCE, *told, version)
    assert dict(whole.left) == {}
    assert rows(table, "SELECT manifest FROM version") == [(bobs,)]
    # Of nodes that others have, a digest alone gives nothing, nor does it tell that they are here.
    root = next(one for one in told if one["digest"] == bobs.hex())
    claimed = take(table, Adopted(ANN), PROJECT, RESOURCE, root, {**version, "id": "w", "digest": "cd" * 32})
    assert "node" not in claimed.known | claimed.added
    assert dict(claimed.left) == {"manifests of directories that are not whole": 1}
    assert rows(table, "SELECT count(*) FROM version WHERE manifest IS NULL") == [(1,)]


def test_an_inode_that_a_user_claims_is_never_one_of_this_machine(table: apsw.Connection) -> None:
    table.execute("INSERT INTO object VALUES (1, 'uuid:x', 1, x'aa', 5, 0, NULL)")
    claimed = {"kind": "object", "id": 1, "filesystem": "uuid:x", "handle_type": 1, "handle": "aa", "inode": 5}
    bound = {"kind": "binding", "resource": "r", "object": 1, "parent_type": 1, "parent": "bb", "name": "a.bin"}
    told: list[Record] = [PROJECT, RESOURCE, {**claimed, "first_seen": 1.0}, {**bound, "valid_from": 2.0}]
    take(table, Adopted(ANN), *told)
    assert rows(table, "SELECT id, filesystem FROM object ORDER BY id") == [(1, "uuid:x"), (2, "imported:1000:uuid:x")]
    assert rows(table, "SELECT object, valid_to FROM binding") == [(2, 50.0)]


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ("data/a.csv", "data/a.csv"),
        ("/home/ann/flights/data/a.csv", "data/a.csv"),
        ("/etc/shadow", "file:///etc/shadow"),
        ("../../etc/shadow", "file:%2E%2E/%2E%2E/etc/shadow"),
        ("/home/ann/flights/../secret", "file:%2E%2E/secret"),
        ("s3://bucket/a", "s3://bucket/a"),
    ],
)
def test_a_path_stays_below_the_root_of_its_project_or_is_none(
    table: apsw.Connection, claimed: str, expected: str
) -> None:
    table.execute("INSERT INTO project VALUES ('mine', 'flights', '/home/ann/flights', 1000, 'dev', 0, NULL)")
    take(table, Adopted(ANN), PROJECT, {**RESOURCE, "path": claimed})
    assert rows(table, "SELECT project, path FROM resource") == [("mine", expected)]


def test_an_id_that_another_user_has_is_not_shared(table: apsw.Connection) -> None:
    id_ = "01a1fb70-7f40-7dee-987a-d87e621b5d1c"
    table.execute("INSERT INTO project VALUES (?, 'secret', '/home/bob/x', 1001, 'dev', 0, NULL)", (id_,))
    take(table, Adopted(ANN), {**PROJECT, "id": id_}, {**RESOURCE, "project": id_})
    [(mine,)] = rows(table, "SELECT id FROM project WHERE owner = 1000")
    assert mine != id_
    assert rows(table, "SELECT project FROM resource") == [(mine,)]


def test_an_alias_that_was_moved_here_since_stays_where_it_is(table: apsw.Connection) -> None:
    told: list[Record] = [
        PROJECT,
        RESOURCE,
        VERSION,
        MODEL,
        {"kind": "model_version", "model": "m", "number": 1, "version": 7},
    ]
    take(table, Adopted(ANN), *told, source="mlflow")
    [(model,)] = rows(table, "SELECT id FROM model")
    table.execute("INSERT INTO alias_log VALUES (1, ?, 'champion', 1, 1000, 'mine', 40.0)", (model,))
    old = {"kind": "alias", "model": "m", "alias": "champion", "number": 1, "reason": "theirs", "at": 6.0}
    intake = take(table, Adopted(ANN), *told, old, source="mlflow")
    assert intake.left == {"moves of aliases that were moved here since": 1}
    assert rows(table, "SELECT reason FROM alias_log") == [("mine",)]


def test_what_lacks_what_it_speaks_of_is_left_and_counted(table: apsw.Connection) -> None:
    intake = take(
        table,
        Adopted(ANN),
        RESOURCE,
        VERSION,
        MODEL,
        {"kind": "edge", "run": 1, "version": 7, "modes": 1},
        {"kind": "lineage", "run": 1, "state": "none", "reasons": [], "facts": {}, "recorded_at": 1.0},
        {"kind": "left", "reason": "runs in MLflow's trash", "count": 3},
        {"kind": "dream"},
    )
    assert (dict(intake.added), sum(intake.left.values())) == ({}, 9)
    assert intake.left["resource records without their project"] == 1


@pytest.mark.parametrize(
    "record",
    [
        {**PROJECT, "name": "a\nb"},
        {**PROJECT, "added_at": 1e300},
        {**RESOURCE, "path": {"hex": "2f00"}},
        run(1, request={"argv": [], "cwd": "/", "environment": {}, "name": "x", "priority": 10**6}),
        run(1, outcome={"state": {"result": "ok", "ended_at": 1e300}}),
    ],
)
def test_what_would_spoil_a_list_is_refused(table: apsw.Connection, record: Record) -> None:
    with pytest.raises(ValueError):
        take(table, Adopted(ANN), record)


def test_a_version_fills_in_the_digest_of_what_was_seen_here_already(table: apsw.Connection) -> None:
    table.execute("INSERT INTO project VALUES ('mine', 'flights', '/home/ann/flights', 1000, 'dev', 0, NULL)")
    table.execute("INSERT INTO resource VALUES ('r1', 'mine', 'model', 'models/a.bin', 0, 'declared')")
    table.execute("INSERT INTO object VALUES (1, 'uuid:x', 1, x'aa', 5, 0, NULL)")
    table.execute(
        "INSERT INTO version (id, resource, object, size, mtime_ns, ctime_ns, seen_at, number)"
        " VALUES ('v1', 'r1', 1, 3, 8, 9, 1.0, 1)"
    )
    seen = {**VERSION, "mtime_ns": 8, "ctime_ns": 9}
    intake = take(table, Adopted(ANN), PROJECT, RESOURCE, seen, source="dvc")
    assert intake.known["version"] == 1
    assert rows(table, "SELECT number, digest FROM version") == [(1, b"\xab" * 32)]


def test_databases_of_the_past_take_what_is_imported(tmp_path: Path) -> None:
    import shutil

    from tests.fakes.exchange import DATA

    from mlosd.store.db import Database

    shutil.copy(DATA / "mlosd-schema1.db", tmp_path / "mlosd.db")
    Database(tmp_path / "mlosd.db")
    with apsw.Connection(str(tmp_path / "mlosd.db")) as connection:
        assert take(connection, Adopted(ANN), PROJECT, RESOURCE, VERSION).added["version"] == 1
