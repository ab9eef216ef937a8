"""The reader and its workers: what is answered, what is refused, and that nothing is left behind."""

import asyncio
import gc
import hashlib
import os
import pickle
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from tests.fakes import model_files

from mlosd.content import messages
from mlosd.content.identity import Content, ContentChanged, ContentUnreadable, Identity, NoSpace
from mlosd.content.reader import LONG, Reader, _batches
from mlosd.content.sandbox import Layer

STARTED: dict[int, int] = {}
MODEL = model_files.safetensors({"fc.weight": (4, 4)})


@contextmanager
def opened(path: Path, flags: int = os.O_RDONLY) -> Iterator[int]:
    fd = os.open(path, flags | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def reading(work: Callable[[Reader], Awaitable[None]], *, stall_seconds: float = 60, idle_seconds: float = 5) -> None:
    """Do it with a reader, and see that it leaves no descriptor and no process behind."""

    async def go() -> None:
        reader = Reader(idle_seconds=idle_seconds, stall_seconds=stall_seconds)
        try:
            await work(reader)
        finally:
            await reader.close()

    before = open_files()
    asyncio.run(asyncio.wait_for(go(), 30))
    gc.collect()
    assert open_files() == before
    assert not workers()


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def workers() -> list[int]:
    """The pids of our children that are workers."""
    children = Path(f"/proc/self/task/{os.getpid()}/children").read_text().split()
    return [int(pid) for pid in children if b"mlosd.content.worker" in Path(f"/proc/{pid}/cmdline").read_bytes()]


async def until_busy() -> None:
    """Until a worker has worked for a while on what it was asked: not on its own start."""
    while True:
        for pid in workers():
            user_and_system = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11:13]
            if "NoNewPrivs:\t1" in Path(f"/proc/{pid}/status").read_text():
                started = STARTED.setdefault(pid, sum(map(int, user_and_system)))
                if sum(map(int, user_and_system)) > started + 1:
                    return
        await asyncio.sleep(0.01)


def test_a_file_is_identified_read_and_copied(tmp_path: Path) -> None:
    path, to = tmp_path / "m.safetensors", tmp_path / "copy"
    path.write_bytes(MODEL)

    async def work(reader: Reader) -> None:
        with opened(path) as fd, opened(to, os.O_RDWR | os.O_CREAT) as target:
            identity = await reader.identify(fd, name=b"m.safetensors")
            assert (identity.format, identity.role) == ("safetensors", "model")
            content = await reader.read(fd, name=b"m.safetensors")
            assert content == Content(identity, hashlib.sha256(MODEL).digest(), len(MODEL))
            assert await reader.copy(fd, target, name=b"m.safetensors") == content
            assert os.lseek(fd, 0, os.SEEK_CUR) == 0
            assert reader.layers is not None
            assert {layer.name for layer in reader.layers} >= {"seccomp", "Landlock", "another user"}

    reading(work)
    assert to.read_bytes() == MODEL


def test_a_long_file_is_copied_to_a_file_that_can_only_be_written(tmp_path: Path) -> None:
    content = os.urandom(3_000_001)
    (tmp_path / "long").write_bytes(content)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "long") as fd, opened(tmp_path / "to", os.O_WRONLY | os.O_CREAT) as to:
            found = await reader.copy(fd, to, name=b"long")
            assert (found.digest, found.size) == (hashlib.sha256(content).digest(), len(content))

    reading(work)
    assert (tmp_path / "to").read_bytes() == content


def test_many_files_are_answered_in_order_with_one_answer_each(tmp_path: Path) -> None:
    paths = []
    for number in range(450):
        path = tmp_path / f"{number}.csv"
        path.write_text(f"a,b\n{number},1\n")
        paths.append(path)

    async def work(reader: Reader) -> None:
        fds = [os.open(path, os.O_RDONLY) for path in paths]
        folder = os.open(tmp_path, os.O_RDONLY)
        files = [(fd, path.name.encode()) for fd, path in zip(fds, paths, strict=True)]
        files[7] = (folder, b"folder")
        answers = await reader.read_many(files)
        for fd in (*fds, folder):
            os.close(fd)
        assert len(answers) == len(files)
        refused = answers.pop(7)
        assert isinstance(refused, ContentUnreadable)
        assert refused.reason == "not a regular file"
        del paths[7]
        for path, answer in zip(paths, answers, strict=True):
            assert isinstance(answer, Content)
            assert answer.digest == hashlib.sha256(path.read_bytes()).digest()
        assert await reader.read_many([]) == []

    reading(work)


