"""The rows that accepted mail becomes, whichever engine stores them. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from relay.queue.commands import Accept
from relay.queue.ledger import Deltas
from relay.queue.tables import PLACES

CONTENT = "id,packed,data"
MESSAGE = (
    "id,appliance_id,content_id,shared,sender,size,received_at,message_id,body,smtputf8,ret,envid,"
    "client_ip,client_port,client_helo,client_protocol"
)
RECIPIENT = "id,message_id,appliance_id,domain,address,notify,orcpt,state,attempts,last_reply,outage_id"


@dataclass(frozen=True, slots=True)
class Rows:
    """Each table's rows as one flat list, with the columns CONTENT, MESSAGE and RECIPIENT; ``given``: for each accept
    the numbers of its messages."""

    content: list[Any]
    messages: list[Any]
    recipients: list[Any]
    given: list[list[int]]


def rows_of(
    accepts: Sequence[Accept],
    message_numbers: Iterable[int],
    content_numbers: Iterable[int],
    outages: Mapping[int, int],
    deltas: Deltas,
) -> Rows:
    """``message_numbers``: as many as there are messages, in ascending order; ``content_numbers``: as many as there are
    accepts without an upload; ``outages``: by appliance."""
    next_message, next_content = iter(message_numbers).__next__, iter(content_numbers).__next__
    content_rows: list[Any] = []
    message_rows: list[Any] = []
    recipient_rows: list[Any] = []
    given: list[list[int]] = []
    for accepted in accepts:
        incoming = accepted.incoming
        envelope, client = incoming.envelope, incoming.client
        content = next_content() if accepted.content_id is None else accepted.content_id
        for place, (packed, data) in accepted.pieces:
            content_rows += (content * PLACES + place, packed, data)
        shared = len(accepted.messages) > 1
        numbers = []
        for (appliance_id, recipients), domains in zip(accepted.messages, accepted.domains(), strict=True):
            message_id = next_message()
            numbers.append(message_id)
            message_rows += (
                message_id,
                appliance_id,
                content,
                shared,
                envelope.sender,
                incoming.size,
                incoming.received_at,
                incoming.message_id,
                envelope.body,
                envelope.smtputf8,
                envelope.ret,
                envelope.envid,
                client.ip,
                client.port,
                client.helo,
                client.protocol,
            )
            outage_id = outages.get(appliance_id, 0)
            for place, (domain, recipient) in enumerate(recipients):
                recipient_rows += (
                    message_id * PLACES + place,
                    message_id,
                    appliance_id,
                    domain,
                    recipient.address,
                    recipient.notify,
                    recipient.orcpt,
                    "queued",
                    0,
                    "",
                    outage_id,
                )
            for domain, number in domains.items():
                deltas.accepted(appliance_id, domain, outage_id, number, incoming.size, incoming.received_at)
        given.append(numbers)
    return Rows(content_rows, message_rows, recipient_rows, given)


def wanted_domains(accepts: Sequence[Accept]) -> set[tuple[str, int]]:
    """(domain, appliance) of all recipients. Our own postmaster's (appliance 0) has no row to be looked for."""
    return {
        (domain, appliance_id)
        for accepted in accepts
        for appliance_id, recipients in accepted.messages
        if appliance_id
        for domain, _ in recipients
    }


def check_domains(wanted: set[tuple[str, int]], found: Iterable[tuple[str, int]]) -> None:
    """An operator may have removed a domain, or moved it to another appliance, since its recipient was taken at RCPT:
    nobody would ever hand such mail over, or to the wrong primary. Raises LookupError."""
    gone = wanted.difference(found)
    if gone:
        raise LookupError(f"removed while mail for it arrived: {', '.join(sorted(domain for domain, _ in gone))}")
