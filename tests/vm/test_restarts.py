"""What restarts under a running job, and what the job notices of it: nothing."""

import pytest
from tests.vm import jobs
from tests.vm.guest import Guest

MAIN = "systemctl show -P MainPID mlosd.service"
WAIT = "until test -e /tmp/go; do sleep 0.1; done"
SERVES = "mlosctl status"
# Restart= brings it back a second after its end.
KILL = f"old=$({MAIN}); kill -9 $old; until new=$({MAIN}) && test $new != 0 -a $new != $old; do sleep 0.1; done"


@pytest.mark.parametrize(
    "upheaval",
    [
        pytest.param("systemctl restart mlosd.service", id="daemon restarted"),
        pytest.param(KILL, id="daemon killed"),
        pytest.param("systemctl daemon-reload", id="systemd reloads its units"),
        pytest.param("systemctl daemon-reexec", id="systemd executes itself anew"),
        pytest.param("mlosd-setup install", id="mlosd installed again"),
    ],
)
def test_a_running_job_does_not_notice(guest: Guest, upheaval: str) -> None:
    job = jobs.running(guest, f"-- bash -c 'echo before; {WAIT}; echo after; exit 42'")
    limits = guest.run(f"cat {job['cgroup']}/../memory.max {job['cgroup']}/cpuset.cpus.effective")
    guest.run(upheaval, timeout=120)
    guest.eventually(SERVES)
    again = jobs.show(guest, job["id"])
    assert (again["state"], again["pid"]) == ("RUNNING", job["pid"])
    assert guest.run(f"cat {job['cgroup']}/../memory.max {job['cgroup']}/cpuset.cpus.effective") == limits
    guest.run("touch /tmp/go")
    ended = jobs.done(guest, job["id"])
    guest.run("rm /tmp/go")
    assert (ended["result"], ended["exit_code"], ended["pid"]) == ("failed", 42, None)
    assert guest.run(f"mlosctl job logs {job['id']}", user="alice").split() == ["before", "after"]
    jobs.assert_nothing_left(guest, job["id"])


def test_a_job_that_ends_while_the_daemon_is_down_is_recorded_all_the_same(guest: Guest) -> None:
    job = jobs.running(guest, f"-- bash -c '{WAIT}; exit 9'")
    guest.run("systemctl stop mlosd.service mlosd.socket; touch /tmp/go")
    guest.eventually(f"! test -e /proc/{job['pid']}")
    guest.run("systemctl start mlosd.service; rm /tmp/go")
    ended = jobs.done(guest, job["id"])
    assert (ended["result"], ended["exit_code"]) == ("failed", 9)
    jobs.assert_nothing_left(guest, job["id"])


def test_a_foreground_job_outlives_the_daemon(guest: Guest) -> None:
    waiting = guest.begin(f"mlosctl run --name outlives -- bash -c '{WAIT}; echo end'", user="alice")
    guest.eventually("mlosctl job list --everyone --json | grep outlives | grep -q RUNNING")
    guest.run("systemctl restart mlosd.service; touch /tmp/go")
    # Whether mlosctl itself outlives it is mlosctl's affair; the command writes to its terminal in any case.
    assert "end" in waiting.result().stdout
    guest.run("rm /tmp/go")


def test_a_job_whose_keeper_is_killed_is_lost_and_none_of_it_runs_on(guest: Guest) -> None:
    job = jobs.running(guest, "-- bash -c 'sleep 4444 & sleep 4444'")
    guest.run(f"kill -9 $(systemctl show -P MainPID mlos-job-{job['id']}.service)")
    ended = jobs.done(guest, job["id"])
    assert ended["result"] == "lost"
    assert ended["reason"]
    guest.eventually("! pgrep -f '[s]leep 4444'")
    jobs.assert_nothing_left(guest, job["id"])


def test_jobs_start_while_systemd_executes_itself_anew(guest: Guest) -> None:
    upheaval = guest.begin("for i in 1 2 3; do systemctl daemon-reexec; done", timeout=120)
    ids = [jobs.submit(guest, f"-- sh -c 'echo {n}'") for n in range(6)]
    assert upheaval.result().rc == 0
    for n, id_ in enumerate(ids):
        assert jobs.done(guest, id_)["result"] == "ok"
        assert guest.run(f"mlosctl job logs {id_}").split() == [str(n)]


def test_jobs_start_after_the_bus_was_away(guest: Guest) -> None:
    guest.run("systemctl kill -s KILL dbus.service; sleep 0.5; systemctl start dbus.socket dbus.service")
    assert guest.run("mlosctl run -- echo there", user="alice").strip() == "there"
