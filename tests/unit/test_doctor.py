"""The doctor: one attempt at a time, what it says, and how it writes that down."""

import importlib
import io
import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mlosd.doctor import report
from mlosd.doctor.attempt import attempt
from mlosd.doctor.host import Host
from mlosd.doctor.probe import Feature, Probe, find
from mlosd.doctor.report import Finding, Page, Standing
from mlosd.doctor.verdict import AS_ROOT, Degraded, Ok, Unavailable, Verdict, from_wire, to_wire


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(state=tmp_path / "lib", scratch=tmp_path)


def probe(run: Callable[[Host], Verdict], *, seconds: float = 5.0) -> Probe:
    return Probe(name="a probe", group=Feature.JOBS, purpose="Tries.", run=run, seconds=seconds)


def refusing(number: int) -> Probe:
    def run(_: Host) -> Verdict:
        raise OSError(number, os.strerror(number), "/dev/thing")

    return probe(run)


# --- attempts ---


@pytest.mark.parametrize("verdict", [Ok("fine"), Degraded("less", "do this"), Unavailable("none"), Degraded("ü")])
def test_a_verdict_comes_back_from_the_child_as_it_was(host: Host, verdict: Verdict) -> None:
    assert attempt(probe(lambda _: verdict), host) == verdict
    assert from_wire(to_wire(verdict)) == verdict


def test_a_probe_runs_in_a_process_of_its_own(host: Host) -> None:
    def run(_: Host) -> Verdict:
        os.chdir("/")
        os.environ["MLOSD_SPOILED"] = "1"
        return Ok(str(os.getpid()))

    before = Path.cwd()
    assert attempt(probe(run), host) != Ok(str(os.getpid()))
    assert Path.cwd() == before
    assert "MLOSD_SPOILED" not in os.environ


def test_a_plain_user_who_is_refused_needs_root(tmp_path: Path) -> None:
    user = Host(state=tmp_path, scratch=tmp_path, uid=1000)
    assert attempt(refusing(1), user) == Unavailable("needs root", AS_ROOT)


def test_root_who_is_refused_is_told_so(tmp_path: Path) -> None:
    root = Host(state=tmp_path, scratch=tmp_path, uid=0)
    verdict = attempt(refusing(13), root)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == "refused even to root (/dev/thing)"


def test_a_system_call_that_is_missing_is_an_old_kernel(host: Host) -> None:
    assert attempt(refusing(38), host) == Unavailable("this kernel does not have it", "a newer kernel has")


def test_any_other_error_is_said_in_the_kernels_words(host: Host) -> None:
    assert attempt(refusing(5), host) == Unavailable("Input/output error (/dev/thing)")


