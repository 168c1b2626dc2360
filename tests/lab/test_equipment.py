"""The control of the lab: the same outage with a Postfix where our node would be.

What the lab measures with is measured here: the zone decides the way of a mail, a pulled cable is an outage, and a
letter that passes through three mail servers compares equal only if not a byte changed.
"""

from __future__ import annotations

import smtplib

import pytest

from tests.lab.letters import KINDS, as_stored, below, letter, numbered
from tests.lab.world import ADDRESSES, COPY, GOLD, RELAY, SENDER, zones
from tests.support import postfix
from tests.support.netns import network
from tests.support.nsd import name_server
from tests.support.waiting import wait_until

pytestmark = pytest.mark.lab


def test_mail_goes_by_mx_to_the_backup_while_the_primary_is_cut_off_and_home_again_unchanged() -> None:
    """A sending Postfix follows the zone, and what a backup Postfix kept arrives as it was sent."""
    with (
        network(ADDRESSES, resolver=ADDRESSES["dns"]) as hosts,
        name_server(zones(), host=hosts["dns"]),
        postfix.primary(GOLD, host=hosts["primary"]) as primary,
        postfix.primary(COPY, host=hosts["copy"]) as copy,
        postfix.sender(SENDER, host=hosts["sender"]) as sender,
        postfix.backup(
            GOLD,
            (ADDRESSES["primary"], 25),
            host=hosts["relay"],
            smtp_connect_timeout="2s",
            smtp_line_length_limit="0",  # by default it folds lines of 998 octets, and the comparison below says so
        ) as backup,
    ):
        with hosts["sender"].inside():
            client = smtplib.SMTP(ADDRESSES["sender"], 25, timeout=30)
        client.sendmail("sender@world.example", [f"direct@{GOLD}"], letter(0))
        wait_until(lambda: primary.messages(GOLD))

        hosts["primary"].link_down()
        for number in range(1, KINDS + 1):
            recipients = [f"user{number}@{GOLD}", f"user{number}@{COPY}"]
            client.sendmail("sender@world.example", recipients, letter(number))
        client.quit()
        wait_until(lambda: len(backup.queued()) == KINDS and not sender.queued(), timeout=60)
        assert len(primary.messages(GOLD)) == 1

        hosts["primary"].link_up()
        wait_until(lambda: flushed(backup), timeout=60, every=1)
        arrived, copies = numbered(primary.messages(GOLD)), numbered(copy.messages(COPY))
        assert {number: len(messages) for number, messages in arrived.items()} == dict.fromkeys(range(KINDS + 1), 1)
        for number in range(1, KINDS + 1):
            handed_over = below(arrived[number][0], RELAY)
            assert handed_over == below(copies[number][0], f"mail.{COPY}")
            assert below(handed_over, SENDER) == as_stored(letter(number))


def flushed(backup: postfix.Postfix) -> bool:
    """Ask for a queue run; whether there was nothing left to run."""
    backup.flush()
    return not backup.queued()
