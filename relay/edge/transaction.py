"""One mail transaction as it grows: from MAIL to the end of data (RFC 5321 3.3)."""

from __future__ import annotations

from dataclasses import dataclass, field

from relay.appliances.model import Domain
from relay.edge.addresses import Path
from relay.edge.intake import Intake
from relay.edge.parameters import NOTHING_ASKED, MailParameters
from relay.errors import FOLLOWS, Rejected
from relay.mail import Envelope, Recipient

FREE_RECIPIENTS = 100
"""Recipients of a message that have room in any case (RFC 5321 4.5.3.1.8)."""
RECIPIENT = 1024
"""Bytes that each one more is counted for in the node's memory: a thousand sessions may name a thousand each."""

Routes = tuple[tuple[Domain, tuple[Recipient, ...]], ...]


@dataclass(slots=True)
class Transaction:
    """``begun``: there was a MAIL, and ``tried``: a RCPT, whatever became of it. ``sender``: None before a MAIL that
    was taken. ``proof``: a loop proof. ``intake``: the message, once the first BDAT was there. ``charged``: bytes of
    the node's memory that its recipients have."""

    begun: bool = False
    sender: str | None = None
    asked: MailParameters = NOTHING_ASKED
    tried: bool = False
    proof: Path | None = None
    intake: Intake | None = None
    charged: int = 0
    recipients: dict[str, Recipient] = field(default_factory=dict)
    # By appliance too: our own host name may be a Gold domain, whose mail isn't our postmaster's.
    _routes: dict[tuple[int, str], tuple[Domain, list[Recipient]]] = field(default_factory=dict)

    def add(self, recipient: Recipient, domain: Domain) -> None:
        """Take a recipient; the same address again changes nothing, whatever is asked for it."""
        if recipient.address not in self.recipients:
            self.recipients[recipient.address] = recipient
            self._routes.setdefault((domain.appliance_id, domain.name), (domain, []))[1].append(recipient)

    def nobody(self) -> Rejected | None:
        """Why there is nobody to take a message for; None where there is."""
        if self.recipients or self.proof is not None:
            return None
        if self.tried:
            return Rejected(554, "5.5.1", "No valid recipients", FOLLOWS)
        return Rejected(503, "5.5.1", "RCPT comes first", self.follows)

    @property
    def follows(self) -> str:
        """FOLLOWS where MAIL was refused, and so is everything after it."""
        return FOLLOWS if self.begun and self.sender is None else ""

    def count(self, domain: Domain) -> int:
        """How many recipients a domain has."""
        route = self._routes.get((domain.appliance_id, domain.name))
        return len(route[1]) if route is not None else 0

    @property
    def domains(self) -> list[Domain]:
        return [domain for domain, _ in self._routes.values()]

    @property
    def names(self) -> list[str]:
        """Of the domains."""
        return [name for _, name in self._routes]

    @property
    def routes(self) -> Routes:
        """The recipients by Gold domain."""
        return tuple((domain, tuple(recipients)) for domain, recipients in self._routes.values())

    @property
    def envelope(self) -> Envelope:
        asked = self.asked
        return Envelope(
            self.sender or "", tuple(self.recipients.values()), asked.body, asked.smtputf8, asked.ret, asked.envid
        )
