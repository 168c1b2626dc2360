"""What people did to a ticket in RT, read from its transactions as their word. Pure but for what it asks RT.

An engineer is a user whom RT calls privileged: their taking it or opening it is an acknowledgment, their correspondence
a response. What a customer writes stops no clock, and ends waiting. What RT does by itself because of one of them says
nothing more.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from relay.tickets.helpdesks.helpdesk import Act, Word
from relay.tickets.helpdesks.rt.rest import Missing, Rest, moment, name_of

FIELDS = ("Type", "Field", "OldValue", "NewValue", "Creator", "Created", "ObjectId")
SPOKEN = (
    "(Type = 'Correspond' OR Type = 'Comment' OR Type = 'Status' "
    "OR (Type = 'Set' AND (Field = 'Owner' OR Field = 'Priority')))"
)
"""TransactionSQL: those that may be a word."""
SYSTEM, NOBODY = "RT_System", "Nobody"
ENDS = ("resolved", "rejected", "deleted")


class Reader:
    """``own``: the relay's own user there. ``priorities``: ours by RT's numbers."""

    def __init__(self, rest: Rest, own: str, priorities: Mapping[int, int]) -> None:
        self._rest = rest
        self._own = own
        self._priorities = priorities
        self._users: dict[str, tuple[str, bool]] = {}

    async def words(self, row: Mapping[str, Any], ticket_id: int, at: float | None) -> list[Word]:
        """What a transaction says of our ticket. ``at``: when, by our own clock; None: now."""
        word = await self._word(row, ticket_id, at)
        if word is None:
            return []
        if row.get("Type") == "Correspond" and word.act is Act.COMMENT:
            # The customer has answered: nobody waits for them any more, whatever RT shows.
            return [word, replace(word, id=f"{word.id} answer", act=Act.RESUME, text="they answered")]
        return [word]

    async def _word(self, row: Mapping[str, Any], ticket_id: int, at: float | None) -> Word | None:
        creator = name_of(row.get("Creator"))
        if creator == self._own:
            return None
        number, kind, field = str(row["id"]), str(row.get("Type")), str(row.get("Field"))
        old, new = str(row.get("OldValue") or ""), str(row.get("NewValue") or "")

        def say(act: Act, actor: str, text: str = "", priority: int | None = None) -> Word:
            return Word(f"rt {number}", ticket_id, act, actor, text, at, priority)

        if kind == "Status":
            return await self._status(say, creator, old, new)
        if creator == SYSTEM:
            return None
        if kind == "Correspond":
            act = Act.RESPOND if await self.is_engineer(creator) else Act.COMMENT
            return say(act, creator, await self._rest.text(number) or "(nothing but attachments)")
        if kind == "Comment":
            return say(Act.COMMENT, creator, await self._rest.text(number) or "(nothing but attachments)")
        if field == "Owner":
            owner, _ = await self._user(new)
            if owner == NOBODY:
                return say(Act.COMMENT, creator, "it has no owner in RT any more")
            return say(Act.ACKNOWLEDGE, owner, "" if owner == creator else f"given by {creator}")
        priority = self._priorities.get(int(new)) if field == "Priority" and new.isdigit() else None
        return None if priority is None else say(Act.PRIORITY, creator, "changed in RT", priority)

    async def is_engineer(self, name: str) -> bool:
        return (await self._user(name))[1]

    async def _status(self, say: Any, creator: str, old: str, new: str) -> Word | None:
        """Whose status changed; by itself RT opens a stalled ticket where the customer answers."""
        who = "RT" if creator == SYSTEM else creator
        word: Word | None = None
        if new in ENDS:
            word = say(Act.RESOLVE, who, f"{new} in RT")
        elif old in ENDS and creator != SYSTEM and await self.is_engineer(creator):
            word = say(Act.REOPEN, who, "opened it again in RT")
        elif old in ENDS:  # RT itself, because the customer wrote a thank-you: nobody is to be woken for that
            word = say(Act.COMMENT, who, f"opened it again in RT; it stays {old} here")
        elif new == "stalled":
            word = say(Act.WAIT, who, "stalled in RT")
        elif old == "stalled":
            word = say(Act.RESUME, who, f"{new} in RT")
        elif new == "open" and creator != SYSTEM and await self.is_engineer(creator):
            word = say(Act.OPENED, who, "opened it in RT")
        return word

    async def _user(self, name: str) -> tuple[str, bool]:
        """(name, whether they are privileged) of a user by name or number."""
        if name not in self._users:
            try:
                found = await self._rest.get(f"/user/{name}")
                self._users[name] = (str(found.get("Name") or name), str(found.get("Privileged")) == "1")
            except Missing:
                return name, False
        return self._users[name]


def age(row: Mapping[str, Any], answered_at: float | None) -> float:
    """Seconds since a transaction, by RT's own clock, which may be wrong; 0 where RT doesn't tell the time."""
    return 0.0 if answered_at is None else max(0.0, answered_at - moment(str(row.get("Created"))))
