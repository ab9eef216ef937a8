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


# Each move is written down, on the disk, only when mlosd has acknowledged it.
SAVE_AND_MOVE = """
cd && mkdir -p ml && cd ml
i=0
while :; do
  i=$((i+1))
  head -c 4096 /dev/urandom > model.bin
  mlosctl model register ~/ml/model.bin --name cut >/dev/null || exit
  mlosctl model alias cut production --reason "move $i." >/dev/null || exit
  echo "$i" >> ~/acknowledged && sync ~/acknowledged
done
"""
INTEGRITY = "sqlite3.connect('file:/var/lib/mlosd/mlosd.db?mode=ro', uri=True).execute('pragma integrity_check')"


def test_no_acknowledged_move_of_an_alias_is_lost_with_the_power(guest: Guest) -> None:
    guest.begin(SAVE_AND_MOVE, user="alice", timeout=300)
    guest.eventually("test $(wc -l < ~alice/acknowledged) -ge 3")
    guest.power_cut()
    guest.eventually("mlosctl status")
    acknowledged = guest.run("cat ~/acknowledged", user="alice").split()
    history = guest.run("mlosctl model history cut", user="alice")
    assert len(acknowledged) >= 3
    assert [number for number in acknowledged if f"move {number}." not in history] == []
    assert "production" in guest.run("mlosctl model show cut", user="alice")
    assert guest.run(f'python3 -c "import sqlite3; print(*{INTEGRITY}.fetchone())"').strip() == "ok"
