"""Who is vouched for, with policies and keys in the zones of a real name server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import closing

import pytest

from relay.clock import Clock
from relay.delivery.reports.vouch import Verdict, Voucher, Vouching
from relay.mail import Client
from relay.settings import Dns
from tests.integration.delivery.reports.signing import LETTER, RECEIVED, Key, costly, ed25519, rsa, txt
from tests.support.dns_stub import DnsStub
from tests.support.nsd import name_server
from tests.support.processes import free_port

pytestmark = pytest.mark.real

CLIENT, STRANGER = Client("192.0.2.1", 4000, "mail.good.example"), Client("198.51.100.7", 4000, "mail.good.example")

POLICIES = {
    "good": "v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all",
    "mail.good": "v=spf1 ip4:198.51.100.7 -all",
    "soft": "v=spf1 ~all",
    "neutral": "v=spf1 ?all",
    "anybody": "v=spf1 +all",
    "anybody4": "v=spf1 ip4:0.0.0.0/0 -all",
    "halves": "v=spf1 ip4:0.0.0.0/1 ip4:128.0.0.0/1 -all",
    "exists": "v=spf1 exists:%{i}.yes.example -all",
    "includes": "v=spf1 include:anybody.example -all",
    "redirects": "v=spf1 redirect=good.example",
    "hosts": "v=spf1 mx a:out.hosts.example -all",
    "wrong": "v=spf1 ip4:192.0.2.0/24/9 -all",
    "odd": "v=spf1 ip4:192.0.2.0/99999999999999999999999999999 -all",
    "itself": "v=spf1 include:itself.example -all",
    "round": "v=spf1 include:round2.example -all",
    "round2": "v=spf1 include:round.example ip4:192.0.2.1 -all",
    "voids": "v=spf1 a:n1.example a:n2.example a:n3.example ip4:192.0.2.1 -all",
    "person": "v=spf1 exists:%{l}.%{i}.users.person.example -all",
    "needslame": "v=spf1 include:lame.example ip4:192.0.2.1 -all",
    "long": "v=spf1 ip4:192.0.2.1 " + "a:%{d} " * 1200 + "-all",
    "mail": "v=spf1 -all",
    "testing": "v=spf1 -all",
    "world": "v=spf1 -all",
}
PLAIN = """\
hosts MX 10 in.hosts
in.hosts A 192.0.2.1
out.hosts A 192.0.2.2
none A 192.0.2.1
twice TXT "v=spf1 ip4:192.0.2.1 -all"
twice TXT "v=spf1 -all"
*.yes A 127.0.0.2
alice.192.0.2.1.users.person A 127.0.0.2
"""


def zones() -> dict[str, str]:
    """All under example., of which lame.example doesn't load, so that it gets SERVFAIL."""
    keys = {
        **{f"{selector}._domainkey.world": key.record for selector, key in (("s", rsa()), ("e", ed25519()))},
        "s._domainkey.sub.world": rsa().record,
        "s._domainkey.evil": rsa().record,
        "testing._domainkey.world": rsa().record + "; t=y",
        "strict._domainkey.world": rsa().record + "; t=s",
        "sha1._domainkey.world": rsa().record + "; h=sha1",
        "tls._domainkey.world": rsa().record + "; s=tlsrpt",
        "revoked._domainkey.world": "v=DKIM1; k=rsa; p=",
        "nonsense._domainkey.world": "v=DKIM1; k=rsa; p=AAAA====!",
        "huge._domainkey.world": rsa().record + "; n=" + "x" * 3000,
        "exponent._domainkey.world": costly().record,
    }
    records = [txt(name, text) for name, text in (POLICIES | keys).items()]
    return {"example": PLAIN + "".join(records), "lame.example": "a NONSENSE b\n"}


@pytest.fixture(scope="module")
def resolvers() -> Iterator[Dns]:
    with name_server(zones(), port=free_port()) as server:
        yield Dns(resolvers=[f"127.0.0.1:{server.port}"], timeout=2.0)


@pytest.fixture
def voucher(resolvers: Dns) -> Iterator[Voucher]:
    with closing(Voucher(resolvers, "mx.relay.example")) as voucher:
        yield voucher


async def by_policy(voucher: Voucher, sender: str, client: Client = CLIENT) -> Vouching:
    return await voucher.vouch(sender, client, RECEIVED + LETTER)


async def by_signature(
    voucher: Voucher, content: bytes | Iterable[bytes], sender: str = "alice@world.example"
) -> Vouching:
    return await voucher.vouch(sender, STRANGER, content)


