"""How much slower does a training step get beside hogs, in ML mode and with what others offer?

`python -m bench.mode_step [VCPUS [ROUNDS]]`, in the guest (2 or 4 emulated CPUs). The step is a matrix product of numpy
on half of the CPUs. Beside it: a CPU hog for each CPU, fio on the disk, sockets over loopback. Solo comes first and
last in each round, the candidates in an order that turns; the ratio of each is to the solo of its round.

The guest's CPUs are threads of this machine: with more of them than it has cores, hogs on the CPUs that are *not*
training's slow it down all the same, and no scheduler in the guest can help. Then only the order of candidates counts.
"""

import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

from tests.vm import image, install, recipes
from tests.vm.guest import Guest

STEP = """\
import os, sys, time
import numpy as np
a = np.random.default_rng(0).random((256, 256))
end = time.monotonic() + float(sys.argv[1])
warm = time.monotonic() + float(sys.argv[2])
took = []
while time.monotonic() < end:
    began = time.monotonic()
    a @ a
    now = time.monotonic()
    if began > warm:
        took.append(now - began)
print(len(took), sorted(took)[len(took) // 2], sum(took) / len(took))
"""
NOISE = {
    "hogs": "stress-ng --quiet --cpu {cpus} --cpu-method matrixprod",
    "disk": "fio --name=n --filename=/var/tmp/noise --size=64M --rw=randrw --bs=4k --time_based --runtime=3600 "
    "--ioengine=psync --direct=0",
    "sockets": "stress-ng --quiet --sock 1",
}
SECONDS, WARM = 12.0, 5.0
THREADS = "OPENBLAS_NUM_THREADS={n} OMP_NUM_THREADS={n}"
PYTHON = "/opt/mlosd/bin/python3 /root/step.py {seconds} {warm}"


def candidates(training: int) -> dict[str, str]:
    """Name -> the shell command that runs the step; each prints its figures."""
    step = f"{THREADS.format(n=training)} {PYTHON.format(seconds=SECONDS, warm=WARM)}"
    return {
        "nothing": f"systemd-run -q --pipe --wait sh -c '{step}'",
        "nice -n -20": f"systemd-run -q --pipe --wait nice -n -20 sh -c '{step}'",
        "CPUWeight=10000": f"systemd-run -q --pipe --wait -p CPUWeight=10000 sh -c '{step}'",
        "gamemode": f"systemd-run -q --pipe --wait dbus-run-session -- /usr/games/gamemoderun sh -c '{step}'",
        "tuned": f"tuned-adm -q profile throughput-performance; systemd-run -q --pipe --wait sh -c '{step}'",
        "mlosd": f"mlosctl run --cpus {training} -- sh -c '{step}'",
    }


class Lab:
    """The guest with its noise."""

    def __init__(self, guest: Guest, vcpus: int) -> None:
        self._guest = guest
        self._vcpus = vcpus
        guest.write("/root/step.py", STEP.encode())

    def noise(self) -> None:
        for name, command in NOISE.items():
            self._guest.run(f"systemd-run -q --unit noise-{name} {command.format(cpus=self._vcpus)}")

    def quiet(self) -> None:
        self._guest.attempt("systemctl stop 'noise-*'; systemctl reset-failed; rm -f /var/tmp/noise; sync")

    def background_cpu(self) -> float:
        """CPU seconds that the noise has used."""
        text = self._guest.run("cat /sys/fs/cgroup/system.slice/cpu.stat")
        return int(text.split()[1]) / 1e6

    def measure(self, command: str) -> tuple[float, int, float] | None:
        """Median step, steps, CPU seconds of background meanwhile; None where the candidate does not work here."""
        before = self.background_cpu()
        ran = self._guest.attempt(command, timeout=300)
        if ran.rc != 0:
            print(json.dumps({"failed": command, "why": ran.stderr[-200:]}), flush=True)
            return None
        count, median, _ = ran.stdout.split()[-3:]
        return float(median), int(count), self.background_cpu() - before

    def solo(self, command: str) -> float:
        """The median step with nothing beside it."""
        measured = self.measure(command)
        assert measured is not None
        return measured[0]


def main(vcpus: int, rounds: int) -> None:
    """Print a JSON line for each candidate."""
    training = max(1, vcpus // 2)
    with tempfile.TemporaryDirectory() as folder, Guest(image.image(recipes.MODE), Path(folder), cpus=vcpus) as guest:
        install.install(guest, install.build_wheel(Path(folder)))
        lab = Lab(guest, vcpus)
        every = candidates(training)
        ratios: dict[str, list[float]] = {name: [] for name in every}
        rest: dict[str, list[float]] = {name: [] for name in every}
        for number in range(rounds):
            names = list(every)
            names = names[number % len(names) :] + names[: number % len(names)]
            solo = [lab.solo(every["nothing"])]
            lab.noise()
            beside = {}
            for name in names:
                if name == "tuned":
                    guest.run("systemctl start tuned", timeout=120)
                if measured := lab.measure(every[name]):
                    beside[name] = measured
                if name == "tuned":
                    guest.run("systemctl stop tuned", timeout=120)
            lab.quiet()
            solo.append(lab.solo(every["nothing"]))
            for name, (median, count, background) in beside.items():
                ratios[name].append(median / statistics.mean(solo))
                rest[name].append(background)
                print(
                    json.dumps({"round": number, "candidate": name, "ratio": ratios[name][-1], "steps": count}),
                    flush=True,
                )
        for name in (name for name in every if ratios[name]):
            print(
                json.dumps(
                    {
                        "bench": "mode_step",
                        "vcpus": vcpus,
                        "candidate": name,
                        "over_solo": round(statistics.median(ratios[name]), 3),
                        "least": round(min(ratios[name]), 3),
                        "most": round(max(ratios[name]), 3),
                        "background_cpu_s": round(statistics.median(rest[name]), 1),
                        "rounds": rounds,
                        "at": time.strftime("%F"),
                    }
                )
            )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2, int(sys.argv[2]) if len(sys.argv) > 2 else 5)
