"""One customer's month as a page that can be sent or printed: a single file, without scripts, fonts or pictures from
elsewhere, in light and dark. Plain words: a customer knows mail and tickets, not health and continuity states.

Everything that somebody wrote (names, causes) is escaped, and the page's own policy forbids it to load or run anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from html import escape
from importlib.resources import files

from cli.sla_picture import picture
from relay.tickets.month import NAMES, Month
from relay.tickets.report import ClockLine, CustomerMonth, CycleLine, OutageLine, Result, TicketLine
from relay.tickets.spans import seconds
from relay.tickets.words import ABOUT

_TIED = "\N{NO-BREAK SPACE}"
PRIORITIES = {1: "High", 2: "Medium", 3: "Low"}
MEANINGS = (
    ("Away", "Your mail server took no mail: nothing could be delivered to it."),
    (
        "Covered by the continuity service",
        "Outside your business hours, or when you asked for it, we took over, having checked that mail is taken and "
        "kept.",
    ),
    ("Kept and delivered", "Mail that we took while your server was away, counted once for each recipient."),
    ("Acknowledged", "An engineer took the ticket."),
    ("Answered", "An engineer wrote to you. What our systems write by themselves doesn't count."),
    (
        "Late by",
        "How long after its target that was done, or the ticket was closed without it. Priority 1 counts around the "
        "clock, 2 and 3 in the hours of our desk, without the time that we waited for you.",
    ),
)


class _Late(str):
    """Words about a target that was missed."""

    __slots__ = ()


def page(one: CustomerMonth, now: float) -> str:
    """The whole document. ``now``: when it was made."""
    style = files("cli").joinpath("sla_page.css").read_text(encoding="utf-8")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{escape(one.customer)}: mail service in {one.month.title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kind">Mail service report</p>
<h1>{escape(one.customer)} <span>{one.month.title}</span></h1>
<p class="about">{_about(one)}</p>
</header>
<p class="summary">{_summary(one)}</p>
{_tiles(one)}
<section>
<h2>The month in one line</h2>
<div class="wide">{picture(one)}</div>
{_legend(one)}
</section>
{_outages(one)}
{_tickets(one)}
{_meanings(one)}
<footer>Made {_moment(now, one.month)} {datetime.fromtimestamp(now, one.month.zone).year}. All times are
{escape(_zone(one.month))}.</footer>
</body>
</html>
"""


def _about(one: CustomerMonth) -> str:
    domains = ", ".join(map(escape, one.domains)) or "no mail domain"
    last = datetime.fromtimestamp(max(one.period.begins, one.period.ends - 1), one.month.zone)
    until = f"1 to {last.day} {one.month.title}"
    return f"{domains} · {until}" + (", so far" if one.period.ends < one.month.ends else "")


def _summary(one: CustomerMonth) -> str:
    """The month in two sentences."""
    said = []
    if not one.outages:
        said.append("Your mail server was there all the time.")
    else:
        many = _many(len(one.outages), "outage")
        said.append(f"Your mail server was away for <b>{_long(one.without)}</b> in {many}.")
        if one.covered:
            said.append(f"For <b>{_long(one.covered)}</b> of that our continuity service was in charge.")
        if one.planned:
            said.append(f"{_long(one.planned)} of it had been announced as maintenance.")
        mail = one.mail
        if mail.kept:
            rest = f"; {_number(mail.waiting)} still wait" if mail.waiting else ""
            said.append(
                f"We kept <b>{_many(mail.kept, 'message')}</b> meanwhile and delivered "
                f"{'all of them' if mail.returned == mail.kept else _number(mail.returned)} to you afterwards{rest}."
            )
        else:
            said.append("No mail came meanwhile.")
    targets = one.acknowledged.met + one.responded.met + one.breaches
    if not one.tickets:
        said.append("There was no ticket.")
    elif targets:
        kept = "all" if not one.breaches else f"{targets - one.breaches}"
        said.append(f"Of {_many(targets, 'target')} for our answers we kept <b>{kept}</b>.")
    return " ".join(said)


def _tiles(one: CustomerMonth) -> str:
    share = 100.0 if not one.watched else 100 * (1 - min(1.0, one.without / one.watched))
    targets = one.acknowledged.met + one.responded.met + one.breaches
    tiles = (
        (f"{_percent(share)} %", "of the time your mail server was there", ""),
        (_long(one.without) if one.outages else "none", "away", "bad" if one.without > one.covered else ""),
        (_long(one.covered) if one.outages else "–", "of that covered by the continuity service", "good"),
        (_number(one.mail.kept), f"messages kept, {_number(one.mail.returned)} delivered afterwards", ""),
        (
            f"{targets - one.breaches} of {targets}" if targets else "–",
            "targets for our answers kept",
            "bad" if one.breaches else "good",
        ),
    )
    return (
        '<ul class="tiles">'
        + "".join(
            f'<li class="{kind}"><b>{escape(figure)}</b><span>{escape(words)}</span></li>'
            for figure, words, kind in tiles
        )
        + "</ul>"
    )


def _legend(one: CustomerMonth) -> str:
    shown = [
        ("away", "away", bool(one.outages)),
        ("covered", "away, covered by the continuity service", any(line.covered for line in one.outages)),
        ("planned", "announced maintenance", any(line.planned for line in one.outages)),
        ("mark", "a ticket was opened (priority and number; ! a target was missed)", bool(one.tickets)),
        ("up", "there", True),
    ]
    return (
        '<ul class="legend">'
        + "".join(f'<li><i class="{kind}"></i>{escape(words)}</li>' for kind, words, there in shown if there)
        + "</ul>"
    )


