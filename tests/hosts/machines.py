"""Machines without containers: each is a network, mount, PID, UTS and IPC namespace of this machine, all on one bridge.

They need root, iproute2 and util-linux. All of it ends with the program. A machine has a /tmp and a /dev/shm of its own, and
directories that are private to it are empty. It has no route to other networks and no DNS.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

_REAPER = """
import os, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
print("up", flush=True)
while True:
    signal.sigwait({signal.SIGCHLD})
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
"""
"""PID 1 of a machine. With its end the kernel ends all of the machine's processes."""

_START = """
set -e
mount --make-rprivate /
fresh=$(mktemp -d -p /run)
mount -t tmpfs -o mode=1777,size=2g tmpfs "$fresh"
for directory in {kept}; do
    mkdir -p "$fresh/${{directory#/tmp/}}"
    mount --rbind "$directory" "$fresh/${{directory#/tmp/}}"
done
mount --move "$fresh" /tmp
mount -t tmpfs -o size=1g tmpfs /dev/shm
for directory in {private}; do mkdir -p "$directory"; mount -t tmpfs tmpfs "$directory"; done
hostname {name}
# No DNS: a look-up would wait for one.
names=$(mktemp -d -p /run)
: > "$names/resolv.conf"
printf '127.0.0.1 localhost\n%s %s\n' {address} {name} > "$names/hosts"
for file in resolv.conf hosts; do mount --bind "$names/$file" "/etc/$file"; done
ip link set lo up
exec {python} -c {reaper}
"""


class Network:
    """A bridge in a namespace of its own."""

    subnet = "10.88.0"

    def __enter__(self) -> Self:
        self.namespace = f"rl{os.getpid()}"
        _run("ip", "netns", "add", self.namespace)
        _run("ip", "-n", self.namespace, "link", "add", "br0", "type", "bridge")
        _run("ip", "-n", self.namespace, "link", "set", "br0", "up")
        return self

    def __exit__(self, *_: object) -> None:
        _run("ip", "netns", "del", self.namespace)


class Machine:
    """One machine.

    Args:
        network: its network.
        number: the last number of its address.
        private: directories that are empty there, and its own.
        kept: directories below /tmp that it sees as they are here, such as the sources.
    """

    def __init__(self, network: Network, number: int, *, private: Sequence[str] = (), kept: Sequence[str] = ()) -> None:
        self.name, self.address = f"m{number}", f"{network.subnet}.{number}"
        self._network, self._private, self._kept = network, private, kept
        self._namespace = f"{network.namespace}{self.name}"

    def __enter__(self) -> Self:
        switch, own = self._network.namespace, self._namespace
        _run("ip", "netns", "add", own)
        _run("ip", "-n", switch, "link", "add", self.name, "type", "veth", "peer", "name", "eth0", "netns", own)
        _run("ip", "-n", switch, "link", "set", self.name, "master", "br0", "up")
        _run("ip", "-n", own, "addr", "add", f"{self.address}/24", "dev", "eth0")
        _run("ip", "-n", own, "link", "set", "eth0", "up")
        self._boot()
        return self

    def _boot(self) -> None:
        start = _START.format(
            kept=shlex.join(self._kept),
            private=shlex.join(self._private),
            name=self.name,
            address=self.address,
            python=shlex.quote(sys.executable),
            reaper=shlex.quote(_REAPER),
        )
        unshared = [
            "unshare",
            "--mount",
            "--uts",
            "--ipc",
            "--pid",
            "--fork",
            "--kill-child=KILL",
            "--mount-proc",
            "bash",
            "-c",
        ]
        inside = ["ip", "netns", "exec", self._namespace]
        self._outer = subprocess.Popen([*inside, *unshared, start], stdout=subprocess.PIPE, text=True)
        assert self._outer.stdout is not None
        assert self._outer.stdout.readline() == "up\n", f"{self.name} did not start"
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text(encoding="ascii")
        self._first = int(children.split()[0])

    def __exit__(self, *_: object) -> None:
        self.pull_plug()
        assert self._outer.stdout is not None
        self._outer.stdout.close()
        _run("ip", "netns", "del", self._namespace)

    def pull_plug(self) -> None:
        """End all of its processes at once. Its network is silent from then on, so nothing refuses a connection."""
        if self._outer.poll() is None:
            self.pull_cable()
            os.kill(self._first, signal.SIGKILL)
            self._outer.wait(30)

    def press_power(self) -> None:
        """Start it again after ``pull_plug``: its disks are as they were, but for private directories and /tmp."""
        assert self._outer.stdout is not None
        self._outer.stdout.close()
        _run("ip", "-n", self._network.namespace, "link", "set", self.name, "up")
        self._boot()

    def take_address(self, address: str) -> None:
        """Answer at a further address, as a virtual one that moves."""
        _run("ip", "-n", self._namespace, "addr", "add", f"{address}/24", "dev", "eth0")

    def pull_cable(self) -> None:
        """Take it off the network. Its processes go on."""
        _run("ip", "-n", self._network.namespace, "link", "set", self.name, "down")

    def start(self, *command: str, **options: Any) -> subprocess.Popen[str]:
        """Start a command there."""
        return subprocess.Popen([*self._inside, *command], text=True, **options)

    @property
    def _inside(self) -> list[str]:
        return ["nsenter", "-t", str(self._first), "-m", "-u", "-i", "-p", "-n", "--wd=/"]

    def run(self, *command: str, ok: bool = True, timeout: float = 180, **options: Any) -> subprocess.CompletedProcess[str]:
        """Run a command there. With ``ok``, it has to succeed."""
        done = subprocess.run(
            [*self._inside, *command], text=True, capture_output=True, timeout=timeout, check=False, **options
        )
        assert not ok or done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
        return done


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
