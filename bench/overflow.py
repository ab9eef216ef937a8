"""What becomes of a run whose keeper cannot keep up? It is stopped while its job opens files a million times.

The run must be flagged, and nothing that changed meanwhile may stay unknown. Needs root.
"""

import hashlib
import os
import signal
import sys
import tempfile
import time
from pathlib import Path

from bench import daemon
from mlosd.client import Connection

OPENS = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
FILES = 20_000
CODE = f"""
import os, time
from pathlib import Path
while not Path('go').exists(): time.sleep(0.01)
names = ['many/%d' % i for i in range({FILES})]
for i in range({OPENS}): os.close(os.open(names[i % {FILES}], os.O_RDONLY))
Path('data/late.csv').write_text('a,b\\n3,4\\n')
Path('done').touch()
time.sleep(0.5)
"""


def main() -> None:
    daemon.machine()
    if os.geteuid() != 0:
        sys.exit("overflow: needs root: the kernel shows what jobs open to root alone")
    with tempfile.TemporaryDirectory(prefix="mlosd-overflow-", dir=".") as place, daemon.mlosd() as (root, process):
        project = Path(place).resolve()
        for directory in ("data", "many"):
            (project / directory).mkdir()
        (project / "data/late.csv").write_text("a,b\n1,2\n")
        for number in range(FILES):
            (project / "many" / str(number)).touch()
        with daemon.connect(root) as connection:
            ask(connection, project, process.pid)


def ask(connection: Connection, project: Path, pid: int) -> None:
    """Submit the job, stop its keeper, let both go on, and see what is known."""
    connection.call("io.mlosd.Projects.Add", {"path": str(project), "name": "overflow"})
    request = {"argv": [sys.executable, "-c", CODE], "cwd": str(project), "environment": {}, "project": "overflow"}
    id_ = connection.call("io.mlosd.Jobs.Submit", {"job": request})["id"]
    keeper = until(lambda: keeper_of(connection, id_))
    os.kill(keeper, signal.SIGSTOP)
    began = time.perf_counter()
    (project / "go").touch()
    until(lambda: (project / "done").exists() or None)
    seconds = time.perf_counter() - began
    os.kill(keeper, signal.SIGCONT)
    connection.call("io.mlosd.Jobs.Wait", {"id": id_})
    graph = connection.call("io.mlosd.Lineage.Of", {"kind": "job", "name": str(id_), "direction": "up"})["graph"]
    time.sleep(8)  # the look that is due comes after the first five quiet seconds
    [run] = [run for run in graph["runs"] if run["id"] == id_]
    shown = connection.call("io.mlosd.Projects.Show", {"project": "overflow"})
    late = hashlib.sha256((project / "data/late.csv").read_bytes()).hexdigest()
    found = connection.call(
        "io.mlosd.Lineage.Of", {"kind": "file", "name": str(project / "data/late.csv"), "direction": "up"}
    )["graph"]
    daemon.tell(
        opens=OPENS,
        opens_per_second=round(OPENS / seconds),
        lineage=run["lineage"],
        reasons=run["reasons"],
        stale=late not in {version["digest"] for version in found["versions"]},
        resources=len(shown["resources"]),
        daemon_rss_mib=rss(pid),
    )


def keeper_of(connection: Connection, id_: int) -> int | None:
    """The parent of the job's main process, once it runs."""
    pid = connection.call("io.mlosd.Jobs.Show", {"id": id_})["job"]["pid"]
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1].split()[1]) if pid else None


def until(look: object) -> int:
    while not (found := look()):  # type: ignore[operator]
        time.sleep(0.02)
    return int(found)


def rss(pid: int) -> float:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 2**20, 1)


if __name__ == "__main__":
    main()
