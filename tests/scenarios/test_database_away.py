"""The database's server crashes while mail comes in: it is put off, the node stays, and nothing is lost."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.node import SHORT
from tests.support.postgres import server
from tests.support.waiting import eventually


async def test_a_crash_of_the_database_puts_mail_off_and_loses_none(tmp_path: Path) -> None:
    """451 at MAIL while it is away, 250 soon after its return; all that got 250 before or after is handed back."""
    with server() as postgres:
        node = {**SHORT["node"], "database": postgres.fresh(), "folder": str(tmp_path / "own")}
        limits = {**SHORT["limits"], "database_capacity": "100GB"}
        async with stage(tmp_path, at=NIGHT, settings={"node": node, "limits": limits}) as acme:

            async def mail_gets(code: int) -> bool:
                return await asyncio.to_thread(_mail, acme.node.address) == code

            await acme.goes_down()
            await acme.send(range(20))
            await acme.node.until(DOMAIN, ticket=3)
            await asyncio.to_thread(postgres.stop, "immediate")
            await eventually(lambda: mail_gets(451))
            assert await mail_gets(451)
            await asyncio.to_thread(postgres.start)
            await eventually(lambda: mail_gets(250))
            await acme.send(range(20, 40))
            await acme.primary.start()
            await acme.all_home()
            await acme.node.until_resolved()
            assert (await acme.balance())[DOMAIN]["delivered"] == 40


def _mail(address: tuple[str, int]) -> int:
    """The reply to MAIL."""
    with smtplib.SMTP(*address, timeout=20) as client:
        client.ehlo("client.example")
        code, _ = client.mail("a@elsewhere.example")
        return code
