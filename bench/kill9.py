"""Is any job lost, or run twice, when the daemon is killed with SIGKILL at random moments?

A mixed queue (short and long jobs, failing ones, priorities, cancels, freezes) over as many kills as asked for. Each
job appends one line to a file when it starts and one when it ends; afterwards the files are the truth that the
daemon's records are compared with. Exits with 1 when a job was lost or ran twice.
"""

import contextlib
import os
import random
import shlex
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import daemon
from mlosd.client import Connection
from mlosd.core.errors import Refused, Unreachable

CYCLES = int(sys.argv[1]) if len(sys.argv) > 1 else 300
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1


def main() -> int:
    daemon.machine()
    with daemon.mlosd() as (root, process):
        user = User(random.Random(SEED), root / "marks")
        user.marks.mkdir()
        for _ in range(CYCLES):
            acts, pause = user.chance.randint(1, 15), user.chance.uniform(0.0, 0.01)
            # Dead in the middle of a call: whether it was accepted, nobody can know.
            with contextlib.suppress(Unreachable), daemon.connect(root) as connection:
                for _ in range(acts):
                    user.act(connection)
                    time.sleep(pause)
            process.send_signal(signal.SIGKILL)
            process.wait()
            process = daemon.start(root)
        with daemon.connect(root) as connection:
            for id_ in user.accepted:
                if connection.call("io.mlosd.Jobs.Show", {"id": id_})["job"]["state"] in ("HELD", "FROZEN"):
                    connection.call("io.mlosd.Jobs.Thaw", {"id": id_})
            while connection.call("io.mlosd.Daemon.Status", {})["jobs"]:
                time.sleep(0.05)
            records = {id_: connection.call("io.mlosd.Jobs.Show", {"id": id_})["job"] for id_ in user.accepted}
        # The first process of the context manager is long dead; end the one that lives.
        process.terminate()
        process.wait()
        verdict = judge(records, user)
    daemon.tell(cycles=CYCLES, seed=SEED, accepted=len(user.accepted), **verdict)
    return 1 if verdict["lost"] or verdict["twice"] or verdict["wrong"] else 0


@dataclass(slots=True)
class User:
    """Somebody who does this and that, and remembers what was accepted (id -> mark and exit code) and cancelled."""

    chance: random.Random
    marks: Path
    number: int = 0
    accepted: dict[int, str] = field(default_factory=dict)
    cancelled: set[int] = field(default_factory=set)

    def act(self, connection: Connection) -> None:
        """One thing that a user might do."""
        dice = self.chance.random()
        if self.accepted and dice < 0.1:
            self.cancel(connection)
        elif self.accepted and dice < 0.2:
            self.freeze_or_thaw(connection)
        else:
            self.submit(connection)

    def cancel(self, connection: Connection) -> None:
        id_ = self.chance.choice(list(self.accepted))
        self.cancelled.add(id_)
        connection.call("io.mlosd.Jobs.Cancel", {"id": id_})

    def freeze_or_thaw(self, connection: Connection) -> None:
        verb = self.chance.choice(["Freeze", "Thaw"])
        # Refused: it is over, or about to be.
        with contextlib.suppress(Refused):
            connection.call(f"io.mlosd.Jobs.{verb}", {"id": self.chance.choice(list(self.accepted))})

    def submit(self, connection: Connection) -> None:
        self.number += 1
        mark = self.marks / str(self.number)
        pause = self.chance.choice(["0", "0", "0.01", "0.05", "0.3"])
        code = self.chance.choice([0, 0, 0, 3])
        script = (
            f"echo start >> {shlex.quote(str(mark))}; sleep {pause}; echo end >> {shlex.quote(str(mark))}; exit {code}"
        )
        job = {
            "argv": ["sh", "-c", script],
            "cwd": "/",
            "environment": {"PATH": os.environ["PATH"]},
            "priority": self.chance.choice([0, 0, 1, -1]),
            "name": str(self.number),
            "grace": 1,
        }
        id_ = connection.call("io.mlosd.Jobs.Submit", {"job": job})["id"]
        self.accepted[id_] = f"{self.number} {code}"


def judge(records: dict[int, Any], user: User) -> dict[str, Any]:
    """Hold the records against what the jobs themselves wrote down."""
    lost, wrong = [], []
    # Also of those whose submission was cut off: nobody was told that they were accepted, but they may have been.
    twice = [mark.name for mark in user.marks.iterdir() if mark.read_text(encoding="ascii").split().count("start") > 1]
    for id_, what in user.accepted.items():
        number, code = what.split()
        mark = user.marks / number
        lines = mark.read_text(encoding="ascii").split() if mark.exists() else []
        job = records[id_]
        if job["state"] != "DONE" or job["result"] == "lost" or (not lines and id_ not in user.cancelled):
            lost.append(id_)
        elif id_ not in user.cancelled and (lines != ["start", "end"] or job["exit_code"] != int(code)):
            wrong.append(id_)
    return {"lost": lost, "twice": twice, "wrong": wrong, "cancelled": len(user.cancelled)}


if __name__ == "__main__":
    sys.exit(main())
