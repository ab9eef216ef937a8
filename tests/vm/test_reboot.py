"""The machine goes down, in order or not: what ran is lost and says why, what waited goes on."""

from collections.abc import Callable

import pytest
from tests.vm import jobs
from tests.vm.guest import Guest


@pytest.mark.parametrize("go_down", [Guest.reboot, Guest.power_cut], ids=["reboot", "power cut"])
def test_a_running_job_is_lost_with_its_reason_and_a_queued_one_goes_on(
    guest: Guest, go_down: Callable[[Guest], None]
) -> None:
    running = jobs.running(guest, "--cpus 2 -- sleep 600")
    waiting = jobs.submit(guest, "--cpus 2 -- sh -c 'echo it runs at last'")
    assert jobs.show(guest, waiting)["state"] == "QUEUED"
    go_down(guest)
    guest.eventually("mlosctl status")
    lost = jobs.show(guest, running["id"])
    assert (lost["state"], lost["result"]) == ("DONE", "lost")
    assert "restarted" in lost["reason"]
    assert jobs.done(guest, waiting)["result"] == "ok"
    assert guest.run(f"mlosctl job logs {waiting}", user="alice").strip() == "it runs at last"
    assert jobs.submit(guest, "-- true") > waiting
