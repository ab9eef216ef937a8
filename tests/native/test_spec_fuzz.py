"""The parser of specs says no and never crashes: seeded mutations, under the address and undefined sanitizers."""

import shutil
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes import fuzzing

NATIVE = Path(__file__).resolve().parents[2] / "native"
GOOD = (
    b"id=7\0argv=sh\0argv=-c\0argv=true\0env=PATH=/bin\0env=A=\0cwd=/\0uid=1000\0gid=1000\0group=4\0group=27\0"
    b"umask=022\0grace=10.250\0terminal=1\0affinity=0-3,5,8191\0cgroup=/sys/fs/cgroup/x/7\0trace=/t/7.trace\0"
    b"knob=memory.max=1024\0knob!=pids.max=100\0"
)
WORDS = (b"\0", b"=", b"-", b",", b".", b"/", b"/..", b"8192", b"4294967295", b"4294967296", b"18446744073709551616")
RECORDS = GOOD.split(b"\0")[:-1]


def mutations(count: int) -> Iterator[bytes]:
    chance = fuzzing.chance(20)
    for _ in range(count):
        match chance.randrange(3):
            case 0:
                spec = b"".join(record + b"\0" for record in chance.sample(RECORDS, chance.randrange(len(RECORDS) + 1)))
            case 1:
                spec = GOOD + chance.choice(RECORDS) + b"\0"
            case _:
                spec = GOOD
        for _ in range(chance.choice((0, 1, 1, 2, 8))):
            at = chance.randrange(len(spec) + 1)
            keep_from = min(len(spec), at + chance.choice((0, 0, 1, 5)))
            new = chance.choice((*WORDS, chance.randbytes(1), b""))
            spec = spec[:at] + new + spec[keep_from:]
        yield spec


@pytest.fixture(scope="module")
def fuzzer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    program = tmp_path_factory.mktemp("fuzz") / "spec_fuzz"
    options = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-o", str(program)]
    sources = [str(NATIVE / "fuzz" / "spec_fuzz.c"), str(NATIVE / "spec.c")]
    done = subprocess.run([compiler, *options, *sources], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"no sanitizers here: {done.stderr.decode(errors='replace').splitlines()[-1]}")
    return program


def test_twenty_thousand_broken_specs_are_refused_without_a_crash(fuzzer: Path) -> None:
    inputs = [GOOD, b"", b"\0", *mutations(fuzzing.rounds(20_000))]
    packed = b"".join(struct.pack("=I", len(spec)) + spec for spec in inputs)
    done = subprocess.run([fuzzer], input=packed, capture_output=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    read, accepted = map(int, done.stdout.split())
    assert read == len(inputs)
    # Both ways are taken: a fuzzer that breaks everything would see the first line of the parser only.
    assert 100 < accepted < read - 100
