"""Whom no mail about an outage can reach, and what of an address book can't work."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.appliances.model import Activation, Appliance, Primary
from relay.settings import load
from relay.tickets.people.addresses import Served, by_way_of, conflicts, unreachable
from relay.tickets.people.book import Book


@pytest.mark.parametrize(
    ("address", "domain", "lost"),
    [
        ("ops@acme.example", "acme.example", True),
        ("OPS@Acme.Example", "acme.example", True),
        ("ops@sub.acme.example", "acme.example", True),
        ("ops@acme.example", "sub.acme.example", False),
        ("ops@notacme.example", "acme.example", False),
        ("ops@elsewhere.example", "acme.example", False),
        ("ops@straße.example", "xn--strae-oqa.example", True),
        ("ops@XN--STRAE-OQA.example", "xn--strae-oqa.example", True),
    ],
)
def test_an_address_at_a_domain_or_below_it_is_lost_with_it(address: str, domain: str, lost: bool) -> None:
    """In any letters, IDN or not; a domain above the one that is down isn't."""
    assert bool(unreachable(address, (domain,))) is lost


def acme(*domains: str, primary: Primary | None = None) -> Served:
    primaries = (primary or Primary("mail.acme-hosting.example"),)
    appliance = Appliance(1, "acme", "Acme Ltd", primaries, "always", "UTC", "", Activation.ALWAYS, (), False, (), 0.0)
    return Served(appliance, domains or ("acme.example",))


def test_mail_doesnt_go_by_way_of_what_is_down() -> None:
    """Neither through a server in the domain, nor through the appliance itself."""
    assert "is down together with acme.example" in by_way_of("smtp.acme.example", acme())
    assert by_way_of("mail.acme-hosting.example", acme())
    assert not by_way_of("smtp.desk.example", acme())
    assert not by_way_of("127.0.0.1", acme(primary=Primary("127.0.0.1", 2526)))


def book(folder: Path, text: str) -> Book:
    path = folder / "relay.toml"
    path.write_text(text)
    return Book.of(load(path))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            '[notify]\nurls = ["mailto://relay@smtp.desk.example?to=ops@acme.example"]',
            "rule everyone: ops@acme.example gets",
        ),
        ('[notify]\nurls = ["mailto://relay@smtp.desk.example?to=a@b.example&cc=x@sub.acme.example"]', "x@sub.acme"),
        ('[notify]\nurls = ["mailto://relay@smtp.acme.example?to=a@b.example"]', "the mail server smtp.acme.example"),
        ('[notify]\nmail = "mailto://relay@acme.example"', "[notify] mail: the mail server acme.example is down"),
        ('[notify]\nurls = ["sendgrid://apikey:relay@desk.example/ops@acme.example"]', "ops@acme.example gets no mail"),
        ('[notify]\nurls = ["mailto://relay@smtp.desk.example?to=dana@desk.example"]', ""),
        ('[notify]\nurls = ["json://hooks.acme.example/x"]', ""),
        (
            '[[notify.rules]]\nname = "a"\nurls = ["mailto://r@smtp.desk.example?to=ops@acme.example"]\n'
            'customers = ["Other Ltd"]',
            "",
        ),
    ],
)
def test_what_an_address_book_cant_reach_is_named(tmp_path: Path, text: str, said: str) -> None:
    """Each kind of URL that writes mail, by its addresses and its server; not a rule about others."""
    found = list(conflicts(book(tmp_path, text), [acme()]))
    assert said in "\n".join(found)
    assert bool(found) is bool(said)
