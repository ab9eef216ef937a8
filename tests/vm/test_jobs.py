"""Jobs as transient units: where they run, what limits them, how they end, and that nothing of them stays."""

import pytest
from tests.vm import jobs
from tests.vm.guest import Guest


def test_a_foreground_job_is_a_unit_of_its_own_and_uses_the_callers_streams(guest: Guest) -> None:
    command = "cd && mlosctl run --env ci -- sh -c 'cat; cut -d: -f3 /proc/self/cgroup; id -un; pwd; exit 7'"
    ran = guest.attempt(command, user="alice", stdin=b"typed\n")
    typed, cgroup, user, folder = ran.stdout.splitlines()
    assert ran.rc == 7
    assert (typed, user, folder) == ("typed", "alice", "/home/alice")
    assert cgroup.startswith("/mlos.slice/mlos-ci.slice/mlos-job-")
    assert cgroup.endswith(".service/job")


def test_a_foreground_job_at_a_terminal_has_that_terminal(guest: Guest) -> None:
    out = guest.run("script -qec \"mlosctl run -- sh -c 'tty && stty size'\" /dev/null", user="alice")
    assert "/dev/pts/" in out


def test_a_queued_job_is_a_unit_below_its_environments_slice(guest: Guest) -> None:
    until_told = "until [ -e /tmp/looked-at ]; do sleep 0.1; done"
    job = jobs.running(guest, f"--env prod -- sh -c 'echo out; echo err >&2; {until_told}; exit 5'")
    assert jobs.unit_property(guest, job["id"], "Slice") == "mlos-prod.slice"
    assert jobs.unit_property(guest, job["id"], "Delegate") == "yes"
    assert job["cgroup"] == f"/sys/fs/cgroup/mlos.slice/mlos-prod.slice/mlos-job-{job['id']}.service/job"
    guest.run("touch /tmp/looked-at")
    ended = jobs.done(guest, job["id"])
    assert (ended["result"], ended["exit_code"]) == ("failed", 5)
    assert guest.run(f"mlosctl job logs {job['id']}", user="alice").split() == ["out", "err"]
    jobs.assert_nothing_left(guest, job["id"])


def test_a_job_has_the_groups_of_its_user_and_no_capabilities(guest: Guest) -> None:
    guest.run("usermod -aG users alice")
    out = guest.run("mlosctl run -- sh -c 'id -Gn; grep CapEff /proc/self/status'", user="alice")
    assert "users" in out.splitlines()[0]
    assert out.splitlines()[1].endswith("0000000000000000")


def test_a_command_that_is_not_there_says_so_and_leaves_nothing(guest: Guest) -> None:
    ran = guest.attempt("mlosctl run -- no-such-command", user="alice")
    assert ran.rc == 127
    assert "No such file" in ran.stderr
    assert guest.attempt("systemctl list-units --all --plain --no-legend 'mlos-job-*' | grep .").rc == 1


def test_a_folder_that_its_user_may_not_enter_is_refused_at_chdir(guest: Guest) -> None:
    guest.run("install -d -o bob -m 700 /srv/bobs && chmod 755 /srv")
    ran = guest.attempt("cd /srv/bobs && exec runuser -u alice -- mlosctl run -- true")
    assert ran.rc != 0
    assert "ermission" in ran.stderr


def test_the_memory_limit_is_the_units_and_holds(guest: Guest) -> None:
    job = jobs.running(guest, "--memory 64M -- sleep 30")
    assert jobs.unit_property(guest, job["id"], "MemoryMax") == str(64 << 20)
    assert int(guest.run(f"cat {job['cgroup']}/../memory.max")) == 64 << 20
    assert int(guest.run(f"cat {job['cgroup']}/../memory.high")) <= int(0.95 * (64 << 20))
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")


def test_a_job_out_of_memory_is_killed_whole_and_its_keeper_tells(guest: Guest) -> None:
    eat = 'python3 -c "x = bytearray(200 << 20)"'
    job = jobs.submit(guest, f"--memory 64M -- sh -c 'sleep 300 & {eat}; sleep 300'")
    ended = jobs.done(guest, job)
    assert ended["result"] == "oom"
    assert ended["usage"]["oom_kills"] >= 1
    # The kernel charges in batches, and may be over for a moment.
    assert ended["usage"]["memory_peak"] <= 66 << 20
    jobs.assert_nothing_left(guest, job)


