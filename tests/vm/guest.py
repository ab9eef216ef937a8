"""A running guest: QEMU under software emulation on an overlay of the image, and the channel to the agent inside it.

Never uses /dev/kvm: what passes here passes wherever QEMU runs.
"""

import base64
import itertools
import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.vm.image import Image

BOOT_SECONDS = 180.0


class GuestGone(Exception):
    """QEMU ended, or the guest went down while it was to answer."""


class CommandFailed(AssertionError):
    """A command in the guest ended with another code than 0."""


@dataclass(frozen=True, slots=True)
class Ran:
    """How a command in the guest ended, and what it printed."""

    rc: int
    stdout: str
    stderr: str


class Guest:
    """One booted machine. `with Guest(image(), folder) as guest: guest.run("systemctl status")`.

    `kernel`: one of the image's, by name. `extra`: more arguments for QEMU; they come last, so that a second -smp wins.
    """

    def __init__(
        self,
        image: Image,
        folder: Path,
        *,
        cpus: int = 2,
        memory: int = 2048,
        kernel: str = "stock",
        extra: Sequence[str] = (),
    ) -> None:
        booted = image.kernel(kernel)
        if booted is None:
            raise GuestGone(image.why_no_kernel(kernel))
        self.console = folder / "console.log"
        self._overlay = folder / "overlay.qcow2"
        self._agent_path = folder / "agent.sock"
        self._qmp_path = folder / "qmp.sock"
        self._disk = image.disk
        self._machine = ["-smp", str(cpus), "-m", str(memory), "-kernel", str(booted.vmlinuz)]
        if booted.initrd:
            self._machine += ["-initrd", str(booted.initrd)]
        for table in image.firmware:
            self._machine += ["-acpitable", f"file={table}"]
        self._extra = extra
        self._ids = itertools.count(1)
        self._replies: dict[int, dict[str, Any]] = {}
        self._received = b""
        self._boots: list[str] = []

    def __enter__(self) -> Self:
        subprocess.run(
            ("qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", self._disk, self._overlay), check=True
        )
        self._qemu = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL)
        try:
            self._agent = self._connect(self._agent_path)
            self._qmp = self._connect(self._qmp_path)
            self._qmp.sendall(b'{"execute": "qmp_capabilities"}\n')
            self._await_boot(boots=1)
        except BaseException:
            self._qemu.kill()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._qemu.kill()
        self._qemu.wait()
        self._agent.close()
        self._qmp.close()

    def _command(self) -> list[str]:
        return [
            "qemu-system-x86_64", "-nodefaults", "-no-user-config", "-display", "none",
            "-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max", *self._machine,
            "-append", "console=ttyS0 root=/dev/nvme0n1 rw rootwait systemd.show_status=1 panic=-1",
            # No flush reaches the host's disk, which is what makes fsync in the guest cheap. A power cut is a reset of
            # the machine, QEMU lives on, so what the guest flushed is still there after it.
            "-drive", f"file={self._overlay},if=none,id=root,format=qcow2,cache=unsafe",
            "-device", "nvme,drive=root,serial=root",
            "-chardev", f"socket,id=agent,path={self._agent_path},server=on,wait=off",
            "-device", "virtio-serial-pci", "-device", "virtserialport,chardev=agent,name=mlosd.agent",
            "-serial", f"file:{self.console}",
            "-qmp", f"unix:{self._qmp_path},server=on,wait=off",
            *self._extra,
        ]  # fmt: skip

    def _connect(self, path: Path) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        # sun_path holds 108 bytes and pytest's folders are long: connect by way of the folder's descriptor.
        folder = os.open(path.parent, os.O_PATH)
        try:
            for _ in range(200):
                if self._qemu.poll() is not None:
                    raise GuestGone(f"QEMU ended with exit code {self._qemu.returncode} at once")
                try:
                    connection.connect(f"/proc/self/fd/{folder}/{path.name}")
                    return connection
                except (FileNotFoundError, ConnectionRefusedError):
                    time.sleep(0.05)
        finally:
            os.close(folder)
        raise GuestGone(f"QEMU does not listen on {path.name}")

    def _receive(self, until: float) -> None:
        """Take in one more piece of what the agent says."""
        self._agent.settimeout(max(0.0, until - time.monotonic()) or 0.001)
        try:
            data = self._agent.recv(1 << 20)
        except TimeoutError:
            raise GuestGone(f"no answer from the guest; its console ends with:\n{self.console_tail()}") from None
        if not data:
            raise GuestGone(f"QEMU closed the channel; the guest's console ends with:\n{self.console_tail()}")
        *lines, self._received = (self._received + data).split(b"\n")
        for line in lines:
            try:
                message = json.loads(line)
            except ValueError:
                continue  # the rest of a line that the previous boot did not finish
            if "hello" in message:
                self._boots.append(message["hello"])
            else:
                self._replies[message["id"]] = message

    def _await_boot(self, *, boots: int) -> None:
        until = time.monotonic() + BOOT_SECONDS
        while len(self._boots) < boots:
            self._receive(until)
        self.attempt("systemctl is-system-running --wait", timeout=BOOT_SECONDS)

    def begin(self, command: str, *, user: str = "root", stdin: bytes = b"", timeout: float = 60.0) -> "Pending":
        """Start a shell command as `user` and go on; its end is waited for by `result()`."""
        argv = ["/bin/bash", "-c", command]
        if user != "root":
            argv = ["/usr/sbin/runuser", "-u", user, "--", *argv]
        request = next(self._ids)
        message = {"id": request, "argv": argv, "timeout": timeout, "stdin": base64.b64encode(stdin).decode()}
        self._agent.settimeout(timeout)
        self._agent.sendall(json.dumps(message).encode() + b"\n")
        return Pending(self, request, len(self._boots), timeout)

    def attempt(self, command: str, *, user: str = "root", stdin: bytes = b"", timeout: float = 60.0) -> Ran:
        """Run a shell command as `user`; the exit code is the caller's to judge."""
        return self.begin(command, user=user, stdin=stdin, timeout=timeout).result()

    def run(self, command: str, *, user: str = "root", stdin: bytes = b"", timeout: float = 60.0) -> str:
        """Run a shell command that must succeed; what it printed."""
        ran = self.attempt(command, user=user, stdin=stdin, timeout=timeout)
        if ran.rc != 0:
            raise CommandFailed(f"in the guest: {command}\nexit code {ran.rc}\n{ran.stdout}{ran.stderr}")
        return ran.stdout

    def write(self, path: str, content: bytes) -> None:
        """Put a file into the guest."""
        self.run(f"mkdir -p {shlex.quote(str(Path(path).parent))} && cat > {shlex.quote(path)}", stdin=content)

    def eventually(self, command: str, *, timeout: float = 120.0) -> str:
        """Run a command until it succeeds; what it then printed."""
        until = time.monotonic() + timeout
        while (ran := self.attempt(command)).rc != 0:
            if time.monotonic() > until:
                raise CommandFailed(f"in the guest, never true: {command}\n{ran.stdout}{ran.stderr}")
            time.sleep(0.2)
        return ran.stdout

    def reboot(self) -> None:
        """Reboot in order, and wait until it is up again."""
        boots = len(self._boots)
        self.begin("systemctl reboot")
        self._await_boot(boots=boots + 1)

    def power_cut(self) -> None:
        """Reset the machine without a word to it, and wait until it is up again."""
        boots = len(self._boots)
        self._qmp.sendall(b'{"execute": "system_reset"}\n')
        self._await_boot(boots=boots + 1)

    def console_tail(self, since: int = 0) -> str:
        """The last lines of the kernel's console, from byte `since` on."""
        if not self.console.exists():
            return "(nothing)"
        return "\n".join(self.console.read_bytes()[since:].decode(errors="replace").splitlines()[-60:])


@dataclass(frozen=True, slots=True)
class Pending:
    """A command that runs in the guest."""

    guest: Guest
    request: int
    boot: int
    timeout: float

    def result(self) -> Ran:
        """Wait for its end. Raises GuestGone when the guest rebooted under it."""
        until = time.monotonic() + self.timeout + 30.0
        while self.request not in self.guest._replies:
            if len(self.guest._boots) > self.boot:
                raise GuestGone("the guest rebooted before the command ended")
            self.guest._receive(until)
        reply = self.guest._replies.pop(self.request)
        out, err = (base64.b64decode(reply[name]).decode(errors="replace") for name in ("stdout", "stderr"))
        return Ran(reply["rc"], out, err)
