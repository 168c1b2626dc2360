"""What the check of a domain's MX set says."""

from __future__ import annotations

import dataclasses

import pytest

from relay.appliances.model import Activation, Appliance, Primary
from relay.dns import Resolver
from relay.settings import Dns, Node
from relay.watch.dnscheck import DnsVerdict, check_domain
from tests.support.dns_stub import DnsStub

ACME = Appliance(
    id=1,
    name="acme",
    customer="Acme",
    primaries=(Primary("mail.acme.test"),),
    business_hours="always",
    timezone="UTC",
    holidays="",
    activation=Activation.OFF_HOURS,
    contacts=(),
    hidden=False,
    skip_proofs=(),
    created_at=0.0,
)
BY_MX = dataclasses.replace(ACME, primaries=())
BY_ADDRESS = dataclasses.replace(ACME, primaries=(Primary("192.0.2.1"),))
HIDDEN = dataclasses.replace(ACME, hidden=True)
NODE = Node(name="a", hostname="relay.test", mx_names=["mx2.relay.test"], mx_addresses=["198.51.100.2"])
HOSTS = {
    "mail.acme.test A": ["192.0.2.1"],
    "mail2.acme.test A": ["192.0.2.2"],
    "filter.test A": ["203.0.113.9"],
    "mx2.relay.test A": ["198.51.100.2"],
    "alias.relay.test A": ["198.51.100.2"],
}


async def check(appliance: Appliance, *mx: str, hosts: dict[str, list[str]] = HOSTS) -> DnsVerdict:
    records = {**hosts, "acme.test MX": list(mx)} if mx else {**hosts, "acme.test TXT": ["here"]}
    async with DnsStub(records) as stub:
        return await check_domain(Resolver(Dns(resolvers=[stub.address], timeout=1.0)), NODE, appliance, "acme.test")


@pytest.mark.parametrize("appliance", [ACME, BY_MX, BY_ADDRESS])
@pytest.mark.parametrize("ours", ["mx2.relay.test", "alias.relay.test"])
async def test_strictly_behind_the_primary_is_right(appliance: Appliance, ours: str) -> None:
    """By name or by address, whichever way the primary is known; the evidence is the MX set."""
    verdict = await check(appliance, "10 mail.acme.test.", f"20 {ours}.")
    assert verdict == DnsVerdict("acme.test", True, f"10 mail.acme.test, 20 {ours}")


@pytest.mark.parametrize("appliance", [ACME, BY_MX])
async def test_equal_preference_is_wrong(appliance: Appliance) -> None:
    """Senders would choose either."""
    verdict = await check(appliance, "10 mail.acme.test.", "10 mx2.relay.test.")
    assert not verdict.ok
    assert "mail.acme.test (10) is as preferred as this relay (10)" in verdict.evidence


@pytest.mark.parametrize("appliance", [ACME, BY_MX])
async def test_ahead_of_the_primary_is_wrong(appliance: Appliance) -> None:
    """Mail would come here first."""
    verdict = await check(appliance, "20 mail.acme.test.", "10 mx2.relay.test.")
    assert not verdict.ok
    assert "mail.acme.test (20) is less preferred than this relay (10)" in verdict.evidence


async def test_every_primary_must_stand_ahead() -> None:
    """A second primary behind us is wrong where primaries are fixed; by MX it is somebody else's backup."""
    both = dataclasses.replace(ACME, primaries=(Primary("mail.acme.test"), Primary("mail2.acme.test")))
    mx = ("10 mail.acme.test.", "20 mx2.relay.test.", "30 mail2.acme.test.")
    assert "mail2.acme.test (30)" in (await check(both, *mx)).evidence
    assert (await check(BY_MX, *mx)).ok


async def test_not_listed_says_which_record_to_add() -> None:
    """An operator can paste the missing record."""
    verdict = await check(ACME, "10 mail.acme.test.")
    assert not verdict.ok
    assert verdict.evidence == (
        "the MX set (10 mail.acme.test) doesn't list this relay; add: acme.test MX 20 mx2.relay.test"
    )


async def test_a_primary_outside_of_the_dns_must_be_declared_hidden() -> None:
    """A filter in front of the primary fails until --hidden says that it is meant."""
    mx = ("10 filter.test.", "20 mx2.relay.test.")
    verdict = await check(ACME, *mx)
    assert not verdict.ok
    assert "--hidden" in verdict.evidence
    assert (await check(HIDDEN, *mx)).ok
    assert (await check(HIDDEN, "10 mx2.relay.test.")).ok
    assert not (await check(HIDDEN, "10 filter.test.")).ok


async def test_no_mx_and_null_mx_are_wrong() -> None:
    """Both are told apart."""
    assert "has no MX record" in (await check(ACME)).evidence
    assert "null MX" in (await check(ACME, "0 .")).evidence


async def test_our_own_name_must_lead_to_us() -> None:
    """A name of ours without an address, or with a foreign one, keeps senders away."""
    mx = ("10 mail.acme.test.", "20 mx2.relay.test.")
    lost = {key: value for key, value in HOSTS.items() if not key.startswith("mx2")}
    assert "has no address" in (await check(ACME, *mx, hosts=lost)).evidence
    moved = {**HOSTS, "mx2.relay.test A": ["203.0.113.7"]}
    assert "points at 203.0.113.7 instead of 198.51.100.2" in (await check(ACME, *mx, hosts=moved)).evidence


async def test_no_answer_is_unknown_and_not_wrong() -> None:
    """SERVFAIL is told apart from a wrong MX set."""
    async with DnsStub() as stub:
        stub.servfail = {"acme.test"}
        verdict = await check_domain(Resolver(Dns(resolvers=[stub.address], timeout=1.0)), NODE, ACME, "acme.test")
    assert (verdict.ok, verdict.unknown) == (False, True)
    assert "the DNS gives no answer" in verdict.evidence
