"""`python -P -m mlosd.exchange.read mlflow|dvc PATH`: another tool's files as records on standard output.

Started by mlosctl, so that it has the caller's rights and no others; where those are root's, it becomes the owner of
the files. Errors and progress are lines of JSON on stderr.
"""

import json
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from mlosd.core.errors import BadRequest, MlosError, NotFound
from mlosd.exchange import dvc, mlflow
from mlosd.exchange.mlflow_files import FileStore
from mlosd.exchange.mlflow_sql import SqlStore
from mlosd.exchange.telling import Telling, become_owner


def read_mlflow(path: Path, telling: Telling) -> None:
    """A file mlflow.db, a directory mlruns, or the directory that either is in."""
    found = [path / name for name in ("mlflow.db", "mlruns") if (path / name).exists()]
    if path.is_dir() and found and not (path / "0").is_dir():
        if len(found) > 1:
            raise BadRequest(f"{path} has both a mlflow.db and a mlruns", hint=f"name one: {found[0]} or {found[1]}")
        path = found[0]
    if path.is_dir():
        mlflow.tell(FileStore(path, telling), telling)
        return
    with tempfile.TemporaryDirectory(prefix="mlosd-import-") as directory:
        mlflow.tell(SqlStore(path, Path(directory), telling), telling)


READERS: Mapping[str, Callable[[Path, Telling], None]] = {"mlflow": read_mlflow, "dvc": dvc.tell}


def main(arguments: list[str]) -> int:
    """Read, tell. Exits with a sysexits(3) code."""
    source, path = arguments[0], Path(os.path.realpath(arguments[1]))
    try:
        if not path.exists():
            raise NotFound(f"there is no {path}", hint=f"give the path of what {source} keeps")
        become_owner(path)
        telling = Telling(sys.stdout.buffer, source=source, store=os.fsencode(path).decode("utf-8", "replace"))
        READERS[source](path, telling)
        telling.close()
    except MlosError as e:
        return _fail(e.message, e.hint, e.exit_code)
    except OSError as e:
        what = f"{e.filename}: {e.strerror}" if e.filename else str(e)
        return _fail(what, "may you read it?" if isinstance(e, PermissionError) else None, os.EX_NOINPUT)
    return os.EX_OK


def _fail(message: str, hint: str | None, code: int) -> int:
    sys.stderr.write(json.dumps({"error": message, "hint": hint}) + "\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
