"""Everything that can go wrong, in one tree.

    RelayError                  its text is one plain line for a person
    ├── SettingsError           relay.toml or a RELAY_ variable: names the key and says what it should be
    ├── DatabaseError
    │   ├── DatabaseMissing     no database there yet: relayctl init makes one
    │   ├── DatabaseOutdated    older than this program: relayctl db upgrade
    │   ├── DatabaseNewer       newer than this program
    │   ├── DatabaseBusy        locked by somebody else for longer than we wait
    │   ├── DatabaseFull        its disk is full
    │   └── DatabaseAway        its server can't be reached, or has ended the connection; it may come back any moment
    ├── BackupError             a backup of the database can't be made, read or restored; the text says why
    ├── Refused                 an operator asked for what can't be done; the text says why
    │   └── NotFound            … because there is no such thing
    ├── LookupFailed            the DNS gave no answer (not: the name doesn't exist); temporary by nature
    ├── SyncFailed              a customer's directory couldn't be asked, or not in full
    ├── HelpdeskError           the helpdesk didn't take a message; the text says why
    │   ├── HelpdeskDown        … nor would it take another one now: not reached, too many requests, token refused
    │   └── HelpdeskGone        … nor will it ever again
    ├── NotifyError             somebody couldn't be told by their address; the text says why, without secrets
    ├── StartFailed             a node can't start: a port in use, a certificate that doesn't load
    └── EdgeError               what the SMTP client is told; carries its reply
        ├── Rejected            5xx: for good
        └── Deferred            4xx: later

Permanence is decided here for the edge, and by ``relay.mail.Reply`` for what a primary answers.
"""

from __future__ import annotations

from relay.mail import Reply


class RelayError(Exception):
    """Anything this program says no to; ``str()`` is one plain line."""


class SettingsError(RelayError):
    """A setting is unknown or wrong."""


class DatabaseError(RelayError):
    """The database can't be used as it is."""


class DatabaseMissing(DatabaseError):
    """There is no database yet."""


class DatabaseOutdated(DatabaseError):
    """The database is older than this program."""


class DatabaseNewer(DatabaseError):
    """The database is newer than this program."""


class DatabaseBusy(DatabaseError):
    """Somebody else held the database for longer than we wait."""


class DatabaseFull(DatabaseError):
    """The database has no room left."""


class DatabaseAway(DatabaseError):
    """The database's server can't be reached, or has ended the connection; whether a commit that was on its way has
    come to be isn't known."""


class BackupError(RelayError):
    """A backup of the database can't be made, read or restored."""


class Refused(RelayError):
    """An operator asked for what can't be done."""


class NotFound(Refused):
    """An operator named what doesn't exist."""


class LookupFailed(RelayError):
    """The DNS gave no answer: a time-out, SERVFAIL, no server reachable."""


class SyncFailed(RelayError):
    """A customer's directory couldn't be asked, or didn't answer in full; the text says why."""


class HelpdeskError(RelayError):
    """A helpdesk didn't take a message, or gave no clear answer."""


class HelpdeskDown(HelpdeskError):
    """A helpdesk takes no message at all now. ``wait``: seconds until it is asked again, where that is known."""

    def __init__(self, text: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(text)


class HelpdeskGone(HelpdeskError):
    """A helpdesk wants no more messages, ever."""


class NotifyError(RelayError):
    """Somebody couldn't be told. ``theirs``: the address itself was refused, others by the same way weren't."""

    def __init__(self, text: str, *, theirs: bool = False) -> None:
        self.theirs = theirs
        super().__init__(text)


class StartFailed(RelayError):
    """A node can't start."""


FOLLOWS = "follows"


class EdgeError(RelayError):
    """What the edge refuses, with the reply that the client is given.

    ``reason``: the word for it in log and metrics, where the reply's codes don't say enough; FOLLOWS where it is none
    of its own, but follows from a refusal before.
    """

    def __init__(self, code: int, enhanced: str, text: str, reason: str = "") -> None:
        self.reply = Reply(code, enhanced, text)
        self.reason = reason
        super().__init__(str(self.reply))


class Rejected(EdgeError):
    """Refused for good (5xx)."""


class Deferred(EdgeError):
    """Refused for now (4xx)."""
