"""When a sync is due, which of the lists that it found are taken, and what is said about the rest. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Set

from relay.clock import iso
from relay.recipients.sync.model import CustomerDirectory, Loss, SyncState, Taken

KEPT = 0.8
"""The part of a list that has to be found again, unless an operator says that the loss is right."""
RETRY = 60
"""Seconds after the first failure; each further one doubles them, up to the usual time between two syncs."""
_SPREAD = 2654435761
"""Knuth's multiplicative hash: numbers that follow each other come to lie far apart."""


def due_at(directory: CustomerDirectory, state: SyncState, listed: Collection[str]) -> float | None:
    """When to sync next (past: now); None where there is nothing to do.

    ``listed``: the domains that take listed recipients alone. One that has become one of them, or is none any more, is
    attended to at once. Each appliance has a moment of its own in the interval, so that thousands don't come together.
    """
    if not listed and state.failing_since is None and not state.losses:
        return None
    if state.tried_at is None or not listed:
        return 0.0
    if state.failures:
        return state.tried_at + min(RETRY << min(state.failures - 1, 20), directory.every)
    if not set(listed) <= state.lists.keys() | state.losses.keys() or not state.losses.keys() <= set(listed):
        return 0.0
    phase = directory.appliance_id * _SPREAD % directory.every
    return state.tried_at + directory.every - (state.tried_at - phase) % directory.every


def loss(had: Set[str], found: Set[str]) -> Loss | None:
    """What a list would lose; None where that is acceptable. An empty list never is: what is more likely a mistake
    would have everybody refused."""
    again = len(had & found)
    return None if found and again >= KEPT * len(had) else Loss(len(had), again)


def succeeded(
    state: SyncState, had: Mapping[str, Set[str]], found: Mapping[str, Set[str]], now: float, *, accept: bool
) -> SyncState:
    """After a sync that was answered in full. ``had``, ``found``: by domain, its list and what is in the directory;
    ``accept``: an operator says that what is lost is right. The lists of those in ``losses`` stay as they are."""
    losses: dict[str, Loss] = {}
    lists: dict[str, Taken] = {}
    for name in found:
        lost = None if accept and found[name] else loss(had[name], found[name])
        if lost is None:
            lists[name] = Taken(len(found[name]), now)
            continue
        losses[name] = lost
        if name in state.lists:
            lists[name] = state.lists[name]
    return SyncState(tried_at=now, ok_at=now, lists=lists, losses=losses)


def failed(state: SyncState, error: str, now: float) -> SyncState:
    """After a sync that wasn't; every list stays as it is."""
    since = now if state.failing_since is None else state.failing_since
    return SyncState(now, state.ok_at, since, state.failures + 1, error, state.lists, state.losses)


def evidence(directory: CustomerDirectory, state: SyncState, appliance: str) -> str | None:
    """What is wrong, for ticket and doctor; None where nothing is. It stays the same as long as the cause does."""
    if state.failing_since is not None:
        since = iso(state.failing_since)
        return f"the sync with the directory at {directory.name} fails since {since}: {state.error}; {_kept(state)}"
    if not state.losses:
        return None
    parts = [_lost(name, lost, state) for name, lost in sorted(state.losses.items())]
    text = f"the directory at {directory.name} has {'; and '.join(parts)}"
    if any(lost.had and lost.found for lost in state.losses.values()):
        text += f"; if that is right, say 'relayctl recipient sync {appliance} --accept-loss'"
    return text


def _kept(state: SyncState) -> str:
    if not state.lists:
        return "it has never worked, and nobody is listed by it yet"
    at = iso(max(taken.at for taken in state.lists.values()))
    return f"the list of {count(state.addresses)} of {at} stays in force"


def _lost(domain: str, lost: Loss, state: SyncState) -> str:
    if not lost.had:
        return f"no address at {domain}, whose list is empty"
    what = f"only {lost.found} of the {count(lost.had)}" if lost.found else f"none of the {count(lost.had)}"
    taken = state.lists.get(domain)
    return f"{what} at {domain}, whose list{f' of {iso(taken.at)}' if taken else ''} stays in force"


def count(number: int) -> str:
    """``240 addresses``."""
    return f"{number} {'address' if number == 1 else 'addresses'}"