def test_large_headers_of_many_files_fit_through_the_socket(tmp_path: Path) -> None:
    path = tmp_path / "wide"
    names: dict[str, tuple[int, ...]] = {f"a_long_name_of_a_parameter_{n:0180}.weight": (1,) for n in range(200)}
    path.write_bytes(model_files.safetensors(names, metadata={f"k{n}": "v" * 900 for n in range(60)}))

    async def work(reader: Reader) -> None:
        with opened(path) as fd:
            answers = await reader.read_many([(fd, b"x" * 255)] * 50)
            assert all(isinstance(answer, Content) and answer.identity.role == "model" for answer in answers)

    reading(work)


@pytest.mark.parametrize("name", [b"\xff\xfe\n \t", b"a" * 255, '"\\ü'.encode(), b""])
def test_names_need_not_be_text(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "f").write_bytes(MODEL)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "f") as fd:
            assert (await reader.identify(fd, name=name)).role == "model"

    reading(work)


def test_what_cannot_be_read_is_refused_and_the_next_is_not(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(MODEL)

    async def work(reader: Reader) -> None:
        with opened(tmp_path, os.O_RDONLY) as folder, opened(tmp_path / "f") as fd:
            with pytest.raises(ContentUnreadable, match="not a regular file"):
                await reader.identify(folder, name=b"x")
            with opened(tmp_path / "f", os.O_WRONLY) as write_only, pytest.raises(ContentUnreadable, match="Bad file"):
                await reader.identify(write_only, name=b"x")
            with pytest.raises(ContentUnreadable, match="Bad file"):
                await reader.identify(9999, name=b"x")
            assert (await reader.identify(fd, name=b"x")).role == "model"

    reading(work)


def test_a_worker_that_is_killed_costs_one_answer(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(bytes(1 << 20))
    (tmp_path / "slow").write_bytes(b"")
    os.truncate(tmp_path / "slow", 1 << 40)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "f") as fd, opened(tmp_path / "slow") as slow:
            await reader.read(fd, name=b"f")
            question = asyncio.create_task(reader.read(slow, name=b"slow"))
            await until_busy()
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
            with pytest.raises(ContentUnreadable, match="SIGKILL"):
                await question
            assert (await reader.read(fd, name=b"f")).size == 1 << 20

    reading(work)


def test_the_other_lanes_do_not_wait_behind_a_long_file(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(MODEL)
    (tmp_path / "long").write_bytes(b"")
    os.truncate(tmp_path / "long", 1 << 42)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "f") as fd, opened(tmp_path / "long") as long:
            question = asyncio.create_task(reader.read(long, name=b"long"))
            await until_busy()
            with opened(tmp_path / "to", os.O_RDWR | os.O_CREAT) as to:
                assert (await reader.copy(fd, to, name=b"f")).size == len(MODEL)
            assert (await reader.identify(fd, name=b"f")).role == "model"
            assert not question.done()
            question.cancel()
            with pytest.raises(asyncio.CancelledError):
                await question
            assert (await reader.read(fd, name=b"f")).size == len(MODEL)  # the lane is free again

    reading(work)


def test_nobody_waits_behind_a_file_that_was_made_to_be_read_for_hours(tmp_path: Path) -> None:
    small = tmp_path / "small.txt"
    small.write_bytes(b"text")
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(LONG << 6)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "sparse") as long, opened(small) as short:
            hours = asyncio.create_task(reader.read_many([(short, b"before"), (long, b"long"), (short, b"after")]))
            await asyncio.sleep(0.3)
            async with asyncio.timeout(10):
                assert (await reader.read(short, name=b"small.txt")).size == 4
            assert not hours.done()
            hours.cancel()
            await asyncio.gather(hours, return_exceptions=True)

    reading(work)


