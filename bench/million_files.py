"""A dataset of a million files: what does adding it cost, asking whether it is unchanged, and changing one file?

`python -m bench.million_files [FILES]`. Beside it: DVC (`dvc add`, `dvc status`), where the program dvc is on the PATH;
else git (`git add`, `git status`), which answers the same questions. The files are small and in directories of 1000; a
manifest's nodes and the files that were read are counted, not estimated.
"""

import json
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import daemon

FILES = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
PER_DIRECTORY = 1000
ASKED = 20


def main() -> None:
    daemon.machine()
    with daemon.mlosd() as (root, process), tempfile.TemporaryDirectory(dir=".") as folder:
        project = Path(folder).resolve() / "project"
        make(project / "data/images")
        (project / "mlos.toml").write_text('name = "million"\ndatasets = ["data/images"]\n')
        ours(root, project, process.pid)
        peer(project)


def make(images: Path) -> None:
    for n in range(FILES):
        if n % PER_DIRECTORY == 0:
            directory = images / f"{n // PER_DIRECTORY:05}"
            directory.mkdir(parents=True)
        (directory / f"{n:07}.png").write_bytes(b"%d" % n)


def ours(root: Path, project: Path, pid: int) -> None:
    images = project / "data/images"

    def call(method: str, **parameters: Any) -> dict[str, Any]:
        with daemon.connect(root) as connection:
            return connection.call(method, parameters)

    def status() -> dict[str, Any]:
        told: dict[str, Any] = call("io.mlosd.Datasets.Status", path=str(images))["status"]
        return told

    add = timed(lambda: call("io.mlosd.Projects.Add", path=str(project)))
    first = timed(status)
    nodes, content = manifest(root)
    daemon.tell(
        question="add", files=FILES, mlosd_answers_s=add, mlosd_inventory_s=first, nodes=nodes,
        manifest_mib=round(content / 2**20, 1), rss_mib=round(rss(pid), 1),
    )  # fmt: skip
    times = [timed(status) * 1000 for _ in range(ASKED)]
    daemon.tell(question="unchanged?", files=FILES, mlosd_ms=daemon.spread(times, digits=2))
    (images / "00000/0000007.png").write_bytes(b"another")
    changed = timed(lambda: check(status()["changed"]))
    told = call("io.mlosd.Datasets.Show", path=str(images))["versions"][0]
    after, _ = manifest(root)
    daemon.tell(
        question="one file changed",
        files=FILES,
        mlosd_s=changed,
        files_changed=told["changed"],
        new_nodes=after - nodes,
    )
    again = timed(lambda: print(json.dumps(call("io.mlosd.Datasets.Rescan", project="million")), file=sys.stderr))
    daemon.tell(question="rescan of all", files=FILES, mlosd_s=again, rss_mib=round(rss(pid), 1))


def peer(project: Path) -> None:
    """The same of another program."""
    name = "dvc" if shutil.which("dvc") else "git"
    run("git", "init", "-q", cwd=project)
    if name == "dvc":
        run("dvc", "init", "-q", cwd=project)
    add = ("dvc", "add", "-q", "data/images") if name == "dvc" else ("git", "add", "data")
    ask = ("dvc", "status", "-q") if name == "dvc" else ("git", "status", "--porcelain", "data")
    daemon.tell(question="add", files=FILES, peer=" ".join(add[:2]), seconds=timed(lambda: run(*add, cwd=project)))
    run(*ask, cwd=project)
    times = [timed(lambda: run(*ask, cwd=project)) for _ in range(3)]
    daemon.tell(question="unchanged?", files=FILES, peer=" ".join(ask[:2]), seconds=daemon.spread(times, digits=3))


def run(*command: str, cwd: Path) -> None:
    # dvc status ends with 1 when something changed.
    subprocess.run(command, cwd=cwd, stdout=subprocess.DEVNULL, check=False)


def manifest(root: Path) -> tuple[int, int]:
    """(nodes, their bytes) in the database."""
    with sqlite3.connect(f"file:{root}/lib/mlosd.db?mode=ro", uri=True) as connection:
        (row,) = connection.execute("SELECT count(*), coalesce(sum(length(content)), 0) FROM manifest_node")
    return int(row[0]), int(row[1])


def rss(pid: int) -> float:
    """Resident MiB."""
    lines = Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def check(value: object) -> None:
    if not value:
        sys.exit("million_files.py: the changed file was not seen")


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return round(time.perf_counter() - began, 4)


if __name__ == "__main__":
    main()
