"""Compile the C: the extension `mlosd._native` (cffi, API mode) and the program `mlos-shepherd`.

`python native/build.py` builds both in place, below src/mlosd, where a checkout finds them. hatch_build.py calls the
same two functions for a wheel. The compiler is called directly, one command per product: setuptools would add nothing
but itself.
"""

import shlex
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from cffi import FFI

NATIVE = Path(__file__).resolve().parent
IN_PLACE = NATIVE.parent / "src" / "mlosd"

# The limited API of Python 3.11, so that one file serves every later Python (PEP 384).
EXTENSION_NAME = "_native.abi3.so"
LIMITED_API = "0x030b0000"
EXTENSION_SOURCES = (
    "openat2.c",
    "renameat2.c",
    "file_handle.c",
    "pidfd.c",
    "fanotify.c",
    "landlock.c",
    "seccomp.c",
    "fstat.c",
    "ioprio.c",
    "filesystem.c",
    "cachestat.c",
    "fsuid.c",
)

SHEPHERD_NAME = "mlos-shepherd"
SHEPHERD_SOURCES = (
    "shepherd.c",
    "serve.c",
    "message.c",
    "keeper.c",
    "prepare.c",
    "stay.c",
    "ending.c",
    "spec.c",
    "launch.c",
    "record.c",
    "process.c",
    "job_cgroup.c",
    "delegated.c",
    "family.c",
    "usage.c",
    "sd_notify.c",
    "observe.c",
    "namespace.c",
    "mounts.c",
    "covering.c",
    "sight.c",
    "streams.c",
    "look.c",
    "files.c",
    "process_tree.c",
    "members.c",
    "proc_events.c",
    "trace.c",
)

STRICT = ("-std=gnu11", "-O2", "-g", "-Wall", "-Wextra", "-Werror")
HARDENED = ("-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-Wl,-z,relro,-z,now")


def build_extension(package: Path) -> Path:
    """Compile the extension into `package` and return its path."""
    generated = NATIVE / "generated" / "_native.c"
    generated.parent.mkdir(exist_ok=True)
    _cffi_source(generated)
    target = package / EXTENSION_NAME
    # The generated file is cffi's, with the warnings of cffi; ours are strict.
    objects = [_compile_object(generated, ("-O2", "-g"), generated.parent)]
    objects += [_compile_object(NATIVE / source, STRICT, generated.parent) for source in EXTENSION_SOURCES]
    _cc([*HARDENED, "-shared", "-o", str(target), *map(str, objects)])
    return target


def build_shepherd(directory: Path) -> Path:
    """Compile the program into `directory` and return its path. Static where the C library can be: it forks faster."""
    directory.mkdir(parents=True, exist_ok=True)
    target = directory / SHEPHERD_NAME
    fresh = directory / f".{SHEPHERD_NAME}.new"
    sources = [str(NATIVE / source) for source in SHEPHERD_SOURCES]
    options = [*STRICT, *HARDENED, "-o", str(fresh), *sources]
    try:
        _cc(["-static", *options], quiet=True)
    except subprocess.CalledProcessError:
        _cc(options)
    fresh.replace(target)  # never write into the file of a program that runs
    return target


def _cffi_source(path: Path) -> None:
    """Write cffi's half of the extension: the functions of mlos.h made callable from Python."""
    declarations = [line for line in (NATIVE / "mlos.h").read_text().splitlines() if not line.startswith("#")]
    ffi = FFI()
    ffi.cdef("\n".join(declarations))
    ffi.set_source("mlosd._native", '#include "mlos.h"')
    ffi.emit_c_code(str(path))


def _compile_object(source: Path, options: Sequence[str], directory: Path) -> Path:
    target = directory / f"{source.stem}.o"
    include = sysconfig.get_path("include")
    python = (f"-DPy_LIMITED_API={LIMITED_API}", f"-I{include}", f"-I{NATIVE}")
    _cc([*options, "-fPIC", *python, "-c", str(source), "-o", str(target)])
    return target


def _cc(arguments: Sequence[str], *, quiet: bool = False) -> None:
    compiler = shutil.which("cc") or shutil.which("gcc") or "cc"
    command = [compiler, *arguments]
    if not quiet:
        print(shlex.join(command), file=sys.stderr)
    subprocess.run(command, check=True, capture_output=quiet)


if __name__ == "__main__":
    build_extension(IN_PLACE)
    build_shepherd(IN_PLACE / "bin")
