"""Kinds of targets for tests of the mode: a dictionary that can refuse, and that somebody else can write."""

import errno


class Shelf:
    """Targets by name. `refuses`: what write() raises for a target; `bends`: what a written value becomes."""

    def __init__(self, **values: str | None) -> None:
        self.values: dict[str, str | None] = dict(values)
        self.refuses: dict[str, OSError] = {}
        self.bends: dict[str, str] = {}
        self.written: list[tuple[str, str | None]] = []

    def read(self, target: str) -> str | None:
        if target not in self.values:
            raise OSError(errno.ENOENT, "No such file or directory", target)
        return self.values[target]

    def write(self, target: str, value: str | None) -> None:
        self.written.append((target, value))
        if target in self.refuses:
            raise self.refuses[target]
        self.values[target] = self.bends.get(target, value)

    def same(self, one: str | None, other: str | None) -> bool:
        return one == other

    def passing(self, target: str, value: str | None) -> tuple[str, ...]:
        return ()

    def command(self, target: str, value: str | None) -> str:
        return f"put {target} {value}"

    def finish(self) -> None:
        pass
