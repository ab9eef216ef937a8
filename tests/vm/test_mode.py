"""ML mode on a real systemd and a real kernel: entered, left, killed, restarted, rebooted, and put back each time."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from tests.vm.guest import Guest

# Every value that the training profile may change, as the kernel and PID 1 say it.
SNAPSHOT = r"""
for u in system.slice user.slice machine.slice mlos.slice mlos-ci.slice mlos-data.slice init.scope; do
  systemctl show $u -p CPUWeight -p IOWeight -p MemoryLow -p AllowedCPUs -p CPUQuotaPerSecUSec -p DropInPaths \
    -p NeedDaemonReload | sed "s/^/$u /"
done
for f in /proc/irq/*/smp_affinity_list /proc/irq/default_smp_affinity /sys/devices/virtual/workqueue/cpumask \
  /sys/block/*/queue/read_ahead_kb /proc/sys/vm/*dirty* /proc/sys/vm/swappiness /proc/sys/kernel/numa_balancing \
  /sys/kernel/mm/transparent_hugepage/* /sys/devices/system/cpu/cpufreq/policy*/scaling_governor; do
  [ -f $f ] && echo "$f $(cat $f)"
done
for p in 1 $(pgrep -x systemd-journal) $(pgrep -x systemd-logind); do grep -H Cpus_allowed_list /proc/$p/status; done
find /run/systemd/system.control /run/systemd/transient -name '50-*' 2>/dev/null | sort
systemctl list-timers --all --no-legend | awk '{print $(NF-1)}' | sort
"""


@pytest.fixture
def guest(mode_guest: Guest) -> Iterator[Guest]:
    """The machine before the mode, and after the test as it was."""
    mode_guest.run("systemctl start mlosd.socket mlosd.service; systemctl reset-failed")
    before = mode_guest.run(SNAPSHOT, timeout=120)
    yield mode_guest
    mode_guest.attempt("systemctl start mlosd.service; mlosctl mode restore; systemctl stop 'mlos-job-*'", timeout=180)
    settled(mode_guest, before)


def settled(guest: Guest, before: str) -> None:
    """PID 1 reads its files again some seconds after the last value is back."""
    until = time.monotonic() + 90
    while (now := guest.run(SNAPSHOT, timeout=120)) != before and time.monotonic() < until:
        time.sleep(1)
    assert now == before


def status(guest: Guest) -> dict[str, Any]:
    mode: dict[str, Any] = json.loads(guest.run("mlosctl mode status --json"))
    return mode


def enter(guest: Guest, options: str = "--cpus 2") -> dict[str, Any]:
    reply: dict[str, Any] = json.loads(guest.run(f"mlosctl mode enter --json {options}", timeout=120))
    return reply


def train(guest: Guest) -> str:
    """A job that trains, and the mode that it brings."""
    job = guest.run("mlosctl job submit --cpus 1 --name training -- sleep 1000").strip()
    guest.eventually('mlosctl mode status --json | grep -q \'"state": "on"\'')
    return job


def test_background_leaves_the_training_cpus_and_comes_back(guest: Guest) -> None:
    before = guest.run(SNAPSHOT, timeout=120)
    guest.run("systemd-run -q --unit hog sleep 1000")
    enter(guest)
    hog = "$(systemctl show -P MainPID hog)"
    assert guest.run(f"grep Cpus_allowed_list /proc/{hog}/status").split()[1] == "0,3"
    assert guest.run("cat /sys/fs/cgroup/system.slice/cpu.weight").strip() == "20"
    findings = [json.loads(line) for line in guest.run("mlosctl mode verify --json").splitlines()]
    assert len(findings) > 15
    assert not [finding for finding in findings if finding["says"] == "differs"]
    guest.run("mlosctl mode leave", timeout=120)
    assert guest.run(f"grep Cpus_allowed_list /proc/{hog}/status").split()[1] == "0-3"
    guest.run("systemctl stop hog")
    settled(guest, before)


def test_a_plan_on_a_real_machine_writes_nothing(guest: Guest) -> None:
    before = guest.run(SNAPSHOT, timeout=120)
    steps = json.loads(guest.run("mlosctl mode plan --json --cpus 2"))["steps"]
    targets = {step["target"] for step in steps if step["what"] == "set"}
    assert {"system.slice CPUWeight", "system.slice AllowedCPUs", "/proc/irq/default_smp_affinity"} <= targets
    assert guest.run(SNAPSHOT, timeout=120) == before


def test_the_mode_of_a_job_outlives_the_daemon_but_not_its_stop(guest: Guest) -> None:
    before = guest.run(SNAPSHOT, timeout=120)
    job = train(guest)
    inside = guest.run(SNAPSHOT, timeout=120)
    guest.run("systemctl restart mlosd.service", timeout=120)
    assert (guest.run(SNAPSHOT, timeout=120), status(guest)["state"]) == (inside, "on")
    guest.run("systemctl kill --signal=KILL --kill-whom=main mlosd.service")
    guest.eventually("systemctl is-active mlosd.service && mlosctl status")
    assert (guest.run(SNAPSHOT, timeout=120), status(guest)["state"]) == (inside, "on")
    guest.run("systemctl stop mlosd.socket mlosd.service", timeout=120)
    settled(guest, before)
    assert guest.run(f"systemctl is-active mlos-job-{job}.service").strip() == "active"


def test_a_daemon_that_does_not_come_back_leaves_nothing_behind(guest: Guest) -> None:
    before = guest.run(SNAPSHOT, timeout=120)
    train(guest)
    drop_in = "/run/systemd/system/mlosd.service.d"
    guest.write(f"{drop_in}/broken.conf", b"[Service]\nExecStart=\nExecStart=/bin/false\nRestartSec=100ms\n")
    try:
        guest.run("systemctl daemon-reload; systemctl kill --signal=KILL --kill-whom=main mlosd.service", timeout=120)
        guest.eventually("systemctl is-failed mlosd.service")
    finally:
        guest.run(f"rm -r {drop_in}; systemctl daemon-reload; systemctl reset-failed", timeout=120)
    settled(guest, before)


def test_daemon_reload_and_daemon_reexec_move_nothing(guest: Guest) -> None:
    enter(guest)
    inside = guest.run(SNAPSHOT, timeout=120)
    guest.run("systemctl daemon-reload; systemctl daemon-reload; systemctl daemon-reexec", timeout=300)
    assert guest.run(SNAPSHOT, timeout=120) == inside
    guest.run("mlosctl mode verify", timeout=120)


def test_a_cpu_that_goes_away_and_comes_back_is_followed(guest: Guest) -> None:
    enter(guest)
    guest.run("echo 0 > /sys/devices/system/cpu/cpu3/online")
    try:
        guest.eventually('mlosctl mode status --json | grep -q \'"housekeeping": "0"\'')
    finally:
        guest.run("echo 1 > /sys/devices/system/cpu/cpu3/online")
    guest.eventually('mlosctl mode status --json | grep -q \'"housekeeping": "0,3"\'')


def test_who_changes_a_value_back_too_often_gets_it(guest: Guest) -> None:
    enter(guest)
    weight = "/sys/fs/cgroup/system.slice/cpu.weight"
    for _ in range(3):
        guest.run("systemctl set-property --runtime system.slice CPUWeight=55")
        guest.eventually(f"grep -qx 20 {weight}")
    guest.run("systemctl set-property --runtime system.slice CPUWeight=55")
    guest.eventually('mlosctl mode status --json | grep -q \'"what": "yielded"\'')
    guest.run("mlosctl mode leave", timeout=120)
    assert guest.run(f"cat {weight}").strip() == "55"
    guest.run("systemctl set-property --runtime system.slice CPUWeight=")
    guest.run("rm -r /run/systemd/system.control/system.slice.d; systemctl daemon-reload", timeout=120)


def test_irqbalance_rests_while_the_mode_is_on(guest: Guest) -> None:
    guest.run("systemctl start irqbalance.service")
    try:
        enter(guest)
        assert guest.attempt("systemctl is-active irqbalance.service").stdout.strip() == "inactive"
        guest.run("mlosctl mode leave", timeout=120)
        assert guest.run("systemctl is-active irqbalance.service").strip() == "active"
    finally:
        guest.run("systemctl stop irqbalance.service")


def test_users_hold_the_mode_for_what_is_theirs_only(guest: Guest) -> None:
    lease = enter(guest)["lease"]["id"]
    for words, says in (
        ("enter --pid 1", "process 1 is not yours"),
        ("enter --set keyboard-buffer=10", "is for operators"),
        (f"leave {lease}", f"there is no lease {lease} of yours"),
        ("restore", "is for operators"),
    ):
        ran = guest.attempt(f"mlosctl mode {words}", user="alice")
        assert (ran.rc != 0, says in ran.stderr) == (True, True), ran
    theirs = guest.run("sleep 100 & mlosctl mode enter --json --pid $!; kill %1", user="alice", timeout=120)
    assert json.loads(theirs)["lease"]["who"].startswith("alice, pid ")


def test_nothing_is_written_but_what_the_log_says_and_what_is_ours(guest: Guest) -> None:
    pid = guest.run("systemctl show -P MainPID mlosd.service").strip()
    calls = "openat,openat2,unlink,unlinkat,rename,renameat2,mkdir,rmdir,truncate"
    trace = guest.begin(f"strace -f -q -e trace={calls} -o /root/trace -p {pid}", timeout=300)
    guest.eventually(f"grep -q 'TracerPid:.[1-9]' /proc/{pid}/status")
    targets = {step["target"] for step in enter(guest)["mode"]["steps"] if step["what"] in ("set", "void", "refused")}
    guest.run("mlosctl mode leave", timeout=200)
    guest.run("pkill -x strace")
    trace.result()
    opened = re.findall(r'openat\w*\([^"]*"([^"]+)".*O_(?:WRONLY|RDWR|CREAT)', guest.run("cat /root/trace"))
    removed = re.findall(r'(?:unlink|rename|mkdir|rmdir|truncate)\w*\([^"]*"([^"]+)"', guest.run("cat /root/trace"))
    ours = ("/run/mlosd/", "/var/lib/mlosd/", "/dev/cpu_dma_latency", "/dev/null", "/run/systemd/system.control/")
    more = ("/run/systemd/transient/init.scope.d", "/proc/self/")
    foreign = {path for path in opened + removed if path not in targets and not path.startswith(ours + more)}
    # Triggers of PSI are descriptors, gone with us.
    assert {path for path in foreign if not path.endswith("cpu.pressure")} == set()


def test_a_power_cut_in_the_middle_leaves_nothing(mode_guest: Guest) -> None:
    # What is numbered anew at each boot, and what PID 1's own CPUs are, is not compared.
    anew = ("/proc/irq/", "Cpus_allowed", "read_ahead_kb")
    before = [line for line in mode_guest.run(SNAPSHOT, timeout=120).splitlines() if not any(w in line for w in anew)]
    train(mode_guest)
    mode_guest.power_cut()
    mode_guest.eventually("mlosctl status")
    after = [line for line in mode_guest.run(SNAPSHOT, timeout=120).splitlines() if not any(w in line for w in anew)]
    assert after == before
    assert status(mode_guest)["state"] == "off"