@pytest.mark.parametrize(
    ("sizes", "batches"),
    [
        ([], []),
        ([1, 2, 3], [(0, 3)]),
        ([1, LONG + 1, 1], [(0, 1), (1, 2), (2, 3)]),
        ([LONG // 2, LONG // 2, 1], [(0, 2), (2, 3)]),
        ([0] * 201, [(0, 200), (200, 201)]),
    ],
)
def test_what_is_asked_for_at_once_is_bounded_by_files_and_by_bytes(
    sizes: list[int], batches: list[tuple[int, int]]
) -> None:
    assert list(_batches(sizes)) == batches


def test_a_file_that_grows_or_shrinks_meanwhile_has_no_digest(tmp_path: Path) -> None:
    path = tmp_path / "f"

    async def work(reader: Reader) -> None:
        for before, size in ((1 << 40, 5), (300 << 20, 600 << 20)):
            path.write_bytes(b"")
            os.truncate(path, before)
            STARTED.clear()
            with opened(path) as fd:
                question = asyncio.create_task(reader.read(fd, name=b"f"))
                await until_busy()
                os.truncate(path, size)
                with pytest.raises(ContentChanged):
                    await question

    reading(work)


def test_a_rename_meanwhile_is_no_change(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(1 << 20) * 50)

    async def work(reader: Reader) -> None:
        with opened(path) as fd:
            question = asyncio.create_task(reader.read(fd, name=b"f"))
            for number in range(20):
                await asyncio.sleep(0.005)
                path.rename(tmp_path / f"g{number}")
                (tmp_path / f"g{number}").rename(path)
            assert (await question).size == 50 << 20

    reading(work)


def test_a_copy_for_which_there_is_no_room_fills_nothing(tmp_path: Path) -> None:
    (tmp_path / "huge").write_bytes(b"")
    os.truncate(tmp_path / "huge", 8 << 40)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "huge") as fd, opened(tmp_path / "to", os.O_RDWR | os.O_CREAT) as to:
            with pytest.raises(NoSpace) as refused:
                await reader.copy(fd, to, name=b"huge")
            assert refused.value.reason == "no space"

    reading(work)
    assert (tmp_path / "to").stat().st_blocks == 0


def test_a_worker_that_shows_no_progress_is_ended(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(MODEL)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "f") as fd:
            await reader.identify(fd, name=b"f")
            [pid] = workers()
            os.kill(pid, signal.SIGSTOP)
            began = time.monotonic()
            with pytest.raises(ContentUnreadable, match="took too long"):
                await reader.identify(fd, name=b"f")
            assert time.monotonic() - began < 5
            assert (await reader.identify(fd, name=b"f")).role == "model"

    reading(work, stall_seconds=0.5)


def test_an_idle_worker_ends_and_the_next_question_starts_another(tmp_path: Path) -> None:
    (tmp_path / "f").write_bytes(MODEL)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "f") as fd:
            await reader.identify(fd, name=b"f")
            [first] = workers()
            while workers():
                await asyncio.sleep(0.02)
            await reader.identify(fd, name=b"f")
            assert workers() != [first]

    reading(work, idle_seconds=0.1)


def test_a_closed_reader_answers_nothing_more(tmp_path: Path) -> None:
    (tmp_path / "long").write_bytes(b"")
    os.truncate(tmp_path / "long", 1 << 42)

    async def work(reader: Reader) -> None:
        with opened(tmp_path / "long") as fd:
            questions = [asyncio.create_task(reader.read(fd, name=b"f")) for _ in range(3)]
            await asyncio.sleep(0.2)
            await reader.close()
            for question in questions:
                with pytest.raises(ContentUnreadable):
                    await question
            with pytest.raises(ContentUnreadable, match="stopping"):
                await reader.identify(fd, name=b"f")

    reading(work)


def test_questions_at_once_get_their_own_answers(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / str(number)).write_bytes(pickle.dumps(number))

    async def work(reader: Reader) -> None:
        async def ask(number: int) -> None:
            with opened(tmp_path / str(number)) as fd:
                content = await reader.read(fd, name=b"x")
                assert content.digest == hashlib.sha256(pickle.dumps(number)).digest()

        await asyncio.gather(*(ask(number) for number in range(30)))

    reading(work)


@pytest.mark.parametrize(
    "packet",
    [
        b"",
        b"[]",
        b"\xff",
        b'{"answers": 3}',
        b'{"answers": [{}]}',
        b'{"answers": [{"identity": ["x", "god", true, {}, []]}]}',
        b'{"answers": [{"identity": ["x", null, true, {}, []], "digest": "00", "size": 1}]}',
        b'{"answers": [{"identity": ["x", null, true, {}, []], "digest": "zz", "size": 1}]}',
        b'{"answers":' + b"[" * 100_000,
    ],
)
def test_what_no_worker_says_is_not_believed(packet: bytes) -> None:
    with pytest.raises(messages.Nonsense):
        messages.decode_answers(packet)


def test_answers_come_back_as_they_were() -> None:
    identity = Identity("torch", "model", False, {"a": [1]}, ("careful",))
    for answer in (identity, Content(identity, bytes(32), 7)):
        assert messages.decode_answers(messages.encode_answers([messages.encode_answer(answer)])) == [answer]
    for error in (NoSpace(), ContentChanged(), ContentUnreadable("why")):
        [back] = messages.decode_answers(messages.encode_answers([messages.encode_answer(error)]))
        assert isinstance(back, ContentUnreadable)
        assert (type(back), back.reason) == (type(error), error.reason)
    assert messages.decode_ready(messages.encode_ready([("a", None), ("b", "no")])) == (("a", None), ("b", "no"))
    assert Layer("a").lacking is None
