"""A node that runs takes up what an operator says of recipients meanwhile."""

from __future__ import annotations

import asyncio
import smtplib
from pathlib import Path

from tests.integration.cli.console import Relayctl
from tests.support.node import running
from tests.support.waiting import eventually


def rcpt(address: tuple[str, int], *recipients: str) -> list[int]:
    """The codes that a client gets for recipients of gold.example."""
    with smtplib.SMTP(*address) as client:
        client.ehlo("client.example")
        client.mail("a@b.example")
        return [client.rcpt(f"{one}@gold.example")[0] for one in recipients]


async def test_a_list_that_an_operator_imports_is_known_to_a_running_node(tmp_path: Path) -> None:
    """From a process of its own: undecided, then taken or refused; replaced, extended, and taken back."""
    async with running(tmp_path) as node:
        relayctl = Relayctl(tmp_path)

        async def does(*argv: str, stdin: str = "") -> None:
            answer = await asyncio.to_thread(relayctl.process, *argv, stdin=stdin)
            assert answer.returncode == 0, answer

        async def told(*recipients: str) -> list[int]:
            return await asyncio.to_thread(rcpt, node.address, *recipients)

        async def until(expected: list[int]) -> None:
            async def same() -> bool:
                return await told("ann", "bob", "bob-x", "cid0") == expected

            await eventually(same)

        await does("domain", "add", "gold.example", "--primary", "127.0.0.1:9", "--recipients", "listed")
        await until([451, 451, 451, 451])
        await does("recipient", "import", "gold.example", "-", stdin="ann\nbob\n")
        await until([250, 250, 550, 550])
        many = "".join(f"cid{number}\n" for number in range(5_000))
        await does("recipient", "import", "gold.example", "-", "--replace", "--yes", stdin=f"bob\n{many}")
        await until([550, 250, 550, 250])
        await does("domain", "set", "gold.example", "--plus-addressing", "-")
        await until([550, 250, 250, 250])
        await does("recipient", "import", "gold.example", "/dev/null", "--replace", "--yes")
        await until([451, 451, 451, 451])
