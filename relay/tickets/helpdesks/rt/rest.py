"""RT's REST 2.0: requests with our token, answers as plain values, RT's oddities in one place.

What bites: dates are YYYY-MM-DD HH:MM:SS in UTC, anything else is stored as garbage; a change that RT refuses gets 200
and a sentence; a comment's Subject is kept as its transaction's Data, which can be searched for; what we may not see
is missing from lists, without a word.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any

import httpx2

from relay.clock import Clock
from relay.errors import HelpdeskError
from relay.tickets.helpdesks.http import client, exchange, refusal

NO_DATE = ""
"""What takes a date off a ticket."""
PAGE = 100
"""Rows of a list that RT gives at most."""
PARTS = 6
"""Attachments that are looked into for a message's text."""
LONGEST_TEXT = 20_000


@dataclass(frozen=True, slots=True)
class Listed:
    """``rows``: as RT gives them. ``at``: RT's own time when it answered, POSIX seconds; None where it didn't say."""

    rows: tuple[Mapping[str, Any], ...]
    at: float | None


class Missing(HelpdeskError):
    """RT has no such thing."""


class Rest:
    """``url``: where RT's web pages begin."""

    def __init__(self, url: str, token: str, clock: Clock) -> None:
        self._base = url.rstrip("/") + "/REST/2.0"
        self._web = client(headers={"Authorization": f"token {token}", "User-Agent": "failover-relay"})
        self._clock = clock

    async def get(self, path: str, **query: str) -> Any:
        """The thing at ``path``. Raises Missing, HelpdeskError and what exchange() raises."""
        return (await self._ask("GET", path, query=query))[0]

    async def post(self, path: str, **content: Any) -> Any:
        return (await self._ask("POST", path, content=content))[0]

    async def put(self, path: str, **content: Any) -> str:
        """Change it; what RT says of that, which may be that it won't."""
        said, _ = await self._ask("PUT", path, content=content)
        return "; ".join(map(str, said)) if isinstance(said, list) else str(said)

    async def search(self, kind: str, query: str, fields: Sequence[str] = (), **more: str) -> Listed:
        """``kind``: tickets or transactions; ``query``: TicketSQL or TransactionSQL."""
        wanted = {"query": query, "per_page": str(PAGE), "fields": ",".join(fields), **more}
        found, headers = await self._ask("GET", f"/{kind}", query=wanted)
        rows = found.get("items") if isinstance(found, dict) else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise HelpdeskError(f"gives no list of {kind}, as RT's REST 2.0 does")
        return Listed(tuple(rows), _date(headers.get("date", "")))

    async def text(self, transaction: str) -> str:
        """What was written in it, as plain text; empty where nothing was."""
        links = (await self.get(f"/transaction/{transaction}")).get("_hyperlinks") or ()
        numbers = [str(link["_url"]).rpartition("/")[2] for link in links if link.get("ref") == "attachment"]
        markup = ""
        for number in numbers[:PARTS]:
            part = await self.get(f"/attachment/{number}")
            kind, content = str(part.get("ContentType") or "text/plain"), _decoded(part.get("Content"))
            if kind.startswith("text/plain") and content.strip():
                return content.strip()[:LONGEST_TEXT]
            if kind.startswith("text/html") and not markup:
                markup = unescape(re.sub(r"<[^>]{0,2000}>", " ", content))
        return " ".join(markup.split())[:LONGEST_TEXT]

    async def close(self) -> None:
        await self._web.aclose()

    async def _ask(
        self, method: str, path: str, *, query: Mapping[str, str] | None = None, content: Any = None
    ) -> tuple[Any, Mapping[str, str]]:
        request: httpx2.Request = self._web.build_request(method, self._base + path, params=query or None, json=content)
        answer = await exchange(self._web, request)
        if answer.status == 404:
            raise Missing(f"has no {path.lstrip('/')}")
        if not answer.ok:
            raise refusal(answer, self._clock.now() + self._clock.drift())
        return answer.json(), answer.headers


def quoted(text: str) -> str:
    """A value in TicketSQL."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def moment(text: str) -> float:
    """RT's time, such as 2026-11-26T02:43:32Z. Raises HelpdeskError."""
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise HelpdeskError(f"gives {text!r} for a time") from None


def date(at: float | None) -> str:
    """A time as RT takes it."""
    return NO_DATE if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S")


def name_of(value: Any) -> str:
    """Of a user or another thing that RT refers to."""
    return str(value.get("id", "")) if isinstance(value, dict) else str(value or "")


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None


def _decoded(content: Any) -> str:
    try:
        return base64.b64decode(str(content or "")).decode("utf-8", "replace").replace("\0", "")
    except ValueError:
        return ""
