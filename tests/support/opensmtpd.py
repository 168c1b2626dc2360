"""A real OpenSMTPD that sends what it is handed to one smart host, by its default: STARTTLS where that is offered.

    with opensmtpd(next_hop=("127.0.0.1", 2525)) as server:
        smtplib.SMTP("127.0.0.1", server.port).sendmail(...)

See tests/support/guest.py for how it runs.
"""

from __future__ import annotations

import smtplib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.guest import guest
from tests.support.processes import free_port, running, tail
from tests.support.waiting import wait_until

CONFIG = """\
listen on 127.0.0.1 port {port} hostname {name}
action "out" relay host smtp://{host}:{next_port} helo {name}
match from any for any action "out"
"""


class OpenSMTPD:
    """See above. ``port``: where it takes mail, on loopback."""

    def __init__(self, output: Path, port: int) -> None:
        self._output = output
        self.port = port

    def log(self) -> str:
        """What it has said."""
        return tail(self._output, 1000)

    def answers(self) -> bool:
        """Whether it takes mail yet."""
        try:
            with smtplib.SMTP("127.0.0.1", self.port, timeout=10):
                return True
        except (OSError, smtplib.SMTPException):
            return False


@contextmanager
def opensmtpd(name: str = "out.opensmtpd.example", *, next_hop: tuple[str, int]) -> Iterator[OpenSMTPD]:
    """A server called ``name``; its queue is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="relay-opensmtpd-") as made:
        folder, port = Path(made), free_port()
        argv = guest(folder, "opensmtpd", "/usr/sbin/smtpd", ["opensmtpd", "opensmtpq"])
        (folder / "lib/opensmtpd/empty").mkdir(parents=True, mode=0o755)
        config, output = folder / "smtpd.conf", folder / "output"
        config.write_text(CONFIG.format(port=port, name=name, host=next_hop[0], next_port=next_hop[1]))
        config.chmod(0o600)
        server = OpenSMTPD(output, port)
        try:
            with running([*argv, "-d", "-f", str(config)], output) as process:
                wait_until(lambda: server.answers() or process.poll() is not None, timeout=30)
                assert process.poll() is None, "OpenSMTPD ended"
                yield server
        except BaseException:
            print(f"What {name} said:", server.log(), sep="\n")
            raise
