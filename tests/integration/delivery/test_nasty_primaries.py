"""Primaries that behave badly: each message gets home once, or waits; none is lost, and none goes where it may not."""

from __future__ import annotations

import asyncio
import re
import tracemalloc
from collections import Counter
from pathlib import Path

import pytest

from relay.appliances.facts import Health
from relay.mail import Reply
from relay.queue.states import Reason, State
from relay.tls import client_context
from tests.integration.delivery.house import DOMAIN, House, house
from tests.integration.delivery.test_returns import finding
from tests.support.certificates import certificate
from tests.support.primary import DROP, HANG, Fault, Script, ScriptedPrimary
from tests.support.waiting import eventually

SOFT, HARD = Reply(450, "4.2.1", "Later"), Reply(550, "5.1.1", "Nobody")


def taken(primary: ScriptedPrimary) -> list[str]:
    """Everybody whom the primary took mail for and said so, once for each time."""
    said = [each for each in primary.messages if each.answered]
    return sorted(address.removesuffix(f"@{DOMAIN}") for each in said for address in each.recipients)


async def until_home(home: House, left: int = 0) -> None:
    """Wait until all but ``left`` recipients are home, over as many retries as that takes."""

    def look() -> bool:
        home.clock.ahead += 5
        return home.waiting() == left

    await eventually(look, timeout=60, every=0.2)


@pytest.mark.parametrize("way", ["by DATA", "by BDAT"])
@pytest.mark.parametrize("fault", [HANG, DROP], ids=["silent", "cut"])
async def test_nobody_who_was_accepted_is_sent_to_again_but_after_a_lost_end(
    fault: Fault, way: str, tmp_path: Path
) -> None:
    """A primary that defers, refuses, sends away, cuts in the content and loses ends: of each message that it has
    answered each recipient has one copy, and what it took without a word comes again."""
    seen: Counter[str] = Counter()

    def at_rcpt(address: str) -> Reply | None:
        seen[address] += 1
        if seen[address] > 1:
            return HARD if address.startswith("never") else None
        return {"later": SOFT, "never": HARD, "away": Reply(421, "4.3.2", "Going down")}.get(
            address.rstrip("0123456789@.acmexpl")
        )

    lost: list[tuple[str, ...]] = []

    def at_end(message: object) -> Fault | None:
        recipients: tuple[str, ...] = message.recipients  # type: ignore[attr-defined]
        if any(address.startswith("lost") for address in recipients) and recipients not in lost:
            lost.append(recipients)
            return fault
        return None

    async with ScriptedPrimary() as primary:
        primary.offers += ["CHUNKING"] if way == "by BDAT" else []
        primary.on_rcpt, primary.on_content = at_rcpt, at_end
        async with house(tmp_path, primary, health=Health.UP, max_connections=3, ramp=False) as home:
            await home.up()
            for number in range(6):
                await home.accept(f"now{number}", f"later{number}", f"never{number}")
                await home.accept(f"away{number}" if number == 3 else f"plain{number}")
            await home.accept("lost1", "lost2")
            await eventually(lambda: bool(lost))
            if fault is HANG:
                await home.down()  # probes find out; what hangs is given up when it is back
                await home.returns()
            await until_home(home, left=6)
        assert home.addresses(State.HELD) == [f"never{number}" for number in range(6)]
        assert Counter(taken(primary)).most_common(1)[0][1] == 1, taken(primary)
        names = [f"{kind}{number}" for kind in ("now", "later") for number in range(6)]
        names += [f"plain{number}" for number in range(6) if number != 3]
        assert taken(primary) == sorted([*names, "away3", "lost1", "lost2"])
        twice = [each.recipients for each in primary.messages if not each.answered]
        assert twice == [(f"lost1@{DOMAIN}", f"lost2@{DOMAIN}")], "that one had to be sent again"


@pytest.mark.parametrize("way", ["by DATA", "by BDAT"])
async def test_a_cut_in_the_middle_of_the_content(way: str, tmp_path: Path) -> None:
    """The primary dies in the content: the message counts an attempt, and arrives once."""
    content = b"Subject: large\r\n\r\n" + 200_000 * b"text\r\n"
    async with ScriptedPrimary() as primary:
        primary.offers += ["CHUNKING"] if way == "by BDAT" else []
        primary.drop_content_after = 400_000
        async with house(tmp_path, primary, health=Health.UP) as home:
            await home.up()
            await home.accept("large", content=content)
            await eventually(lambda: home.rows(State.QUEUED) and home.rows(State.QUEUED)[0].attempts)
            assert "unknown" not in home.rows(State.QUEUED)[0].last_reply
            primary.drop_content_after = None
            await until_home(home)
        assert taken(primary) == ["large"]
        assert primary.messages[0].content.endswith(content)


