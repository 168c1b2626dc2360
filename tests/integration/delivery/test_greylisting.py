"""Greylisting by a real policy service behind a real Postfix is waited out, and then the mail is taken."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.appliances.model import Primary
from relay.queue.states import State
from tests.integration.delivery.house import DOMAIN, house
from tests.support import postfix
from tests.support.postgrey import postgrey
from tests.support.processes import free_port
from tests.support.waiting import eventually

pytestmark = pytest.mark.real


@pytest.mark.parametrize(("text", "words"), [("Greylisted for %s seconds", " for 1 seconds"), ("", ", see http")])
async def test_postgrey_puts_a_stranger_off_once(tmp_path: Path, text: str, words: str) -> None:
    """Each letter is tried twice and no more: after the time that was said, or after five minutes where none was."""
    with (
        postgrey(delay=1, text=text) as service,
        postfix.primary(
            DOMAIN, port=free_port(), smtpd_recipient_restrictions=f"check_policy_service {service}, permit"
        ) as primary,
    ):
        async with house(tmp_path, Primary("127.0.0.1", primary.port)) as home:
            for number in range(12):
                await home.accept(f"r{number}")
            await home.returns()
            await eventually(lambda: {row.attempts for row in home.rows(State.QUEUED)} == {1}, timeout=20)
            assert all(f"Greylisted{words}" in row.last_reply for row in home.rows(State.QUEUED))
            waits = [(row.next_attempt_at or 0.0) - home.clock.now() for row in home.rows(State.QUEUED)]
            assert max(waits) <= (2 if text else 301) * 1.2
            if not text:
                assert min(waits) > 290
                await asyncio.sleep(1.5)  # the service knows no other clock than the real one
                home.clock.ahead += max(waits)
            await eventually(lambda: len(primary.messages(DOMAIN)) == 12, timeout=20)
            await eventually(lambda: home.waiting() == 0)
            assert all(b"X-Greylist: delayed" in message for message in primary.messages(DOMAIN))
