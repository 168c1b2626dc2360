"""What an operator sees of a refusal."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from relay import events
from relay.edge import refusals
from relay.mail import Reply


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (Reply(550, "5.7.1", "no"), "not-ours"),
        (Reply(421, "4.4.2", "no"), "timeout"),
        (Reply(501, "5.5.4", "no"), "syntax"),
    ],
)
def test_a_refusal_is_logged_and_counted(reply: Reply, reason: str) -> None:
    """Who asked for what, why not, and whose mail it was; counted by domain and reason."""
    labels = {"domain": "gold.example", "reason": reason}
    before = events.registry.get_sample_value("relay_refused_total", labels) or 0.0
    with capture_logs() as logs:
        refusals.note(reply, "192.0.2.1", ["gold.example"], b"RCPT TO:<a@gold.example>", "b@c.example")
    assert events.registry.get_sample_value("relay_refused_total", labels) == before + 1
    (logged,) = logs
    assert logged["reason"] == reason
    assert logged["reply"] == str(reply)
    assert logged["client"] == "192.0.2.1"
    assert logged["detail"] == "RCPT TO:<a@gold.example> from <b@c.example>"


def test_a_refusal_may_have_a_word_of_its_own() -> None:
    """Where one pair of codes stands for several reasons."""
    with capture_logs() as logs:
        refusals.note(Reply(450, "4.7.1", "no"), "192.0.2.1", "gold.example", b"DATA", None, "domain-rate")
    assert logs[0]["reason"] == "domain-rate"


def test_what_strangers_say_is_safe_to_look_at() -> None:
    """No control character reaches a terminal, and no line grows without bound."""
    with capture_logs() as logs:
        refusals.note(Reply(500, "5.5.1", "no"), "192.0.2.1", [], b"\x1b[2J\xff\r\n" + b"x" * 5000, "\x1b]0;b" * 1000)
    assert logs[0]["detail"].isprintable()
    assert len(logs[0]["detail"]) < 700
