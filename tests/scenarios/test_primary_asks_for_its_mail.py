"""A primary that is back says so itself, by ETRN, and doesn't wait until somebody looks."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from relay.mail import Reply
from tests.scenarios.stage import DOMAIN, NIGHT, Stage, stage
from tests.support.desk import PATIENCE
from tests.support.waiting import eventually

ELSEWHERE = "127.0.0.99"
"""A client that is neither the primary nor anybody whom the settings name."""


async def etrn(acme: Stage, argument: str, client: str = "127.0.0.1") -> str:
    def ask() -> str:
        with smtplib.SMTP(*acme.node.address, timeout=10, source_address=(client, 0)) as session:
            session.ehlo("mail.acme.example")
            code, text = session.docmd("ETRN", argument)
            return f"{code} {text.decode()}"

    return await asyncio.to_thread(ask)


async def test_a_primary_that_asks_is_probed_at_once(tmp_path: Path) -> None:
    """Where the next look is an hour away, ETRN brings it forward; asking for what isn't there is no error."""
    async with stage(tmp_path, at=NIGHT, settings={"watch": {"interval": 3600}}) as acme:
        await acme.is_up()
        before = acme.primary.connections
        assert (await etrn(acme, DOMAIN)).startswith("251 2.0.0 ")
        await eventually(lambda: acme.primary.connections > before, timeout=PATIENCE)


async def test_what_was_put_off_is_tried_again(tmp_path: Path) -> None:
    """Mail that the primary deferred doesn't wait for its retry time when the primary asks for it."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.is_up()
        acme.primary.on_rcpt = lambda address: Reply(450, "4.2.0", "Not now")
        await acme.send(range(2))

        async def put_off() -> bool:
            return [row["attempts"] for row in await acme.node.waiting()] == [1, 1]

        await eventually(put_off, timeout=PATIENCE)
        acme.primary.on_rcpt = None
        assert (await etrn(acme, f"@{DOMAIN}")).startswith("253 2.0.0 Ok, 2 pending messages")
        await acme.all_home()
        await acme.balance()


async def test_strangers_learn_nothing_by_it(tmp_path: Path) -> None:
    """Nobody else starts a drain or hears what is served here, unless the settings name them."""
    async with stage(tmp_path, at=NIGHT, settings={"smtp": {"etrn_from": ["127.0.0.50"]}}) as acme:
        await acme.is_up()
        answers = {await etrn(acme, name, ELSEWHERE) for name in (DOMAIN, f"@{DOMAIN}", "unknown.example", "@example")}
        assert answers == {"459 4.7.1 Not for you: only the domain's own servers may ask for its mail"}
        assert (await etrn(acme, "unknown.example")).startswith("459 ")
        assert (await etrn(acme, "no domain")).startswith("501 5.5.4 ")
        assert (await etrn(acme, "#queue")).startswith("501 5.5.4 ")
        assert (await etrn(acme, DOMAIN, "127.0.0.50")).startswith("251 ")
