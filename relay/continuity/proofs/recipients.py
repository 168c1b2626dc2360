"""Proof ``recipients``: each domain's recipient policy can be carried out; a list that must exist is not empty."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from relay.appliances.model import Domain
from relay.db import Database
from relay.recipients.lists import provable


async def prove_recipients(db: Database, domains: Sequence[Domain]) -> dict[str, tuple[bool, str]]:
    """By domain, whether it holds and the evidence."""

    def ask(connection: Connection) -> dict[str, tuple[bool, str]]:
        return {domain.name: provable(connection, domain) for domain in domains}

    return await db.run(ask)