async def test_a_storm_of_5xx_holds_everything(tmp_path: Path) -> None:
    """A primary that has returned and refuses all it is given gets some messages to refuse, and then no more."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=4) as home:
        primary.on_rcpt = HARD
        primary.delay = 0.005
        for number in range(150):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: finding(home) is not None)
        held = len(home.addresses(State.HELD, Reason.BREAKER))
        assert 20 <= held < 150
        assert len(home.addresses(State.QUEUED)) == 150 - held
        assert primary.messages == []


@pytest.mark.parametrize("policy", ["verify", "opportunistic"])
@pytest.mark.parametrize("trouble", ["not offered", "454", "a wrong certificate", "nonsense"])
async def test_starttls_that_does_not_work(trouble: str, policy: str, tmp_path: Path) -> None:
    """Where certificates must be verified mail waits, and not a word of it is said in plain text; else it goes home."""
    async with ScriptedPrimary() as primary:
        match trouble:
            case "454":
                primary.tls = certificate(tmp_path, "127.0.0.1").context()
                primary.on_starttls = Reply(454, "4.7.0", "TLS not available")
            case "a wrong certificate":
                primary.tls = certificate(tmp_path, "other.example").context()
            case "nonsense":
                primary.breaks_tls = True
        client_context.cache_clear()
        async with house(tmp_path, primary, health=Health.UP, tls=policy) as home:
            await home.up()
            await home.accept()
            if policy == "verify":
                await eventually(lambda: primary.connections >= 2)
                assert [row.attempts for row in home.rows(State.QUEUED)] == [0]
                assert not any(re.match("MAIL|RCPT|DATA|XFORWARD", command) for command in primary.commands)
            else:
                await eventually(lambda: home.waiting() == 0)
                assert [each.tls for each in primary.messages] == [trouble == "a wrong certificate"]


async def test_an_appliance_has_a_policy_of_its_own(tmp_path: Path) -> None:
    """Its mail waits for encryption where the node's setting would do without, until its operator says otherwise."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        await home.set_appliance(tls="verify")
        await home.up()
        await home.accept()
        await eventually(lambda: primary.connections >= 2)
        assert not any(re.match("MAIL|RCPT|DATA", command) for command in primary.commands)
        await home.set_appliance(tls=None)
        await eventually(lambda: home.waiting() == 0)
        assert [each.tls for each in primary.messages] == [False]


async def test_replies_one_byte_at_a_time(tmp_path: Path) -> None:
    """A drain to a primary that dribbles gets everything home, pipelined as ever."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.byte_by_byte = True
        primary.offers += ["CHUNKING", "XFORWARD ADDR"]
        for number in range(30):
            await home.accept(f"r{number}")
        await home.up()
        await until_home(home)
        assert len(taken(primary)) == len(set(taken(primary))) == 30


ODD = {
    "bare LF": (b"250-first\n250 second\n", True),
    "CR CR LF": (b"250 Ok\r\r\n", True),
    "bare CR inside": (b"250 O\rk\r\n", True),
    "another reply behind a bare CR": (b"550 No\r250 Ok\r\n", False),
}


@pytest.mark.parametrize("said", ODD.keys())
@pytest.mark.parametrize("stage", ["MAIL", "RCPT", "the end"])
async def test_replies_with_bare_cr_and_lf(stage: str, said: str, tmp_path: Path) -> None:
    """A bare LF ends a line, a bare CR is a blank in it; neither makes a second reply of one that was given."""
    reply, taken_so = ODD[said]
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP, silence=1.0) as home:
        script: Script = reply
        match stage:
            case "MAIL":
                primary.on_mail = script
            case "RCPT":
                primary.on_rcpt = script
            case "the end":
                primary.on_content = lambda message: primary.messages.append(message) or reply if taken_so else reply
        await home.accept()
        await home.up()
        if taken_so:
            await eventually(lambda: home.waiting() == 0)
        else:
            await eventually(lambda: home.rows() and home.rows()[0].attempts == 1)
            assert "550 No" in home.rows()[0].last_reply


@pytest.mark.parametrize(
    ("stage", "shape"),
    [("banner", "one line"), ("EHLO", "many lines"), ("RCPT", "one line"), ("the end", "many lines")],
)
async def test_replies_of_ten_megabytes(stage: str, shape: str, tmp_path: Path) -> None:
    """A reply without an end is given up after 64 KiB, in words that say so; it costs no memory, and no message."""
    line = b"250-" + b"x" * 60 + b"\r\n"
    flood = b"250-" + b"x" * 10_000_000 + b"\r\n" if shape == "one line" else line * (10_000_000 // len(line))
    flood = flood.replace(b"250", b"220") if stage == "banner" else flood
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        match stage:
            case "banner":
                primary.on_banner = flood
            case "EHLO":
                primary.on_helo = flood
            case "RCPT":
                primary.on_rcpt = flood
            case "the end":
                primary.on_content = flood
        await home.accept()
        tracemalloc.start()
        try:
            await home.up()
            assert await home.pulse.suspects() == {home.appliance.id}
            await eventually(lambda: stage in ("banner", "EHLO") or home.rows()[0].attempts == 1)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 15_000_000, "the primary's own ten included"
        (row,) = home.rows()
        assert row.state is State.QUEUED
        if stage not in ("banner", "EHLO"):
            assert "a reply of more than 65536 octets" in row.last_reply
            assert ("unknown" in row.last_reply) is (stage == "the end")
        primary.on_banner = primary.on_helo = primary.on_rcpt = primary.on_content = None
        await until_home(home)
        assert taken(primary) == ["someone"]


async def test_a_silent_host_is_left_for_the_next(tmp_path: Path) -> None:
    """A host that accepts and says nothing holds a delivery as long as a probe would wait; then the next gets all."""
    async with ScriptedPrimary() as silent, ScriptedPrimary() as second:
        silent.on_banner = HANG
        async with house(tmp_path, silent, second, health=Health.UP, silence=0.5, max_connections=4) as home:
            second.delay = 0.01
            for number in range(40):
                await home.accept(f"r{number}")
            began = asyncio.get_running_loop().time()
            await home.up()
            await eventually(lambda: home.waiting() == 0, timeout=20)
            assert asyncio.get_running_loop().time() - began < 15
        assert len(taken(second)) == 40
        assert silent.connections <= 4