async def test_a_policy_that_passes_vouches(voucher: Voucher) -> None:
    """SPF passes for the domain of MAIL FROM from the client's address, and the evidence says so."""
    for sender in ("a@good.example", "a@GOOD.example.", "a@redirects.example", "a@hosts.example", '"x@y"@good.example'):
        assert (await by_policy(voucher, sender)).verdict is Verdict.VOUCHED, sender
    assert await by_policy(voucher, "a@good.example") == Vouching(
        Verdict.VOUCHED, "SPF passes for good.example from 192.0.2.1"
    )
    for ip in ("2001:db8::1", "::ffff:192.0.2.9"):
        assert (await by_policy(voucher, "a@good.example", Client(ip, 1, "x"))).verdict is Verdict.VOUCHED
    assert (await by_policy(voucher, "alice@person.example")).verdict is Verdict.VOUCHED
    assert (await by_policy(voucher, "mallory@person.example")).verdict is Verdict.UNVOUCHED


@pytest.mark.parametrize(
    "domain",
    [
        *("soft", "neutral", "none", "nowhere", "twice", "wrong", "odd", "itself", "round", "voids", "long"),
        *("anybody", "anybody4", "halves", "exists", "includes", "world"),
    ],
)
async def test_all_else_does_not(voucher: Voucher, domain: str) -> None:
    """Neither softfail, neutral, no policy, one that is wrong, nor a pass that anybody would get."""
    for client in (CLIENT, Client("::ffff:192.0.2.1", 4000, "x")):
        assert (await by_policy(voucher, f"a@{domain}.example", client)).verdict is Verdict.UNVOUCHED


@pytest.mark.parametrize(
    "sender", ["", "postmaster", "a@[192.0.2.1]", "a@", "a@-x-.example", "a@b c.example", "@", "a@é\udcff"]
)
async def test_who_has_no_domain_is_not_vouched_for(voucher: Voucher, sender: str) -> None:
    """The null sender above all."""
    assert (await by_policy(voucher, sender)).verdict is Verdict.UNVOUCHED


async def test_the_name_in_ehlo_vouches_for_nobody(voucher: Voucher) -> None:
    """SPF passes for that name from there, but not for MAIL FROM."""
    client = Client("198.51.100.7", 1, "mail.good.example")
    assert (await by_policy(voucher, "a@mail.good.example", client)).verdict is Verdict.VOUCHED
    assert (await by_policy(voucher, "a@good.example", client)).verdict is Verdict.UNVOUCHED
    assert (await by_policy(voucher, "a@none.example", client)).verdict is Verdict.UNVOUCHED


@pytest.mark.parametrize("canonical", ["simple/simple", "relaxed/relaxed", "relaxed/simple"])
@pytest.mark.parametrize("key", [rsa, ed25519])
async def test_a_signature_vouches(voucher: Voucher, key: type[Key], canonical: str) -> None:
    """By either algorithm, below our Received line, whole or in pieces."""
    selector = "s" if key is rsa else "e"
    content = RECEIVED + key().sign(LETTER, "world.example", selector=selector, canonical=canonical)
    assert await by_signature(voucher, content) == Vouching(Verdict.VOUCHED, "DKIM verifies for world.example")
    pieces = [content[start : start + 7] for start in range(0, len(content), 7)]
    assert (await by_signature(voucher, lambda: iter(pieces))).verdict is Verdict.VOUCHED


async def test_a_signature_of_the_same_organisation_vouches(voucher: Voucher) -> None:
    """d= may be above or below the sender's domain, and another's doesn't count, however good it is."""
    sub = RECEIVED + rsa().sign(LETTER, "sub.world.example")
    assert (await by_signature(voucher, sub)).verdict is Verdict.VOUCHED
    above = RECEIVED + rsa().sign(LETTER, "world.example")
    assert (await by_signature(voucher, above, "a@news.world.example")).verdict is Verdict.VOUCHED
    other = RECEIVED + rsa().sign(LETTER, "evil.example")
    assert await by_signature(voucher, other) == Vouching(
        Verdict.UNVOUCHED, "SPF of world.example says fail for 198.51.100.7; no DKIM signature of world.example"
    )
    assert (await by_signature(voucher, rsa().sign(other, "world.example"))).verdict is Verdict.VOUCHED


SIGNED = RECEIVED + rsa().sign(LETTER, "world.example")
SHORT = rsa().sign(LETTER, "world.example", l="20")