def test_a_probe_with_a_mistake_in_it_does_not_stop_the_others(host: Host) -> None:
    verdict = attempt(probe(lambda _: Ok(str(1 // 0))), host)
    assert isinstance(verdict, Unavailable)
    assert "ZeroDivisionError" in verdict.detail
    assert verdict.hint is not None
    assert "test_doctor.py" in verdict.hint


def test_a_probe_that_hangs_is_killed_with_all_it_started_and_tidied_up_after(host: Host, tmp_path: Path) -> None:
    def run(_: Host) -> Verdict:
        grandchild = os.fork()
        if grandchild == 0:
            signal.pause()
        (tmp_path / "grandchild").write_text(str(grandchild))
        signal.pause()
        return Ok("never")

    tidied: list[int] = []
    hanging = Probe(
        name="hangs",
        group=Feature.JOBS,
        purpose="Hangs.",
        run=run,
        seconds=0.3,
        tidy=lambda _, pid: tidied.append(pid),
    )
    verdict = attempt(hanging, host)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == "no answer within 0.3 s"
    assert tidied == [os.getpid()]
    assert _ends(int((tmp_path / "grandchild").read_text()))


def _ends(pid: int) -> bool:
    """Dead, or a zombie that nobody has reaped yet."""
    for _ in range(100):
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return True
        if state in "ZX":
            return True
        time.sleep(0.01)
    return False


def test_a_probe_that_is_killed_has_no_answer(host: Host) -> None:
    def run(_: Host) -> Verdict:
        os.kill(os.getpid(), signal.SIGKILL)
        return Ok("never")

    verdict = attempt(probe(run), host)
    assert isinstance(verdict, Unavailable)
    assert verdict.detail == "the attempt ended without an answer"


def test_a_grandchild_that_stays_does_not_delay_the_answer(host: Host) -> None:
    def run(_: Host) -> Verdict:
        if os.fork() == 0:
            signal.pause()
        return Ok("at once")

    began = time.monotonic()
    assert attempt(probe(run), host) == Ok("at once")
    assert time.monotonic() - began < 2.0


# --- all probes ---


def test_every_probe_says_what_it_is_for_and_what_rests_on_it(host: Host) -> None:
    for found in find(host):
        assert found.features, found.name
        assert found.purpose.endswith("."), found.name
        assert found.purpose[0].isupper(), found.name
        assert len(found.name) < 60, found.name


def test_no_two_probes_have_one_name_and_they_come_in_the_order_of_the_report(host: Host) -> None:
    found = find(host)
    assert len({each.name for each in found}) == len(found)
    order = list(Feature)
    assert [order.index(each.group) for each in found] == sorted(order.index(each.group) for each in found)


def test_every_feature_rests_on_something(host: Host) -> None:
    assert {feature for found in find(host) for feature in found.features} == set(Feature)


def test_an_extension_that_is_not_built_is_a_finding_not_a_crash(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    def without_extension(name: str) -> object:
        if name.endswith((".openat2", ".pidfd")):
            raise ModuleNotFoundError("No module named 'mlosd._native'", name="mlosd._native")
        return importlib.import_module(name)

    monkeypatch.setattr("mlosd.doctor.probe.import_module", without_extension)
    (missing,) = (found for found in find(host) if found.name == "C extension")
    verdict = attempt(missing, host)
    assert verdict.detail == "it is not built, so these were not tried: openat2, pidfd"
    assert not report.runs_jobs([Finding(missing, verdict)])


# --- the report ---


def finding(
    name: str, verdict: Verdict, *, needed_by: tuple[Feature, ...] = (), used_by: tuple[Feature, ...] = ()
) -> Finding:
    return Finding(
        Probe(
            name=name,
            group=(needed_by or used_by)[0],
            purpose="Does something useful for a user.",
            run=lambda _: verdict,
            needed_by=needed_by,
            used_by=used_by,
        ),
        verdict,
    )


LAUNCHER = finding("launcher", Ok("ran /bin/true"), needed_by=(Feature.JOBS,))
NO_LAUNCHER = finding("launcher", Unavailable("not there", "build it"), needed_by=(Feature.JOBS,))
FREEZER = finding("freezer", Unavailable("needs root", AS_ROOT), used_by=(Feature.JOBS,))
LESS = finding("systemd", Degraded("not PID 1"), used_by=(Feature.JOBS,))


@pytest.mark.parametrize(
    ("findings", "standing"),
    [
        ([LAUNCHER], Standing(Feature.JOBS, "yes", ())),
        ([LAUNCHER, LESS, FREEZER], Standing(Feature.JOBS, "partly", ("systemd", "freezer"))),
        ([NO_LAUNCHER, FREEZER], Standing(Feature.JOBS, "no", ("launcher",))),
    ],
)
def test_a_feature_stands_as_well_as_what_it_rests_on(findings: list[Finding], standing: Standing) -> None:
    assert report.standings(findings) == (standing,)


def test_jobs_run_as_long_as_nothing_they_need_is_missing() -> None:
    assert report.runs_jobs([LAUNCHER, FREEZER, LESS])
    assert not report.runs_jobs([NO_LAUNCHER])


def table(*findings: Finding, width: int = 60, colour: bool = False) -> str:
    out = io.StringIO()
    report.write_table(findings, Page(out, width, colour))
    return out.getvalue()


def test_the_table_says_what_works_and_for_the_rest_why_and_what_to_do() -> None:
    assert table(LAUNCHER, LESS, NO_LAUNCHER) == (
        "\n"
        "Jobs: start, stop, survive a restart of the daemon\n"
        "  ✓ launcher  ran /bin/true\n"
        "  ~ systemd   not PID 1\n"
        "              What for: does something useful for a user.\n"
        "  ✗ launcher  not there\n"
        "              What for: does something useful for a user.\n"
        "              → build it\n"
        "\n"
        "In short\n"
        "  ✗ jobs      no: it needs launcher\n"
    )


def test_what_no_feature_needs_is_not_shown_as_a_fault() -> None:
    assert "  - freezer" in table(FREEZER)


def test_the_advice_to_be_root_is_not_repeated_in_each_row() -> None:
    assert "sudo" not in table(FREEZER)


def test_long_text_stays_in_its_column() -> None:
    long = finding("launcher", Ok("word " * 40), needed_by=(Feature.JOBS,))
    lines = table(long, width=50).splitlines()
    assert max(map(len, lines)) <= 50
    assert all(line.startswith(" " * 14 + "word") for line in lines[3:5])


def test_colours_only_where_asked_for() -> None:
    assert "\033[" not in table(LAUNCHER, FREEZER)
    assert "\033[32m✓ \033[0m" in table(LAUNCHER, colour=True)


def test_json_is_one_object_on_one_line_for_each_probe() -> None:
    out = io.StringIO()
    report.write_json(NO_LAUNCHER, out)
    assert json.loads(out.getvalue()) == {
        "name": "launcher",
        "group": "jobs",
        "state": "unavailable",
        "reason": "not there",
        "hint": "build it",
        "for": "Does something useful for a user.",
        "needed_by": ["jobs"],
        "used_by": [],
    }
    assert out.getvalue().count("\n") == 1
