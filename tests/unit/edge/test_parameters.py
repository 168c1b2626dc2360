"""The parameters of MAIL and RCPT: what is understood, what is kept as it came, and what is refused with which code."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from relay.edge.parameters import (
    NOTHING_ASKED,
    NOTHING_ASKED_FOR,
    MailParameters,
    RecipientParameters,
    mail_parameters,
    recipient_parameters,
)
from relay.errors import Rejected


def test_nothing_said_is_nothing_asked() -> None:
    """Without parameters there is nothing to remember."""
    assert mail_parameters({}) is NOTHING_ASKED
    assert recipient_parameters({}) is NOTHING_ASKED_FOR


def test_values_that_are_handed_on_keep_their_case() -> None:
    """ENVID and ORCPT are the sender's own (RFC 3461 4.4, 4.2); keywords are ours."""
    asked = mail_parameters({"RET": "hdrs", "ENVID": "Qq+3D31", "BODY": "8bitmime", "SIZE": "10"})
    assert asked == MailParameters(10, "8BITMIME", False, "HDRS", "Qq+3D31")
    wanted = recipient_parameters({"NOTIFY": "Delay,success", "ORCPT": "rfc822;Bob+2BOne@Gold.example"})
    assert wanted == RecipientParameters("DELAY,SUCCESS", "rfc822;Bob+2BOne@Gold.example")


@pytest.mark.parametrize(
    "orcpt", ["utf-8;böb@gold.example", "utf-8;b\\x{F6}b@gold.example", "UTF-8;b+2Bb@x", "x-fax;+2B1234"]
)
def test_original_recipients_of_other_kinds(orcpt: str) -> None:
    """Any type is taken, and UTF-8 where the type says so (RFC 6533)."""
    assert recipient_parameters({"ORCPT": orcpt}).orcpt == orcpt


@pytest.mark.parametrize(
    "orcpt", ["", ";x", "rfc822;", "rfc822;böb@x", "rfc 822;x", "rfc822;+2b", "rfc822;+", "rfc822;" + "x" * 500]
)
def test_what_is_no_original_recipient(orcpt: str) -> None:
    """It would be handed on in a command and into reports: only xtext may be."""
    with pytest.raises(Rejected, match=r"501 5\.5\.4 ORCPT"):
        recipient_parameters({"ORCPT": orcpt})


@given(st.text(max_size=8))
def test_no_envelope_id_can_end_a_command(envid: str) -> None:
    """Whatever is taken for an ENVID is printable ASCII without blanks."""
    try:
        kept = mail_parameters({"ENVID": envid}).envid
    except Rejected:
        return
    assert kept
    assert kept.isascii()
    assert kept.isprintable()
    assert " " not in kept
