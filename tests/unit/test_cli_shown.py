"""What people are shown of a job: its row, its card, its end."""

from typing import Any

import pytest

from mlosd.cli import job_card, job_table, outcome

JOB: dict[str, Any] = {
    "id": 7, "name": "resnet", "user": "ann", "project": None, "env": "dev", "class": "training", "priority": 0,
    "argv": ["python", "train.py", "--note", "a b"], "cwd": "/home/ann", "state": "RUNNING", "reason": None,
    "result": None, "exit_code": None, "signal": None, "submitted_at": 100.0, "started_at": 110.0, "ended_at": None,
    "pid": 42, "backend": "direct", "cgroup": "/x", "limits": {"cpus": 2, "memory": 8 << 30, "time": 7200},
    "cpus": [0, 1, 2, 5], "gpus": [], "usage": None, "notes": [],
}  # fmt: skip


def job(**fields: object) -> dict[str, Any]:
    return {**JOB, **fields}


def test_a_row_says_what_matters() -> None:
    (row,) = job_table.rows([JOB], now=230.0)
    assert row == ("7", "RUNNING", "ann", "dev", "2", "8G", "2m", "resnet", "python train.py --note 'a b'")


def test_a_job_that_has_not_begun_has_not_elapsed() -> None:
    (row,) = job_table.rows([job(state="QUEUED", reason="waits for 2 CPUs", started_at=None, limits={})], now=230.0)
    assert row[1:7] == ("QUEUED (waits for 2 CPUs)", "ann", "dev", "-", "-", "-")


@pytest.mark.parametrize(
    ("fields", "state", "code"),
    [
        ({"result": "ok", "exit_code": 0}, "ok", 0),
        ({"result": "failed", "exit_code": 3}, "failed (3)", 3),
        ({"result": "oom", "signal": 9}, "oom (SIGKILL)", 137),
        ({"result": "timeout", "signal": 15}, "timeout (SIGTERM)", 143),
        ({"result": "killed", "signal": 40}, "killed (signal 40)", 168),
        ({"result": "killed"}, "killed", 143),
        ({"result": "lost"}, "lost", 75),
        ({"result": "failed"}, "failed", 127),
    ],
)
def test_an_end_has_a_word_and_an_exit_code(fields: dict[str, Any], state: str, code: int) -> None:
    done = job(state="DONE", **fields)
    assert (job_table.state(done), outcome.exit_code(done)) == (state, code)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"result": "ok"}, False),
        ({"result": "failed", "exit_code": 1}, False),
        ({"result": "failed", "exit_code": 127, "started_at": None}, True),
        ({"result": "oom", "signal": 9}, True),
        ({"result": "killed", "signal": 15}, True),
    ],
)
def test_only_an_end_that_the_job_cannot_have_told_is_told(fields: dict[str, Any], said: bool) -> None:
    assert outcome.worth_saying(job(state="DONE", **fields)) is said


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        (None, "job 7 waits"),
        ("waits for 2 CPUs: 2 of 2 in use", "job 7 waits for 2 CPUs: 2 of 2 in use"),
        ("held", "job 7 waits: held"),
    ],
)
def test_a_wait_is_a_sentence(reason: str | None, sentence: str) -> None:
    assert outcome.waiting(7, reason) == sentence


def test_what_this_machine_cannot_tell_is_not_guessed() -> None:
    usage = {"cpu_us": 3_000_000, "memory_peak": None, "read_bytes": 0}
    facts = dict(job_card.cost(job(usage=usage, ended_at=112.0, notes=["no memory controller"])))
    assert facts["CPU time"] == "3s (1.5 CPUs on average)"
    assert facts["peak memory"] == "n/a (no memory controller)"
    assert facts["read"] == "0B"
    assert facts["waited for I/O"] == "n/a"


@pytest.mark.parametrize(
    ("numbers", "shown"), [([], ""), ([3], "3"), ([0, 1, 2, 5], "0-2,5"), ([7, 5, 6, 1], "1,5-7"), ([0, 2, 4], "0,2,4")]
)
def test_cpus_are_listed_as_the_kernel_does(numbers: list[int], shown: str) -> None:
    assert job_card.ranges(numbers) == shown


def test_the_card_has_all_parts(capsys: pytest.CaptureFixture[str]) -> None:
    job_card.show(job(state="DONE", result="ok", exit_code=0, ended_at=120.0, notes=["a note"], cwd="/a\x1b[2J"))
    shown = capsys.readouterr().out
    for part in ("Job 7  resnet  ok", "Asked for", "Granted", "Cost", "End", "Notes", "a note", "/a\\x1b[2J", "0-2,5"):
        assert part in shown