@pytest.mark.parametrize(
    "content",
    {
        "no signature": RECEIVED + LETTER,
        "another body": SIGNED.replace(b"Dear Bob", b"Dear Bop"),
        "more body": SIGNED + b"more\r\n",
        "another subject": SIGNED.replace(b"Subject: hello", b"Subject: hullo"),
        "another From on top": b"From: mallory@evil.example\r\n" + SIGNED,
        "a part of the body": SHORT,
        "more than a part": SHORT + b"buy now\r\n",
        "longer than the body": rsa().sign(LETTER, "world.example", l="9999"),
        "expired": rsa().sign(LETTER, "world.example", t="1700000000", x=str(int(time.time()) - 60)),
        "from the future": rsa().sign(LETTER, "world.example", t=str(int(time.time()) + 86400)),
        "by SHA-1": rsa().sign(LETTER, "world.example", algorithm="rsa-sha1"),
        "without From": rsa().sign(LETTER, "world.example", names="to:subject"),
        "no key": rsa().sign(LETTER, "world.example", selector="nowhere"),
        "key for testing": rsa().sign(LETTER, "world.example", selector="testing"),
        "key for the domain alone": rsa().sign(LETTER, "world.example", selector="strict", i="a@sub.world.example"),
        "key for SHA-1": rsa().sign(LETTER, "world.example", selector="sha1"),
        "key for TLS reports": rsa().sign(LETTER, "world.example", selector="tls"),
        "key revoked": rsa().sign(LETTER, "world.example", selector="revoked"),
        "key of nonsense": rsa().sign(LETTER, "world.example", selector="nonsense"),
        "key too long": rsa().sign(LETTER, "world.example", selector="huge"),
        "key too costly": costly().sign(LETTER, "world.example", selector="exponent"),
        "another's key": Key(bits=1024).sign(LETTER, "world.example"),
        "ill-formed": b"DKIM-Signature: v=1; d=world.example; a=rsa-sha256; h=from; bh=!; b=\r\n" + LETTER,
        "blanks": b"DKIM-Signature: v=1; d=world.example; a=rsa-sha256; h=from; b=" + b" " * 60_000 + b"!\r\n" + LETTER,
        "header of many lines": b"X: y\r\n" * 5_000 + SIGNED,
        "header of many octets": b"X: y\r\n" * 1_000_000 + SIGNED,
        "signatures without end": rsa().sign(LETTER, "world.example", selector="none")[: -len(LETTER)] * 5 + SIGNED,
        "no header": b"\r\n" + SIGNED,
        "nothing": b"",
        "begins with a blank": b" x\r\n" + SIGNED,
        "no field": b"nonsense\r\n" + SIGNED,
    }.items(),
    ids=lambda item: item[0],
)
async def test_a_signature_that_proves_nothing(voucher: Voucher, content: tuple[str, bytes]) -> None:
    """It is altered, covers too little, is too old, too weak, or its key isn't for this."""
    assert (await by_signature(voucher, content[1])).verdict is Verdict.UNVOUCHED


async def test_a_key_for_the_domain_alone_signs_for_it(voucher: Voucher) -> None:
    """t=s asks for an identity of d= itself, which it is where nothing else is said."""
    assert (
        await by_signature(voucher, rsa().sign(LETTER, "world.example", selector="strict"))
    ).verdict is Verdict.VOUCHED


async def test_expiry_is_by_our_clock(resolvers: Dns) -> None:
    """A signature is judged by the time that the node goes by, to the second."""
    expires = time.time() + 3600
    content = rsa().sign(LETTER, "world.example", x=str(int(expires)))
    for now, verdict in ((expires - 60, Verdict.VOUCHED), (expires + 60, Verdict.UNVOUCHED)):
        clock = Clock(wall=lambda now=now: now, monotonic=time.monotonic)
        with closing(Voucher(resolvers, "mx.relay.example", clock=clock)) as voucher:
            assert (await by_signature(voucher, content)).verdict is verdict


async def test_a_large_message_is_read_in_pieces(voucher: Voucher) -> None:
    """It is never there as a whole, and its signature vouches like any other."""
    line = b"x" * 70 + b" \r\n"
    content = RECEIVED + rsa().sign(LETTER + line * 400_000, "world.example", canonical="relaxed/relaxed")

    def pieces() -> Iterator[bytes]:
        for start in range(0, len(content), 262_144):
            yield content[start : start + 262_144]

    assert (await by_signature(voucher, pieces)).verdict is Verdict.VOUCHED


async def test_content_that_can_not_be_read_is_said_so(voucher: Voucher) -> None:
    """What the function that gives content raises is for whoever gave it, and no verdict."""

    def gone() -> Iterator[bytes]:
        yield rsa().sign(LETTER, "world.example")[:-10]
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError, match="the disk is gone"):
        await by_signature(voucher, gone)


