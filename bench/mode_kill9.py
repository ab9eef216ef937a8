"""Is a machine exactly as before when ML mode is killed with SIGKILL at any step of entering it and of leaving it?

Each run: a random machine (files of the shapes of sysfs and procfs, on a tmpfs), random plans for it. A child process
carries them out and takes them back with the daemon's own code, and is gone at a random step: before or after any read
or write, in the middle of a line of the undo log, before its fsync. Then the stand-alone restorer does the rest, and
every file is compared byte for byte; of a file that prints all choices, the chosen one. Also: how long the restorer
takes for 200 knobs, beside a Python that does nothing. Exits with 1 when a machine was not as before.
"""

import errno
import os
import random
import resource
import signal
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench import daemon
from mlosd.mode.plan import Plan, Step
from mlosd.mode.reconcile import CoreRefused, reconcile
from mlosd.undo import kinds
from mlosd.undo import log as undo_log
from mlosd.undo.change import FIRST, LAST, NORMAL, Change
from mlosd.undo.kind import Kind
from mlosd.undo.kinds.file import Choice
from mlosd.undo.log import UndoLog
from mlosd.undo.rollback import undo

RUNS = int(sys.argv[1]) if len(sys.argv) > 1 else 500
SEED = int(sys.argv[2]) if len(sys.argv) > 2 else 1
RESTORER = [sys.executable, "-I", "-S", str(Path(undo_log.__file__).parent), "--log"]
NOTHING = [sys.executable, "-I", "-S", "-c", "pass"]
USUAL = [sys.executable, "-c", "pass"]
KNOBS, TIMES = 200, 11


def main() -> int:
    daemon.machine()
    found: Counter[str] = Counter()
    differing = [run for run in range(RUNS) if not is_as_before(random.Random(f"{SEED} {run}"), found)]
    daemon.tell(runs=RUNS, seed=SEED, identical=RUNS - len(differing), differing=differing, **found)
    with daemon.run_directory() as root:
        times = [(*restoring(root), daemon.seconds(NOTHING), daemon.seconds(USUAL)) for _ in range(TIMES)]
    ours, cpu, floor, usual = (daemon.spread([time * 1000 for time in column]) for column in zip(*times, strict=True))
    ratio = round(ours["median"] / floor["median"], 1)
    daemon.tell(knobs=KNOBS, restorer_ms=ours, of_it_cpu_ms=cpu, over_floor=ratio)
    daemon.tell(python_I_S_pass_ms=floor, python_pass_ms=usual)
    return 1 if differing else 0


def is_as_before(chance: random.Random, found: Counter[str]) -> bool:
    """One run. `found`: how often it was killed where, and how many changes were under way."""
    with daemon.run_directory() as root:
        machine = Machine(root, chance)
        before = machine.snapshot()
        entering, steps = machine.live(dies_at=None)
        if not steps:
            return is_as_before(chance, found)  # everything was as wished without us
        is_clean = machine.snapshot() == before and not machine.log.exists()
        at = chance.randrange(steps)
        machine.live(dies_at=at)
        found["killed_entering" if at < entering else "killed_leaving"] += 1
        found["changed_when_killed"] += machine.snapshot() != before
        found["targets"] += len(machine.targets)
        restorer = subprocess.run([*RESTORER, machine.log], capture_output=True, text=True, check=False)
        is_restored = restorer.returncode == 0 and machine.snapshot() == before and not machine.log.exists()
        if not is_restored:
            print(f"killed at step {at} of {steps}: {restorer.stdout}{restorer.stderr}", file=sys.stderr)
        return is_clean and is_restored


@dataclass(frozen=True, slots=True)
class Target:
    """A thing of a machine: what its file says, and what may be written there."""

    kind: str
    path: Path
    text: str | None
    values: Sequence[str]


