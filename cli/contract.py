"""What became of a domain's contract, for an operator: it runs, or is over, and what then becomes of mail and why."""

from __future__ import annotations

from typing import Any

from cli.render import at, clock_time
from relay.appliances.contract import UNSEEN, Naming, final_at, gone_for_good
from relay.appliances.model import Domain


def facts(domain: Domain, known: Naming | None, now: float) -> dict[str, Any]:
    """As JSON: ``contract`` is running, over (mail is put off) or gone (it is refused for good)."""
    over = not domain.contract_runs(now)
    state = "running" if not over else "gone" if gone_for_good(domain, known, now) else "over"
    return {
        "contract": state,
        "mx_named_at": at(known.named_at) if over and known else None,
        "mx_looked_at": at(known.looked_at) if over and known else None,
        "refused_for_good_at": at(final_at(domain, known)) if over else None,
    }


def sentence(domain: Domain, known: Naming | None, now: float) -> str:
    """In words."""
    if domain.until is None:
        return "runs without an end"
    if domain.contract_runs(now):
        return f"runs to the end of {domain.until}"
    over = f"over since the end of {domain.until}"
    if gone_for_good(domain, known, now):
        return f"{over}; no MX has named us for 14 days: mail is refused for good (550)"
    if known is None:
        return f"{over}; mail is put off (451), and whether an MX still names us has yet to be looked up"
    if now - known.looked_at > UNSEEN:
        return f"{over}; mail is put off (451): nobody has looked at the MX set since {clock_time(known.looked_at)}"
    if named(domain, known, now):
        seen = f"at {clock_time(known.looked_at)} an MX still named us, or the DNS gave no answer"
        return f"{over}; mail is put off (451): {seen}"
    final = clock_time(final_at(domain, known))
    return f"{over}; no MX has named us since {clock_time(known.named_at)}: mail is put off (451), from {final} refused"


def named(domain: Domain, known: Naming | None, now: float) -> bool:
    """Whether the contract is over, and at the last look an MX still named us, or nothing could be known."""
    return not domain.contract_runs(now) and known is not None and known.named_at == known.looked_at
