"""The guest that all tests here share: booted once, mlosd installed in it as a user would."""

from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from tests.vm import image, install
from tests.vm.guest import Guest

_CONSOLE = pytest.StashKey[tuple[Guest, int]]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark all tests of this folder, and no others."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.vm)


@pytest.fixture(scope="session")
def bare_guest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guest]:
    """A booted Debian without mlosd."""
    if reason := image.why_not():
        pytest.skip(reason)
    with Guest(image.image(), tmp_path_factory.mktemp("guest")) as guest:
        yield guest


@pytest.fixture(scope="session")
def installed_guest(bare_guest: Guest, tmp_path_factory: pytest.TempPathFactory) -> Guest:
    """The same guest, with the wheel of this checkout installed and the units running."""
    wheel = install.build_wheel(tmp_path_factory.mktemp("wheel"))
    install.install(bare_guest, wheel)
    return bare_guest


@pytest.fixture
def guest(installed_guest: Guest, request: pytest.FixtureRequest) -> Guest:
    """The guest with mlosd; what its console says during the test is shown when the test fails."""
    console = installed_guest.console
    request.node.stash[_CONSOLE] = (installed_guest, console.stat().st_size)
    return installed_guest


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the console, and what mlosd logged, to the report of a failed test."""
    report = yield
    if report.when == "call" and report.failed and _CONSOLE in item.stash:
        guest, size = item.stash[_CONSOLE]
        report.sections.append(("guest console", guest.console_tail(size)))
        report.sections.append(("mlosd's journal", install.journal(guest)))
    return report
