"""MAIL FROM and RCPT TO, read strictly. (What is refused is told in the dialogues, over real sockets.)"""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.addresses import parse_recipient, parse_sender
from relay.edge.parameters import MailParameters, mail_parameters
from relay.errors import Rejected


@pytest.mark.parametrize(
    ("argument", "expected"),
    [
        ("FROM:<a@b.example>", ("a@b.example", "a", "b.example", {})),
        ("from:  <A.b@B.Example.>", ("A.b@B.Example.", "A.b", "b.example", {})),
        ("FROM:<>", ("", "", "", {})),
        ("FROM:<> SIZE=3", ("", "", "", {"SIZE": "3"})),
        ("FROM:<a_b@x_y.example>", ("a_b@x_y.example", "a_b", "x_y.example", {})),
        ("FROM:<a@[IPv6:2001:db8::1]>", ("a@[IPv6:2001:db8::1]", "a", "[IPv6:2001:db8::1]", {})),
        ('FROM:<"a>b"@c.example> x=Y', ('"a>b"@c.example', '"a>b"', "c.example", {"X": "Y"})),
        ("FROM:<ä@bücher.example>", ("ä@bücher.example", "ä", "xn--bcher-kva.example", {})),
    ],
)
def test_an_address_is_kept_as_it_was_written(argument: str, expected: tuple[object, ...]) -> None:
    """Only the domain that is compared is normalised."""
    assert tuple(parse_sender(argument)) == expected


def test_values_of_parameters_keep_their_case() -> None:
    """ENVID and ORCPT are case-sensitive, their names are not."""
    path = parse_recipient("TO:<a@b.example> orcpt=rfc822;Ab+2B@C.example Flag")
    assert path.parameters == {"ORCPT": "rfc822;Ab+2B@C.example", "FLAG": ""}


def test_what_mail_says_is_understood() -> None:
    """SIZE, BODY and SMTPUTF8 in any case and order."""
    assert mail_parameters({}) == MailParameters(None, "7BIT", False)
    assert mail_parameters({"SMTPUTF8": "", "BODY": "8bitmime", "SIZE": "12"}) == MailParameters(12, "8BITMIME", True)


@given(st.text(max_size=60), st.sampled_from(["", "<", "<a@", "<a@b.example>", "<@b:", '<"']))
def test_anything_else_is_refused_and_nothing_breaks(text: str, begin: str) -> None:
    """Whatever stands there is an address or refused for good."""
    for parse, keyword in ((parse_sender, "FROM:"), (parse_recipient, "TO:")):
        with suppress(Rejected):
            path = parse(keyword + begin + text)
            assert not set(path.address) & set("\r\n\0 <") or '"' in path.address


def test_a_long_address_is_read_in_no_time() -> None:
    """No input makes the patterns try for ever."""
    for argument in ("TO:<" + "a" * 4000, "TO:<a@" + "b" * 4000, "TO:<a@" + "b." * 2000 + "-", 'TO:<"' + "\\a" * 2000):
        with pytest.raises(Rejected):
            parse_recipient(argument)
