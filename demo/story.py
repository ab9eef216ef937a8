"""The demo's story: every command is run as shown, and every claim is checked. Exits with 1 when one does not hold."""

import contextlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PLACE = HERE.parent / ".demo"
ROOT = PLACE / "mlosd"
PROJECT = PLACE / "flights"
BIN = Path(sys.executable).parent
BOLD, DIM, PLAIN = ("\033[1m", "\033[2m", "\033[0m") if sys.stdout.isatty() else ("", "", "")


class Broken(Exception):
    """The story is not what it says."""


def tell(text: str) -> None:
    """A sentence of the story."""
    print(f"\n{BOLD}{text}{PLAIN}", flush=True)


def check(holds: bool, claim: str) -> None:
    """A claim of the story."""
    if not holds:
        raise Broken(claim)


def mlosctl(*arguments: str, expect: int = 0) -> str:
    """Run mlosctl as a user would type it, show what it prints, and return that."""
    print(f"{DIM}$ mlosctl {shlex.join(arguments)}{PLAIN}", flush=True)
    lines: list[str] = []
    with subprocess.Popen(_command(*arguments), cwd=PROJECT, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            print(line, end="", flush=True)
            lines.append(line)
    check(running.returncode == expect, f"mlosctl {arguments[0]} exits with {expect}, not {running.returncode}")
    return "".join(lines)


def ask(*arguments: str) -> dict[str, object]:
    """What mlosctl answers to a program."""
    done = subprocess.run(_command(*arguments, "--json"), cwd=PROJECT, stdout=subprocess.PIPE, text=True, check=True)
    answer: dict[str, object] = json.loads(done.stdout)
    return answer


def _command(*arguments: str) -> list[str]:
    return [str(BIN / "mlosctl"), "--root", str(ROOT), *arguments]


def start_daemon() -> "subprocess.Popen[bytes]":
    """A daemon of our own; returns when it answers."""
    log = (PLACE / "mlosd.log").open("ab")
    daemon = subprocess.Popen([BIN / "mlosd", "--root", ROOT], stderr=log, stdin=subprocess.DEVNULL)
    log.close()
    deadline = time.monotonic() + 20
    while subprocess.run(_command("status"), capture_output=True, check=False).returncode != 0:
        if daemon.poll() is not None or time.monotonic() > deadline:
            raise Broken(f"the daemon does not start: {(PLACE / 'mlosd.log').read_text().strip()[-500:]}")
        time.sleep(0.05)
    return daemon


@contextlib.contextmanager
def place() -> Iterator[None]:
    """A folder for all of it, gone afterwards."""
    shutil.rmtree(PLACE, ignore_errors=True)
    PLACE.mkdir()
    shutil.copytree(HERE / "flights", PROJECT)
    try:
        yield
    finally:
        shutil.rmtree(PLACE, ignore_errors=True)


class Demo:
    """Owns the daemon of the story, which is killed in the middle of it."""

    def __init__(self) -> None:
        self.daemon = start_daemon()

    def end(self) -> None:
        """No job and no daemon is left."""
        with contextlib.suppress(Exception):
            for job in subprocess.run(
                _command("job", "list", "--json"), capture_output=True, text=True, check=True
            ).stdout.splitlines():
                for _ in range(2):
                    subprocess.run(
                        _command("job", "cancel", str(json.loads(job)["id"])), capture_output=True, check=False
                    )
                subprocess.run(_command("job", "wait", str(json.loads(job)["id"])), capture_output=True, check=False)
        self.daemon.terminate()
        self.daemon.wait()

    def tell_it(self) -> None:
        """The whole story."""
        tell("1. A daemon of our own is running. It says what it cannot do on this machine:")
        mlosctl("status")

        tell("2. Real data: 336,776 flights of 2013. The script is an ordinary one; mlosd runs it in the foreground.")
        mlosctl("run", "--name", "prepare", "--", sys.executable, "prepare.py")
        mlosctl("project", "add", str(PROJECT))

        tell("3. Training, in the foreground: the terminal, signals and the exit code are the command's own.")
        mlosctl("run", "--project", "flights", "--", sys.executable, "train.py", "--trees", "45")
        check((PROJECT / "models" / "flights.joblib").stat().st_size > 0, "the model was written")

        tell("4. The same as a job: one CPU of its own, at most ten minutes. A second one has to wait, and says why.")
        options = ["--project", "flights", "--cpus", "1", "--time", "10m"]
        first = mlosctl("job", "submit", *options, "--name", "flights", "--", sys.executable, "train.py").split()[-1]
        everything = str(len(os.sched_getaffinity(0)))
        second = mlosctl("job", "submit", "--cpus", everything, "--name", "next", "--", "echo", "my turn").split()[-1]
        time.sleep(6)
        mlosctl("job", "list")
        mlosctl("job", "logs", "--tail", "3", first)

        tell("5. Now the daemon is killed with SIGKILL, in the middle of the training ...")
        before = self._job(first)
        check(before["state"] == "RUNNING", "the job runs")
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()
        print(f"{DIM}$ kill -9 {self.daemon.pid}{PLAIN}")
        mlosctl("job", "list", expect=os.EX_TEMPFAIL)
        time.sleep(1)

        tell("   ... and started again. The job never noticed: the same process goes on.")
        self.daemon = start_daemon()
        mlosctl("job", "list")
        after = self._job(first)
        check((after["state"], after["pid"]) == ("RUNNING", before["pid"]), "the job kept its process")

        tell("6. It ends, the next one gets its turn, and what it cost is on record.")
        mlosctl("job", "logs", "--follow", first)
        mlosctl("job", "wait", first, second)
        mlosctl("job", "show", first)
        mlosctl("job", "list", "--all")
        done = self._job(first)
        check((done["state"], done["result"], done["exit_code"]) == ("DONE", "ok", 0), "the job ended well")
        check(self._job(second)["result"] == "ok", "the second job ended well")

    def _job(self, id_: str) -> dict[str, object]:
        return ask("job", "show", id_)


def main() -> int:
    """Tell the story; whatever happens, leave nothing behind."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    began = time.monotonic()
    try:
        with place():
            demo = Demo()
            try:
                demo.tell_it()
            finally:
                demo.end()
    except Broken as e:
        print(f"\ndemo: the story does not hold: {e}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ndemo: stopped; nothing is left", file=sys.stderr)
        return 128 + signal.SIGINT
    tell(f"All of it held, in {time.monotonic() - began:.0f} s. The daemon is stopped, and .demo/ is gone.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
