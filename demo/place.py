"""The demo's own folder, the daemon in it, and the proof that nothing of either is left."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PATIENCE = 20.0
JOBS_END = 15.0


class Broken(Exception):
    """Something is not as the story says."""


class Place:
    """A folder with `mlosd/` (the daemon's state), `flights/` (the project) and `mlosd.log`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.root = folder / "mlosd"
        self.project = folder / "flights"
        self.log = folder / "mlosd.log"
        self._subtree: Path | None = None
        os.environ["MLOSD_ROOT"] = str(self.root)
        os.environ.pop("MLOSD_SOCKET", None)

    def furnish(self, project: Path) -> None:
        """An empty folder with a copy of the project."""
        self.clear_away()
        self.folder.mkdir()
        shutil.copytree(project, self.project, ignore=shutil.ignore_patterns("__pycache__"))

    def start(self) -> "subprocess.Popen[bytes]":
        """Start the daemon, out of reach of the terminal's Ctrl-C; returns when it answers."""
        with open(self.log, "ab") as log:
            daemon = subprocess.Popen(
                ("mlosd", "--root", self.root), stdin=subprocess.DEVNULL, stderr=log, start_new_session=True
            )
        try:
            until(lambda: self.answers() or daemon.poll() is not None, "mlosd answers")
        except Broken:
            daemon.kill()
            raise
        if daemon.poll() is not None:
            raise Broken(f"mlosd ended: {self.log.read_text().strip().splitlines()[-1]}")
        return daemon

    def answers(self) -> bool:
        """Whether a daemon listens here."""
        here = os.open(self.root / "run", os.O_PATH) if (self.root / "run").is_dir() else None
        if here is None:
            return False
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(f"/proc/self/fd/{here}/mlosd.sock")  # the name of a socket has room for 108 bytes only
            except OSError:
                return False
            finally:
                os.close(here)
        return True

    def job(self, id_: int) -> dict[str, Any]:
        """A job as `mlosctl job show --json` has it. Remembers whose cgroups to look for afterwards."""
        job: dict[str, Any] = json.loads(_output("mlosctl", "job", "show", "--json", str(id_)))
        if job["cgroup"] is not None:
            self._subtree = _subtree(Path(job["cgroup"]))
        return job

    def versions(self, model: str) -> list[dict[str, Any]]:
        """The versions of a model as `mlosctl model show --json` has them."""
        versions: list[dict[str, Any]] = json.loads(_output("mlosctl", "model", "show", "--json", model))["versions"]
        return versions

    def last_words(self) -> str:
        """The end of the daemon's log."""
        return "".join(self.log.read_text().splitlines(keepends=True)[-10:]) if self.log.exists() else ""

    def clear_away(self) -> None:
        """End every job, stop the daemon, remove the folder. Raises Broken when anything is left."""
        os.chdir(self.folder.parent)
        if self.folder.exists():
            try:
                self._stop()
                # The shepherd goes by itself when nobody needs it any more.
                until(lambda: not list(self._processes()), f"no process is left in {self.folder}")
            finally:
                for process in self._processes():
                    os.kill(process, signal.SIGKILL)
                shutil.rmtree(self.folder)
        if self._subtree is not None:
            _stop_slices(self._subtree.name)
            until(lambda: self._subtree is None or not self._subtree.exists(), f"{self._subtree} is gone")

    def _stop(self) -> None:
        # A daemon that was killed has left its jobs running, and the next one knows them all.
        if not self.answers() and (self.root / "lib/mlosd.db").exists():
            self.start()
        if self.answers():
            for job in map(json.loads, _output("mlosctl", "job", "list", "--json").splitlines()):
                self.job(job["id"])
                subprocess.run(("mlosctl", "job", "cancel", str(job["id"])), stdout=subprocess.DEVNULL, check=False)
            until(lambda: not _output("mlosctl", "job", "list", "--json"), "every job ends", seconds=JOBS_END)
            daemon = json.loads(_output("mlosctl", "status", "--json"))["pid"]
            os.kill(daemon, signal.SIGTERM)

    def _processes(self) -> Iterator[int]:
        """Those that work in this folder, or were told of the daemon's state in it."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes()
                cwd = (process / "cwd").readlink()
            except OSError:  # gone, or another user's
                continue
            inside = cwd.is_relative_to(self.folder) or os.fsencode(self.root) in words
            if inside and int(process.name) != os.getpid():
                yield int(process.name)


def until(true: Callable[[], object], what: str, *, seconds: float = PATIENCE) -> None:
    """Wait until it is so. Raises Broken when it never is."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise Broken(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def _subtree(cgroup: Path) -> Path | None:
    """The cgroup that holds all jobs of a daemon with a root of its own."""
    return next((folder for folder in cgroup.parents if re.fullmatch(r"mlos-[0-9a-f]{8}(\.slice)?", folder.name)), None)


def _stop_slices(name: str) -> None:
    """Under systemd an empty slice stays until it is stopped; mlos.slice is left where mlosd is installed."""
    if name.endswith(".slice"):
        subprocess.run(("systemctl", "stop", name), check=True)
        where = _output("systemctl", "show", "--property=FragmentPath", "--value", "mlos.slice")
        if not where.strip():
            subprocess.run(("systemctl", "stop", "mlos.slice"), check=True)
