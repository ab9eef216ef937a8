"""What does an idle daemon cost: memory, wake-ups and CPU in a minute?

Beside it: supervisord, a Python daemon that Debian ships, with nothing to supervise. Both are left alone for ten
seconds first. Wake-ups are voluntary context switches of all threads.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import daemon

SECONDS = int(sys.argv[1]) if len(sys.argv) > 1 else 60
SETTLE = 10


def main() -> None:
    peer = daemon.need("supervisord", "supervisor")
    daemon.machine()
    with daemon.mlosd() as (_, process), tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "supervisord.conf")
        config.write_text(
            f"[supervisord]\nnodaemon=true\nlogfile={folder}/log\npidfile={folder}/pid\n", encoding="ascii"
        )
        other = subprocess.Popen([peer, "-n", "-c", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(SETTLE)
        processes = {"mlosd": process.pid, "supervisord": other.pid}
        before = {name: account(pid) for name, pid in processes.items()}
        time.sleep(SECONDS)
        for name, pid in processes.items():
            switches, ticks = account(pid)
            daemon.tell(
                daemon=name,
                rss_mib=round(rss(pid) / 1024, 1),
                wake_ups=switches - before[name][0],
                cpu_percent=round(100 * (ticks - before[name][1]) / os.sysconf("SC_CLK_TCK") / SECONDS, 3),
                seconds=SECONDS,
            )
        other.terminate()
        other.wait()


def account(pid: int) -> tuple[int, int]:
    """(voluntary context switches, CPU ticks) of all threads so far."""
    switches = 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        fields = dict(line.split(":\t", 1) for line in (task / "status").read_text().splitlines() if ":\t" in line)
        switches += int(fields["voluntary_ctxt_switches"])
    stat = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return switches, int(stat[11]) + int(stat[12])


def rss(pid: int) -> int:
    """Resident KiB."""
    fields = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":\t" in line
    )
    return int(fields["VmRSS"].split()[0])


if __name__ == "__main__":
    main()
