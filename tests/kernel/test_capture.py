"""Recall: everything that strace(1) sees a job open is in its trace, and nothing that others opened; or it is said."""

import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.fakes import observed
from tests.fakes.observed import observe

from mlosd.core import data
from mlosd.kernel.job_files import read_started
from mlosd.kernel.trace import Closed, Covered, End

pytestmark = [pytest.mark.kernel, pytest.mark.skipif(os.geteuid() != 0, reason="only root may observe mounts")]

# The path that an fd has (strace -y); what was opened in the end, whatever it was asked for by.
OPENED = re.compile(rb"(?:openat2?|open|creat)\(.* = \d+<(/[^>]*)>")
EXECED = re.compile(rb'execve\("([^"]*)".* = 0')
NO_DATA = re.compile(rb"/(proc|sys|dev(?!/shm))(/|$)")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    path = tmp_path / "place"
    path.mkdir()
    (path / "data.csv").write_text("a,b\n1,2\n3,4\n")
    return path


@pytest.fixture
def somebody_else(tmp_path: Path) -> Iterator[Path]:
    """A file that a process outside the job opens, reads and writes all the time."""
    path, over = tmp_path / "foreign", threading.Event()

    def work() -> None:
        while not over.is_set():
            path.write_text(path.read_text() if path.exists() else "x")
            time.sleep(0.0005)

    thread = threading.Thread(target=work)
    thread.start()
    yield path
    over.set()
    thread.join()


def compiled(place: Path, source: str, *options: str) -> str:
    """A C program, or a skip where there is no compiler."""
    compiler = shutil.which("cc")
    if not compiler:
        pytest.skip("no C compiler")
    program = place.parent / "program"
    (place.parent / "program.c").write_text(source)
    subprocess.run([compiler, *options, "-o", program, place.parent / "program.c"], check=True)
    return str(program)


def oracle(log: Path) -> set[bytes]:
    """The regular files that strace saw being opened or executed. It wrote one file for each process."""
    paths = set()
    for line in (line for part in log.parent.glob("strace.*") for line in part.read_bytes().splitlines()):
        if b"O_DIRECTORY" in line:
            continue
        if found := OPENED.search(line) or EXECED.search(line):
            path = found[1].removesuffix(b" (deleted)")
            if not NO_DATA.match(path) and not os.path.isdir(path):  # noqa: PTH112 - bytes
                paths.add(os.path.realpath(path) if EXECED.search(line) else path)
    return paths


STATIC = r"""
#include <fcntl.h>
#include <unistd.h>
int main(void)
{
    char text[9];
    int in = open("data.csv", O_RDONLY), out = creat("out", 0644);
    return read(in, text, 9) != 9 || write(out, text, 9) != 9;
}
"""
PYTHON = {
    "numpy.save": ("numpy", "import numpy; numpy.save('x.npy', numpy.ones(9)); numpy.load('x.npy')"),
    "save and rename": (
        "numpy",
        "import numpy, os; numpy.save('t.npy', numpy.ones(9)); os.replace('t.npy', 'x.npy'); numpy.load('x.npy')",
    ),
    "by way of BytesIO": (
        "numpy",
        "import io, numpy; b = io.BytesIO(); numpy.save(b, numpy.ones(9)); open('x', 'wb').write(b.getvalue())",
    ),
    "safetensors by hand": (
        "json",
        """
import json, struct
header = json.dumps({'w': {'dtype': 'F32', 'shape': [1], 'data_offsets': [0, 4]}}).encode()
open('x.safetensors', 'wb').write(struct.pack('<Q', len(header)) + header + bytes(4))
""",
    ),
    "safetensors": ("safetensors", "import numpy, safetensors.numpy as s; s.save_file({'w': numpy.ones(1)}, 'x')"),
    "pandas": ("pandas", "import pandas; pandas.read_csv('data.csv').to_csv('out.csv')"),
    "pyarrow": (
        "pyarrow",
        """
import pyarrow.csv, pyarrow.parquet as p
p.write_table(pyarrow.csv.read_csv('data.csv'), 'x.parquet')
p.read_table('x.parquet')
""",
    ),
    "duckdb": ("duckdb", "import duckdb; duckdb.sql(\"copy (from 'data.csv') to 'x.parquet'\")"),
    "np.memmap": (
        "numpy",
        "import numpy as n; m = n.memmap('m', 'f4', 'w+', shape=9); m[:] = 1; m.flush(); n.memmap('m', 'f4', 'r')[0]",
    ),
    "worker processes": (
        "multiprocessing",
        """
import multiprocessing as m
def work(i): open(f'out{i}', 'w').write(open('data.csv').read())
with m.get_context('fork').Pool(4) as pool: pool.map(work, range(40))
""",
    ),
    "tools": ("subprocess", "import subprocess; subprocess.run('sort data.csv | tee out | wc -l', shell=True)"),
}