class Machine:
    """A machine, and what is to be done to it: one plan or two, and all of it back."""

    def __init__(self, root: Path, chance: random.Random) -> None:
        self.root = root / "machine"
        self.log = root / "mode" / "undo.log"
        self.targets = shapes(self.root, chance)
        for target in self.targets:
            target.path.parent.mkdir(parents=True, exist_ok=True)
            if target.text is not None:
                target.path.write_text(target.text, encoding="ascii")
        self._plans = [self._wishes(chance) for _ in range(chance.choice([1, 1, 2]))]
        self._refuses = {str(target.path) for target in self.targets if chance.random() < 0.05}
        self._ranks = {str(target.path): chance.choice([FIRST, NORMAL, NORMAL, LAST]) for target in self.targets}
        self._is_core = chance.random() < 0.2
        self._tear = chance.random()

    def snapshot(self) -> dict[str, bytes]:
        """Everything there is on this machine."""
        choices = {target.path for target in self.targets if target.kind == "choice"}
        return {
            str(path): b"/" if path.is_dir() else chosen(path) if path in choices else path.read_bytes()
            for path in self.root.rglob("*")
        }

    def live(self, *, dies_at: int | None) -> tuple[int, int]:
        """Enter and leave in a child, which dies at this step. How many steps there are: of entering, of both."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                steps = Steps(dies_at, self._tear)
                entering = self._enter_and_leave(steps)
                os.write(writing, f"{entering} {steps.taken}".encode())
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as said:
            counted = said.read().split()
        _, status = os.waitpid(child, 0)
        wanted = 0 if dies_at is None else -signal.SIGKILL
        if os.waitstatus_to_exitcode(status) != wanted:
            sys.exit(f"the child ended otherwise: {status}")
        return (int(counted[0]), int(counted[1])) if counted else (0, 0)

    def _enter_and_leave(self, steps: "Steps") -> int:
        setattr(undo_log, "os", DyingOs(steps))  # noqa: B010
        real = kinds.every()
        every: dict[str, Kind] = {name: DyingKind(real[name], steps, self._refuses) for name in PLAIN}
        log = UndoLog(self.log)
        for wishes in self._plans:
            with suppress(CoreRefused):
                reconcile(self._plan(wishes, log), log, every)
        entering = steps.taken
        undo(log, every)
        log.close()
        return entering

    def _wishes(self, chance: random.Random) -> dict[int, str]:
        """Which targets are to have which values."""
        chosen_ = chance.sample(range(len(self.targets)), chance.randint(1, len(self.targets)))
        return {index: chance.choice(self.targets[index].values) for index in chosen_}

    def _plan(self, wishes: dict[int, str], log: UndoLog) -> Plan:
        """What the planner would say of these wishes."""
        steps = []
        for index, value in wishes.items():
            target = self.targets[index]
            path, kind = str(target.path), kinds.every()[target.kind]
            if not kind.same(now := kind.read(path), value):
                use: Any = "core" if self._is_core else "optional"
                steps.append(Step("set", "knob", use, "undo log", target.kind, path, now, value, self._ranks[path]))
        wanted = {str(self.targets[index].path) for index in wishes}
        return Plan(tuple(steps), tuple(one for one in log.pending() if one.target not in wanted))


PLAIN = ("text", "choice", "mask", "cpulist", "directory")


def shapes(root: Path, chance: random.Random) -> list[Target]:
    """What a random machine has. No pair of dirty_bytes: plain files do not clear each other as the kernel's do."""

    def some(most: int, make: Callable[[int], Target]) -> list[Target]:
        return [make(number) for number in range(chance.randint(1, most))]

    cpu, net, irq = root / "sys/devices/system/cpu", root / "sys/class/net/eth0/queues", root / "proc/irq"
    governors, bits = ["powersave", "schedutil", "ondemand", "performance"], ["ff,00000000", "f", "0", "ff,ffffffff"]
    thp = ["[always] madvise never\n", "always [madvise] never\n", "always madvise [never]\n"]
    mm, cpus = root / "sys/kernel/mm", ["0-3,8", "0", "1-7", "0-127"]
    return [
        *some(12, lambda n: Target("text", cpu / f"policy{n}/governor", f"{chance.choice(governors)}\n", governors)),
        *some(12, lambda n: Target("text", cpu / f"policy{n}/preference", "balance_power\n", ["performance", "power"])),
        *some(30, lambda n: Target("cpulist", irq / f"{n}/smp_affinity_list", f"{chance.choice(cpus)}\n", cpus)),
        *some(8, lambda n: Target("mask", net / f"rx-{n}/rps_cpus", f"{chance.choice(bits)}\n", bits)),
        *some(6, lambda n: Target("text", root / f"sys/block/sd{n}/read_ahead_kb", "128\n", ["4096", "8192"])),
        *some(2, lambda n: Target("choice", mm / f"thp{n}/enabled", chance.choice(thp), ["always", "never"])),
        *some(2, lambda n: Target("directory", root / f"sys/fs/resctrl/mlos{n}", None, [""])),
        Target("text", root / "proc/sys/kernel/numa_balancing", "1\n", ["0"]),
        Target("text", mm / "lru_gen/min_ttl_ms", "0\n", ["1000"]),
    ]


def chosen(path: Path) -> bytes:
    return str(Choice().read(str(path))).encode()


class Steps:
    """Counts what is seen from outside, and is dead at step `dies_at`. `tear`: where lines of the log are torn."""

    def __init__(self, dies_at: int | None, tear: float) -> None:
        self.taken = 0
        self.tear = tear
        self._dies_at = dies_at

    def step(self) -> None:
        if self.taken == self._dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        self.taken += 1


class DyingOs:
    """os, as the undo log sees it."""

    def __init__(self, steps: Steps) -> None:
        self._steps = steps

    def __getattr__(self, name: str) -> Any:
        if name in ("open", "fsync", "ftruncate", "close"):
            self._steps.step()
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        """A write of which the first part may be all."""
        self._steps.step()
        done = os.write(fd, data[: max(1, int(len(data) * self._steps.tear))])
        self._steps.step()
        return done


class DyingKind:
    """A kind; each of its reads and writes is a step. `refuses`: targets that do not take what we want."""

    def __init__(self, kind: Kind, steps: Steps, refuses: set[str]) -> None:
        self.same, self.passing, self.command, self.finish = kind.same, kind.passing, kind.command, kind.finish
        self._kind, self._steps = kind, steps
        self._refuses = set(refuses)

    def read(self, target: str) -> str | None:
        self._steps.step()
        return self._kind.read(target)

    def write(self, target: str, value: str | None) -> None:
        self._steps.step()
        if target in self._refuses:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        self._kind.write(target, value)


def restoring(root: Path) -> tuple[float, float]:
    """Seconds that the restorer takes for so many knobs, each in a file of its own, and how many of them on a CPU."""
    log = UndoLog(root / "undo.log")
    log.append(
        [Change("knob", "text", str(root / f"knob{number}"), "powersave", "performance") for number in range(KNOBS)]
    )
    log.close()
    for number in range(KNOBS):
        (root / f"knob{number}").write_text("performance\n", encoding="ascii")
    before = cpu_seconds()
    took = daemon.seconds([*RESTORER, log.path])
    cpu = cpu_seconds() - before
    if (root / "undo.log").exists() or (root / f"knob{KNOBS - 1}").read_text(encoding="ascii") != "powersave\n":
        sys.exit("the restorer did not put everything back")
    return took, cpu


def cpu_seconds() -> float:
    """Of all children that ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    sys.exit(main())
