"""From a message and what became of its recipients to the report that its sender gets."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Literal

from relay.delivery.reports.compose import HEADER_LIMIT, About, Original, report
from relay.mail import domain_of
from relay.queue.cases import Case, Concerned
from relay.queue.queue import Queue
from relay.queue.reports import NewReport
from relay.settings import Node

FAILED: Literal["failed"] = "failed"
DELAYED: Literal["delayed"] = "delayed"


class Writer:
    """``node``: whom reports come from."""

    def __init__(self, queue: Queue, node: Node) -> None:
        self._queue = queue
        self._hostname = node.hostname
        self._postmaster = node.postmaster or f"postmaster@{node.hostname}"

    async def write(
        self, case: Case, about: Sequence[Concerned], action: Literal["failed", "delayed"], now: float
    ) -> NewReport:
        """Raises NotFound where the message is gone."""
        content = report(
            Original(case.sender, case.envid, case.ret, case.received_at, case.message_id, case.smtputf8, case.size),
            [_about(one, action) for one in about],
            hostname=self._hostname,
            postmaster=self._postmaster,
            header=await self._header(case.id),
            at=now,
            report_id=uuid.uuid4().hex,
        )
        addresses = tuple(one.address for one in about)
        return NewReport(case.appliance_id, case.id, case.sender, domain_of(case.sender), action, addresses, content)

    async def _header(self, message_id: int) -> bytes:
        """The header of the message, or the beginning of one that is very long."""
        begin = b""
        async for piece in self._queue.pieces(message_id):
            begin += piece
            end = begin.find(b"\r\n\r\n")
            if end >= 0:
                return begin[: end + 4]
            if len(begin) > HEADER_LIMIT:
                break
        return begin


def _about(one: Concerned, action: Literal["failed", "delayed"]) -> About:
    until = one.expires_at if action == DELAYED else None
    return About(one.address, one.orcpt, action, one.reply, one.remote or "", one.tried_at, until)
