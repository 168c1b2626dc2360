"""What we send is understood by a Postfix that forbids talking out of turn."""

from __future__ import annotations

import asyncio
import socket

import pytest

from tests.integration.smtp.sessions import envelope, letter, session
from tests.support import postfix
from tests.support.waiting import eventually

pytestmark = pytest.mark.real


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def test_messages_in_a_row() -> None:
    """Many messages over one connection, refused recipients among them, arrive once each, in order and unchanged."""
    count = 60
    with postfix.primary(
        "d.example",
        port=free_port(),
        smtpd_data_restrictions="reject_unauth_pipelining",
        smtpd_end_of_data_restrictions="reject_unauth_pipelining",
        smtpd_delay_reject="no",
        smtpd_error_sleep_time="0",
        smtpd_hard_error_limit="1000",
    ) as primary:
        async with session(primary.port) as connection:
            assert connection.offers.pipelining
            recipients = [["c@d.example"], ["x@elsewhere.example", "c@d.example"], ["x@elsewhere.example"]]
            sending = [
                connection.submit(envelope(*recipients[n % 3]), letter(f".{n:03}\r\n{'.' * (n * 1000)}"))
                for n in range(count)
            ]
            results = await asyncio.gather(*sending)
            await connection.quit()
        for n, result in enumerate(results):
            codes = [answer.reply.code for answer in result.answers]
            assert codes == [[250], [454, 250], [454]][n % 3], result
        await eventually(lambda: len(primary.messages("d.example")) == count * 2 // 3, timeout=60)
        arrived = sorted(message.partition(b"\n\n")[2] for message in primary.messages("d.example"))
        assert arrived == [f".{n:03}\n{'.' * (n * 1000)}\n".encode() for n in range(count) if n % 3 != 2]