async def test_a_thousand_forged_senders(voucher: Voucher) -> None:
    """Whatever domain is named, from wherever, with whatever signatures: not one of them is vouched for."""
    chance = random.Random(20261126)
    domains = [name for name in POLICIES if name not in ("exists", "mail.good")] + ["none", "twice", "nowhere", "lame"]
    signatures = [b"", *(rsa().sign(LETTER, domain)[: -len(LETTER)] for domain in ("evil.example", "world.example"))]
    forged = []
    for number in range(1000):
        sender = f"victim{number}@{chance.choice(domains)}.example"
        client = Client(f"203.0.113.{chance.randrange(256)}", 4000, f"mail.{chance.choice(domains)}.example")
        letter = LETTER.replace(b"hello", f"offer {number}".encode())
        forged.append((sender, client, RECEIVED + chance.choice(signatures) + letter))
    verdicts = [vouching.verdict for vouching in await asyncio.gather(*(voucher.vouch(*one) for one in forged))]
    assert Verdict.VOUCHED not in verdicts
    assert verdicts.count(Verdict.UNVOUCHED) > 800


async def test_servfail_is_not_known(voucher: Voucher) -> None:
    """A zone that is lame says nothing, neither for nor against; what needs it isn't decided yet."""
    for domain in ("lame.example", "needslame.example"):
        assert (await by_policy(voucher, f"a@{domain}")).verdict is Verdict.UNKNOWN
    lame = rsa().sign(LETTER, "lame.example")
    vouching = await by_signature(voucher, lame, "a@lame.example")
    assert vouching.verdict is Verdict.UNKNOWN
    assert "no name server answered" in vouching.evidence
    both = rsa().sign(rsa().sign(LETTER, "world.example"), "x.world.example", selector="s._domainkey.lame.example")
    assert (await by_signature(voucher, both)).verdict is Verdict.VOUCHED


async def test_a_zone_that_hangs_costs_only_its_own_mail() -> None:
    """Its senders are not known, in bounded time; the next one is judged as ever."""
    records = {
        "hangs.test TXT": ['"v=spf1 +all"'],
        "good.test TXT": ['"v=spf1 ip4:192.0.2.1 -all"'],
        "x.test A": ["192.0.2.1"],
    }
    async with DnsStub(records) as stub:
        stub.hanging = {"hangs.test"}
        with closing(Voucher(Dns(resolvers=[stub.address], timeout=0.3), "mx.relay.example")) as voucher:
            assert (await by_policy(voucher, "a@hangs.test")).verdict is Verdict.UNKNOWN
            assert ". NS" in stub.queries
            assert (await by_policy(voucher, "a@good.test")).verdict is Verdict.VOUCHED


async def test_without_any_dns_nobody_waits_for_long() -> None:
    """One message finds out that no resolver answers; the others are told at once, and later ones ask again."""
    ticks = [0.0]
    async with DnsStub({"good.test TXT": ['"v=spf1 ip4:192.0.2.1 -all"']}) as stub:
        stub.silent = True
        clock = Clock(wall=time.time, monotonic=lambda: ticks[0])
        settings = Dns(resolvers=[stub.address], timeout=0.2)
        with closing(Voucher(settings, "mx.relay.example", workers=1, clock=clock)) as voucher:
            assert (await by_policy(voucher, "a@good.test")).verdict is Verdict.UNKNOWN
            asked = len(stub.queries)
            told = await asyncio.gather(*(by_policy(voucher, f"a{n}@good.test") for n in range(200)))
            assert {one.verdict for one in told} == {Verdict.UNKNOWN}
            assert told[0].evidence.startswith("no resolver answers")
            assert len(stub.queries) == asked
            stub.silent = False
            ticks[0] = 11.0
            assert (await by_policy(voucher, "a@good.test")).verdict is Verdict.VOUCHED


async def test_it_can_be_closed_while_it_asks() -> None:
    """Whoever still waits is told nothing, and no look-up begins any more."""
    async with DnsStub({}) as stub:
        stub.silent = True
        voucher = Voucher(Dns(resolvers=[stub.address], timeout=0.2), "mx.relay.example", workers=1)
        signed = rsa().sign(LETTER, "good.test")
        asking = asyncio.create_task(voucher.vouch("a@good.test", CLIENT, signed))
        waiting = asyncio.create_task(by_policy(voucher, "a@good.test"))
        while not stub.queries:
            await asyncio.sleep(0.01)
        voucher.close()
        assert (await asking).verdict is Verdict.UNKNOWN
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert stub.queries == ["good.test TXT"]
