"""Request Tracker as a helpdesk: our ticket is one of its queue's, found again by a custom field.

Promises: a message that is told again changes nothing. What is absolute (priority, status, due) is set and read back;
a comment has the message's key in its subject, which is looked for before it is sent. A ticket that a person opened
in the last day for the same customer is adopted instead of opening another.

It never corresponds: what RT would mail to the customer a person writes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Container, Mapping
from contextlib import suppress
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from relay.appliances import store as appliances
from relay.clock import Clock
from relay.db import Database
from relay.errors import HelpdeskDown, HelpdeskError
from relay.settings import Helpdesk as Settings
from relay.tickets.helpdesks.helpdesk import Act, Heard, Message, Word
from relay.tickets.helpdesks.rt import saying
from relay.tickets.helpdesks.rt.rest import PAGE, Missing, Rest, date, name_of, quoted
from relay.tickets.helpdesks.rt.words import FIELDS, NOBODY, SPOKEN, Reader, age

PRIORITIES = {"P1": 90, "P2": 60, "P3": 30}
"""RT's numbers where the settings name none; a higher one is more urgent."""
OVERLAP = 200
"""Transactions that are read again: databases may show an earlier one later."""
REMEMBERED = 5_000
"""Tickets of which we remember how we left them."""
PAGES = 20
"""Pages of transactions that are read in one look."""


