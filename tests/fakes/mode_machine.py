"""A daemon whose ML mode changes a machine made of files: four CPUs, governors, interrupts, sysctls."""

from pathlib import Path

from tests.fakes.daemon import Mlosd
from tests.fakes.tree import materialize

PROFILE = """\
summary = "for tests"
[knobs]
scaling-governor = "performance"
irq-affinity = true
dirty-limits = "ratio 10"
swappiness = 10
"""


def files() -> dict[str, str]:
    """The whole machine, as a fresh boot has it."""
    made = {
        "sys/devices/system/cpu/online": "0-3\n",
        "proc/sys/vm/dirty_bytes": "0\n",
        "proc/sys/vm/dirty_ratio": "20\n",
        "proc/sys/vm/swappiness": "60\n",
        "etc/mlosd/profiles/training.toml": PROFILE,
    }
    for cpu in range(4):
        made[f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"] = f"{cpu}\n"
        policy = f"sys/devices/system/cpu/cpufreq/policy{cpu}"
        made[f"{policy}/scaling_governor"] = "powersave\n"
        made[f"{policy}/scaling_available_governors"] = "performance powersave\n"
        made[f"proc/irq/{20 + cpu}/smp_affinity_list"] = "0-3\n"
        made[f"proc/irq/{20 + cpu}/disk{cpu}/kept"] = ""
    return made


class ModeMlosd(Mlosd):
    """`machine`: where the files are. `more`: what else stands in its mlosd.toml below [mode]."""

    def __init__(self, root: Path, more: str = "") -> None:
        super().__init__(root)
        self.machine = root / "machine"
        materialize(self.machine, files())
        (root / "mlosd.toml").write_text(f'[mode]\nmachine = "{self.machine}"\n{more}\n')

    def read(self, name: str) -> str:
        """One file of the machine."""
        return (self.machine / name).read_text().strip()

    def write(self, name: str, text: str) -> None:
        """Somebody else sets a file of the machine."""
        (self.machine / name).write_text(f"{text}\n")

    def snapshot(self) -> dict[str, str]:
        """Every file that the mode might change."""
        return {
            str(file.relative_to(self.machine)): file.read_text().strip()
            for file in sorted(self.machine.rglob("*"))
            if file.is_file()
        }