def _outages(one: CustomerMonth) -> str:
    several = len(one.appliances) > 1
    heads = ["Server"] * several + [
        "From",
        "Until",
        "Away",
        "Covered",
        "Messages kept",
        "Delivered",
        "What was the matter",
    ]
    rows = [_outage(line, one, several) for line in one.outages]
    return _section("Outages", heads, rows, "There was none.", numbers={"Messages kept", "Delivered"})


def _outage(line: OutageLine, one: CustomerMonth, several: bool) -> list[str]:
    mail = line.mail
    cause = line.cause
    if line.planned:
        cause += f" {_long(seconds(line.planned))} of it had been announced as maintenance."
    return [
        *([line.appliance] if several else []),
        _moment(line.began_at, one.month),
        _moment(line.ended_at, one.month) if line.ended_at is not None else "goes on",
        _long(seconds(line.down)),
        _long(seconds(line.covered)) if line.covered else "–",
        _number(mail.kept) if mail else "month before",
        _number(mail.returned) if mail else "",
        cause,
    ]


def _tickets(one: CustomerMonth) -> str:
    several = len(one.appliances) > 1
    heads = ["Ticket"] + ["Server"] * several + ["About", "Priority", "From", "Acknowledged", "Answered", "Closed"]
    rows = [_ticket(line, cycle, one, several) for line in one.tickets for cycle in line.cycles]
    return _section("Tickets", heads, rows, "There was none.")


def _ticket(line: TicketLine, cycle: CycleLine, one: CustomerMonth, several: bool) -> list[str]:
    first = cycle is line.cycles[0]
    closed = line.resolved_at if cycle is line.cycles[-1] else None
    goes_on = "open" if cycle is line.cycles[-1] else "went on"
    return [
        f"#{line.id}" if first else "",
        *([line.appliance] if several else []),
        ABOUT[line.condition] if first else "urgent again",
        f"{cycle.priority:d} {PRIORITIES[cycle.priority]}",
        _moment(cycle.started_at, one.month),
        _clock(cycle.acknowledge),
        _clock(cycle.respond),
        _moment(closed, one.month) if closed is not None else goes_on,
    ]


def _clock(clock: ClockLine) -> str:
    target = f"(target{_TIED}{_long(clock.target)})"
    match clock.result:
        case Result.MET:
            return f"after {_long(clock.took or 0)} {target}"
        case Result.LATE:
            return _Late(f"late by {_long(clock.late)} {target}")
        case Result.MISSED:
            return _Late(f"not done, late by {_long(clock.late)} {target}")
        case Result.OPEN:
            return f"open {target}"
        case Result.ENDED:
            return "over before it was due"


def _section(
    title: str, heads: Sequence[str], rows: Iterable[Sequence[str]], empty: str, numbers: Iterable[str] = ()
) -> str:
    rows = list(rows)
    if not rows:
        return f"<section><h2>{title}</h2><p>{empty}</p></section>"
    right = {place for place, head in enumerate(heads) if head in numbers}

    def cell(place: int, text: str) -> str:
        kinds = ["number"] * (place in right) + ["late"] * isinstance(text, _Late)
        kind = f' class="{" ".join(kinds)}"' if kinds else ""
        return f"<td{kind}>{escape(text)}</td>"

    head = "".join(
        f'<th scope="col"{" class=number" if place in right else ""}>{escape(text)}</th>'
        for place, text in enumerate(heads)
    )
    body = "\n".join(f"<tr>{''.join(cell(place, text) for place, text in enumerate(row))}</tr>" for row in rows)
    return (
        f'<section><h2>{title}</h2><div class="wide"><table><thead><tr>{head}</tr></thead>\n'
        f"<tbody>{body}</tbody></table></div></section>"
    )


def _meanings(one: CustomerMonth) -> str:
    if one.quiet:
        return ""
    lines = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in MEANINGS)
    return f'<section class="meanings"><h2>What the words mean</h2><dl>{lines}</dl></section>'


def _moment(at: float, month: Month) -> str:
    """``23 Nov 17:30``."""
    local = datetime.fromtimestamp(at, month.zone)
    return f"{local.day}{_TIED}{NAMES[local.month - 1][:3]} {local:%H:%M}"


def _zone(month: Month) -> str:
    return month.zone.key.replace("_", " ")


def _long(spent: float) -> str:
    """A duration: 2 d 4 h, 2 h 41 min, 12 min, 40 s."""
    whole = round(spent)
    if whole < 60:
        return f"{whole}{_TIED}s"
    minutes = round(whole / 60)
    days, minutes = divmod(minutes, 24 * 60)
    hours, minutes = divmod(minutes, 60)
    parts = [(days, "d"), (hours, "h"), (minutes, "min")][: 2 if days else 3]
    return _TIED.join(f"{many}{_TIED}{unit}" for many, unit in parts if many)


def _number(many: int) -> str:
    return f"{many:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def _many(many: int, one: str) -> str:
    return f"{_number(many)} {one}{'' if many == 1 else 's'}"


def _percent(share: float) -> str:
    """Two digits, and never rounded up to a whole that it isn't."""
    return "100" if share == 100 else f"{int(share * 100) / 100:.2f}"
