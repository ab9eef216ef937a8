"""How long does the machine take into ML mode and back, and how soon is the end of training noticed?

`python -m bench.mode_switch [ROUNDS]`: the real daemon on a machine of 128 CPUs made of files, some 260 values. What
PID 1 adds with slices is not in it: `python -m bench.mode_switch 30 guest` asks the guest, where everything takes ten
times as long. The end of training is the death of the process that holds the lease, until the first value is back.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fakes.mode_machine import ModeMlosd
from tests.fakes.tree import materialize
from tests.vm import image, install, recipes
from tests.vm.guest import Guest

CPUS = 128
# Put back is the last that was set.
GOVERNOR = f"sys/devices/system/cpu/cpufreq/policy{CPUS - 1}/scaling_governor"


def large() -> dict[str, str]:
    """A machine of many CPUs: a policy and an interrupt for each."""
    made = {"sys/devices/system/cpu/online": f"0-{CPUS - 1}\n"}
    for cpu in range(CPUS):
        policy = f"sys/devices/system/cpu/cpufreq/policy{cpu}"
        made[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
        made[f"{policy}/scaling_governor"] = "powersave\n"
        made[f"{policy}/scaling_available_governors"] = "performance powersave\n"
        made[f"proc/irq/{20 + cpu}/smp_affinity_list"] = f"0-{CPUS - 1}\n"
        made[f"proc/irq/{20 + cpu}/queue{cpu}/kept"] = ""
    return made


def p99(values: list[float]) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]


def tell(where: str, what: str, milliseconds: list[float], values: int) -> None:
    ordered = sorted(milliseconds)
    figures = {"median": ordered[len(ordered) // 2], "p99": p99(ordered), "most": ordered[-1]}
    rounded = {name: round(value, 2) for name, value in figures.items()}
    print(json.dumps({"bench": "mode_switch", "where": where, "what": what, "values": values, "ms": rounded}))


def on_files(rounds: int) -> None:
    # In memory, as /run is.
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder, ModeMlosd(Path(folder) / "root") as mlosd:
        materialize(mlosd.machine, large())
        mlosd.stop()
        mlosd.start()
        enters, leaves, noticed, values = [], [], [], 0
        with mlosd.connect() as connection:
            for _ in range(rounds):
                began = time.perf_counter()
                reply = connection.call("io.mlosd.Mode.Enter", {"asked": {"cpus": "120"}})
                enters.append((time.perf_counter() - began) * 1000)
                values = sum(step["what"] in ("set", "void") for step in reply["mode"]["steps"])
                began = time.perf_counter()
                connection.call("io.mlosd.Mode.Leave", {})
                leaves.append((time.perf_counter() - began) * 1000)
            for _ in range(rounds):
                holder = subprocess.Popen(["sleep", "600"])
                connection.call("io.mlosd.Mode.Enter", {"asked": {"pid": holder.pid, "set": ["irq-affinity=false"]}})
                began = time.perf_counter()
                holder.kill()
                while mlosd.read(GOVERNOR) != "powersave":
                    os.sched_yield()
                noticed.append((time.perf_counter() - began) * 1000)
                holder.wait()
                while connection.call("io.mlosd.Mode.Status", {})["mode"]["state"] != "off":
                    pass
        tell("files, 128 CPUs", "enter, asked to answered", enters, values)
        tell("files, 128 CPUs", "leave, asked to answered", leaves, values)
        tell("files, 128 CPUs", "killed holder to first value back", noticed, CPUS)


def in_the_guest(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, Guest(image.image(recipes.MODE), Path(folder), cpus=4) as guest:
        install.install(guest, install.build_wheel(Path(folder)))
        switches, values = [], 0
        for _ in range(rounds):
            mode = json.loads(guest.run("mlosctl mode enter --json --cpus 2", timeout=120))["mode"]
            switches.append(mode["switch_ms"])
            values = sum(step["what"] in ("set", "void") for step in mode["steps"])
            guest.run("mlosctl mode leave; sleep 8", timeout=120)
        tell("guest, emulated", "switch, as the daemon counts it", switches, values)


if __name__ == "__main__":
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    in_the_guest(rounds) if sys.argv[2:] == ["guest"] else on_files(rounds)
