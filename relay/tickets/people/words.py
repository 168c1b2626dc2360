"""What engineers are told, at three in the morning and in the morning after. Pure.

The first line says everything: customer, what, priority, by when, in the desk's own time. Below it stands why, in the
words that the ticket's history has, and then the commands that look further. Several things that waited together (for
the hours, or for somebody who couldn't be reached) are one message, which begins with how it stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from relay.tickets.people.facts import Told
from relay.tickets.people.message import Message
from relay.tickets.people.rules import Happening
from relay.tickets.states import Condition
from relay.tickets.words import ABOUT

LONGEST = 1_500
"""Characters of a reason that are told; the ticket has the rest."""
_MAIL_FLOW = {1: "no mail flow", 2: "mail is delayed", 3: "no mail flow, the relay has taken over"}


def compose(told: Sequence[Told], zone: ZoneInfo, cluster: str) -> Message:
    """One message of what happened to one ticket, oldest first. ``cluster``: what tells our tickets from others'."""
    last = told[-1]
    parts = [headline(told, zone)]
    if len(told) == 1:
        parts += [_reason(last), *([f"Said by {last.actor}."] if not last.by_relay else [])]
    else:
        parts.append("\n".join(f"{moment(one.at, zone)}  {_what(one)}: {_first_line(one)}" for one in told))
    parts.append(_commands(last))
    title = f"{_state(last)} {_whose(last)}: {about(last)}"
    return Message(
        title,
        "\n\n".join(part for part in parts if part),
        key=f"{cluster}-{last.ticket}-{last.number}",
        thread=f"{cluster}-{last.ticket}",
        pages=_pages(told),
        ends=_ends(told),
    )


def headline(told: Sequence[Told], zone: ZoneInfo) -> str:
    """The line that says everything."""
    last = told[-1]
    many = f", {len(told)} things happened since {moment(told[0].at, zone)}" if len(told) > 1 else ""
    line = f"{_what(last)}: {_whose(last)}, {about(last)}, {moment(last.at, zone)}{many}"
    return f"{line}. {_due(last, zone)}Ticket {last.ticket}."


def about(told: Told) -> str:
    """What the ticket is about: 'no mail flow (acme.example)'."""
    what = _MAIL_FLOW[told.priority] if told.condition is Condition.MAILFLOW else ABOUT[told.condition]
    if told.happening is Happening.RESOLVED and told.condition is Condition.MAILFLOW:
        what = "mail flows again"
    few = ", ".join(told.domains[:3]) + (f" and {len(told.domains) - 3} more" if len(told.domains) > 3 else "")
    return f"{what} ({few})" if few else what


def moment(at: float, zone: ZoneInfo) -> str:
    """Sat 28 Nov 20:03 CET."""
    return f"{datetime.fromtimestamp(at, zone):%a %-d %b %H:%M %Z}"


def plain(told: Sequence[Told], zone: ZoneInfo, cluster: str) -> Message:
    """The same for a customer's own contacts: without what only an engineer can use."""
    last = told[-1]
    what, when = ABOUT[last.condition], moment(last.at, zone)
    over = last.happening is Happening.RESOLVED
    text = "\n\n".join(
        (
            f"{'Settled' if over else 'For your attention'}: the {what} of your mail service"
            f"{f' ({domains})' if (domains := ', '.join(last.domains)) else ''}, {when}.",
            *(_reason(one) for one in told if one.reason and one.happening is not Happening.COMMENT),
            f"If you have questions, please mention ticket {last.ticket}.",
        )
    )
    return Message(
        f"Your mail service: {what}{' (settled)' if over else ''}, ticket {last.ticket}",
        text,
        key=f"{cluster}-{last.ticket}-{last.number}",
        thread=f"{cluster}-{last.ticket}",
        pages=False,
        ends=over,
    )


def _what(told: Told) -> str:
    """What happened, in two words: 'P1 opened', 'P1 → P3'."""
    match told.happening:
        case Happening.RAISED | Happening.LOWERED:
            return f"P{told.before} → P{told.priority}"
        case Happening.WARNING_50 | Happening.WARNING_75:
            return f"P{told.priority} {told.happening.removeprefix('warning-')} % of its time have passed"
        case Happening.BREACH:
            return f"P{told.priority} target missed"
        case Happening.COMMENT:
            return f"P{told.priority} comment"
        case Happening.DRAINED:
            return f"P{told.priority} mail is handed back"
        case _:
            who = "" if told.by_relay else f" by {told.actor}"
            return f"P{told.priority} {told.happening}{who}"


def _state(told: Told) -> str:
    return "Resolved" if told.happening is Happening.RESOLVED else _what(told)


def _whose(told: Told) -> str:
    return told.customer or told.appliance


def _due(told: Told, zone: ZoneInfo) -> str:
    clocks = (("Acknowledge", told.acknowledge_due), ("respond", told.respond_due))
    due = [f"{name} by {moment(at, zone)}" for name, at in clocks if at is not None]
    if told.happening is Happening.RESOLVED or not due:
        return ""
    return f"{', '.join(due)[0].upper()}{', '.join(due)[1:]}. "


def _reason(told: Told) -> str:
    return told.reason if len(told.reason) <= LONGEST else f"{told.reason[:LONGEST]} …"


def _first_line(told: Told) -> str:
    return told.reason.partition("\n")[0][:LONGEST] or _what(told)


def _commands(told: Told) -> str:
    lines = [f"relayctl ticket show {told.ticket}", f"relayctl status {told.appliance}"]
    if told.happening is not Happening.RESOLVED and told.assignee is None:
        lines.append(f"relayctl ticket ack {told.ticket}")
    if told.condition is Condition.MAILFLOW and told.priority == 1 and told.happening is not Happening.RESOLVED:
        lines.append(f"relayctl doctor {told.appliance}")
    return "\n".join(lines)


def _ends(told: Sequence[Told]) -> bool:
    """Whether it is over for them, as it stands after all of it."""
    return next((one.ends for one in reversed(told) if one.ends or one.pages), False)


def _pages(told: Sequence[Told]) -> bool:
    return next((not one.ends for one in reversed(told) if one.ends or one.pages), False)