class RequestTracker:
    """The queue ``settings.queue`` of the RT at ``settings.url``."""

    name = "rt"

    def __init__(self, settings: Settings, db: Database, clock: Clock) -> None:
        self.url = settings.url
        self._settings = settings
        self._db = db
        self._clock = clock
        self._rest = Rest(settings.url, settings.token, clock)
        self._priorities = PRIORITIES | {str(name): number for name, number in settings.priorities.items()}
        self._levels = {str(name): level for name, level in settings.sla.items()}
        self._one_at_a_time = asyncio.Lock()  # or two of our tickets might adopt the same of theirs
        self._reader: Reader | None = None
        self._own = ""
        self._adopted: set[str] = set()
        self._left: dict[str, dict[str, Any]] = {}

    async def deliver(self, message: Message) -> str | None:
        await self._ready()
        number = _referred(message.external_ref)
        if number is not None:
            with suppress(Missing):  # they have thrown it away: then it gets another
                return await self._tell(number, message, told=message.heard or await self._commented(number, message))
        async with self._one_at_a_time:
            ticket = await self._find(message) or await self._adopt(message)
            if ticket is None:
                number, told = await self._create(message), True
            else:
                number, told = _number(ticket), await self._told(ticket, message)
        return await self._tell(number, message, told=told)

    async def hear(self, cursor: str, tickets: Mapping[str, int], known: Container[str]) -> Heard:
        reader = await self._ready()
        if not cursor:
            last = await self._transactions("id > 0", order="DESC", per_page="1")
            return Heard((), str(last.rows[0]["id"] if last.rows else 0))
        words = await self._of_adopted(reader, tickets, known)
        reached = int(cursor)
        last_id = max(0, reached - OVERLAP)
        for _ in range(PAGES):
            found = await self._transactions(f"id > {last_id}")
            now = self._clock.now()
            for row in found.rows:
                last_id = int(row["id"])
                ours = tickets.get(f"RT#{row.get('ObjectId')}")
                if ours is None or f"rt {last_id}" in known or str(row.get("ObjectId")) in self._adopted:
                    continue
                words += await reader.words(row, ours, now - age(row, found.at))
            reached = max(reached, last_id)
            if len(found.rows) < PAGE:
                break
        return Heard(tuple(words), str(reached))

    async def check(self) -> str:
        await self._ready()
        version = (await self._rest.get("/rt")).get("Version")
        return f"RT {version} takes our token, and has the queue {self._settings.queue}"

    async def close(self) -> None:
        await self._rest.close()

    async def _ready(self) -> Reader:
        """See once that everything is there that we rely on: without the field each repetition would be a new ticket.

        Raises HelpdeskDown.
        """
        if self._reader is None:
            queue, field = self._settings.queue, self._settings.field
            try:
                found = await self._rest.get(f"/queue/{queue}")
            except HelpdeskDown:
                raise
            except HelpdeskError as error:
                raise HelpdeskDown(f"has no queue {queue} that we may see ([helpdesk] queue): {error}") from error
            fields = {str(one.get("name")) for one in found.get("TicketCustomFields") or ()}
            wanted = [field, *([self._settings.customer_field] if self._settings.customer_field else [])]
            if missing := [name for name in wanted if name not in fields]:
                raise HelpdeskDown(f"its queue {queue} has no custom field {missing[0]} that we may see")
            own = await self._rest.get(f"/user/{self._settings.token.split('-')[1]}")
            ours = {number: int(name[1]) for name, number in self._priorities.items()}
            self._reader = Reader(self._rest, str(own.get("Name")), ours)
            self._own = str(own.get("Name"))
            await self._recall_adopted()
        return self._reader

    async def _find(self, message: Message) -> Mapping[str, Any] | None:
        """By the custom field: a reply may have been lost."""
        query = f"{self._here()} AND {self._is(self._settings.field, message.incident)} AND Status != 'deleted'"
        return await self._last(query)

    async def _adopt(self, message: Message) -> Mapping[str, Any] | None:
        """The last one that a person has opened for this customer in the last day, and that is nobody's trouble yet."""
        about = message.payload["ticket"]
        if message.kind != "opened" or about["condition"] != "mailflow":
            return None
        asked = [f"Requestor.EmailAddress ENDSWITH {quoted('@' + domain)}" for domain in about["domains"]]
        asked += [f"Requestor.EmailAddress = {quoted(contact)}" for contact in await self._contacts(message)]
        if self._settings.customer_field:
            names = {about["customer"], about["appliance"]}
            asked += [self._is(self._settings.customer_field, name) for name in sorted(names) if name]
        unsettled = "(Status = 'new' OR Status = 'open' OR Status = 'stalled')"
        free = f"CF.{{{self._settings.field}}} IS NULL AND Created > '1 day ago'"
        found = await self._last(f"{self._here()} AND {unsettled} AND {free} AND ({' OR '.join(asked)})")
        if found is not None:
            number = str(found["id"])
            await self._rest.put(f"/ticket/{number}", CustomFields={self._settings.field: message.incident})
        return found

    async def _create(self, message: Message) -> str:
        about = message.payload["ticket"]
        fields = {self._settings.field: message.incident}
        if self._settings.customer_field:
            fields[self._settings.customer_field] = about["customer"]
        made = await self._rest.post(
            "/ticket",
            Queue=self._settings.queue,
            Subject=f"[{about['appliance']}] {saying.headline(message)}",
            Content=f"{saying.text(message)}\n\n{saying.mark(message)}",
            ContentType="text/plain",
            CustomFields=fields,
            **self._absolute(message),
        )
        return _number(made)

    async def _told(self, ticket: Mapping[str, Any], message: Message) -> bool:
        """Whether a ticket that was found has this message: as a comment, or as what it was created with."""
        number = _number(ticket)
        if name_of(ticket.get("Creator")) != self._own:
            self._adopted.add(number)
        else:
            created = await self._rest.search("transactions", f"{_of(number)} AND Type = 'Create'")
            if created.rows and saying.mark(message) in await self._rest.text(str(created.rows[0]["id"])):
                return True
        return await self._commented(number, message)

    async def _commented(self, number: str, message: Message) -> bool:
        query = f"{_of(number)} AND Data LIKE {quoted(saying.mark(message))}"
        return bool((await self._rest.search("transactions", query)).rows)

    async def _tell(self, number: str, message: Message, *, told: bool) -> str:
        """The comment, unless it is there, and how our ticket stood; the name of the ticket."""
        if not told:
            try:
                await self._rest.post(
                    f"/ticket/{number}/comment",
                    Subject=f"{saying.headline(message)} {saying.mark(message)}",
                    Content=saying.text(message),
                    ContentType="text/plain",
                )
            except HelpdeskDown:
                raise
            except HelpdeskError:
                await self._rest.get(f"/ticket/{number}")  # raises Missing: what doesn't exist RT only forbids
                raise
        return await self._set(number, message)

    async def _set(self, number: str, message: Message) -> str:
        """Bring it to how our ticket stood, unless that is as we left it. Raises HelpdeskError where RT won't."""
        wanted = self._absolute(message)
        if status := saying.status(message):
            wanted["Status"] = status
        elif self._left.get(number) == wanted:
            return f"RT#{number}"
        if owner := saying.owner(message):
            # It may lack the right, or have no such user: then it shows whom it shows, and that is all.
            with suppress(HelpdeskError):
                await self._rest.put(f"/ticket/{number}", Owner=owner)
        said = await self._rest.put(f"/ticket/{number}", **wanted)
        found = await self._rest.get(f"/ticket/{number}")
        for key in ("Priority", "Status"):
            if key in wanted and str(found.get(key)) != str(wanted[key]):
                raise HelpdeskError(f"doesn't set {key} to {wanted[key]}, it is {found.get(key)}: {said}")
        if len(self._left) >= REMEMBERED:
            self._left.clear()
        self._left[number] = {key: value for key, value in wanted.items() if key != "Status"}
        return f"RT#{_number(found)}"  # another one, where they have merged it

    def _absolute(self, message: Message) -> dict[str, Any]:
        about = message.payload["ticket"]
        name = f"P{about['priority']}"
        wanted: dict[str, Any] = {"Priority": self._priorities[name]}
        if level := self._levels.get(name):
            return {**wanted, "SLA": level}
        due = None
        if about["status"] in ("open", "acknowledged"):
            due = about["acknowledge_due"] if about["status"] == "open" else about["respond_due"]
        return {**wanted, "Due": date(None if due is None else datetime.fromisoformat(due).timestamp())}

    async def _recall_adopted(self) -> None:
        """Those that were adopted lately: a process that died may not have heard yet what was done there before."""
        ours = f"CF.{{{self._settings.field}}} IS NOT NULL AND Creator != {quoted(self._own)}"
        found = await self._rest.search("tickets", f"{self._here()} AND {ours} AND Created > '2 days ago'")
        self._adopted |= {_number(one) for one in found.rows}

    async def _of_adopted(self, reader: Reader, tickets: Mapping[str, int], known: Container[str]) -> list[Word]:
        """What people had done in adopted tickets before those were ours: whose it is, and what they answered."""
        every: list[Word] = []
        for number in sorted(self._adopted & {name.removeprefix("RT#") for name in tickets}):
            ours, words = tickets[f"RT#{number}"], list[Word]()
            for row in (await self._rest.search("transactions", f"{_of(number)} AND {SPOKEN}", FIELDS)).rows:
                words += await reader.words(row, ours, None)
            owner = name_of((await self._rest.get(f"/ticket/{number}")).get("Owner"))
            if owner not in (NOBODY, self._own, ""):
                words.append(Word(f"rt owner {number} {ours}", ours, Act.ACKNOWLEDGE, owner, "had it in RT"))
            words = [word for word in words if word.id not in known]
            if not words:
                self._adopted.discard(number)
            every += words
        return every

    async def _transactions(self, which: str, order: str = "ASC", **more: str) -> Any:
        queue = f"ObjectType = 'RT::Ticket' AND TicketQueue = {quoted(self._settings.queue)} AND {which}"
        spoken = f"{queue} AND {SPOKEN}"
        return await self._rest.search("transactions", spoken, FIELDS, orderby="id", order=order, **more)

    async def _last(self, query: str) -> Mapping[str, Any] | None:
        found = (await self._rest.search("tickets", query, orderby="id", order="DESC")).rows
        if not found:
            return None
        ticket: Mapping[str, Any] = await self._rest.get(f"/ticket/{_number(found[0])}")
        return ticket

    async def _contacts(self, message: Message) -> tuple[str, ...]:
        return await self._db.run(_contacts_of, message.payload["ticket"]["appliance"])

    def _here(self) -> str:
        return f"Queue = {quoted(self._settings.queue)}"

    @staticmethod
    def _is(field: str, value: str) -> str:
        return f"CF.{{{field}}} = {quoted(value)}"


def _contacts_of(connection: Connection, name: str) -> tuple[str, ...]:
    appliance = appliances.find_appliance(connection, name)
    return () if appliance is None else appliance.contacts


def _of(number: str) -> str:
    return f"ObjectType = 'RT::Ticket' AND ObjectId = {number}"


def _referred(reference: str | None) -> str | None:
    """The number in the name that RT gave us."""
    name, _, number = (reference or "").partition("#")
    return number if name == "RT" and number.isdigit() else None


def _number(thing: Any) -> str:
    """Of what RT made or found. Raises HelpdeskError."""
    number = str(thing.get("id", "")) if isinstance(thing, Mapping) else ""
    if not number.isdigit():
        raise HelpdeskError("made a ticket without a number")
    return number
