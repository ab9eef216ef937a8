"""The state of a git repository: commit, branch, and digests of what is not committed.

git(1) runs as the job's user, never as root in what is not root's, and no program that the repository's configuration
names is started: no fsmonitor, no hook, no external diff, no textconv, no clean filter, no fetch of what is missing.
"""

import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from mlosd.kernel import mountinfo
from mlosd.lineage.as_user import Unanswered, User, digested, printed

CLEAN = "clean"
SECONDS = 5.0
LARGEST_STATUS = 8 << 20
LARGEST_DIFF = 256 << 20

_PATH = "/usr/local/bin:/usr/bin:/bin"
_OID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")
_FILTER = re.compile(rb"filter\..+\.(?:clean|smudge|process|required)")
_STATUS = (
    "status", "--porcelain=v2", "-z", "--branch", "--no-ahead-behind", "--no-renames",
    "--untracked-files=normal", "--ignore-submodules=dirty",
)  # fmt: skip
# Everything that a user's configuration may change about a diff is said here: equal changes have equal digests.
_DIFF = (
    "diff", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty", "--submodule=short", "--binary",
    "--full-index", "--no-renames", "--no-color", "--no-relative", "--no-indent-heuristic", "--diff-algorithm=myers",
    "--unified=3", "--inter-hunk-context=0", "--src-prefix=a/", "--dst-prefix=b/", "-O/dev/null",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Repository:
    """`dirty`: SHA-256 (hex) of the changes to tracked files since the commit; `untracked`: of the names of files that
    git does not know. Either is CLEAN when there are none, and None when that could not be told; `notes` say why.
    """

    commit: str | None = None
    branch: str | None = None
    dirty: str | None = None
    untracked: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Status:
    """What `git status --porcelain=v2 -z --branch` says. `commit`: None before the first one."""

    commit: str | None
    branch: str | None
    changed: bool
    untracked: tuple[bytes, ...]


def has_repository(directory: Path) -> bool:
    """Whether a .git lies in the directory or above it: most jobs need no process to know that there is none."""
    return any(os.path.lexists(place / ".git") for place in (directory, *directory.parents))


def look(directory: Path, user: User) -> Repository | None:
    """The state of the repository that holds `directory`, as this user sees it. None: there is none."""
    git = shutil.which("git", path=_PATH)
    # Looking at a file server that is gone never ends, and keeps others who look there from being killed: only git,
    # which can be, may wait for one.
    mount = mountinfo.of(directory, mountinfo.read())
    if not (mount and mount.is_remote) and not has_repository(directory):
        return None
    if git is None:
        return Repository(notes=("git is not installed",))
    try:
        asked = _Git((git, "-C", os.fspath(directory)), user)
        return asked.state()
    except (Unanswered, OSError) as e:
        return Repository(notes=(f"git: {e}",))


@dataclass(frozen=True, slots=True)
class _Git:
    """git in one directory, as one user."""

    command: tuple[str, ...]
    user: User

    def state(self) -> Repository:
        settings = {**_SAFE, **self._without_filters()}
        try:
            found = status(self._printed(_STATUS, settings))
        except Unanswered as e:
            # Another user's, whom git does not trust, or a huge one: what needs no look at the files.
            return self._head_only(settings, str(e))
        untracked = sha256(b"\0".join(found.untracked)).hexdigest() if found.untracked else CLEAN
        try:
            dirty = self._digest_of_changes(settings, found) if found.changed else CLEAN
        except Unanswered as e:
            return Repository(found.commit, found.branch, None, untracked, (f"git diff: {e}",))
        return Repository(found.commit, found.branch, dirty, untracked)

    def _without_filters(self) -> dict[str, str]:
        """Settings that empty every clean filter: they are programs, and started for any file that may have changed."""
        names = self._printed(("config", "--list", "--name-only", "-z"), {**_SAFE, "safe.directory": "*"}).split(b"\0")
        found = {os.fsdecode(name) for name in names if _FILTER.fullmatch(name)}
        return {name: "false" if name.endswith(".required") else "" for name in sorted(found)}

    def _digest_of_changes(self, settings: Mapping[str, str], found: Status) -> str | None:
        against = (found.commit,) if found.commit else ("--cached",)
        digest, size = digested(
            (*self.command, *_DIFF, *against, "--"),
            self.user,
            environment=_environment(settings),
            seconds=SECONDS,
            most=LARGEST_DIFF,
        )
        return digest if size else CLEAN

    def _head_only(self, settings: Mapping[str, str], why: str) -> Repository:
        trusting = {**settings, "safe.directory": "*"}
        try:
            commit, _, name = self._printed(("rev-parse", "HEAD", "--symbolic-full-name", "HEAD"), trusting).partition(
                b"\n"
            )
        except Unanswered:
            return Repository(notes=(f"git: {why}",))
        oid = os.fsdecode(commit)
        return Repository(
            oid if _OID.fullmatch(oid) else None,
            _branch(os.fsdecode(name.strip()).removeprefix("refs/heads/")),
            notes=(f"git status: {why}",),
        )

    def _printed(self, arguments: tuple[str, ...], settings: Mapping[str, str]) -> bytes:
        return printed(
            (*self.command, *arguments),
            self.user,
            environment=_environment(settings),
            seconds=SECONDS,
            most=LARGEST_STATUS,
        )


def status(output: bytes) -> Status:
    """Read the output of _STATUS. What is malformed is left out."""
    commit = branch = None
    changed, untracked = False, []
    for entry in output.split(b"\0"):
        match entry[:2]:
            case b"# ":
                name, _, value = entry[2:].decode("utf-8", "surrogateescape").partition(" ")
                if name == "branch.oid" and _OID.fullmatch(value):
                    commit = value
                elif name == "branch.head":
                    branch = _branch(value)
            case b"1 " | b"2 " | b"u ":
                changed = True
            case b"? ":
                untracked.append(entry[2:])
    return Status(commit, branch, changed, tuple(untracked))


# In the repository's own configuration each of these may name a program; the last word is ours.
_SAFE: Mapping[str, str] = {
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.pager": "cat",
    "core.sshCommand": "false",
    "core.askPass": "",
    "core.alternateRefsCommand": "false",
    "core.untrackedCache": "false",
    "diff.external": "",
    "protocol.allow": "never",
    "safe.bareRepository": "explicit",
    "submodule.recurse": "false",
    "gc.auto": "0",
    "maintenance.auto": "false",
}


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """A clean environment, in which `settings` overrule every file (git(1), GIT_CONFIG_COUNT; Git 2.31)."""
    environment = {
        "PATH": _PATH,
        "LC_ALL": "C",
        "HOME": "/nonexistent",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_ATTR_NOSYSTEM": "1",
        "GIT_OPTIONAL_LOCKS": "0",
        "GIT_TERMINAL_PROMPT": "0",
        "GIT_NO_LAZY_FETCH": "1",
        "GIT_ALLOW_PROTOCOL": "none",
        "GIT_PAGER": "cat",
        "GIT_CONFIG_COUNT": str(len(settings)),
    }
    for number, (name, value) in enumerate(settings.items()):
        environment[f"GIT_CONFIG_KEY_{number}"] = name
        environment[f"GIT_CONFIG_VALUE_{number}"] = value
    return environment


def _branch(name: str) -> str | None:
    """A branch's name; None for a HEAD that is on none."""
    return None if name in ("", "HEAD", "(detached)") else name