def test_a_job_that_asks_for_one_cpu_gets_that_and_cannot_leave_it(guest: Guest) -> None:
    widen = "python3 -c 'import os; os.sched_setaffinity(0, {0, 1}); print(len(os.sched_getaffinity(0)))'"
    out = guest.run(f'mlosctl run --cpus 1 -- sh -c "nproc; {widen}"', user="alice")
    assert out.split() == ["1", "1"]


def test_a_cancelled_job_may_end_in_good_order(guest: Guest) -> None:
    job = jobs.running(guest, "-- bash -c 'trap \"echo saved; exit 3\" TERM; while :; do sleep 0.1; done'")
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")
    ended = jobs.done(guest, job["id"])
    assert ended["result"] == "killed"
    assert "saved" in guest.run(f"mlosctl job logs {job['id']}", user="alice")


def test_one_that_will_not_stop_is_killed_after_its_grace_with_all_its_children(guest: Guest) -> None:
    stubborn = 'trap "" TERM; (setsid sleep 4242 &); while :; do sleep 0.1; done'
    job = jobs.running(guest, f"--grace 1s -- bash -c '{stubborn}'")
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")
    ended = jobs.done(guest, job["id"])
    assert (ended["result"], ended["signal"]) == ("killed", 9)
    assert guest.attempt("pgrep -f '[s]leep 4242'").rc == 1
    jobs.assert_nothing_left(guest, job["id"])


def test_what_a_job_leaves_in_the_background_ends_with_it(guest: Guest) -> None:
    job = jobs.submit(guest, "--grace 1s -- bash -c '(setsid sleep 4343 &) ; exit 0'")
    assert jobs.done(guest, job)["result"] == "ok"
    assert guest.attempt("pgrep -f '[s]leep 4343'").rc == 1


def test_a_frozen_job_stands_still_and_goes_on(guest: Guest) -> None:
    job = jobs.running(guest, "-- bash -c 'while :; do date +%s.%N; sleep 0.1; done'")
    guest.run(f"mlosctl job freeze {job['id']}", user="alice")
    guest.eventually(f"grep -q 'frozen 1' {job['cgroup']}/cgroup.events")
    length = guest.run(f"mlosctl job logs {job['id']} | wc -l; sleep 1; mlosctl job logs {job['id']} | wc -l")
    assert len(set(length.split())) == 1
    guest.run(f"mlosctl job thaw {job['id']}", user="alice")
    guest.eventually(f"test $(mlosctl job logs {job['id']} | wc -l) -gt {length.split()[0]}")
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")


def test_systemctl_stop_ends_a_job_in_good_order_too(guest: Guest) -> None:
    job = jobs.running(guest, "-- bash -c 'trap \"echo saved; exit 0\" TERM; while :; do sleep 0.1; done'")
    guest.run(f"systemctl stop mlos-job-{job['id']}.service")
    jobs.done(guest, job["id"])
    assert "saved" in guest.run(f"mlosctl job logs {job['id']}", user="alice")


def test_another_users_job_is_not_mine_to_end(guest: Guest) -> None:
    job = jobs.running(guest, "-- sleep 60")
    assert guest.attempt(f"mlosctl job cancel {job['id']}", user="bob").rc != 0
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")


@pytest.mark.parametrize("count", [20])
def test_many_jobs_at_once_all_end_well(guest: Guest, count: int) -> None:
    script = f'for i in $(seq {count}); do mlosctl job submit --quiet -- sh -c "echo $i"; done'
    ids = guest.run(script, user="alice", timeout=300).split()
    assert len(ids) == count
    guest.run(f"mlosctl job wait {' '.join(ids)}", user="alice", timeout=300)
    guest.eventually('test -z "$(ls /run/mlosd/jobs)"')
    guest.eventually("! systemctl list-units --plain --no-legend 'mlos-job-*' | grep .")
