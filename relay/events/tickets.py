"""Tickets: what happens to them, the helpdesk that is told and heard, the people who are told."""

from __future__ import annotations

from relay.events.metrics import counter, faults, gauge, log

_tickets = counter("ticket_events_total", "What happened to tickets", "event")
_told = counter("helpdesk_messages_total", "Messages to the helpdesk, by what came of it", "helpdesk", "result")
_outbox_messages = gauge("outbox_messages", "Messages that haven't reached the helpdesk yet")
_outbox_age = gauge("outbox_oldest_seconds", "For how long the oldest of them has waited")
_words = counter("helpdesk_words_total", "What people did in the helpdesk, carried out here", "helpdesk", "act")
_people_told = counter("notices_total", "Messages to people, by what came of them", "target", "result")


def ticket(event: str, number: int, appliance: str, priority: int, reason: str) -> None:
    """``event`` as in the ticket's history: opened, priority, resolved …"""
    _tickets.labels(event).inc()
    log.warning("ticket", what=event, ticket=number, appliance=appliance, priority=priority, reason=reason)


def outbox(messages: int, oldest_seconds: float) -> None:
    _outbox_messages.set(messages)
    _outbox_age.set(oldest_seconds)


def helpdesk_told(helpdesk: str) -> None:
    _told.labels(helpdesk, "taken").inc()


def helpdesk_failed(helpdesk: str, error: str, ticket: int, attempts: int) -> None:
    _told.labels(helpdesk, "failed").inc()
    faults.labels("helpdesk").inc()
    log.error(
        "helpdesk took no message, will be tried again",
        helpdesk=helpdesk,
        error=error,
        ticket=ticket,
        attempts=attempts,
    )


def helpdesk_disabled(helpdesk: str, error: str) -> None:
    """It said that it wants no more messages; an operator has to look."""
    log.critical("helpdesk wants no more messages, none are sent", helpdesk=helpdesk, error=error)


def helpdesk_back(helpdesk: str, seconds: float) -> None:
    log.warning("helpdesk takes messages again", helpdesk=helpdesk, after_seconds=round(seconds))


def helpdesk_unheard(helpdesk: str, error: str) -> None:
    """What people did there can't be read now; it is read later."""
    faults.labels("helpdesk").inc()
    log.error("helpdesk can't be listened to, will be tried again", helpdesk=helpdesk, error=error)


def helpdesk_heard(helpdesk: str, act: str, ticket: int, actor: str) -> None:
    """A person did something in the helpdesk, and it was carried out here."""
    _words.labels(helpdesk, act).inc()
    log.info("heard from the helpdesk", helpdesk=helpdesk, act=act, ticket=ticket, actor=actor)


def helpdesk_refused(reason: str, client: str) -> None:
    """Somebody reported something in a way that isn't taken."""
    _words.labels("webhook", "refused").inc()
    log.warning("report to the helpdesk's listener refused", reason=reason, client=client)


def person_told(target: str, ticket: int, what: str) -> None:
    """``target``: the name of a rule, or a customer's contact."""
    _people_told.labels(_lane(target), "sent").inc()
    log.info("told of a ticket", target=target, ticket=ticket, what=what)


def person_not_told(target: str, ticket: int, error: str, attempts: int) -> None:
    _people_told.labels(_lane(target), "failed").inc()
    faults.labels("people").inc()
    log.error("couldn't be told, will be tried again", target=target, ticket=ticket, error=error, attempts=attempts)


def person_skipped(target: str, ticket: int, reason: str) -> None:
    _people_told.labels(_lane(target), "skipped").inc()
    log.warning("not told", target=target, ticket=ticket, reason=reason)


def person_given_up(target: str, ticket: int, error: str) -> None:
    """It was tried for a day."""
    _people_told.labels(_lane(target), "given up").inc()
    log.critical("couldn't be told, given up", target=target, ticket=ticket, error=error)


def notify_conflict(reason: str) -> None:
    """The address book names somebody whom no news of that outage can reach."""
    log.error("somebody to notify can't be reached in an outage", reason=reason)


def _lane(target: str) -> str:
    """A label: no address stands in a metric."""
    return target.partition(" ")[0]
