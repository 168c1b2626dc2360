"""Sections about mail: how it is taken, what strangers may ask for, how it is handed back."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from relay.settings.section import Listen, Network, Positive, Section, Size
from relay.values import parse_blocklist

MOST_CONNECTIONS = 1000
"""To one appliance, whoever asks for it."""


def _blocklist(text: str) -> str:
    parse_blocklist(text)
    return text


Blocklist = Annotated[str, AfterValidator(_blocklist)]


class TlsPair(Section):
    """A certificate with its chain, and its key: PEM files."""

    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1)


class Smtp(Section):
    """The listeners. Sizes in bytes, times in seconds; ``memory`` bounds the bytes in flight; ``fair_shares``: domains
    for which mail comes at the same time take turns; ``tls_sni``: certificates for clients that ask for the hosts that
    they name; ``proxy_protocol_from``: the load balancers whose connections begin with a header of the PROXY protocol;
    ``etrn_from``: who may ask for any domain's mail beside its own servers."""

    listen: list[Listen] = ["127.0.0.1:2525"]
    max_message_size: Annotated[Size, Field(ge=65536)] = 50 * 1024**2
    max_recipients: int = Field(default=1000, ge=100)  # RFC 5321 4.5.3.1.8: at least 100
    max_connections: int = Field(default=1000, ge=1)
    max_connections_per_client: int = Field(default=50, ge=1)
    memory: Annotated[Size, Field(ge=1024**2)] = 256 * 1024**2
    fair_shares: bool = True
    timeout: Positive = 300.0
    bare_newline: Literal["normalize", "reject"] = "normalize"
    tls_certificate: str = ""
    tls_key: str = ""
    tls_sni: list[TlsPair] = []
    proxy_protocol_from: list[Network] = []
    etrn_from: list[Network] = []


class Limits(Section):
    """What strangers may ask for; *Limits* in deploy/runbook.md tells more.

    ``client_messages``, ``client_recipients``, ``domain_messages``, ``domain_recipients``: a minute; 0: any number.
    ``domain_connections``: sessions at a time with mail for one domain; 0: as many as leave the others a fair share.
    ``client_errors``: commands refused for good in a session. ``exempt``: networks that rates, ``greet_wait`` and
    ``dnsbl`` don't apply to. ``greet_wait``: seconds before the banner of a client that isn't known; 0: none.
    ``dnsbl``: zones, as zone or zone=127.0.0.2,127.0.0.4-8. ``min_disk_free``: bytes; never less than is reserved.
    ``database_capacity``: bytes of the volume that a PostgreSQL database lies on, which only its operator knows; 0: not
    known, and then nothing is refused before the server itself says that it is full.
    """

    client_messages: int = Field(default=0, ge=0)
    client_recipients: int = Field(default=0, ge=0)
    domain_messages: int = Field(default=0, ge=0)
    domain_recipients: int = Field(default=0, ge=0)
    domain_connections: int = Field(default=0, ge=0)
    client_errors: int = Field(default=20, ge=1)
    exempt: list[Network] = []
    greet_wait: float = Field(default=0.2, ge=0, le=30)
    dnsbl: list[Blocklist] = []
    min_disk_free: Size = 0
    database_capacity: Size = 0


class Delivery(Section):
    """How mail is handed back. ``client``: whether a primary that wants to know is told the original client of each
    message; auto: so that it judges the client itself (XCLIENT), or for its log (XFORWARD), as it offers."""

    max_connections: int = Field(default=20, ge=1, le=MOST_CONNECTIONS)
    ramp: bool = True
    tls: Literal["opportunistic", "verify", "none"] = "opportunistic"
    client: Literal["auto", "xforward", "none"] = "auto"
