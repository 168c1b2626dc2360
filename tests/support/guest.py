"""Mail servers of Debian packages that can't be installed beside Postfix: unpacked by tests/support/install.sh.

Such a program runs in a mount namespace of its own, where /run, /var/spool and /var/lib are folders of the test and the
users that its package would have made exist. It sees the rest of this machine as it is, and changes none of it. Needs
root.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from tests.support.processes import need, need_root

UNPACKED = Path("/opt/relay-tests")
FIRST_ID = 64901
"""Of the users and groups; nobody else has them on a Debian machine (its policy, section 9.2)."""

_MOUNT = """\
folder=$1; shift
for name in passwd group; do mount --bind "$folder/$name" /etc/$name; done
mount --bind "$folder/run" /run
mount --bind "$folder/spool" /var/spool
mount --bind "$folder/lib" /var/lib
exec "$@"
"""


def guest(folder: Path, package: str, program: str, users: Sequence[str]) -> list[str]:
    """The command line of ``program`` (as /usr/sbin/…), to which its arguments are added.

    ``folder`` has its run, spool and lib, made here; they are for everybody to enter.
    """
    need_root()
    path = need(str(UNPACKED / package / program.lstrip("/")), package)
    folder.chmod(0o755)
    for name in ("run", "spool", "lib"):
        (folder / name).mkdir(exist_ok=True)
    shutil.copy("/etc/passwd", folder / "passwd")
    shutil.copy("/etc/group", folder / "group")
    with (folder / "passwd").open("a") as passwd, (folder / "group").open("a") as group:
        for number, user in enumerate(users, FIRST_ID):
            passwd.write(f"{user}:x:{number}:{number}::/nonexistent:/usr/sbin/nologin\n")
            group.write(f"{user}:x:{number}:\n")
    unshare = [need("unshare", "util-linux"), "--mount", "--propagation", "private"]
    return [*unshare, "sh", "-ec", _MOUNT, "guest", str(folder), path]
