"""Real Postfix instances, each private: configuration, queue, data, log and port are in a folder of its own.

* :func:`primary`: a customer's mail server, with a mailbox per domain that takes any user of it;
* :func:`sender`: the world's mail server, which finds its way by MX records;
* :func:`backup`: a backup MX in front of one next hop, what the benches compare with.

Nothing here reads or writes /etc/postfix, and an instance is gone, queue and all, when its block is left; a block that
fails prints the end of its log first. Needs root: Postfix does, to give each daemon the rights that it needs and no
more. There is no chroot, no certificate and no local user, and every table is written out in main.cf.
"""

from __future__ import annotations

import grp
import json
import os
import pwd
import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.support.netns import HERE, Host
from tests.support.processes import need, need_root, running, tail
from tests.support.waiting import wait_until

MASTER = Path("/usr/lib/postfix/sbin/master")
"""Postfix's own supervisor. postfix(1) would first check and mend a system's installation, for a second or two."""

SERVICES = """\
{address}:{port} inet  n - n -     - smtpd
pickup    unix  n - n 60    1 pickup
cleanup   unix  n - n -     0 cleanup
qmgr      unix  n - n 300   1 qmgr
rewrite   unix  - - n -     - trivial-rewrite
bounce    unix  - - n -     0 bounce
defer     unix  - - n -     0 bounce
trace     unix  - - n -     0 bounce
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -     - proxymap
smtp      unix  - - n -     - smtp
relay     unix  - - n -     - smtp
showq     unix  n - n -     - showq
error     unix  - - n -     - error
retry     unix  - - n -     - error
tlsmgr    unix  - - n 1000? 1 tlsmgr
virtual   unix  - n n -     - virtual
anvil     unix  - - n -     1 anvil
scache    unix  - - n -     1 scache
postlog   unix-dgram n - n - 1 postlogd
"""

MAILBOX_USER = "nobody"


class Postfix:
    """One running instance on ``host``, listening on ``port``."""

    def __init__(self, host: Host, port: int, folder: Path) -> None:
        self.host = host
        self.port = port
        self.pid = 0
        """Of its master, while it runs."""
        self._folder = folder
        self._running = ExitStack()

    def start(self) -> None:
        """Start the daemons and wait for the banner. The queue is what an earlier run left."""
        output = self._folder / "master.out"
        argv = self.host.argv(MASTER, "-c", self._folder, "-s")
        process = self._running.enter_context(running(argv, output))
        wait_until(lambda: self._answers() or process.poll() is not None, timeout=60)
        assert process.poll() is None, f"Postfix ended:\n{tail(output)}\n{self.log()}"
        self.pid = process.pid

    def stop(self) -> None:
        """Stop the daemons; what they had queued stays on disk."""
        self._running.close()

    def messages(self, domain: str) -> list[bytes]:
        """What a :func:`primary` stored for ``domain``: LF line ends, the headers of the delivery on top."""
        return [path.read_bytes() for path in sorted((self._folder / "mailboxes" / domain / "new").glob("*"))]

    def queued(self) -> list[dict[str, Any]]:
        """The queue as ``postqueue -j`` tells it: one mapping a message."""
        return [json.loads(line) for line in self._postqueue("-j").splitlines()]

    def flush(self) -> None:
        """Try everything that is deferred now."""
        self._postqueue("-f")

    def log(self, lines: int = 25) -> str:
        """The end of its mail log."""
        return tail(self._folder / "maillog", lines)

    def _postqueue(self, option: str) -> str:
        # On its own host: it reads main.cf, where inet_interfaces must exist.
        return self.host.run(need("postqueue", "postfix"), "-c", self._folder, option)

    def _answers(self) -> bool:
        try:
            with self.host.inside(), smtplib.SMTP(self.host.address, self.port, timeout=10):
                return True
        except (OSError, smtplib.SMTPException):
            return False


@contextmanager
def primary(*domains: str, host: Host = HERE, port: int = 25, **settings: str) -> Iterator[Postfix]:
    """A mail server with a mailbox for each of ``domains``. ``settings`` are parameters of main.cf."""
    user = pwd.getpwnam(MAILBOX_USER)
    mailboxes = " ".join(f"{{ @{domain} = {domain}/ }}" for domain in domains)
    roles = {
        "virtual_mailbox_domains": " ".join(domains),
        "virtual_mailbox_maps": f"inline:{{ {mailboxes} }}",
        "virtual_mailbox_base": "{folder}/mailboxes",
        "virtual_uid_maps": f"static:{user.pw_uid}",
        "virtual_gid_maps": f"static:{user.pw_gid}",
        "virtual_mailbox_limit": "0",
        "mynetworks": "",
    }
    with _instance(f"mail.{domains[0]}", host, port, roles | settings) as postfix:
        yield postfix


