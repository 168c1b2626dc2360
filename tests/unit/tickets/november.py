"""A November that was made up, for the report: Acme Ltd in Berlin with two appliances, every figure known.

Sat 31 Oct 23:30 to Sun 1 Nov 00:30    over the edge of the month; covered from 23:35 on
Tue 10 Nov 10:00 to 10:40              in business hours: not covered; 30 minutes of it announced
Sat 14 Nov 02:00 to 05:00              covered from 02:10 to 03:00 and from 03:30 on; back from 03:50 to 04:00
Mon 30 Nov 23:00                       goes on; covered from 23:10
"""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

from relay.appliances.facts import Outage, Window
from relay.appliances.model import Activation, Appliance
from relay.hours import Calendar
from relay.tickets.month import Month
from relay.tickets.plan import Terms
from relay.tickets.report import CustomerMonth, Mail, PastOutage, PastTicket, Subject, customer_month
from relay.tickets.states import Condition, Event, Priority, Status
from relay.tickets.ticket import Entry, Ticket

BERLIN = ZoneInfo("Europe/Berlin")
MONTH = Month.parse("2026-11", "Europe/Berlin")
TERMS = Terms(Calendar.parse("Mon-Fri 09:00-18:00", "Europe/Berlin"))
GONE = "mail.acme.example:25: no connection within 5 s"


def moment(text: str) -> float:
    """``10 10:00`` is in November; else ``10-31 23:30``."""
    day, time = text.split()
    day = f"2026-{day}" if "-" in day else f"2026-11-{int(day):02}"
    return datetime.fromisoformat(f"{day} {time}").replace(tzinfo=BERLIN).timestamp()


def appliance(number: int, name: str) -> Appliance:
    return Appliance(
        number, name, "Acme Ltd", (), "always", "UTC", "", Activation.OFF_HOURS, (), False, (), moment("10-01 00:00")
    )


def outage(
    number: int, began: str, returned: str | None, mail: Mail, *changes: str, of: int = 1, reason: str = GONE
) -> PastOutage:
    """``changes``: such as ``14 02:10 active``."""
    back = None if returned is None else moment(returned)
    ended = None if back is None else back + 600
    return PastOutage(
        Outage(number, of, moment(began), None, back, back, ended, reason),
        tuple((moment(line[: line.rindex(":") + 3]), line[line.rindex(":") + 4 :]) for line in changes),
        mail,
    )


def ticket(number: int, condition: Condition, *lines: str, of: str = "acme") -> PastTicket:
    """Lines such as ``14 02:01 opened 1``, ``14 02:20 acknowledged dana``."""
    history = []
    for place, line in enumerate(lines):
        day, time, event, *rest = line.split()
        at = moment(f"{day} {time}")
        history.append(
            Entry(
                place,
                at,
                rest[0] if rest and rest[0].isalpha() else "relay",
                Event(event),
                after=rest[0] if rest and rest[0].isdigit() else None,
                data={"since": at} if event in ("opened", "reopened") else {},
            )
        )
    return PastTicket(
        Ticket(
            number,
            1,
            of,
            "Acme Ltd",
            ("acme.example",),
            condition,
            Priority.P3,
            Status.RESOLVED,
            False,
            None,
            history[0].at,
            "relay",
            None,
            None,
            None,
            None,
            False,
        ),
        history,
    )


SUBJECTS = [
    Subject(
        appliance(1, "acme"),
        ("acme.example", "acme.org.example"),
        (
            outage(1, "10-31 23:30", "1 00:30", Mail(500, 500), "10-31 23:35 active", "1 00:31 draining"),
            outage(
                2,
                "14 02:00",
                "14 05:00",
                Mail(1234, 1200, 30),
                "14 02:10 active",
                "14 03:00 active, not proven",
                "14 03:30 active",
                "14 03:50 draining",
                "14 04:00 active",
                "14 05:00 draining",
                "14 05:10 standby",
            ),
            outage(4, "30 23:00", None, Mail(20, 0, 20), "30 23:10 active"),
        ),
        (),
    ),
    Subject(
        appliance(2, "acme-office"),
        ("office.acme.example",),
        (
            outage(
                3,
                "10 10:00",
                "10 10:40",
                Mail(66, 66),
                "10 10:40 draining",
                of=2,
                reason="[2001:db8::25]:25: connection refused",
            ),
        ),
        (Window(1, 2, moment("10 10:10"), moment("10 10:40"), "new disk", "dana"),),
    ),
]

TICKETS = [
    ticket(
        10,
        Condition.CONTRACT,
        "10-30 10:00 opened 3",
        "10-30 10:10 acknowledged dana",
        "10-30 11:00 responded dana",
    ),
    ticket(
        11,
        Condition.MAILFLOW,
        "10-31 23:31 opened 1",
        "10-31 23:40 priority 3",
        "1 00:41 resolved",
    ),
    ticket(
        12,
        Condition.MAILFLOW,
        "10 10:01 opened 1",
        "10 10:13 acknowledged dana",
        "10 11:26 responded dana",
        "10 11:30 resolved",
        of="acme-office",
    ),
    ticket(
        13,
        Condition.MAILFLOW,
        "14 02:01 opened 1",
        "14 02:10 priority 3",
        "14 03:10 priority 1",
        "14 03:20 acknowledged noa",
        "14 03:40 responded noa",
        "14 05:10 resolved",
    ),
    ticket(14, Condition.BACKUP, "20 16:00 opened 3", "23 10:30 acknowledged dana"),
    ticket(15, Condition.MAILFLOW, "30 23:01 opened 1", "12-01 00:30 acknowledged dana"),
]


def november(now: str = "12-15 12:00") -> CustomerMonth:
    return customer_month("Acme Ltd", SUBJECTS, TICKETS, MONTH, TERMS, moment(now))
