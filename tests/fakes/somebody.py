"""Act as another user of this machine. Needs root."""

import subprocess
import sys

# The Python of these tests may lie where others may not go; the machine's own can use the same packages.
PYTHON = ["env", f"PYTHONPATH={':'.join(path for path in sys.path if path)}", "/usr/bin/python3"]


def as_user(uid: int) -> list[str]:
    """The start of a command line that is run as this user, in no other group."""
    return ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]


def can_import(uid: int, modules: str) -> bool:
    """Whether the machine's Python can import these as that user."""
    command = [*as_user(uid), *PYTHON, "-c", f"import {modules}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def run_python(uid: int, code: str) -> subprocess.CompletedProcess[str]:
    """Run some Python as that user."""
    command = [*as_user(uid), *PYTHON, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=False)
