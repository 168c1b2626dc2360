"""Where mail goes: fail-over between primaries, never to ourselves, and the relay's own postmaster."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from pathlib import Path

from relay import events
from relay.appliances.model import Primary
from relay.appliances.mx import Endpoints
from relay.delivery.greylisting import Appointments
from relay.delivery.ramp import Ramp
from relay.delivery.route import Destination, Hops
from relay.dns import Resolver
from relay.mail import Reply
from relay.queue.model import Outgoing
from relay.queue.states import State
from relay.settings import Dns
from tests.integration.delivery.house import DOMAIN, RECEIVED, House, house
from tests.support.dns_stub import DnsStub
from tests.support.primary import ScriptedPrimary
from tests.support.waiting import eventually


async def test_the_second_primary_takes_over_when_the_first_is_gone(tmp_path: Path) -> None:
    """Mail goes to the first host that answers, in the order given; when it comes back it is used again."""
    async with ScriptedPrimary() as first, ScriptedPrimary() as second, house(tmp_path, first, second) as home:
        await first.stop()
        for _ in range(20):
            await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)
        assert len(second.messages) == 20
        await eventually(lambda: home.delivery.progress(home.appliance.id) is None)
        await first.start()
        await home.accept()
        await eventually(lambda: home.waiting() == 0)
        assert len(first.messages) == 1


async def test_a_primary_that_dies_in_the_middle_is_replaced_by_the_other(tmp_path: Path) -> None:
    """The drain goes on over the second host without waiting for health."""
    async with ScriptedPrimary() as first, ScriptedPrimary() as second, house(tmp_path, first, second) as home:
        first.delay = 0.003
        for number in range(200):
            await home.accept(f"r{number}")
        await home.returns()
        await eventually(lambda: len(first.messages) > 30)
        await first.stop()
        await eventually(lambda: home.waiting() <= 60)
        home.clock.ahead += 60
        await eventually(lambda: home.waiting() == 0)
        assert {taken.recipients for taken in first.messages + second.messages} == {
            (f"r{number}@{DOMAIN}",) for number in range(200)
        }


async def test_connections_that_the_first_won_t_take_go_to_the_second(tmp_path: Path) -> None:
    """A host with room for two connections gets two, the other one the rest."""
    async with ScriptedPrimary() as first, ScriptedPrimary() as second:
        first.on_banner = lambda: Reply(421, "4.3.2", "Busy") if first.open_connections > 2 else None
        first.delay = second.delay = 0.005
        async with house(tmp_path, first, second, max_connections=8, ramp=False) as home:
            for _ in range(200):
                await home.accept()
            await home.returns()
            await eventually(lambda: home.waiting() == 0)
            assert len(first.messages) + len(second.messages) == 200
            assert first.messages
            assert second.messages


async def test_mail_is_never_sent_to_ourselves(tmp_path: Path) -> None:
    """A primary that greets with our own name is this relay: nothing is handed over, and that is said."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        primary.on_banner = b"220 relay.test ESMTP\r\n"
        await home.accept()
        await home.returns()
        failed = connections_failed()
        await eventually(lambda: primary.commands.count("QUIT") >= 2)
        await eventually(lambda: connections_failed() > failed)
        assert not any(command.startswith("MAIL") for command in primary.commands)
        assert home.addresses(State.QUEUED) == ["someone"]


async def test_a_name_that_every_machine_has_is_not_taken_for_ourselves(tmp_path: Path) -> None:
    """A relay whose hostname was never set up is called localhost, and so may be the primary beside it."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, hostname="localhost") as home:
        primary.on_banner = b"220 localhost ESMTP\r\n"
        await home.accept()
        await home.returns()
        await eventually(lambda: home.waiting() == 0)


async def test_the_postmaster_s_mail_is_forwarded_to_the_address_of_the_settings(tmp_path: Path) -> None:
    """<postmaster> of the relay reaches [node] postmaster, whatever the health; temporary answers are tried again."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, postmaster=f"ops@{DOMAIN}") as home:
        primary.on_rcpt = Reply(450, "4.2.1", "Later")
        await home.accept_postmaster(b"Subject: help\r\n\r\n")
        await eventually(lambda: home.rows(State.QUEUED) and home.rows(State.QUEUED)[0].attempts == 1)
        primary.on_rcpt = None
        home.clock.ahead += 90
        await eventually(lambda: primary.messages)
        (taken,) = primary.messages
        assert taken.recipients == (f"ops@{DOMAIN}",)
        assert taken.content == RECEIVED + b"Subject: help\r\n\r\n"
        await eventually(lambda: home.rows() == [])


