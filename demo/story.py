"""What mlosd does for a training, told with real commands and their real output. Each step is checked.

Everything happens in one folder; at the end, at Ctrl-C and after a failure, nothing of it is left.
"""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from place import Broken, Place

HERE = Path(__file__).resolve().parent
COLOUR = sys.stdout.isatty() and "NO_COLOR" not in os.environ
TRAINING, WAITING = 3, 4


def main() -> int:
    """Tell the story; 0 when everything was as it says."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--project", type=Path, default=HERE / "flights", help="with a prepare.py and a train.py")
    parser.add_argument("--folder", type=Path, default=HERE.parent / ".demo", help="made, and removed")
    options = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)

    began = time.monotonic()
    place = Place(options.folder.resolve())
    code = 1
    try:
        place.furnish(options.project)
        tell(place)
        code = 0
    except KeyboardInterrupt:
        sys.stderr.write("\ndemo: stopped; clearing away\n")
        code = 130
    except (Broken, OSError, subprocess.CalledProcessError) as e:
        sys.stderr.write(f"\ndemo: {e}\n{place.last_words()}")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    try:
        place.clear_away()
    except (Broken, OSError, subprocess.CalledProcessError) as e:
        sys.stderr.write(f"demo: {e}\n")
        code = code or 1
    if code == 0:
        chapter(
            f"Done in {time.monotonic() - began:.0f} s. Nothing is left: no process, no cgroup, no {place.folder.name}/"
        )
    return code


def tell(place: Place) -> None:
    """The story."""
    name = place.folder.name
    chapter("A daemon of its own, with all its state in one folder")
    shown(f"export MLOSD_ROOT=$PWD/{name}/mlosd")
    shown(f"mlosd --root $MLOSD_ROOT 2> {name}/mlosd.log &")
    daemon = place.start()
    do("mlosctl status")
    if os.getuid() != 0:
        remark("You are not root, so this daemon serves you alone; it says above what it cannot do for you.")
    do("mlosctl doctor | sed -n '/^In short/,$p'", may_fail=True)

    chapter("A project: ordinary scripts that know nothing of mlosd")
    shown(f"cd {name}/flights")
    os.chdir(place.project)
    do("python prepare.py")
    do("cat mlos.toml")
    do("mlosctl project add .")

    chapter("A job here and now: its output, its terminal and its exit code are yours")
    do("mlosctl run --cpus 1 -- python train.py --trees 60")
    do("mlosctl run -- sh -c 'exit 3'; echo it ended with $?", contains="it ended with 3")

    chapter("A job that waits for nobody, with limits; and one that has to wait for it")
    do("mlosctl job submit --project flights --name flights --cpus 1 --memory 2G --time 10m -- python train.py")
    all_cpus = len(os.sched_getaffinity(0))
    do(f"mlosctl job submit --name look --cpus {all_cpus} -- ls -l models")
    do("mlosctl job list")
    follow("mlosctl job logs -f 3", lines=4)

    chapter("The daemon dies; the training does not notice")
    pid = place.job(TRAINING)["pid"]
    do(f"kill -9 {daemon.pid}")
    daemon.wait()
    do("mlosctl job list", may_fail=True)
    do(f"ps -o pid,etime,time,args -p {pid}", contains="train.py")
    shown("mlosd --root $MLOSD_ROOT 2>> ../mlosd.log &")
    place.start()
    do("mlosctl job list")
    do("mlosctl job show 3 | grep -wE 'Job|pid'", contains=str(pid))
    require(place.job(TRAINING)["pid"] == pid, "the training has the pid that it had")

    chapter("How it ended, and what it cost")
    do("mlosctl job wait 3 4")
    do("mlosctl job logs --tail 2 3")
    do("mlosctl job show 3")
    do("mlosctl job list --all")
    if os.getuid() == 0:
        tell_of_lineage(place)
    else:
        remark("What each run read and wrote would follow here, and the versions of the model: as root.")
    for id_, ended in ((1, ("ok", 0)), (2, ("failed", 3)), (TRAINING, ("ok", 0)), (WAITING, ("ok", 0))):
        job = place.job(id_)
        require((job["result"], job["exit_code"]) == ended, f"job {id_} ended with {ended}, not {job['result']}")
    require((place.project / "models").is_dir(), "the training has written its model")


def tell_of_lineage(place: Place) -> None:
    """What the kernel saw, a second look at changed data, and the way back."""
    chapter("What the kernel saw: each file that the training read and wrote. The script knows nothing of it")
    do("mlosctl lineage job 3", contains="data/flights.csv")
    do("mlosctl model show flights")

    chapter("Somebody edits the data; the next model is another one, and it is known why")
    do("sed -i '/,EWR,/d' data/flights.csv")
    do("mlosctl run --project flights --cpus 1 -- python train.py --trees 60")
    do("mlosctl run --diff 1 5", contains="data/flights.csv", may_fail=True)
    do("mlosctl lineage model flights:3", contains="job 5")

    chapter("It goes into production, and comes back out")
    do("mlosctl model alias flights:2 production --reason 'better than the baseline'")
    do("mlosctl model alias flights:3 production --reason 'fresh data'")
    do("mlosctl model rollback flights --alias production --reason 'Newark is missing'")
    do("mlosctl model history flights", contains="Newark is missing")
    do("mlosctl lineage file models/flights.joblib", contains="job 3")
    [version] = [one for one in place.versions("flights") if "production" in one["aliases"]]
    found = hashlib.sha256((place.project / "models/flights.joblib").read_bytes()).hexdigest()
    require((version["number"], version["digest"]) == (2, found), "the file is version 2 again, byte for byte")


def do(command: str, *, contains: str = "", may_fail: bool = False) -> None:
    """Show a command, run it, show what it prints. Raises Broken when it fails or says something else."""
    shown(command)
    if not contains:
        code = subprocess.run(("sh", "-c", command), check=False).returncode
    else:
        ended = subprocess.run(("sh", "-c", command), stdout=subprocess.PIPE, text=True, check=False)
        code = ended.returncode
        say(ended.stdout.rstrip("\n"))
        require(contains in ended.stdout, f"`{command}` prints {contains}")
    require(code == 0 or may_fail, f"`{command}` ends with 0, not with {code}")


def follow(command: str, *, lines: int) -> None:
    """Show the first lines of a command that goes on, as somebody would who then presses Ctrl-C."""
    shown(command)
    with subprocess.Popen(command.split(), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _, line in zip(range(lines), process.stdout, strict=False):
            say(line.rstrip("\n"))
        require(process.poll() is None, f"`{command}` goes on")
        process.send_signal(signal.SIGINT)
        process.stdout.read()
    say("^C")


def require(true: bool, what: str) -> None:
    if not true:
        raise Broken(f"not so: {what}")


def chapter(text: str) -> None:
    say(f"\n\033[1m# {text}\033[0m" if COLOUR else f"\n# {text}")


def remark(text: str) -> None:
    say(f"# {text}")


def shown(command: str) -> None:
    say(f"\033[36m$ {command}\033[0m" if COLOUR else f"$ {command}")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
