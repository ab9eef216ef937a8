"""One line of questions to one worker process, which is started when it is needed and ended when it is not."""

import asyncio
from collections.abc import Sequence

from mlosd.content import messages
from mlosd.content.identity import ContentUnreadable
from mlosd.content.messages import Answer
from mlosd.content.process import WorkerLost, WorkerProcess
from mlosd.content.sandbox import Layer, Pace

Files = Sequence[tuple[tuple[int, ...], bytes]]


class Lane:
    """Questions are answered one after the other, in the order they came. Owns its worker."""

    def __init__(self, pace: Pace, *, idle_seconds: float, stall_seconds: float) -> None:
        self.layers: tuple[Layer, ...] | None = None
        self._pace = pace
        self._idle_seconds = idle_seconds
        self._stall_seconds = stall_seconds
        self._turn = asyncio.Lock()
        self._worker: WorkerProcess | None = None
        self._ending: list[WorkerProcess] = []
        self._idle: asyncio.TimerHandle | None = None
        self._closed = False

    async def ask(self, op: str, files: Files) -> list[Answer]:
        """One answer per file (its descriptors and its name), `messages.MOST_FILES` descriptors at most.

        A file that costs the worker its life is told from the others by asking for each alone.
        """
        answers: list[Answer] = []
        async with self._turn:
            try:
                answers += await self._exchange(op, files)
            except WorkerLost as e:
                answers += e.answers
                if len(files) == 1:
                    answers.append(ContentUnreadable(e.reason))
            except OSError as e:
                if len(files) == 1:
                    answers.append(ContentUnreadable(e.strerror or str(e)))
        for file in files[len(answers) :]:
            answers += await self.ask(op, [file])
        return answers

    async def close(self) -> None:
        """End the worker and answer nothing more."""
        self._closed = True
        self._drop()
        for worker in self._ending:
            await worker.ended()

    async def _exchange(self, op: str, files: Files) -> list[Answer]:
        if self._closed:
            raise WorkerLost("the daemon is stopping", [])
        self._cancel_idle()
        fds = [fd for of_file, _ in files for fd in of_file]
        request = messages.encode_request(op, [name for _, name in files])
        try:
            worker = await self._ready()
            answers = await worker.ask(request, fds, len(files))
        except BaseException:
            # Also when whoever asked went away: the worker is in the middle of something that nobody wants.
            self._drop()
            raise
        self._idle = asyncio.get_running_loop().call_later(self._idle_seconds, self._drop)
        return answers

    async def _ready(self) -> WorkerProcess:
        if self._worker is None or self._worker.has_ended:
            self._drop()
            self._worker = worker = WorkerProcess.spawn(self._pace, stall_seconds=self._stall_seconds)
            await worker.ready()
            self.layers = worker.layers
            return worker
        return self._worker

    def _drop(self) -> None:
        self._cancel_idle()
        self._ending = [worker for worker in self._ending if not worker.has_ended]
        if self._worker is not None:
            self._worker.end()
            self._ending.append(self._worker)
            self._worker = None

    def _cancel_idle(self) -> None:
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
