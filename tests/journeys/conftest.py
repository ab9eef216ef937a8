"""Journeys use the real daemon on a real socket, in a directory of their own."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.daemon import Mlosd


@pytest.fixture
def mlosd(tmp_path: Path) -> Iterator[Mlosd]:
    """A running daemon."""
    with Mlosd(tmp_path / "root") as daemon:
        yield daemon
