"""The contract ends: mail is put off while an MX names us, refused for good in the end; what is queued goes home."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from relay.appliances.contract import Naming, set_namings
from tests.scenarios.stage import DOMAIN, NIGHT, Stage, stage
from tests.support.desk import PATIENCE
from tests.support.waiting import eventually

DAY = 86400.0


async def reply(acme: Stage) -> str:
    """What a sender hears about a recipient."""

    def ask() -> str:
        with smtplib.SMTP(*acme.node.address, timeout=PATIENCE) as client:
            client.ehlo()
            client.mail("sender@elsewhere.example")
            code, text = client.rcpt(f"user@{DOMAIN}")
            return f"{code} {text.decode()}"

    return await asyncio.to_thread(ask)


async def test_mail_after_the_contracts_end(tmp_path: Path) -> None:
    """451 as long as the DNS sends people here, 550 after two weeks in which it was seen not to."""
    async with stage(tmp_path, at=NIGHT) as acme:
        app = acme.node.app
        await acme.goes_down()
        await acme.send(range(5))
        await acme.node.relayctl("domain", "set", DOMAIN, "--until", "2026-11-27")
        number = (await eventually(lambda: app.directory.domain(DOMAIN))).id
        seen = await eventually(lambda: app.directory.naming(number), timeout=PATIENCE)
        assert seen.named_at == seen.looked_at
        assert (await reply(acme)).startswith("451 4.7.1")

        await acme.primary.start()
        await acme.all_home()
        await acme.balance()

        acme.dns.records[f"{DOMAIN} MX"] = ["10 mail.acme.example."]

        async def gone() -> bool:
            return await app.endpoints.names_us(DOMAIN) is False

        await eventually(gone, timeout=PATIENCE, every=0.2)
        now = acme.clock.now()
        acme.clock.leap(20 * DAY)
        # As if somebody had looked every few hours.
        await app.db.change(set_namings, {number: Naming(now, acme.clock.now() - DAY)})
        await app.directory.refresh()
        await eventually(lambda: app.directory.naming(number).looked_at > acme.clock.now() - DAY, timeout=PATIENCE)  # type: ignore[union-attr]
        assert (await reply(acme)).startswith("550 5.1.2")
