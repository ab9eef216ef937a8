"""What was installed can be taken away, to the last file. Then it is installed again, for the next tests."""

from tests.vm import jobs
from tests.vm.guest import Guest
from tests.vm.install import BEFORE, SNAPSHOT


def test_uninstalling_with_jobs_running_is_refused_and_changes_nothing(guest: Guest) -> None:
    job = jobs.running(guest, "-- sleep 600")
    ran = guest.attempt("mlosd-setup uninstall")
    assert ran.rc == 69
    assert "1 jobs run" in ran.stderr or "1 job runs" in ran.stderr
    assert jobs.show(guest, job["id"])["state"] == "RUNNING"
    guest.run(f"mlosctl job cancel {job['id']}", user="alice")
    jobs.done(guest, job["id"])


def test_records_and_settings_outlive_an_uninstall_without_purge(guest: Guest) -> None:
    job = jobs.submit(guest, "-- echo kept")
    jobs.done(guest, job)
    guest.run("/opt/mlosd/bin/mlosd-setup uninstall", timeout=120)
    assert guest.attempt("mlosctl status").rc == 127
    assert guest.attempt("systemctl cat mlosd.service").rc != 0
    guest.run("/opt/mlosd/bin/mlosd-setup install", timeout=120)
    assert jobs.show(guest, job)["result"] == "ok"


def test_a_purge_leaves_the_machine_as_it_was(guest: Guest) -> None:
    jobs.running(guest, "-- sleep 600")
    guest.run("/opt/mlosd/bin/mlosd-setup uninstall --purge", timeout=120)
    try:
        changed = guest.attempt(f"{SNAPSHOT} | diff {BEFORE} -")
        assert (changed.rc, changed.stdout) == (0, "")
        assert guest.attempt("pgrep -f mlos-shepherd").rc == 1
        assert guest.attempt("getent group mlos-admin").rc != 0
        assert guest.attempt("systemctl list-units --all --plain --no-legend 'mlos.*' 'mlos-[!v]*' | grep .").rc == 1
    finally:
        guest.run("/opt/mlosd/bin/mlosd-setup install", timeout=120)