@pytest.mark.parametrize("kind", [*PYTHON, "cp and mv", "150 x cat", "a static program"])
def test_what_strace_sees_is_in_the_trace_and_nothing_of_others(place: Path, somebody_else: Path, kind: str) -> None:
    if not shutil.which("strace"):
        pytest.skip("no strace")
    if kind in PYTHON:
        module, code = PYTHON[kind]
        if not importlib.util.find_spec(module):
            pytest.skip(f"no {module}")
        argv = [sys.executable, "-c", code]
    elif kind == "a static program":
        argv = [compiled(place, STATIC, "-static")]
    else:
        scripts = {
            "cp and mv": "cp data.csv copy; mv copy moved; cat moved",
            "150 x cat": "for i in $(seq 150); do cat data.csv; done",
        }
        argv = ["sh", "-c", scripts[kind]]
    log = place.parent / "strace"
    calls = "trace=open,openat,openat2,creat,execve"
    seen = observe(place, "strace", "-ff", "-y", "-s", "4096", "-e", calls, "-o", str(log), *argv)
    assert seen.exit.code == 0
    expected = oracle(log)
    assert len(expected) > 1
    assert expected - set(seen.paths) == set()
    # What strace itself opened, the only foreign thing in this job; a file that was renamed has two paths.
    tracer = seen.processes[0].pid
    foreign = {path for path, file in seen.paths.items() if file.pid != tracer and file.path not in expected} - expected
    assert foreign == set()
    assert bytes(somebody_else) not in seen.paths
    assert seen.is_complete, seen.reasons


IO_URING = r"""
#include <fcntl.h>
#include <linux/io_uring.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
int main(void)
{
    struct io_uring_params p = {0};
    int ring = syscall(SYS_io_uring_setup, 4, &p);
    if (ring < 0) return 77;
    int rw = PROT_READ | PROT_WRITE;
    char *sq = mmap(0, p.sq_off.array + p.sq_entries * 4, rw, MAP_SHARED, ring, IORING_OFF_SQ_RING);
    struct io_uring_sqe *e = mmap(0, p.sq_entries * sizeof *e, rw, MAP_SHARED, ring, IORING_OFF_SQES);
    memset(e, 0, sizeof *e);
    e->opcode = IORING_OP_OPENAT; e->fd = AT_FDCWD; e->addr = (unsigned long)"data.csv"; e->open_flags = O_RDONLY;
    *(unsigned *)(sq + p.sq_off.array) = 0;
    __atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
    return syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1;
}
"""


def test_what_is_opened_through_io_uring_is_seen(place: Path) -> None:
    seen = observe(place, compiled(place, IO_URING))
    if seen.exit.code == 77:
        pytest.skip("no io_uring here")
    assert seen.exit.code == 0
    assert bytes(place / "data.csv") in seen.paths


def test_a_process_in_another_mount_namespace_is_told(place: Path) -> None:
    for argv in (
        ("unshare", "-m", "cat", "data.csv"),
        ("sh", "-c", "unshare -m sh -c 'cat data.csv'"),
        ("unshare", "-m", "-f", "sleep", "0.05"),
    ):
        for directory in ("job", "lib"):
            shutil.rmtree(place.parent / directory, ignore_errors=True)
        seen = observe(place, *argv)
        assert any("another mount namespace" in reason for reason in seen.reasons), argv


