"""How one kind of target is read and written: a file of sysfs, a property of a unit, a network table."""

from typing import Protocol


class Kind(Protocol):
    """Reads and writes targets of one kind; decides nothing. Values are text; None: the target is not there."""

    def read(self, target: str) -> str | None:
        """What is now. Raises OSError."""

    def write(self, target: str, value: str | None) -> None:
        """Make it so. Raises OSError."""

    def same(self, one: str | None, other: str | None) -> bool:
        """Whether two values mean the same: the kernel may print what it was told in other words."""

    def passing(self, target: str, value: str | None) -> tuple[str, ...]:
        """What writing this value makes of the target on its way: whoever is killed there has left one of these."""

    def command(self, target: str, value: str | None) -> str:
        """The shell command that does what `write` does, for a person to paste."""

    def finish(self) -> None:
        """After the last write of a batch, for what is done once for all of them."""


class Plain:
    """What most kinds have in common: compared as text, written in one step, nothing to be done afterwards."""

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def passing(self, target: str, value: str | None) -> tuple[str, ...]:
        return ()

    def finish(self) -> None:
        pass
