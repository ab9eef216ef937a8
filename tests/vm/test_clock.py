"""A clock that jumps: limits count seconds that nobody can set, and no job ends before it began."""

import pytest
from tests.vm import jobs
from tests.vm.guest import Guest


@pytest.mark.parametrize("jump", ["+86400", "-86400"], ids=["a day ahead", "a day back"])
def test_a_clock_that_jumps_ends_no_job_and_moves_no_limit(guest: Guest, jump: str) -> None:
    lives = jobs.running(guest, "--time 300s -- sleep 25")
    dies = jobs.running(guest, "--time 25s -- sleep 600")
    guest.run(f"date -s @$(( $(date +%s) {jump[0]} {jump[1:]} ))")
    guest.run("systemctl restart mlosd.service", timeout=120)
    ended, limited = jobs.done(guest, lives["id"]), jobs.done(guest, dies["id"])
    back = "-" if jump[0] == "+" else "+"
    guest.run(f"date -s @$(( $(date +%s) {back} {jump[1:]} ))")
    assert ended["result"] == "ok"
    assert limited["result"] == "timeout"
    for job in (ended, limited):
        assert job["started_at"] <= job["ended_at"]
