"""What relayctl says of a helpdesk that doesn't take what it is told."""

from __future__ import annotations

import json
from typing import Any

from relay.tickets import contact
from tests.integration.cli.console import Relayctl, settings

HELPDESK = """
[helpdesk]
kind = "webhook"
url = "https://127.0.0.1:9/hook"
secret = "whsec_bmV3bmV3bmV3bmV3bmV3bmV3bmV3bmV3"
"""


def doctors_word(relayctl: Relayctl) -> dict[str, Any]:
    answer = relayctl("doctor", "--json")
    (found,) = [check for check in json.loads(answer.out) if check["check"] == "helpdesk"]
    check: dict[str, Any] = found
    return check


def trouble(relayctl: Relayctl, text: str, **more: Any) -> None:
    """As the outbox of a node has left it."""
    db = relayctl.database()
    with db.write() as connection:
        row = contact.Contact(
            "webhook", "https://127.0.0.1:9/hook", trouble=text, trouble_since=1e9, failures=3, **more
        )
        contact.save(connection, row)
    db.close()


def test_trouble_is_seen_in_status_and_ticket_and_doctor_says_what_to_do(relayctl: Relayctl) -> None:
    """One line that names the helpdesk and the reason, for a person who looks at any of the three."""
    relayctl.does("domain", "add", "gold.example", "--primary", "192.0.2.1")
    relayctl.does("ticket", "open", "gold.example", "-m", "slow")
    relayctl.config.write_text(settings(relayctl.folder) + HELPDESK)
    assert "1 message not told yet" in relayctl("ticket", "show", "1").out
    trouble(relayctl, "doesn't take what we prove ourselves with (401)", retry_at=5e9)
    assert "helpdesk webhook: doesn't take what we prove ourselves with (401) for" in relayctl("status").out
    shown = relayctl("ticket", "show", "1").out
    assert "(401)" in shown
    assert "next try in" in shown
    trouble(relayctl, "answers 410 Gone", disabled=True)
    assert "nothing is sent any more" in relayctl("ticket", "show", "1").out


def test_doctor_asks_the_helpdesk_itself(relayctl: Relayctl) -> None:
    """A receiver at an address that isn't public is a failure with its remedy; without a helpdesk there is no line."""
    assert not [check for check in json.loads(relayctl("doctor", "--json").out) if check["check"] == "helpdesk"]
    relayctl.config.write_text(settings(relayctl.folder) + HELPDESK)
    check = doctors_word(relayctl)
    assert check["result"] == "failed"
    assert "allow_private = true allows it" in check["evidence"]
    relayctl.config.write_text(settings(relayctl.folder) + HELPDESK + "allow_private = true\n")
    assert doctors_word(relayctl)["result"] == "ok"
    trouble(relayctl, "doesn't take what we prove ourselves with (401)")
    assert "[helpdesk] secret isn't taken" in doctors_word(relayctl)["remedy"]