@contextmanager
def sender(name: str, *, host: Host = HERE, port: int = 25, **settings: str) -> Iterator[Postfix]:
    """A mail server called ``name`` that takes mail from anybody it sees and sends it by DNS, impatiently.

    What is submitted goes out as it came, below one Received line: no headers mended, no lines folded.
    """
    roles = {
        "mynetworks": "127.0.0.0/8 192.0.2.0/24",
        "local_header_rewrite_clients": "",
        "smtp_line_length_limit": "0",
        "smtp_host_lookup": "dns",
        "smtp_address_preference": "ipv4",
        "smtp_connect_timeout": "2s",
        "minimal_backoff_time": "2s",
        "maximal_backoff_time": "4s",
        "queue_run_delay": "2s",
    }
    with _instance(name, host, port, roles | settings) as postfix:
        yield postfix


@contextmanager
def backup(
    domain: str,
    next_hop: tuple[str, int],
    *,
    name: str = "mx.relay.example",
    host: Host = HERE,
    port: int = 25,
    parent: Path | None = None,
    **settings: str,
) -> Iterator[Postfix]:
    """A backup MX for ``domain`` that knows one way: to the address and port ``next_hop``. Its folder is in ``parent``,
    or where temporary files are."""
    roles = {
        "mynetworks": "",
        "relay_domains": domain,
        "relay_recipient_maps": "",
        "transport_maps": f"inline:{{ {domain}=relay:[{next_hop[0]}]:{next_hop[1]} }}",
    }
    with _instance(name, host, port, roles | settings, parent) as postfix:
        yield postfix


@contextmanager
def _instance(
    name: str, host: Host, port: int, settings: dict[str, str], parent: Path | None = None
) -> Iterator[Postfix]:
    need_root()
    need("postfix", "postfix")
    with tempfile.TemporaryDirectory(prefix="relay-postfix-", dir=parent, ignore_cleanup_errors=True) as made:
        folder = Path(made)
        _furnish(folder)
        general = {
            "compatibility_level": "3.6",
            "queue_directory": "{folder}/queue",
            "data_directory": "{folder}/data",
            "maillog_file": "{folder}/maillog",
            "maillog_file_prefixes": "{folder}",
            "myhostname": name,
            "mydestination": "",
            "local_recipient_maps": "",
            "alias_maps": "",
            "inet_interfaces": host.address,
            "inet_protocols": "ipv4",
            "message_size_limit": "0",
        }
        lines = [f"{key} = {value}\n".replace("{folder}", made) for key, value in (general | settings).items()]
        (folder / "main.cf").write_text("".join(lines))
        (folder / "master.cf").write_text(SERVICES.format(address=host.address, port=port))
        # Every program of Postfix waits until a file that it reads is seconds old, lest someone is still writing it.
        os.utime(folder / "main.cf", (0, 0))
        os.utime(folder / "master.cf", (0, 0))
        postfix = Postfix(host, port, folder)
        try:
            postfix.start()
            yield postfix
        except BaseException:
            print(f"The end of {name}'s log:", postfix.log(), sep="\n")
            raise
        finally:
            postfix.stop()


def _furnish(folder: Path) -> None:
    """The directories of an instance, owned as Postfix insists; its daemons enter them without the rights of root."""
    daemon, drop = pwd.getpwnam("postfix").pw_uid, grp.getgrnam("postdrop").gr_gid
    mailbox = pwd.getpwnam(MAILBOX_USER)
    folder.chmod(0o755)
    for name, uid, gid, mode in (
        ("queue", 0, 0, 0o755),
        ("queue/pid", 0, 0, 0o755),
        *((f"queue/{queue}", daemon, 0, 0o700) for queue in QUEUES),
        ("queue/maildrop", daemon, drop, 0o1730),
        ("queue/public", daemon, drop, 0o2710),
        ("data", daemon, 0, 0o700),
        ("mailboxes", mailbox.pw_uid, mailbox.pw_gid, 0o700),
    ):
        (folder / name).mkdir()
        os.chown(folder / name, uid, gid)
        (folder / name).chmod(mode)


QUEUES = (
    *("active", "bounce", "corrupt", "defer", "deferred"),
    *("flush", "hold", "incoming", "private", "saved", "trace"),
)
