"""Who may send what to whom: asked at each RCPT, and when the content is there.

Decisions are functions of values; :class:`Admission` gathers those from what the node knows in memory, so that asking
costs no query. A refusal is :class:`relay.errors.Rejected` or Deferred with the reply in it. Only Gold domains and our
own postmaster are ever taken (never an open relay); what isn't known is refused for now, not for good.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from relay.appliances import proofs
from relay.appliances.contract import Naming, gone_for_good
from relay.appliances.directory import Directory
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import DEFAULT_LIFETIME, DEFAULT_QUOTA, Domain, RecipientPolicy, WhenUp
from relay.appliances.pulse import Pulse
from relay.clock import Clock
from relay.cluster.lease import POSTMASTER
from relay.edge.addresses import Path
from relay.edge.header import Header
from relay.edge.parameters import MailParameters
from relay.errors import Deferred, EdgeError, Rejected
from relay.queue.content import RECEIVED_ROOM
from relay.queue.sums import Depth
from relay.recipients.known import Recipients, Verdict
from relay.settings import Node


@dataclass(frozen=True, slots=True)
class Facts:
    """What decides about one recipient of a Gold domain.

    ``proven_up``: the primary is up now, by probes that keep their schedule. ``waiting``, ``messages``: bytes and
    messages here for the domain. ``verdict``: whether the recipient exists, as far as the domain's policy asks.
    ``naming``: what the DNS says once the contract is over.
    """

    domain: Domain
    health: HealthFact
    proven_up: bool
    waiting: int
    verdict: Verdict
    messages: int = 0
    naming: Naming | None = None


def judge(facts: Facts, asked: MailParameters, now: float) -> EdgeError | None:
    """Why a recipient isn't taken at ``now``; None: it is. What is final comes before what may pass."""
    domain, health = facts.domain, facts.health
    if not domain.contract_runs(now):
        # As long as an MX record may name us its mail comes here: for good only once none has for a while.
        if gone_for_good(domain, facts.naming, now):
            return Rejected(550, "5.1.2", "This domain is not served here any more")
        return Deferred(451, "4.7.1", "This domain is not served here any more")
    if facts.verdict is Verdict.UNKNOWN:
        return Rejected(550, "5.1.1", "No such recipient")
    if asked.size is not None and asked.size > room(health):
        return Rejected(552, "5.3.4", "The message is larger than the recipient's server takes")
    if asked.smtputf8 and health.offered_smtputf8 is False:
        return Rejected(550, "5.6.7", "The recipient's server doesn't take SMTPUTF8")
    if facts.verdict is Verdict.UNVERIFIED:
        return Deferred(450, "4.1.1", "The recipient could not be verified yet, try again later")
    if facts.verdict is Verdict.UNDECIDED:
        return Deferred(451, "4.3.0", "Who exists at this domain is not known yet, try again later")
    if domain.when_up is WhenUp.DEFER and facts.proven_up:
        return Deferred(451, "4.3.2", "The primary server is up, deliver there")
    full = domain.quota_messages and facts.messages >= domain.quota_messages
    if full or facts.waiting + (asked.size or 0) > domain.quota:
        return Deferred(450, "4.2.2", "Too much mail is waiting for this domain, try again later")
    return None


def room(health: HealthFact) -> float:
    """Bytes that a message may have for its primary to take it, our Received line added."""
    # 0: no limit (RFC 1870 section 3).
    return health.offered_size - RECEIVED_ROOM if health.offered_size else float("inf")


