"""Messages of the loop proof."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.errors import Rejected
from tests.integration.queue.material import CONTENT, RECEIVED, house

pytestmark = pytest.mark.usefixtures("engine")


async def test_a_proof_is_committed_read_back_and_removed(tmp_path: Path) -> None:
    """What was written is what is read, once; it touches neither ledger nor depth nor what is due."""
    async with house(tmp_path) as home:
        await home.queue.prove_write("acme.example", "nonce", RECEIVED + CONTENT)
        assert await home.due() == []
        assert home.queue.depth(home.acme).bytes == home.queue.depth_of_domain("acme.example").bytes == 0
        assert home.ledger().accepted == 0
        assert await home.queue.consume_proof("nonce") == RECEIVED + CONTENT
        assert await home.queue.consume_proof("nonce") is None
        assert await home.queue.consume_proof("another") is None
        assert home.problems() == []


async def test_a_nonce_counts_once(tmp_path: Path) -> None:
    """A second message to the same proof address is refused, before and after the first was read."""
    async with house(tmp_path) as home:
        await home.queue.prove_write("acme.example", "nonce", CONTENT)
        with pytest.raises(Rejected, match=r"550 5\.7\.1"):
            await home.queue.prove_write("acme.example", "nonce", CONTENT)
        await home.queue.consume_proof("nonce")
        with pytest.raises(Rejected):
            await home.queue.prove_write("acme.example", "nonce", CONTENT)