def test_more_than_the_queue_holds_is_told(place: Path) -> None:
    """The keeper is stopped meanwhile: no open waits for it, neither the job's nor anybody's."""
    code = (
        "import os, time\n"
        "while not os.path.exists('go'): time.sleep(0.01)\n"
        "for i in range(20000): os.close(os.open(f'{i}', os.O_CREAT | os.O_WRONLY))\n"
        "open('done', 'w')"
    )
    with observed.keeper(place, (sys.executable, "-S", "-E", "-c", code)) as process:
        _until(lambda: len(observed.seen(place)) > 5)
        process.send_signal(signal.SIGSTOP)
        try:
            (place / "go").touch()
            _until((place / "done").exists, seconds=30)
        finally:
            process.send_signal(signal.SIGCONT)
        process.communicate(timeout=60)
    seen = observed.result(place)
    assert seen.exit.code == 0
    assert any("overflow" in reason for reason in seen.reasons)
    assert isinstance(seen.records[-1], End)


def test_a_mount_that_the_job_makes_is_covered_in_a_moment(place: Path) -> None:
    script = "mkdir m; mount -t tmpfs mine m; sleep 0.05; echo 1 >m/out; sleep 0.05; cat m/out"
    seen = observe(place, "sh", "-c", script)
    assert seen.exit.code == 0
    assert bytes(place / "m/out") in seen.paths
    assert any(isinstance(record, Covered) and record.mount_point == bytes(place / "m") for record in seen.records)
    assert not (place / "m").is_mount()
    assert [record.size for record in seen.of(place / "m/out") if isinstance(record, Closed)] == [2]


def test_a_file_system_that_cannot_be_marked_is_told_by_name(place: Path) -> None:
    script = "mkdir l u w m; mount -t overlay -o lowerdir=l,upperdir=u,workdir=w mine m || exit 77; sleep 0.05"
    seen = observe(place, "sh", "-c", script)
    if seen.exit.code == 77:
        pytest.skip("no overlayfs here")
    covered = any(isinstance(record, Covered) and record.fstype == "overlay" for record in seen.records)
    assert covered or any("overlay at" in reason and str(place / "m") in reason for reason in seen.reasons)


def test_a_mount_on_top_of_another_hides_it_without_a_word(place: Path) -> None:
    script = "mkdir m; mount -t tmpfs a m; mount -t tmpfs b m; sleep 0.05; echo 1 >m/out; sleep 0.05"
    seen = observe(place, "sh", "-c", script)
    assert bytes(place / "m/out") in seen.paths
    assert seen.is_complete, seen.reasons


def test_nobody_is_hindered_from_unmounting_what_was_used(place: Path) -> None:
    script = "mkdir m; mount -t tmpfs a m && for i in $(seq 2000); do : >m/$i; done; umount m && rmdir m"
    seen = observe(place, "sh", "-c", script)
    assert seen.exit.code == 0
    assert bytes(place / "m/2000") in seen.paths


def test_what_the_host_unmounts_is_gone_at_once_although_the_job_used_it(place: Path) -> None:
    script = f"""
        mount -t tmpfs a '{place}'; mount --make-shared '{place}'; mkdir m; mkdir '{place}/m'
        mount -t tmpfs b '{place}/m'; '{data.program("mlos-shepherd")}' keep '{place.parent}/job' &
        until [ -e '{place}/m/done' ]; do sleep 0.01; done; sleep 0.1
        umount '{place}/m' || exit 9
        wait
    """
    code = f"import time; open('{place}/m/in', 'w').close(); open('{place}/m/done', 'w').close(); time.sleep(0.5)"
    with observed.keeper(place, (sys.executable, "-S", "-E", "-c", code), cwd="/", inside=script) as process:
        assert process.wait(30) == 0


def test_a_job_of_another_user_is_seen_as_well(tmp_path: Path) -> None:
    program = shutil.which("cat")
    assert program
    place = tmp_path / "place"
    place.mkdir()
    seen = observe(place, program, "/etc/passwd", uid=65534, gid=65534, cwd="/")
    assert seen.exit.code == 0
    assert b"/etc/passwd" in seen.paths


def test_an_idle_keeper_does_not_wake(place: Path) -> None:
    with observed.keeper(place, ("sleep", "60")) as process:
        _until(lambda: read_started(place.parent / "job"))
        time.sleep(0.5)
        before = _switches(process.pid)
        time.sleep(1.0)
        # Others on this machine may fork; at most a hundred times a second they are looked at.
        assert _switches(process.pid) - before < 210
        process.terminate()
        process.communicate(timeout=30)


def _switches(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def _until(true: Callable[[], object], *, seconds: float = 10.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.005)
