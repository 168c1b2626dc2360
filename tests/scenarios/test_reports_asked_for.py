"""What a sender asks about reports (DSN) reaches the primary as it was said."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from tests.scenarios.balance import SENDER
from tests.scenarios.stage import DOMAIN, NIGHT, stage
from tests.support.desk import PATIENCE
from tests.support.waiting import eventually


async def test_requests_for_reports_are_handed_on(tmp_path: Path) -> None:
    """RET, ENVID, NOTIFY and ORCPT come out of the queue after an outage as they went in, each with its recipient."""
    async with stage(tmp_path, at=NIGHT) as acme:
        await acme.goes_down()

        def send() -> None:
            with smtplib.SMTP(*acme.node.address, timeout=10) as client:
                client.ehlo("client.example")
                assert client.mail(SENDER, ["RET=HDRS", "ENVID=Qq+3D31"])[0] == 250
                assert client.rcpt(f"one@{DOMAIN}", ["NOTIFY=SUCCESS,DELAY", f"ORCPT=rfc822;One+2B@{DOMAIN}"])[0] == 250
                assert client.rcpt(f"two@{DOMAIN}", ["NOTIFY=NEVER"])[0] == 250
                assert client.data(b"Subject: hello\r\n\r\n")[0] == 250

        await asyncio.to_thread(send)
        await acme.primary.start()
        await eventually(lambda: bool(acme.primary.messages), timeout=PATIENCE)

        said = "\n".join(acme.primary.commands)
        assert f"MAIL FROM:<{SENDER}> SIZE=" in said
        assert " RET=HDRS ENVID=Qq+3D31" in said
        assert f"RCPT TO:<one@{DOMAIN}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;One+2B@{DOMAIN}" in said
        assert f"RCPT TO:<two@{DOMAIN}> NOTIFY=NEVER" in said
