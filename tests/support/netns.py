"""A small network of hosts on this machine: namespaces joined by a bridge.

Each host has ``lo``, one interface ``eth0`` with an address in 192.0.2.0/24 (RFC 5737) and, for programs that
are started on it, a resolv.conf of its own. No host reaches this machine or the world: the bridge lives in a
namespace too, and nothing routes. Promises that namespaces, their processes and their files are gone when the block
is left, and clears what a killed test process left behind. Root only.

:data:`HERE` is this machine itself, for servers that are also wanted without a network around them.
"""

from __future__ import annotations

import ctypes
import itertools
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import need, need_root

PREFIX = "relaytest"
NAMESPACES = Path("/run/netns")
FILES = Path("/etc/netns")  # ip-netns(8): what is below NAME/ is seen as /etc/… by programs started in the namespace
CLONE_NEWNET = 0x40000000  # setns(2)
NOBODY = "02:00:00:00:00:01"
"""An address on the wire that nobody has."""

_numbers = itertools.count(1)
_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Host:
    """A place to run programs: a namespace, or (``namespace`` None) this machine."""

    name: str
    address: str
    namespace: str | None = None
    cable: tuple[str, str] | None = None
    """The other end of its link: the bridge's namespace, and the interface there."""

    def argv(self, *argv: str | Path) -> list[str]:
        """``argv`` so that it runs here; the process is the program itself, not a wrapper that waits for it."""
        words = [str(word) for word in argv]
        return words if self.namespace is None else ["ip", "netns", "exec", self.namespace, *words]

    def run(self, *argv: str | Path, timeout: float = 60) -> str:
        """Run a command to its end; its standard output. Raises RuntimeError with what it said when it failed."""
        return _run(self.argv(*argv), timeout=timeout)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """This thread is on the host: a socket that is made in the block belongs there for good. Start no thread."""
        if self.namespace is None:
            yield
            return
        with Path("/proc/thread-self/ns/net").open() as home, (NAMESPACES / self.namespace).open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def link_down(self) -> None:
        """Pull the cable: the others get no answer any more, not even a refusal."""
        self._link("down")

    def link_up(self) -> None:
        """Put it back."""
        self._link("up")

    def _link(self, state: str) -> None:
        assert self.cable is not None, "this machine has no cable"
        bridge, port = self.cable
        _ip("-n", bridge, "link", "set", port, state)


HERE = Host("here", "127.0.0.1")


@contextmanager
def unplugged(host: Host) -> Iterator[None]:
    """Nobody reaches it, and it reaches nobody."""
    host.link_down()
    try:
        yield
    finally:
        host.link_up()


@contextmanager
def parted(one: Host, other: Host) -> Iterator[None]:
    """What these two send to each other goes nowhere, and neither is told; everybody else reaches both."""
    ways = ((one, other), (other, one))
    for place, far in ways:
        place.run("ip", "neigh", "replace", far.address, "lladdr", NOBODY, "dev", "eth0", "nud", "permanent")
    try:
        yield
    finally:
        for place, far in ways:
            place.run("ip", "neigh", "del", far.address, "dev", "eth0")


@contextmanager
def network(addresses: Mapping[str, str], *, resolver: str) -> Iterator[dict[str, Host]]:
    """Hosts by name, each with its address in 192.0.2.0/24, all asking the name server at ``resolver``."""
    need_root()
    need("ip", "iproute2")
    _clear_left_overs()
    lan = f"{PREFIX}-{os.getpid()}-{next(_numbers)}"
    bridge = f"{lan}-bridge"
    hosts = {
        name: Host(name, address, f"{lan}-{name}", (bridge, f"port{number}"))
        for number, (name, address) in enumerate(addresses.items())
    }
    try:
        _ip("netns", "add", bridge)
        _batch(bridge, "link add br0 type bridge", "link set br0 up")
        for host in hosts.values():
            _join(host, resolver)
        yield hosts
    finally:
        for namespace in [*(f"{lan}-{name}" for name in hosts), bridge]:
            _remove(namespace)


def _join(host: Host, resolver: str) -> None:
    assert host.namespace is not None
    assert host.cable is not None
    bridge, port = host.cable
    files = FILES / host.namespace
    files.mkdir(parents=True)
    (files / "resolv.conf").write_text(f"nameserver {resolver}\noptions timeout:1 attempts:2\n")
    _ip("netns", "add", host.namespace)
    _batch(
        bridge,
        f"link add {port} type veth peer name eth0 netns {host.namespace}",
        f"link set {port} master br0",
        f"link set {port} up",
    )
    _batch(host.namespace, "link set lo up", f"address add {host.address}/24 dev eth0", "link set eth0 up")


def _clear_left_overs() -> None:
    for folder in (NAMESPACES, FILES):
        for path in folder.glob(f"{PREFIX}-*") if folder.is_dir() else ():
            if not _runs(path.name.split("-")[1]):
                _remove(path.name)


def _runs(pid: str) -> bool:
    """Whether that process is there and alive: of one that is dead but not yet waited for, no command line is left."""
    try:
        return bool(Path("/proc", pid, "cmdline").read_bytes())
    except OSError:
        return False


def _remove(namespace: str) -> None:
    """Nothing of it stays, however far its making had come."""
    if (NAMESPACES / namespace).exists():
        for pid in _ip("netns", "pids", namespace).split():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        _ip("netns", "delete", namespace)
    shutil.rmtree(FILES / namespace, ignore_errors=True)


def _batch(namespace: str, *commands: str) -> None:
    _ip("-n", namespace, "-batch", "-", stdin="\n".join(commands))


def _ip(*argv: str, stdin: str = "") -> str:
    return _run(["ip", *argv], stdin=stdin)


def _run(argv: list[str], *, stdin: str = "", timeout: float = 30) -> str:
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stderr.strip()}")
    return done.stdout


def _enter(namespace: int) -> None:
    if _libc.setns(namespace, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
