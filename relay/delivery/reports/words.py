"""What a report says to people who know nothing of mail servers: who wasn't reached, why, and what to do now. Pure.

Plain words, one thought after the other, in lines that fit a narrow window. The primary's own words are quoted as they
are, for whoever is asked for help.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from relay.delivery.reports.fields import date, plain, status

if TYPE_CHECKING:
    from relay.delivery.reports.compose import About, Original

WIDTH = 72

_ADVICE = {
    "1": "The address seems to be wrong, or is no longer in use. Please check how it is spelled, and send the message "
    "again to the right one.",
    "2": "The mailbox can't take the message. Please try again later, or reach the person in another way.",
    "2.2": "The mailbox is full. Please try again later, or reach the person in another way.",
    "3.4": "The message is too large for the other side. Please send less of it at a time, or a link instead.",
    "2.3": "The message is too large for the other side. Please send less of it at a time, or a link instead.",
    "4": "Their mail server could not be reached, or had trouble. Please try again later, or reach the person in "
    "another way.",
    "7": "Their mail server refuses the message. Please ask the person, in another way, to have that looked at.",
}
"""What to do, by the subject of a status, or by subject and detail (RFC 3463); the more exact one counts."""
_ADVICE_ELSE = (
    "Please try again later, or reach the person in another way. Their mail administrator can say more: the words "
    "above will be of help."
)


def subject(about: Sequence[About]) -> str:
    """The subject of the report; nothing in it is a stranger's."""
    if all(one.action == "delayed" for one in about):
        return "Your message is delayed, nothing to do yet"
    return "Your message could not be delivered"


def explain(original: Original, about: Sequence[About], hostname: str) -> str:
    """The first part of the report, in lines that end in CRLF."""
    failed = [one for one in about if one.action == "failed"]
    delayed = [one for one in about if one.action == "delayed"]
    lines = [f"This is an automatic message from the mail server {plain(hostname)}."]
    if failed:
        lines += ["", "Your message could not be delivered to:"]
        for one in failed:
            lines += ["", *_person(one), "", *_wrapped(_advice(one))]
    if delayed:
        lines += ["", f"Your message {'has also' if failed else 'has'} not been delivered yet to:"]
        for one in delayed:
            lines += ["", *_person(one), "", *_wrapped(_patience(one))]
    lines += ["", "About your message:", "", f"  Taken by us: {date(original.received_at)}"]
    if original.message_id:
        lines += [f"  Message-ID:  {plain(original.message_id, wide=True)}"]
    lines += [f"  Its size:    {max(original.size // 1024, 1):,} KB"]
    lines += ["", *_wrapped(_returned(original))]
    return "".join(f"{line}\r\n" for line in lines)


def _person(one: About) -> list[str]:
    """The address, and what was said about it."""
    lines = [f"  <{plain(one.address, wide=True)}>"]
    if not one.reply:
        return lines
    said = f"The mail server {plain(one.remote)} said:" if one.remote else "The reason:"
    return [*lines, "", f"    {said}", *_wrapped(plain(one.reply, wide=True), "      ")]


def _advice(one: About) -> str:
    _, topic, detail = status(one.reply, one.action).split(".")
    if f"{topic}.{detail}" == "4.7":
        return "We have tried for as long as we keep mail, and give up now. " + _ADVICE["4"]
    return _ADVICE.get(f"{topic}.{detail}") or _ADVICE.get(topic) or _ADVICE_ELSE


def _patience(one: About) -> str:
    until = f" until {date(one.retry_until)}" if one.retry_until is not None else ""
    return (
        f"You need not do anything, and please don't send it again: we keep it, and go on trying{until}. "
        "You will hear from us once more only if that fails."
    )


def _returned(original: Original) -> str:
    whole = "You asked for all of it; to keep its text private, " if original.ret == "FULL" else ""
    sentence = "only the header of your message is attached, not its text."
    return whole + sentence if whole else sentence.capitalize()


def _wrapped(text: str, indent: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
