"""What a helpdesk reports back over the web: read from a signed request, strictly. Pure but for the signature's time.

    POST /   {"ticket": 17, "action": "respond", "actor": "dana", "text": "we are on it", "at": "2026-11-26T02:10:00Z"}

signed like the webhooks that we send. ``webhook-id`` names the report: one that comes again is carried out once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from standardwebhooks import Webhook as Signer

from relay.tickets.helpdesks.helpdesk import Act, Word

LONGEST_TEXT = 20_000
LONGEST_NAME = 200
KEYS = {"ticket", "action", "actor", "text", "at", "priority"}


class Unsigned(Exception):
    """No secret of ours signed it, or that was longer ago than five minutes."""


class Malformed(Exception):
    """It isn't what a report should be; the text says what is wrong."""


def read_report(body: bytes, headers: Mapping[str, str], signers: Sequence[Signer]) -> Word:
    """``headers``: names in lower case. Raises Unsigned, Malformed."""
    if not any(_signed_by(signer, body, headers) for signer in signers):
        raise Unsigned("the signature is missing or wrong, or the timestamp is more than 5 minutes off")
    try:
        report = json.loads(body)
    except (ValueError, RecursionError):
        raise Malformed("the body should be JSON") from None
    if not isinstance(report, dict):
        raise Malformed("the body should be an object")
    if unknown := sorted(report.keys() - KEYS):
        raise Malformed(f"{unknown[0]!r} isn't known here; keys are {', '.join(sorted(KEYS))}")
    return Word(
        id=f"webhook {headers['webhook-id']}",
        ticket_id=_number(report, "ticket", 1, 2**31 - 1),
        act=_act(report),
        actor=_text(report, "actor", LONGEST_NAME, required=True),
        text=_text(report, "text", LONGEST_TEXT, required=report.get("action") in (Act.RESPOND, Act.COMMENT)),
        at=_moment(report),
        priority=_number(report, "priority", 1, 3) if report.get("action") == Act.PRIORITY else None,
    )


def _signed_by(signer: Signer, body: bytes, headers: Mapping[str, str]) -> bool:
    try:
        signer.verify(body, dict(headers), json_parse=False)
    except Exception:  # the library raises whatever a strange header leads to
        return False
    return True


def _act(report: Mapping[str, Any]) -> Act:
    try:
        return Act(str(report.get("action")))
    except ValueError:
        raise Malformed(f"action should be one of {', '.join(Act)}") from None


def _number(report: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = report.get(key)
    if type(value) is not int or not least <= value <= most:
        raise Malformed(f"{key} should be a number from {least} to {most}")
    return value


def _text(report: Mapping[str, Any], key: str, longest: int, *, required: bool) -> str:
    value = report.get(key, "")
    if not isinstance(value, str) or len(value) > longest or "\0" in value or not _writable(value):
        raise Malformed(f"{key} should be text of at most {longest} characters")
    if required and not value.strip():
        raise Malformed(f"{key} should say something")
    return value.strip()


def _writable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate, which JSON can say and a database can't keep
        return False
    return True


def _moment(report: Mapping[str, Any]) -> float | None:
    if "at" not in report:
        return None
    try:
        at = datetime.fromisoformat(report["at"])
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise Malformed("at should be a time such as 2026-11-26T02:10:00Z") from None
