"""Plain words for customers: what the matter was, without the words of those who run mail servers. Pure."""

from __future__ import annotations

from relay.tickets.states import Condition

_CAUSES = (
    ("connection refused", "It could be reached, but its mail service was not running."),
    ("no connection within", "It could not be reached over the network."),
    ("unreachable", "It could not be reached over the network."),
    ("no route", "It could not be reached over the network."),
    ("has no address", "Its name had no address in the DNS."),
    ("no banner within", "It could be reached, but its mail service did not answer."),
    ("no reply to", "It could be reached, but its mail service did not answer."),
    ("was closed", "It broke connections off before any mail could pass."),
)

ABOUT = {
    Condition.MAILFLOW: "mail flow",
    Condition.MX: "DNS records for mail",
    Condition.CERTIFICATE: "certificate",
    Condition.RECIPIENTS: "list of recipients",
    Condition.BACKUP: "backup of the mail server",
    Condition.QUOTA: "storage for waiting mail",
    Condition.CONTRACT: "contract",
}
"""What a ticket is about."""


def cause(reason: str) -> str:
    """Why mail could not be delivered, from the reason that the outage was recorded with."""
    return next((words for sign, words in _CAUSES if sign in reason.lower()), "It took no mail.")
