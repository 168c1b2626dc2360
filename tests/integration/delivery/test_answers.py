"""What primaries answer, and what becomes of the mail."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

from relay.appliances.facts import Health
from relay.mail import Reply
from relay.queue.states import Reason, State
from tests.integration.delivery.house import house
from tests.support.primary import DROP, HANG, ScriptedPrimary, Taken
from tests.support.waiting import eventually


def recipients(primary: ScriptedPrimary) -> list[str]:
    """Everybody whom the primary took mail for, once for each message."""
    return sorted(address.split("@")[0] for taken in primary.messages for address in taken.recipients)


async def test_each_recipient_of_a_message_has_an_outcome_of_its_own(tmp_path: Path) -> None:
    """Of one message with three recipients one is delivered, one deferred and one held; each is tried on its own."""
    answers = {"later@acme.example": Reply(450, "4.2.1", "Later"), "never@acme.example": Reply(550, "5.1.1", "Never")}
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.on_rcpt = answers.get
        await home.up()
        await home.accept("now", "later", "never")
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["never"])
        assert home.addresses(State.QUEUED) == ["later"]
        (deferred,) = home.rows(State.QUEUED)
        assert deferred.attempts == 1
        assert deferred.last_reply == "450 4.2.1 Later"
        assert deferred.next_attempt_at is not None
        assert 30 < deferred.next_attempt_at - home.clock.now() < 90
        answers.clear()
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)  # nobody waits for it
        home.clock.ahead += 90
        await eventually(lambda: home.addresses(State.QUEUED) == [])
        assert recipients(primary) == ["later", "now"]
        assert home.addresses(State.HELD) == ["never"]


async def test_a_421_in_the_middle_halves_the_connections_and_all_arrives(tmp_path: Path) -> None:
    """A primary that takes four connections and sends the others away gets everything over four."""

    async def crowded() -> Reply | None:
        return Reply(421, "4.3.2", "Too many connections") if primary.open_connections > 4 else None

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=16, ramp=False) as home:
        primary.on_banner = crowded
        primary.delay = 0.002
        for number in range(300):
            await home.accept(f"r{number}")
        suspected = asyncio.create_task(home.pulse.suspects())
        await home.returns()
        await eventually(lambda: home.waiting() == 0, timeout=60)
        assert Counter(recipients(primary)).most_common(1)[0][1] == 1
        assert len(primary.messages) == 300
        assert primary.connections < 60  # it isn't asked again and again
        assert suspected.cancel()  # it answered: nobody needs to look after it


async def test_a_421_to_a_message_puts_it_off_for_seconds(tmp_path: Path) -> None:
    """A message at which the primary ends the session waits a moment; what it hadn't turned to goes on at once."""
    sent_away: list[str] = []

    def once(address: str) -> Reply | None:
        if address.startswith("r5@") and not sent_away:
            sent_away.append(address)
            return Reply(421, "4.3.2", "Going down")
        return None

    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=1) as home:
        primary.on_rcpt = once
        for number in range(20):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(primary.messages) == 19 and len(home.rows(State.QUEUED)) == 1)
        (row,) = home.rows(State.QUEUED)
        assert row.last_reply == "421 4.3.2 Going down"
        assert row.attempts == 1
        home.clock.ahead += 5
        await eventually(lambda: home.waiting() == 0)
        assert len(set(recipients(primary))) == len(primary.messages) == 20


async def test_a_cut_in_the_middle_of_the_content_is_tried_again(tmp_path: Path) -> None:
    """The primary dies in DATA: the message counts an attempt, the primary is to be probed, and it arrives once."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.drop_content_after = 1000
        await home.up()
        await home.accept("large", content=b"Subject: large\r\n\r\n" + 5000 * b"text\r\n")
        await eventually(lambda: home.rows(State.QUEUED) and home.rows(State.QUEUED)[0].attempts)
        assert await home.pulse.suspects() == {home.appliance.id}
        primary.drop_content_after = None
        home.clock.ahead += 120
        await eventually(lambda: home.waiting() == 0)
        assert recipients(primary) == ["large"]


async def test_a_cut_after_the_dot_is_recorded_as_unknown_and_tried_again(tmp_path: Path) -> None:
    """The answer to the dot never came (RFC 1047): it is said so, and the message is sent again."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.on_content = DROP
        await home.up()
        await home.accept()
        await eventually(lambda: home.rows(State.QUEUED) and home.rows(State.QUEUED)[0].attempts)
        assert "unknown" in home.rows(State.QUEUED)[0].last_reply
        primary.on_content = None
        home.clock.ahead += 120
        await eventually(lambda: home.waiting() == 0)
        assert [taken.answered for taken in primary.messages] == [False, True]


