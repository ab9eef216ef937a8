"""What a trace comes to: each file with how and in which state it was used. Pure: records in, an Account out."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from mlosd.kernel import trace
from mlosd.kernel.trace import Again, Begin, Closed, Covered, End, Exited, File, Partial, Process, Record, Renamed

READ, WRITE, EXEC = 1, 2, 4

# Times of files have the grain of a timer tick: a file may seem a little older than the job that made it.
TICK_NS = 10_000_000


@dataclass(frozen=True, slots=True)
class State:
    """What tells one content of a file from the next. `size` -1: nobody could look."""

    size: int
    mtime_ns: int
    ctime_ns: int


@dataclass(slots=True)
class Used:
    """A file that the job used. `before`: as it was at first sight; `after`: as the job left it, if it wrote it.

    `began_ns`: when the job did, by the clock of its files.
    """

    first: File
    path: bytes | None
    modes: int
    before: State
    began_ns: int
    after: State | None = None

    @property
    def is_input(self) -> bool:
        """Whether what was there before the job came is part of what the job read."""
        if self.modes & EXEC or self.after is None:
            return True
        # Opened for writing, an old file is emptied before the kernel tells of the open: nothing of it was read.
        if self.before.size <= 0 or self.first.btime_ns >= self.began_ns:
            return False
        if self.before.ctime_ns < self.began_ns:
            return True
        # Renamed, say, before anybody looked; or written and then given an old time, as by `cp -p`, and left like that.
        return self.before.mtime_ns < self.began_ns and self.before != self.after


@dataclass(slots=True)
class Ran:
    """A process of the job. `status` as wait(2) gives it; None: its end was not seen."""

    pid: int
    parent: int | None
    started_ns: int
    executable: bytes | None
    status: int | None = None


@dataclass(slots=True)
class Account:
    """A trace, folded. Feed it records in their order; it may be read at any time."""

    files: dict[int, Used] = field(default_factory=dict)
    processes: list[Ran] = field(default_factory=list)
    covered: dict[str, Covered] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    begun: bool = False
    ended: bool = False
    _begun_ns: int = 0
    _running: dict[int, Ran] = field(default_factory=dict)

    @property
    def began_at(self) -> float:
        """When the job began, by the wall clock."""
        return self._begun_ns / 1e9

    def add(self, record: Record) -> None:
        """Take the next record into account."""
        match record:
            case Begin(realtime_ns, _):
                self.begun, self._begun_ns = True, realtime_ns
            case Covered(filesystem):
                self.covered[filesystem] = record
            case File():
                before = State(record.size, record.mtime_ns, record.ctime_ns)
                began = self._begun_ns - TICK_NS
                self.files[record.number] = Used(record, record.path, _bits(record.modes), before, began)
            case Again(number, _, modes) if used := self.files.get(number):
                used.modes |= _bits(modes)
            case Closed(number, _, _, size, mtime_ns, ctime_ns) if used := self.files.get(number):
                used.modes |= WRITE
                used.after = State(size, mtime_ns, ctime_ns)
            case Renamed(number, _, _, path) if used := self.files.get(number):
                used.path = path
            case Process():
                self._process(record)
            case Exited(_, pid, status) if ran := self._running.pop(pid, None):
                ran.status = status
            case Partial(reason) if reason not in self.reasons:
                self.reasons.append(reason)
            case End():
                self.ended = True
            case _:
                pass  # a file beyond the keeper's memory, or a process whose beginning was not seen

    def _process(self, record: Process) -> None:
        # A second record of a running process: it became another program.
        if ran := self._running.get(record.pid):
            ran.executable = record.executable or ran.executable
            return
        ran = Ran(record.pid, record.parent or None, record.at, record.executable)
        self._running[record.pid] = ran
        self.processes.append(ran)


def account(records: Iterable[Record]) -> Account:
    """The account of a whole trace."""
    result = Account()
    for record in records:
        result.add(record)
    return result


class Reading:
    """A trace that grows: feed it bytes as they come. A damaged line ends it, and the account says so."""

    def __init__(self) -> None:
        self.account = Account()
        self._rest = b""
        self._damaged = False

    def feed(self, data: bytes) -> list[Record]:
        """The records that are whole now; they are in the account already."""
        if self._damaged:
            return []
        self._rest += data
        try:
            records, consumed = trace.parse(self._rest)
        except trace.TraceDamaged as e:
            records, consumed, self._damaged = e.records, e.consumed, True
            self.account.reasons.append("the trace is damaged")
        self._rest = self._rest[consumed:]
        for record in records:
            self.account.add(record)
        return records


def _bits(modes: str) -> int:
    return sum({"r": READ, "w": WRITE, "x": EXEC}[mode] for mode in modes)
