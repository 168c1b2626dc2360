"""The password for a customer's directory: the first line of a file, read when it is needed and kept nowhere."""

from __future__ import annotations

from pathlib import Path

from relay.errors import SyncFailed


def read_password(path: str) -> str:
    """Raises SyncFailed where there is none."""
    try:
        password = Path(path).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
    except OSError as error:
        raise SyncFailed(f"can't read the password file {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SyncFailed(f"the password file {path} is no UTF-8 text") from error
    if not password:  # a login without a password succeeds, as nobody (RFC 4513 5.1.2)
        raise SyncFailed(f"the password file {path} begins with an empty line")
    return password
