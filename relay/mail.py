"""What mail is made of: an envelope, its recipients, the client that brought it, and the replies of SMTP.

Plain frozen values without behaviour of their own, shared by every room. The rules that live here are which replies
are final (the code decides, RFC 5321 section 4.2.1, and what has no clear meaning is temporary), and what NOTIFY asks
for.
"""

from __future__ import annotations

from dataclasses import dataclass

import idna

NULL_SENDER = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: ``code`` (RFC 5321 4.2), ``enhanced`` such as ``4.3.0`` or empty (RFC 3463), one line of text."""

    code: int
    enhanced: str
    text: str

    @property
    def positive(self) -> bool:
        """2xx, or 354 in answer to DATA."""
        return 200 <= self.code < 400

    @property
    def permanent(self) -> bool:
        """True for 5xx alone; all else that isn't positive, nonsense included, is temporary."""
        return 500 <= self.code < 600

    @property
    def temporary(self) -> bool:
        return not self.positive and not self.permanent

    def __str__(self) -> str:
        return " ".join(filter(None, (str(self.code), self.enhanced, self.text)))


@dataclass(frozen=True, slots=True)
class Recipient:
    """One RCPT TO: the address as it was given, and what DSN asked for it (RFC 3461 4.1 and 4.2; None: not said)."""

    address: str
    notify: str | None = None
    orcpt: str | None = None

    @property
    def domain(self) -> str:
        """The domain in lower case, A-labels; empty for a bare ``postmaster``."""
        return domain_of(self.address)


@dataclass(frozen=True, slots=True)
class Envelope:
    """MAIL FROM and RCPT TO as they came; never rewritten.

    ``sender`` is empty for the null sender. ``body`` is ``7BIT`` or ``8BITMIME``. ``ret`` and ``envid`` are DSN's
    (RFC 3461 4.3, 4.4), None where not said.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    body: str = "7BIT"
    smtputf8: bool = False
    ret: str | None = None
    envid: str | None = None


@dataclass(frozen=True, slots=True)
class Client:
    """Who brought a message: address and port, the name it gave in EHLO, ``protocol`` as in RFC 3848 (ESMTPS …)."""

    ip: str
    port: int
    helo: str
    protocol: str = "ESMTP"

    @property
    def ipv6(self) -> bool:
        return ":" in self.ip


def domain_of(address: str) -> str:
    """The domain of an address, normalised as :func:`normalise_domain` does; empty where there is none."""
    _, at, domain = address.rpartition("@")
    if not at:
        return ""
    try:
        return normalise_domain(domain)
    except ValueError:
        return domain.lower()


def normalise_domain(text: str) -> str:
    """A domain name in lower case, A-labels, without a trailing dot.

    Raises ValueError with a sentence for people where ``text`` is no domain name (RFC 1035 2.3.1, RFC 5891, UTS 46).
    """
    name = text.strip().rstrip(".").lower()
    if not name.isascii():
        try:
            name = idna.encode(name, uts46=True).decode("ascii")
        except UnicodeError:
            raise ValueError(f"{text!r} is not a domain name") from None
    labels = name.split(".")
    if len(name) > 253 or not all(
        0 < len(label) <= 63 and label.replace("-", "").replace("_", "").isalnum() and label[0] != "-" != label[-1]
        for label in labels
    ):
        raise ValueError(f"{text!r} is not a domain name")
    return name


def lies_in(name: str, domain: str) -> bool:
    """Whether a domain is ``domain`` or below it; both as :func:`normalise_domain` gives them."""
    return name == domain or name.endswith(f".{domain}")


def wants_failure(notify: str | None) -> bool:
    """Whether NOTIFY (RFC 3461 4.1) asks for a report of failures: so it does where nothing was said."""
    return notify is None or "FAILURE" in notify.split(",")


def wants_delay(notify: str | None) -> bool:
    """Whether it asks for one of delays: only where that was said."""
    return notify is not None and "DELAY" in notify.split(",")


def storable(said: str) -> str:
    """What somebody else's server said, for the database: a reply may hold anything, the database holds text."""
    return said.replace("\0", "").encode("utf-8", "replace").decode()
