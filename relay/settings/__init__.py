"""relay.toml and RELAY_* variables: every default and every check.

A variable (RELAY_SMTP__TIMEOUT=60; lists as JSON) wins over the file. An unknown or wrong key is refused by name, with
what it should be, as a :class:`relay.errors.SettingsError` of one line. Nothing here opens a socket or a database.
"""

from relay.settings.loading import find, load
from relay.settings.mail import MOST_CONNECTIONS, Delivery, Limits, Smtp, TlsPair
from relay.settings.node import Backup, Dns, Metrics, Node
from relay.settings.outage import PROOFS, Continuity, Plan, Support, Watch, Within
from relay.settings.people import Happening, Helpdesk, Notify, Rule
from relay.settings.settings import Settings

__all__ = [
    "MOST_CONNECTIONS",
    "PROOFS",
    "Backup",
    "Continuity",
    "Delivery",
    "Dns",
    "Happening",
    "Helpdesk",
    "Limits",
    "Metrics",
    "Node",
    "Notify",
    "Plan",
    "Rule",
    "Settings",
    "Smtp",
    "Support",
    "TlsPair",
    "Watch",
    "Within",
    "find",
    "load",
]
