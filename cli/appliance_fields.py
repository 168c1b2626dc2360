"""What can be said of an appliance: its options, their values, and how it is shown as JSON."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, get_args

import click

from cli.ceilings import ceilings
from cli.render import at
from relay.appliances.model import GOLD_PLAN, Activation, Appliance, Primary
from relay.errors import Refused
from relay.hours import Calendar
from relay.settings import PROOFS
from relay.tls import Policy
from relay.values import parse_duration

APPLIANCE_FIELDS = (
    "customer",
    "primaries",
    "business_hours",
    "timezone",
    "holidays",
    "activation",
    "contacts",
    "hidden",
    "skip_proofs",
    "plan",
    "backup_every",
    "max_connections",
    "max_rate",
    "tls",
)

F = TypeVar("F", bound=Callable[..., Any])


def appliance_options(command: F) -> F:
    """What can be said of an appliance, for ``appliance add|set`` and the short way of ``domain add``."""
    for option in reversed(
        (
            click.option("--customer", help="The customer's name, as it stands in tickets."),
            click.option(
                "--primary",
                "primaries",
                multiple=True,
                metavar="HOST[:PORT]|mx",
                help="A primary; repeat for several, most preferred first.",
            ),
            click.option("--business-hours", metavar="HOURS", help='"Mon-Fri 09:00-18:00", always or none.'),
            click.option("--timezone", metavar="ZONE", help="The customer's time zone, such as Asia/Jerusalem."),
            click.option(
                "--holidays", metavar="LIST", help='Of a country (IL), a part of it (DE-BY), dates: "IL, 2026-12-24".'
            ),
            click.option(
                "--activation",
                type=click.Choice([str(choice) for choice in Activation]),
                help="When the relay takes over by itself.",
            ),
            click.option(
                "--contact",
                "contacts",
                multiple=True,
                metavar="ADDRESS",
                help="Who is told; repeat. 'none' for nobody.",
            ),
            click.option("--hidden/--no-hidden", default=None, help="The primary isn't named in the DNS."),
            click.option(
                "--skip-proof",
                "skip_proofs",
                multiple=True,
                type=click.Choice([*PROOFS, "none"]),
                help="A readiness proof to do without; repeat. 'none' does without none.",
            ),
            click.option(
                "--plan",
                metavar="NAME",
                callback=_known_plan,
                help="The support plan: gold, or of [support.plans].",
            ),
            click.option(
                "--backup-every", metavar="TIME", help="How old its last backup may be, such as 7d; 'none' for any age."
            ),
            click.option(
                "--max-connections",
                metavar="N",
                help="Connections at once when mail is handed back; 'none' for the node's setting.",
            ),
            click.option(
                "--max-rate",
                metavar="N",
                help="Messages a second when mail is handed back, such as 50 or 0.5; 'none' for any number.",
            ),
            click.option(
                "--tls",
                type=click.Choice([*get_args(Policy), "default"]),
                help="How its primaries are spoken to: 'verify' never in plain text; 'default': the node's setting.",
            ),
        )
    ):
        command = option(command)
    return command


def appliance_values(options: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as fields of an Appliance; taken out of ``options``. Raises Refused."""
    given = {name: options.pop(name) for name in APPLIANCE_FIELDS}
    values = {name: value for name, value in given.items() if value not in (None, ())}
    if "holidays" in values:
        _load_holidays(values["holidays"])
    if "primaries" in values:
        values["primaries"] = _primaries(values["primaries"])
    if "activation" in values:
        values["activation"] = Activation(values["activation"])
    if values.get("contacts") == ("none",):
        values["contacts"] = ()
    if "skip_proofs" in values:
        values["skip_proofs"] = tuple(name for name in values["skip_proofs"] if name != "none")
    if "backup_every" in values:
        values["backup_every"] = _age(values["backup_every"])
    if values.get("tls") == "default":
        values["tls"] = None
    return values | ceilings(values)


def _load_holidays(text: str) -> None:
    """What knows them takes its time to load on a busy machine: before a transaction keeps others waiting. Raises
    Refused."""
    try:
        Calendar.parse("always", holidays=text)
    except ValueError as error:
        raise Refused(str(error)) from None


def _known_plan(ctx: click.Context, _parameter: click.Parameter, name: str | None) -> str | None:
    """The plan by its name, in any case. Raises Refused."""
    if name is None or ctx.resilient_parsing:
        return None
    plans = [GOLD_PLAN, *ctx.find_root().obj.settings.support.plans]
    if name.lower() not in plans:
        raise Refused(f"no support plan is named {name}; there are {', '.join(plans)} ([support.plans] in relay.toml)")
    return name.lower()


def _age(text: str) -> int:
    if text == "none":
        return 0
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Refused(f"--backup-every: {error}, or none") from None


def _primaries(texts: tuple[str, ...]) -> tuple[Primary, ...]:
    if "mx" in texts:
        if len(texts) > 1:
            raise Refused("--primary mx can't be mixed with hosts: either the DNS names the primaries, or you do")
        return ()
    try:
        return tuple(Primary.parse(text) for text in texts)
    except ValueError as error:
        raise Refused(f"--primary: {error}") from None


def describe(appliance: Appliance) -> dict[str, Any]:
    """An appliance as JSON."""
    return {
        "appliance": appliance.name,
        "customer": appliance.customer,
        "primaries": [str(primary) for primary in appliance.primaries] or ["mx"],
        "business_hours": appliance.business_hours,
        "timezone": appliance.timezone,
        "holidays": appliance.holidays,
        "activation": str(appliance.activation),
        "contacts": list(appliance.contacts),
        "hidden": appliance.hidden,
        "skip_proofs": list(appliance.skip_proofs),
        "plan": appliance.plan,
        "backup_every_seconds": appliance.backup_every or None,
        "max_connections": appliance.max_connections,
        "max_rate": appliance.max_rate,
        "tls": appliance.tls,
        "created_at": at(appliance.created_at),
    }
