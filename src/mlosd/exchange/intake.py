"""Records into rows, one after the other, within one transaction. What is here already is found again, not added."""

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import apsw

from mlosd.exchange import job_record, records
from mlosd.exchange.records import KINDS, Record
from mlosd.exchange.trust import Trust, captured
from mlosd.store.imports import Imports, facts_with

_MODES = 16  # read, write, exec, and that the file is foreign to the project: store/closure.py
_NO_OBJECT = b"imported"
IsOurs = Callable[[bytes, Callable[[bytes], bytes], dict[tuple[bytes, bytes], Any]], bool]
"""Whether a manifest (its root) is a tree as we make them, given its nodes, and what is known already of some."""

_UNKNOWN_KIND = "records of a kind that this mlosd does not know"


class Intake:
    """`source`: what the records were read from. `into`: a project's id that everything goes into.

    `new_run`: gives a number to a run; `is_ours`: what a manifest must be. It must not own: the transaction, or which
    records it is given.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        trust: Trust,
        *,
        source: str,
        into: str | None,
        new_run: Callable[[], int],
        is_ours: IsOurs,
        at: float,
    ) -> None:
        self._rows = Imports(connection, at=at)
        self._trust = trust
        self._source = source
        self._into = into
        self._new_run = new_run
        self._is_ours = is_ours
        self._at = at
        self._known_runs: dict[str, tuple[int, str]] | None = None
        # Ours for theirs. A version goes by its id and by its number.
        self._projects: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._resources: dict[str, str] = {}
        self._objects: dict[int, int] = {}
        self._runs: dict[Any, int] = {}
        self._numbers_of_runs: set[int] = set()
        self._new_runs: set[int] = set()
        self._versions: dict[Any, int] = {}
        self._models: dict[str, str] = {}
        self._numbers: dict[tuple[str, int], int] = {}
        self._nodes: set[bytes] = set()
        self._checked_nodes: dict[tuple[bytes, bytes], Any] = {}
        self.added: Counter[str] = Counter()
        self.known: Counter[str] = Counter()
        self.left: Counter[str] = Counter()

    def take(self, record: Record) -> None:
        """One record, whose fields have been checked. Raises ValueError for one that makes no sense."""
        fields = dict(record)
        kind = fields.pop("kind")
        if kind == "left":
            self.left[fields["reason"]] += fields["count"]
        elif kind not in KINDS:
            self.left[_UNKNOWN_KIND] += 1
        else:
            columns = KINDS[kind].columns
            decoded = {name: records.decode(KINDS[kind], name, fields.get(name)) for name in columns}
            _TAKE[kind](self, decoded, fields)

    def _count(self, kind: str, *, new: bool) -> None:
        (self.added if new else self.known)[kind] += 1

    def _leave(self, kind: str, what: str) -> None:
        self.left[f"{kind} records without their {what}"] += 1

    def _project(self, row: Record, fields: Record) -> None:
        if self._into is not None:
            self._projects[fields["id"]], self._names[self._into] = self._into, row["name"]
            return
        _refuse_unprintable(row["name"])
        row |= {
            "name": self._trust.project_name(row["name"]),
            "root": self._trust.root(row["root"]),
            "owner": self._trust.owner(row["owner"]),
        }
        id_, new = self._rows.project(row)
        self._projects[fields["id"]], self._names[id_] = id_, row["name"]
        self._count("project", new=new)

    def _resource(self, row: Record, fields: Record) -> None:
        project = self._projects.get(fields["project"])
        if project is None:
            self._leave("resource", "project")
            return
        row |= {"project": project, "path": self._trust.path(row["path"], self._rows.root(project))}
        id_, new = self._rows.resource(row)
        self._resources[fields["id"]] = id_
        self._count("resource", new=new)

    def _object(self, row: Record, fields: Record) -> None:
        row["filesystem"] = self._trust.filesystem(row["filesystem"])
        number, new = self._rows.object(row, self._trust.number(fields["id"]))
        self._objects[fields["id"]] = number
        self._count("object", new=new)

    def _binding(self, row: Record, fields: Record) -> None:
        row["resource"], row["object"] = self._resources.get(fields["resource"]), self._objects.get(fields["object"])
        if row["resource"] is None or row["object"] is None:
            self._leave("binding", "resource")
            return
        row["valid_to"] = self._trust.bound_until(row["valid_to"], now=self._at)
        self._count("binding", new=self._rows.binding(row))

    def _node(self, row: Record, fields: Record) -> None:
        if hashlib.sha256(row["content"]).digest() != row["digest"]:
            raise ValueError("a node of a manifest is not what its digest says")
        self._nodes.add(row["digest"])
        new = self._rows.node(row["digest"], row["content"])
        # Nodes are everybody's: whether one was here tells what others have.
        if self._trust.may_count_nodes:
            self._count("node", new=new)

    def _node_of_file(self, digest: bytes) -> bytes:
        if digest not in self._nodes:
            raise LookupError(digest.hex())
        return self._rows.node_content(digest)

    def _manifest(self, root: bytes | None) -> bytes | None:
        """The manifest, if all of it came along: what only its digest names may be another user's."""
        if root is None or root not in self._nodes:
            return None
        if not self._is_ours(root, self._node_of_file, self._checked_nodes):
            self.left["manifests of directories that are not whole"] += 1
            return None
        return root

    def _run(self, row: Record, fields: Record) -> None:
        uid = self._trust.owner(row["uid"])
        number, new = self._find_run(fields, uid)
        self._runs[fields["id"]] = number
        self._numbers_of_runs.add(number)
        self._count("run", new=new)
        if not new:
            return
        self._new_runs.add(number)
        project = self._projects.get(fields.get("project") or "")
        job = job_record.request(
            fields["request"],
            owner=self._trust.job_owner(fields["request"].get("owner")),
            project=project,
            project_name=self._names.get(project or ""),
        )
        self._rows.run(
            row
            | {
                "id": number,
                "project": project,
                "uid": uid,
                "env": job["env"],
                "priority": job["priority"],
                "boot": self._trust.boot(row["boot"]),
                "request": json.dumps(job),
                "outcome": json.dumps(job_record.outcome(fields["outcome"])),
            }
        )
        if self._is_foreign():
            self._record_lineage(number, fields["id"], f"declared by {self._source}, not observed")

    def _find_run(self, fields: Record, uid: int) -> tuple[int, bool]:
        """The number that the run has or gets, and whether there is something to write."""
        if not self._is_foreign():
            name, times = fields["request"]["name"], (float(fields["submitted_at"]), float(fields["ended_at"]))
            # Several may have begun and ended together: the first for the first, the second for the second.
            for known in self._rows.runs_that_ran(uid, name, *times):
                if known not in self._numbers_of_runs:
                    return known, False
            wanted = self._trust.number(fields["id"])
            free = wanted is not None and self._rows.is_free_run(wanted)
            return (wanted if wanted is not None and free else self._new_run()), True
        if self._known_runs is None:
            self._known_runs = self._rows.runs_from(self._source, uid)
        number, result = self._known_runs.get(str(fields["id"]), (None, None))
        if number is None:
            return self._new_run(), True
        # What nobody had seen the end of may have ended since.
        return number, result == "lost" != fields["result"]

    def _record_lineage(self, run: int, key: Any, reason: str) -> None:
        self._rows.lineage(
            {
                "run": run,
                "state": "partial",
                "reasons": json.dumps([reason]),
                "facts": facts_with({}, source=self._source, id_=str(key)),
                "recorded_at": self._at,
            }
        )

    def _lineage(self, row: Record, fields: Record) -> None:
        run = self._new_run_of("lineage", fields)
        if run is None:
            return
        facts = row["facts"]
        if self._is_foreign():
            facts = facts_with(fields["facts"], source=self._source, id_=str(fields["run"]))
        self._rows.lineage(row | {"run": run, "facts": facts})
        self._count("lineage", new=True)

    def _process(self, row: Record, fields: Record) -> None:
        run = self._new_run_of("process", fields)
        if run is not None:
            self._count("process", new=self._rows.process(row | {"run": run}))

    def _new_run_of(self, kind: str, fields: Record) -> int | None:
        """The run of a record, if it came with this file; of one that was here already everything is known."""
        run = self._runs.get(fields["run"])
        if run is None:
            self._leave(kind, "run")
        elif run not in self._new_runs:
            self._count(kind, new=False)
            run = None
        return run

    def _version(self, row: Record, fields: Record) -> None:
        resource = self._resources.get(fields["resource"])
        if resource is None:
            self._leave("version", "resource")
            return
        if row["format"] is not None:
            _refuse_unprintable(row["format"])
        made_by = self._runs.get(fields.get("made_by"))
        manifest = self._manifest(row["manifest"])
        sizes = {name: row[name] or 0 for name in ("size", "mtime_ns", "ctime_ns")}
        row |= {"resource": resource, "made_by": made_by, "manifest": manifest, **sizes}
        # Where its own id is none of ours, or another user has it.
        derived = job_record.id_of(self._trust.owner(None), self._source, resource, fields["id"])
        known = self._rows.version_with_id((row["id"], derived), resource)
        if known is None and self._is_foreign():
            known = self._rows.version_with_digest(resource, row)
        number = known
        if number is None:
            row["object"] = self._objects.get(fields.get("object") or -1) or self._unseen(resource)
            number = self._rows.version(row, self._trust.number(fields.get("number")), otherwise=derived)
        self._count("version", new=known is None)
        self._versions[fields["id"]] = number
        if "number" in fields:
            self._versions[fields["number"]] = number

    def _unseen(self, resource: str) -> int:
        """The inode of a file that nobody has seen here: one for each resource, gone from the start."""
        row = {
            "filesystem": self._trust.filesystem(self._source),
            "handle_type": 0,
            "handle": _NO_OBJECT + resource.encode(),
            "inode": 0,
            "first_seen": self._at,
            "gone_at": self._at,
        }
        return self._rows.object(row, None)[0]

    def _edge(self, row: Record, fields: Record) -> None:
        run, version = self._runs.get(fields["run"]), self._versions.get(fields["version"])
        if run is None or version is None:
            self._leave("edge", "run or version")
            return
        if not 1 <= row["modes"] < _MODES:
            raise ValueError(f"modes of an edge: {row['modes']}")
        row |= {"run": run, "version": version, "first_use_ns": row["first_use_ns"] or 0}
        self._count("edge", new=self._rows.edge(row))

    def _model(self, row: Record, fields: Record) -> None:
        project = self._projects.get(fields["project"])
        if project is None:
            self._leave("model", "project")
            return
        _refuse_unprintable(row["name"])
        resource = self._resources.get(fields.get("resource") or "")
        id_, new = self._rows.model(row | {"project": project, "resource": resource})
        self._models[fields["id"]] = id_
        self._count("model", new=new)

    def _model_version(self, row: Record, fields: Record) -> None:
        model, version = self._models.get(fields["model"]), self._versions.get(fields["version"])
        if model is None or version is None:
            self._leave("model_version", "model or version")
            return
        row |= {
            "model": model,
            "version": version,
            "digest": row["digest"] or b"",
            "captured": captured(row["captured"], source=self._source),
            "stored": 0,
        }
        number, new = self._rows.model_version(row, row["number"])
        if "number" in fields:
            self._numbers[model, fields["number"]] = number
        self._count("model_version", new=new)

    def _alias(self, row: Record, fields: Record) -> None:
        model = self._models.get(fields["model"])
        number = None if model is None or row["number"] is None else self._numbers.get((model, row["number"]))
        if model is None or (number is None and row["number"] is not None):
            self._leave("alias", "model version")
            return
        _refuse_unprintable(row["alias"])
        row |= {"model": model, "number": number, "actor": self._trust.owner(row["actor"])}
        if self._rows.has_alias(row):
            self._count("alias", new=False)
            return
        moved = self._rows.alias_moved_at(model, row["alias"])
        if moved is not None and moved > row["at"]:
            # The newest row says what an alias means: an old one must not come after it.
            self.left["moves of aliases that were moved here since"] += 1
            return
        self._rows.alias(row)
        self._count("alias", new=True)

    def _is_foreign(self) -> bool:
        return self._source != "mlosd"


def _refuse_unprintable(name: str) -> None:
    if not records.printable.fullmatch(name):
        raise ValueError("a name is 1 to 200 printable characters")


_TAKE: dict[str, Callable[[Intake, Record, Record], None]] = {
    "project": Intake._project,
    "resource": Intake._resource,
    "object": Intake._object,
    "binding": Intake._binding,
    "node": Intake._node,
    "run": Intake._run,
    "lineage": Intake._lineage,
    "process": Intake._process,
    "version": Intake._version,
    "edge": Intake._edge,
    "model": Intake._model,
    "model_version": Intake._model_version,
    "alias": Intake._alias,
}
