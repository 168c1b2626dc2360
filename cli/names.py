"""Names that operators type, of appliances and Gold domains: understood, and completed by the shell.

Where an appliance is meant, the name of one of its domains says the same.
"""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem
from sqlalchemy import Connection

from cli.context import Operator
from relay.appliances import store
from relay.appliances.model import Appliance
from relay.errors import NotFound, RelayError


def appliance_of(connection: Connection, name: str) -> Appliance:
    """The appliance of that name, or the one that a domain of that name belongs to. Raises NotFound."""
    found = store.find_appliance(connection, name)
    if found is not None:
        return found
    domain = store.find_domain(connection, name)
    if domain is None:
        raise NotFound(f"no appliance or Gold domain is named {name}; 'relayctl status --all' shows all")
    return next(one for one in store.list_appliances(connection) if one.id == domain.appliance_id)


class Name(click.ParamType[str]):
    """A name that the shell completes from the database. ``appliances``, ``domains``: which names are meant."""

    name = "name"

    def __init__(self, *, appliances: bool = False, domains: bool = False) -> None:
        self._appliances = appliances
        self._domains = domains

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return str(value)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        operator = Operator(ctx.find_root().params.get("config"), as_json=False)
        names: set[str] = set()
        try:
            with operator.db.read() as connection:
                if self._appliances:
                    names |= {one.name for one in store.list_appliances(connection)}
                if self._domains:
                    names |= {one.name for one in store.list_domains(connection)}
        except RelayError:
            pass  # a shell that completes is no place for errors: the command will say it
        finally:
            operator.close()
        return [CompletionItem(name) for name in sorted(names) if name.startswith(incomplete)]


APPLIANCE = Name(appliances=True)
DOMAIN = Name(domains=True)
EITHER = Name(appliances=True, domains=True)
