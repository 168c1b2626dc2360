"""Which mail is meant: the options that all verbs of relayctl queue share."""

from __future__ import annotations

from typing import Any

import click

from cli.context import NUMBER, Operator
from cli.names import DOMAIN
from relay.appliances import store
from relay.errors import NotFound, Refused
from relay.mail import normalise_domain
from relay.queue.filter import Filter
from relay.queue.ledger import ledger
from relay.queue.states import Reason, State
from relay.values import parse_duration


def filter_options(command: Any) -> Any:
    """The filter; its values arrive as one Filter named ``which``."""

    def gather(operator: Operator, /, **options: Any) -> Any:
        older = options.pop("older_than")
        domain = options.pop("domain")
        try:
            age = None if older is None else parse_duration(older)
            name = None if domain is None else normalise_domain(domain)
        except ValueError as error:
            raise Refused(str(error)) from None
        if name is not None:
            _known(operator, name)
        which = Filter(
            domain=name,
            sender=options.pop("sender"),
            recipient=options.pop("recipient"),
            state=State(state) if (state := options.pop("state")) else None,
            reason=Reason(reason) if (reason := options.pop("reason")) else None,
            older_than=age,
            ids=options.pop("ids"),
        )
        return command(operator, which=which, **options)

    gather.__doc__, gather.__name__ = command.__doc__, command.__name__
    gather.__click_params__ = getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    wrapped: Any = gather
    for option in reversed(
        (
            click.option("--domain", type=DOMAIN, help="Recipients of this Gold domain."),
            click.option("--sender", metavar="ADDRESS", help="Envelope sender; '<>' for the null sender."),
            click.option("--recipient", metavar="ADDRESS", help="Recipient's address."),
            click.option("--state", type=click.Choice(["queued", "held"]), help="Only one of them."),
            click.option("--reason", type=click.Choice([str(reason) for reason in Reason]), help="Why it is held."),
            click.option("--older-than", metavar="TIME", help="Received longer ago than 2h, 3d …"),
            click.option("--id", "ids", metavar="ID", type=NUMBER, multiple=True, help="A message's number; repeat."),
        )
    ):
        wrapped = option(wrapped)
    return wrapped


def _known(operator: Operator, domain: str) -> None:
    """A misspelt domain must not look like one without mail. Raises NotFound."""
    with operator.db.read() as connection:
        known = store.find_domain(connection, domain) is not None or ledger(connection, domain)
    if not known and domain != operator.settings.node.hostname.lower():
        raise NotFound(f"no Gold domain is named {domain}; 'relayctl domain list' shows them")