async def test_a_primary_that_falls_silent_after_the_dot_stops_the_drain_when_it_is_down(tmp_path: Path) -> None:
    """What is in flight is given up when the primary comes back, and sent again; the rest goes on at once."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=2, ramp=False) as home:
        for number in range(10):
            await home.accept(f"r{number}")
        primary.on_content = HANG
        await home.returns()
        await eventually(lambda: any(not taken.answered for taken in primary.messages))
        await home.down()
        primary.on_content = None
        await home.returns()
        await eventually(lambda: home.waiting() <= 4)
        home.clock.ahead += 60
        await eventually(lambda: home.waiting() == 0)
        assert set(recipients(primary)) == {f"r{number}" for number in range(10)}
        answered = [taken.recipients for taken in primary.messages if taken.answered]
        assert len(answered) == len(set(answered)) == 10


async def test_a_primary_that_dies_in_the_middle_gets_the_rest_when_it_returns(tmp_path: Path) -> None:
    """The drain stops, the primary is suspected; after the next pulse everything arrives."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.delay = 0.003
        for number in range(200):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(primary.messages) > 50)
        await primary.stop()
        assert await home.pulse.suspects() == {home.appliance.id}
        await home.down()
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        assert home.waiting() > 0
        await primary.start()
        await home.returns()
        await eventually(lambda: home.waiting() <= 60)
        home.clock.ahead += 60
        await eventually(lambda: home.waiting() == 0)
        assert set(recipients(primary)) == {f"r{number}" for number in range(200)}


async def test_connection_trouble_counts_no_attempt(tmp_path: Path) -> None:
    """While nobody listens, messages stay as they are: untried."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await primary.stop()
        await home.accept()
        await home.returns()
        assert await home.pulse.suspects() == {home.appliance.id}
        (row,) = home.rows(State.QUEUED)
        assert (row.attempts, row.next_attempt_at) == (0, None)
        await primary.start()
        await eventually(lambda: home.waiting() == 0)


async def test_a_primary_that_takes_one_message_a_connection_gets_all(tmp_path: Path) -> None:
    """What was pipelined behind the last message goes on over the next connection, and counts no attempt."""

    async def one(taken: Taken) -> bytes:
        numbers.append(taken.connection)
        return b"250 2.0.0 Taken\r\n421 4.3.2 One is enough\r\n"

    numbers: list[int] = []
    async with ScriptedPrimary() as primary, house(tmp_path, primary, max_connections=2) as home:
        primary.on_content = one
        for number in range(20):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert len(numbers) == len(set(numbers)) == 20


async def test_a_sender_that_is_refused_at_mail_is_refused_only_when_others_are_not(tmp_path: Path) -> None:
    """5xx to MAIL is first put off, for it may be about us; when it stays with one sender, his message is held."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.on_mail = lambda sender: Reply(554, "5.7.1", "Go away") if sender.startswith("bad") else None
        await home.up()
        await home.accept("one", sender="bad@sender.example")
        await home.accept("two", sender="good@sender.example")
        await eventually(lambda: home.waiting() == 1)
        assert home.addresses(State.QUEUED) == ["one"]
        home.clock.ahead += 90
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["one"])


async def test_a_primary_that_refuses_every_sender_fails_nobody(tmp_path: Path) -> None:
    """5xx to MAIL for all: everything stays queued, and health is told that it is us who are refused."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.on_mail = Reply(554, "5.7.1", "Your network is not welcome")
        await home.up()
        for number in range(6):
            await home.accept(sender=f"s{number}@sender.example")
        await eventually(lambda: "not welcome" in home.evidence.view(home.appliance.id, home.clock.now()).refusal)
        await eventually(lambda: all(row.attempts for row in home.rows()))
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        home.clock.ahead += 120
        await eventually(lambda: all(row.attempts == 2 for row in home.rows()))
        assert len(home.addresses(State.QUEUED)) == 6


async def test_what_the_primary_cannot_take_is_held(tmp_path: Path) -> None:
    """A message beyond the primary's SIZE, by the time it is back, is held with our own words."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        primary.offers = ["PIPELINING", "SIZE 500"]
        await home.up()
        await home.accept("large", content=b"Subject: large\r\n\r\n" + 200 * b"text\r\n")
        await eventually(lambda: home.addresses(State.HELD, Reason.FAILED) == ["large"])
        assert home.rows()[0].last_reply.startswith("552 5.3.4")


async def test_many_recipients_are_sent_a_hundred_at_a_time(tmp_path: Path) -> None:
    """250 recipients of one message are three transactions, and each recipient gets it once."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        await home.up()
        await home.accept(*(f"r{number}" for number in range(250)))
        await eventually(lambda: home.waiting() == 0)
        assert sorted(len(taken.recipients) for taken in primary.messages) == [50, 100, 100]
        assert len(set(recipients(primary))) == 250


async def test_too_many_recipients_are_sent_in_the_next_transaction(tmp_path: Path) -> None:
    """A primary that takes ten recipients at once gets the others a moment later (RFC 5321 4.5.3.1.10)."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, health=Health.UP) as home:
        said: list[str] = []

        def ten(address: str) -> Reply | None:
            said.append(address)
            return Reply(452, "4.5.3", "Too many recipients") if len(said) % 15 > 10 else None

        primary.on_rcpt = ten
        await home.up()
        await home.accept(*(f"r{number}" for number in range(14)))
        await eventually(lambda: home.waiting() == 4)
        home.clock.ahead += 5
        await eventually(lambda: home.waiting() == 0)
        assert len(set(recipients(primary))) == 14
