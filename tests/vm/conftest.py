"""The guests that all tests here share, each booted once, with mlosd installed as a user would.

`guest`: the small one. `mode_guest`, `mode_guest_backports`: a workstation for ML mode, with either kernel;
`mode_machine`: the same in other shapes, `mode_machine(cpus=8, extra=garage.numa(2, cpus=8, memory=2048))`.
"""

from collections.abc import Callable, Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.vm import image, install, recipes
from tests.vm.garage import Garage
from tests.vm.guest import Guest

# Tests with these fixtures or parameters run after all others and in this order: one such machine runs at a time, and
# booting it takes long.
_LAST = ({"mode_guest", "stock"}, {"mode_guest_backports", "backports"}, {"mode_machine"})
_CONSOLES = pytest.StashKey[list[tuple[Guest, int]]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder, and no others; last those of ML mode, each kernel's in one go."""
    here = Path(__file__).parent
    ours = [item for item in items if here in item.path.parents]
    for item in ours:
        item.add_marker(pytest.mark.vm)
    ranked = iter(sorted(ours, key=_rank))
    items[:] = [next(ranked) if here in item.path.parents else item for item in items]


def _rank(item: pytest.Item) -> int:
    parameters = item.callspec.params.values() if hasattr(item, "callspec") else ()
    wanted = {*getattr(item, "fixturenames", ()), *map(str, parameters)}
    return next((rank for rank, names in enumerate(_LAST, start=1) if names & wanted), 0)


@pytest.fixture(scope="session")
def bare_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A booted Debian without mlosd."""
    if reason := image.why_not():
        pytest.skip(reason)
    with Guest(image.image(), tmp_path_factory.mktemp("guest")) as guest:
        yield guest


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this checkout."""
    return install.build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def installed_guest(bare_guest: Guest, wheel: Path) -> Guest:
    """The same guest, with the wheel of this checkout installed and the units running."""
    # Their jobs are not to switch the machine to and fro: that has a guest and tests of its own.
    install.install(bare_guest, wheel, settings="[mode]\nfor_jobs = false\n")
    return bare_guest


def _shown(guest: Guest, request: pytest.FixtureRequest) -> Guest:
    """What its console says during the test is shown when the test fails."""
    request.node.stash.setdefault(_CONSOLES, []).append((guest, guest.console.stat().st_size))
    return guest


@pytest.fixture
def guest(installed_guest: Guest, request: pytest.FixtureRequest) -> Guest:
    """The guest with mlosd."""
    return _shown(installed_guest, request)


@pytest.fixture(scope="session")
def mode_garage(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Garage]:
    """Where the machines for ML mode are; none of them runs yet."""
    if reason := image.why_not():
        pytest.skip(reason)
    wheel = request.getfixturevalue("wheel")
    garage = Garage(image.image(recipes.MODE), wheel, lambda: tmp_path_factory.mktemp("mode-guest"))
    yield garage
    garage.close()


@pytest.fixture
def mode_machine(mode_garage: Garage, request: pytest.FixtureRequest) -> Callable[..., Guest]:
    """Gives a machine for ML mode of the shape asked for: what Garage.guest takes."""

    def machine(*, kernel: str = "stock", **shape: Any) -> Guest:
        if reason := mode_garage.why_no_kernel(kernel):
            pytest.skip(reason)
        return _shown(mode_garage.guest(kernel=kernel, **shape), request)

    return machine


@pytest.fixture
def mode_guest(mode_machine: Callable[..., Guest]) -> Guest:
    """A workstation with Debian's own kernel: four CPUs, all that ML mode has to do with."""
    return mode_machine()


@pytest.fixture
def mode_guest_backports(mode_machine: Callable[..., Guest]) -> Guest:
    """The same with Debian's newest kernel, which has sched_ext and uclamp."""
    return mode_machine(kernel="backports")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the console, and what mlosd logged, to the report of a failed test."""
    report = yield
    if report.when == "call" and report.failed:
        for guest, size in item.stash.get(_CONSOLES, []):
            report.sections.append(("guest console", guest.console_tail(size)))
            report.sections.append(("mlosd's journal", install.journal(guest)))
    return report
