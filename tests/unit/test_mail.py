"""Replies, addresses and domain names."""

from __future__ import annotations

import pytest

from relay.mail import Recipient, Reply, normalise_domain


@pytest.mark.parametrize(
    ("code", "positive", "temporary", "permanent"),
    [
        (250, True, False, False),
        (354, True, False, False),
        (421, False, True, False),
        (451, False, True, False),
        (550, False, False, True),
        (0, False, True, False),
        (777, False, True, False),
    ],
)
def test_the_code_decides_and_nonsense_is_temporary(
    code: int, positive: bool, temporary: bool, permanent: bool
) -> None:
    """Only 5xx is final; what has no clear meaning is tried again."""
    reply = Reply(code, "", "text")
    assert (reply.positive, reply.temporary, reply.permanent) == (positive, temporary, permanent)


def test_a_reply_reads_as_it_stood_on_the_wire() -> None:
    """Code, enhanced code and text; what is missing leaves no gap."""
    assert str(Reply(550, "5.1.1", "no such user")) == "550 5.1.1 no such user"
    assert str(Reply(421, "", "busy")) == "421 busy"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Acme.Example.", "acme.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("Straße.example", "xn--strae-oqa.example"),
        ("a-b.c", "a-b.c"),
    ],
)
def test_domain_names_have_one_spelling(text: str, name: str) -> None:
    """Lower case, A-labels, no final dot."""
    assert normalise_domain(text) == name


@pytest.mark.parametrize("text", ["", ".", "a..b", "-a.example", "a b.example", "a/b", "x" * 64 + ".example", "\x00.a"])
def test_what_is_no_domain_name_is_said_so(text: str) -> None:
    """One sentence that quotes what was typed."""
    with pytest.raises(ValueError, match="is not a domain name"):
        normalise_domain(text)


def test_a_recipient_knows_its_domain() -> None:
    """The part behind the last @, normalised; nothing for a bare postmaster."""
    assert Recipient('"a@b"@Gold.Example').domain == "gold.example"
    assert Recipient("postmaster").domain == ""
