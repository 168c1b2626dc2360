"""What doctor says of the helpdesk: asked now, and what to do."""

from __future__ import annotations

from cli.context import Operator
from cli.helpdesk import LATE, stand
from cli.render import plural, span
from relay.dns import Resolver
from relay.errors import HelpdeskError
from relay.settings import Helpdesk as Settings
from relay.tickets import telling
from relay.tickets.helpdesks.choice import choose

RETRIED = "it is asked again by itself, ever more slowly; SIGHUP to the node asks at once"


async def check(operator: Operator) -> tuple[str, str, str]:
    """Ask it now: result, evidence and remedy for ``doctor``."""
    settings = operator.settings.helpdesk
    with operator.db.read() as connection:
        found, known = telling.waiting(connection), stand(connection, settings)
    helpdesk = choose(settings, operator.db, operator.clock, Resolver(operator.settings.dns))
    try:
        evidence = await helpdesk.check()
    except (HelpdeskError, TimeoutError) as error:
        return "failed", f"{settings.kind} {error}", f"{_remedy(settings, str(error))}; {RETRIED}"
    finally:
        await helpdesk.close()
    if known.disabled:
        remedy = "give it another [helpdesk] url, or have the receiver put in order, then send the node SIGHUP"
        return "failed", f"{settings.kind} {known.trouble}", remedy
    if known.trouble:
        return "failed", f"{settings.kind} {known.trouble}", f"{_remedy(settings, known.trouble)}; {RETRIED}"
    if found.oldest_at is not None and operator.now() - found.oldest_at > LATE:
        text = f"{plural(found.messages, 'message')} wait for {span(operator.now() - found.oldest_at)}"
        why = f": {found.last_error}" if found.last_error else ""
        return "warning", f"{text}{why}", "'relayctl ticket show ID' tells what, ticket by ticket"
    return "ok", evidence, ""


def _remedy(settings: Settings, why: str) -> str:
    if "401" in why:
        key = "secret" if settings.kind == "webhook" else "token"
        return f"[helpdesk] {key} isn't taken (any more): make a new one there, and write it into relay.toml"
    return "see to the helpdesk; [helpdesk] url says where it is"