async def test_the_postmaster_s_mail_is_held_when_it_is_refused(tmp_path: Path) -> None:
    """5xx holds it as failed, at once."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary, postmaster=f"ops@{DOMAIN}") as home:
        primary.on_rcpt = Reply(550, "5.1.1", "Nobody")
        await home.accept_postmaster(b"Subject: help\r\n\r\n")
        await eventually(lambda: home.rows() and home.rows()[0].state is State.HELD)
        assert home.rows()[0].reason == "failed"


async def test_a_node_without_a_postmaster_keeps_his_mail(tmp_path: Path) -> None:
    """Without the setting nobody knows where it goes: it stays queued."""
    async with ScriptedPrimary() as primary, house(tmp_path, primary) as home:
        await home.accept_postmaster(b"Subject: help\r\n\r\n")
        await asyncio.sleep(0.3)
        assert home.rows()[0].state is State.QUEUED


async def test_each_domain_of_an_appliance_by_mx_has_hosts_of_its_own(tmp_path: Path) -> None:
    """With ``--primary mx`` a recipient goes to hosts that its own domain prefers to us, and a message is split."""
    records = {
        "acme.example MX": ["10 mail.acme.example.", "20 backup.acme.example.", "30 relay.test."],
        "other.example MX": ["10 relay.test.", "20 mail.other.example."],
        "third.example MX": ["5 mail.third.example."],
    }
    async with DnsStub(records) as stub, house(tmp_path) as home:
        await home.accept("one", "two")
        (message,) = await home.queue.due(home.appliance.id, home.clock.now())
        hops, parcel_for = await hops_of(home, stub, message, "acme.example", "other.example", "third.example")
        acme, other, third = (parcel_for(domain) for domain in ("acme.example", "other.example", "third.example"))
        mail, backup, third_mail = (
            Primary("mail.acme.example"),
            Primary("backup.acme.example"),
            Primary("mail.third.example"),
        )
        assert hops.next([acme]) == (mail, acme)
        hops.host(mail).failed(home.clock.monotonic())
        assert hops.next([acme]) == (backup, acme)
        hops.host(backup).failed(home.clock.monotonic())
        assert hops.next([acme, third]) == (third_mail, third)
        hops.host(mail).answered(home.clock.monotonic())
        assert hops.next([acme, third]) == (mail, acme)
        assert hops.next([other]) is None  # we are its best: one hop, and never back

        one, two = message.recipients
        mixed = dataclasses.replace(message, recipients=(one, dataclasses.replace(two, domain="third.example")))
        parcels = hops.split(mixed)
        assert [(parcel.id, len(parcel.recipients)) for parcel in parcels] == [(message.id, 1), (message.id, 1)]
        assert [hops.serves(third_mail, parcel) for parcel in parcels] == [False, True]


async def hops_of(
    home: House, stub: DnsStub, message: Outgoing, *domains: str
) -> tuple[Hops, Callable[[str], Outgoing]]:
    """The hosts of these domains, and how to make a parcel for one of them of a message."""
    endpoints = Endpoints(Resolver(Dns(resolvers=[stub.address])), home.settings.node)
    destination = Destination(home.appliance.id, home.directory, endpoints, home.pulse)
    hops = Hops(destination, home.clock, Appointments(), lambda: Ramp.begin(4))
    await hops.look_up(domains)
    recipient = message.recipients[0]

    def parcel_for(domain: str) -> Outgoing:
        return dataclasses.replace(message, recipients=(dataclasses.replace(recipient, domain=domain),))

    return hops, parcel_for


def connections_failed() -> float:
    """As the metric counts them for the appliance."""
    return events.registry.get_sample_value("relay_connection_failures_total", {"appliance": "acme"}) or 0.0
