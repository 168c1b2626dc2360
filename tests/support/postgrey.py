"""A real policy service that greylists: postgrey, for a Postfix of the tests to ask.

with postgrey(delay=2, text="Greylisted for %s seconds") as service:
    with postfix.primary("acme.example", smtpd_recipient_restrictions=f"check_policy_service {service}, permit"):
        ...
"""

from __future__ import annotations

import grp
import os
import pwd
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.processes import free_port, listens, need, need_root, running, tail
from tests.support.waiting import wait_until


@contextmanager
def postgrey(*, delay: int, text: str = "") -> Iterator[str]:
    """One that puts strangers off for ``delay`` seconds; as Postfix names it. ``text``: what it says, %s: how long."""
    need_root()
    program, port = need("postgrey", "postgrey"), free_port()
    with tempfile.TemporaryDirectory(prefix="relay-postgrey-") as made:
        folder = Path(made)
        os.chown(folder, pwd.getpwnam("postgrey").pw_uid, grp.getgrnam("postgrey").gr_gid)
        nobody = folder / "nobody"
        nobody.touch()
        words = [f"--greylist-text={text}"] if text else []
        argv = [
            *(program, f"--inet=127.0.0.1:{port}", f"--dbdir={folder}", f"--delay={delay}", *words),
            *("--auto-whitelist-clients=0", f"--whitelist-clients={nobody}", f"--whitelist-recipients={nobody}"),
        ]
        output = folder / "output"
        with running(argv, output) as process:
            wait_until(lambda: listens(port) or process.poll() is not None, timeout=20)
            assert process.poll() is None, tail(output)
            yield f"inet:127.0.0.1:{port}"