class Admission:
    """``waiting``: what waits for a domain; ``proof_key``: the cluster's secret behind loop proofs."""

    def __init__(
        self,
        node: Node,
        directory: Directory,
        pulse: Pulse,
        recipients: Recipients,
        waiting: Callable[[str], Depth],
        clock: Clock,
        proof_key: bytes,
    ) -> None:
        self._directory = directory
        self._pulse = pulse
        self._recipients = recipients
        self._waiting = waiting
        self._clock = clock
        self._proof_key = proof_key
        self._has_postmaster = bool(node.postmaster)
        self._hostname = node.hostname.lower().rstrip(".")
        self.own_names = frozenset({self._hostname, *(name.lower().rstrip(".") for name in node.mx_names)})
        """Host names by which a Received line is known as ours."""
        self.postmaster = Domain(
            0,
            self._hostname,
            POSTMASTER,
            RecipientPolicy.ANY,
            WhenUp.RELAY,
            DEFAULT_LIFETIME,
            DEFAULT_QUOTA,
            until=None,
            created_at=0.0,
        )
        """Stands for our own host name: what is routed to it goes to the node's postmaster."""

    def worth_asking(self, path: Path) -> bool:
        """Whether the primary should be asked first who that is: :meth:`ask`."""
        domain = self._directory.domain(path.domain)
        if domain is None or not self._recipients.worth_asking(domain, path.local):
            return False
        decided = path.local.lower() == "postmaster" or proofs.is_proof(path.address)
        return not decided and domain.contract_runs(self._clock.now())

    async def ask(self, path: Path) -> Verdict:
        """Whether the recipient exists, as the primary says it now."""
        domain = self._directory.domain(path.domain)
        assert domain is not None  # noqa: S101 - it was worth asking
        return await self._recipients.ask(domain, path.local)

    def recipient(self, path: Path, asked: MailParameters, told: Verdict | None = None) -> Domain:
        """RCPT: the domain that takes the recipient; ``told``: what :meth:`ask` said. Raises Rejected, Deferred."""
        if path.local.lower() == "postmaster" and path.domain in ("", self._hostname):
            return self._own_postmaster()
        domain = self._directory.domain(path.domain)
        if domain is None:
            raise Rejected(550, "5.7.1", "Mail for this domain is not taken here")
        if proofs.is_proof(path.address):  # another cluster's, or late: mail for nobody, which no primary should see
            raise Rejected(550, "5.1.1", "No such recipient")
        now = self._clock.now()
        refusal = judge(self._facts(domain, path.local, told), asked, now)
        if refusal is not None:
            raise refusal
        return domain

    def is_proof(self, path: Path) -> bool:
        """Whether the recipient is a loop proof of this cluster, for a Gold domain; those ask for no admission."""
        return (
            proofs.is_proof(path.address)
            and self._directory.domain(path.domain) is not None
            and proofs.verify(self._proof_key, path.address, self._clock.now())
        )

    def known(self, name: str) -> str:
        """``name`` if it is a Gold domain's, else nothing: what may be a label in the metrics."""
        return name if self._directory.domain(name) is not None else ""

    def room(self, domains: Iterable[Domain]) -> float:
        """Bytes that a message may have for the primaries of all of these."""
        return min((room(self._directory.health(domain.appliance_id)) for domain in domains), default=float("inf"))

    def content(self, header: Header) -> None:
        """The end of data. Raises Rejected."""
        if header.loops:
            raise Rejected(554, "5.4.6", "The message goes round in circles: too many Received lines")

    def _own_postmaster(self) -> Domain:
        if not self._has_postmaster:
            raise Deferred(451, "4.3.5", "This server has no postmaster yet, try again later")
        if self._waiting(self._hostname).bytes > self.postmaster.quota:
            raise Deferred(450, "4.2.2", "Too much mail is waiting for the postmaster, try again later")
        return self.postmaster

    def _facts(self, domain: Domain, local: str, told: Verdict | None) -> Facts:
        health = self._directory.health(domain.appliance_id)
        proven_up = health.state is Health.UP and self._pulse.proven(domain.appliance_id, self._clock.monotonic())
        # RFC 5321 4.5.1: the postmaster of a domain exists.
        exists = local.lower() == "postmaster"
        verdict = Verdict.TAKEN if exists else told or self._recipients.verdict(domain, local)
        waiting = self._waiting(domain.name)
        naming = self._directory.naming(domain.id) if domain.until is not None else None
        return Facts(domain, health, proven_up, waiting.bytes, verdict, waiting.messages, naming)
