"""Can we prove that continuity works for this appliance right now? All six proofs, tried side by side.

A round takes at most TIMEOUT seconds: a proof that hangs, or ends in an error that nobody foresaw, has failed, and
its evidence says so. How long a result serves, and what follows from it, is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass

from relay import events
from relay.appliances.model import Appliance, Domain
from relay.clock import Clock, iso
from relay.continuity.proof import DNS_SERVES, Proof
from relay.continuity.proofs import space
from relay.continuity.proofs.dns import DnsResult, prove_dns
from relay.continuity.proofs.expiry import prove_expiry
from relay.continuity.proofs.loop import Loop, prove_loop
from relay.continuity.proofs.recipients import prove_recipients
from relay.continuity.proofs.tls import prove_tls
from relay.db import Database
from relay.dns import Resolver
from relay.networks import Networks
from relay.queue.queue import Queue
from relay.settings import PROOFS, Settings

TIMEOUT = 30.0

DNS, RECIPIENTS = "dns", "recipients"
"""Conditions of findings: what is wrong with a domain's MX set, or with its list of recipients."""


@dataclass(frozen=True, slots=True)
class Round:
    """What one round found. ``findings``: by domain and condition what is wrong, None where all is right; that of
    which nothing can be said is left out."""

    proofs: tuple[Proof, ...]
    findings: dict[tuple[str, str], str | None]


class Prover:
    """One for each node. ``listeners``: host:port of the node's own, asked at each round; ``key``: the cluster's."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        queue: Queue,
        resolver: Resolver,
        clock: Clock,
        key: bytes,
        listeners: Callable[[], Sequence[str]],
    ) -> None:
        self._settings = settings
        self._db = db
        self._queue = queue
        self._resolver = resolver
        self._clock = clock
        proxies = Networks(settings.smtp.proxy_protocol_from)
        self._loop = Loop(settings.node, proxies, key, listeners, queue, resolver, clock)
        self._rates: dict[int, int] = {}
        self._turn = 0

    def reconfigure(self, settings: Settings) -> None:
        """Take over what may change while it runs: which proofs are skipped, the certificate, the load balancers."""
        self._loop = dataclasses.replace(self._loop, proxies=Networks(settings.smtp.proxy_protocol_from))
        self._settings = self._settings.model_copy(update={"continuity": settings.continuity, "smtp": settings.smtp})

    def forget(self, appliance_id: int) -> None:
        """It is no longer ours, or gone."""
        self._rates.pop(appliance_id, None)

    async def prove(self, appliance: Appliance, domains: Sequence[Domain], known: Iterable[Proof]) -> Round:
        """Try every proof that isn't skipped; ``known``: the last results, for when each last held."""
        skipped = {*appliance.skip_proofs, *self._settings.continuity.skip_proofs}
        before = {proof.name: proof for proof in known}
        findings: dict[tuple[str, str], str | None] = {}
        at = self._clock.now()
        self._turn += 1
        works: dict[str, Callable[[], Awaitable[tuple[bool, str]]]] = {
            "loop": lambda: prove_loop(self._loop, domains[self._turn % len(domains)].name),
            "space": lambda: self._space(appliance, domains, at),
            "expiry": lambda: prove_expiry(self._queue, appliance.id, at),
            "recipients": lambda: self._recipients(domains, findings),
            "tls": lambda: prove_tls(self._settings.smtp, at),
        }

        async def one(name: str) -> Proof:
            last_good_at = before[name].last_good_at if name in before else None
            try:
                if name == "dns":
                    return await self._dns(appliance, domains, before.get("dns"), at, findings)
                async with asyncio.timeout(TIMEOUT):
                    ok, evidence = await works[name]()
            except TimeoutError:
                ok, evidence = False, f"no result within {TIMEOUT:.0f} s"
            except Exception as error:
                events.fault("proof", error)
                ok, evidence = False, f"it could not be tried: {error or type(error).__name__}"
            return Proof(name, ok, evidence, at, at if ok else last_good_at)

        proofs = await asyncio.gather(*(one(name) for name in PROOFS if name not in skipped))
        for condition in {DNS, RECIPIENTS} & skipped:
            findings.update({(domain.name, condition): None for domain in domains})
        return Round(tuple(proofs), findings)

    async def _dns(
        self,
        appliance: Appliance,
        domains: Sequence[Domain],
        before: Proof | None,
        at: float,
        findings: dict[tuple[str, str], str | None],
    ) -> Proof:
        last_good_at = None if before is None else before.last_good_at
        try:
            async with asyncio.timeout(TIMEOUT):
                found = await prove_dns(self._resolver, self._settings.node, appliance, domains)
        except TimeoutError:  # many domains, and a resolver that is silent for each
            found = DnsResult(None, f"the DNS gives no answer within {TIMEOUT:.0f} s", {}, ())
        findings.update({(domain, DNS): text for domain, text in found.wrong.items()})
        findings.update({(domain, DNS): None for domain in found.right})
        if found.ok is not None:
            return Proof("dns", found.ok, found.evidence, at, at if found.ok else last_good_at)
        # Only while it is the last answer: one that was wrong since has put an end to it.
        if before is None or not before.ok or last_good_at is None or at - last_good_at >= DNS_SERVES:
            return Proof("dns", False, found.evidence, at, last_good_at)
        evidence = f"{found.evidence}; the last good answer, of {iso(last_good_at)}, serves"
        return Proof("dns", True, evidence, at, last_good_at)

    async def _recipients(
        self, domains: Sequence[Domain], findings: dict[tuple[str, str], str | None]
    ) -> tuple[bool, str]:
        found = await prove_recipients(self._db, domains)
        findings.update({(domain, RECIPIENTS): None if ok else text for domain, (ok, text) in found.items()})
        failing = [text for ok, text in found.values() if not ok]
        return not failing, "; ".join(failing or [text for _, text in found.values()])

    async def _space(self, appliance: Appliance, domains: Sequence[Domain], at: float) -> tuple[bool, str]:
        others = sum(rate for number, rate in self._rates.items() if number != appliance.id)
        room = await space.measure(self._db, self._queue, appliance, domains, others, at)
        self._rates[appliance.id] = room.rates.now
        return space.enough(room, space.horizon(appliance, at))
