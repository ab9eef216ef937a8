"""In the Debian guest, with systemd as PID 1: what does `mlosctl run true` cost beside `systemd-run --wait true`?

Software emulation is slow and says nothing of absolute times: quote the ratio. The rounds take turns, inside the guest.
Also there: how the installed daemon idles for a minute.
"""

import statistics
import sys
import tempfile
from pathlib import Path

from tests.vm import image, install
from tests.vm.guest import Guest

from bench import daemon

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 9
WAYS = {
    "true": "true",
    "mlosctl run true": "mlosctl run true",
    "systemd-run --wait true": "systemd-run --quiet --wait true",
    "python -c pass": "/opt/mlosd/bin/python -c pass",
}
TIMER = (
    "import subprocess, sys, time; began = time.perf_counter(); subprocess.run(sys.argv[1:], check=True); "
    "print(time.perf_counter() - began)"
)
WAKE_UPS = "grep -h ^voluntary /proc/$(systemctl show -P MainPID mlosd)/task/*/status | awk '{n += $2} END {print n}'"


def main() -> None:
    if reason := image.why_not():
        sys.exit(f"in_the_guest.py: {reason}")
    with tempfile.TemporaryDirectory() as folder, Guest(image.image(), Path(folder)) as guest:
        install.install(guest, install.build_wheel(Path(folder)))
        times: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(ROUNDS + 1):
            for way, command in WAYS.items():
                times[way].append(float(guest.run(f"/opt/mlosd/bin/python -c '{TIMER}' {command}")) * 1000)
        bare = statistics.median(times["true"][1:])
        for way, values in times.items():
            figures = daemon.spread(values[1:])
            daemon.tell(way=way, milliseconds=figures, over_bare=round(figures["median"] - bare, 1), rounds=ROUNDS)
        ratios = [a / b for a, b in zip(times["mlosctl run true"], times["systemd-run --wait true"], strict=True)]
        daemon.tell(ratio_to_systemd_run=daemon.spread(ratios[1:], digits=2))
        guest.run("sleep 10", timeout=120)
        before = int(guest.run(WAKE_UPS))
        guest.run("sleep 60", timeout=200)
        rss = guest.run("grep VmRSS /proc/$(systemctl show -P MainPID mlosd)/status").split()[1]
        daemon.tell(
            daemon="mlosd", rss_mib=round(int(rss) / 1024, 1), wake_ups=int(guest.run(WAKE_UPS)) - before, seconds=60
        )


if __name__ == "__main__":
    main()
