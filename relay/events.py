"""One function per thing that happens: the log line and the metric together, so that neither is forgotten.

Log lines go where relay.log says. Metrics are Prometheus's, on a registry of this program's own. Nothing here decides
anything, and nothing here may fail its caller.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import structlog
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector

from relay.errors import DatabaseAway, RelayError
from relay.mail import Reply

FEW_DOMAINS = 5
"""Domains that a line names at most."""

registry = CollectorRegistry()
ProcessCollector(registry=registry)

_log: structlog.stdlib.BoundLogger = structlog.get_logger()


def _counter(name: str, text: str, *labels: str) -> Counter:
    return Counter(f"relay_{name}", text, labels, registry=registry)


def _gauge(name: str, text: str, *labels: str) -> Gauge:
    return Gauge(f"relay_{name}", text, labels, registry=registry)


# --- the node ---------------------------------------------------------------------------------------------------------

_faults = _counter("faults_total", "Unexpected errors, by where they happened", "where")
_loop_delays = _counter("loop_delays_total", "Times the event loop was held for over 250 ms")
_database = _gauge("database_reachable", "1 while the database can be reached, 0 while it can't")
_database.set(1)
_disk_free = _gauge("disk_free_bytes", "Room left for mail")
_log_failures = _counter("log_failures_total", "Times that the log could not be written")
_drift = _gauge("clock_drift_seconds", "Wall clock minus the node's own time")
_last_backup = _gauge("last_backup_timestamp_seconds", "When the database was last saved (POSIX time); 0: not known")


def started(node: str, version: str, listeners: list[str]) -> None:
    _log.info("node started", node=node, version=version, listeners=listeners)


def stopping(node: str, reason: str) -> None:
    _log.info("node stopping", node=node, reason=reason)


def stopped(node: str) -> None:
    _log.info("node stopped", node=node)


def reloaded(needs_restart: list[str]) -> None:
    """SIGHUP was obeyed; ``needs_restart``: what was changed in the file and waits for a restart."""
    _log.info("settings and certificates reloaded", needs_restart=needs_restart)


def reload_refused(reason: str) -> None:
    _log.error("reload refused, the old settings stay", reason=reason)


def fault(where: str, error: BaseException) -> None:
    """Something unexpected, survived; ``where`` is one of a few fixed words (it is a label).

    What has words of its own (RelayError) needs no traceback. A database that is away is said once, by
    :func:`database`, and not by each part that needs it, again and again.
    """
    if isinstance(error, DatabaseAway):
        return
    _faults.labels(where).inc()
    where_from = None if isinstance(error, RelayError) else error
    _log.error("fault", where=where, error=f"{type(error).__name__}: {error}", exc_info=where_from)


def database(why: str) -> None:
    """The database can't be reached any more, and ``why``; or, where that is empty, it can again."""
    _database.set(not why)
    if why:
        _log.error("database away: mail is put off (451) until it is back", why=why)
    else:
        _log.warning("database back")


def log_lost() -> None:
    """A line could not be written: there is nowhere to say so but here."""
    _log_failures.inc()


def loop_delayed(seconds: float) -> None:
    _loop_delays.inc()
    _log.warning("event loop was held", seconds=round(seconds, 3))


def disk_free(size: int) -> None:
    _disk_free.set(size)


def last_backup(made_at: float) -> None:
    _last_backup.set(made_at)


def clock_drifted(seconds: float) -> None:
    _drift.set(seconds)
    _log.warning("the wall clock was set", drift_seconds=round(seconds))


# --- mail comes in ----------------------------------------------------------------------------------------------------

_accepted = _counter("accepted_total", "Recipients accepted", "domain")
_accepted_bytes = _counter("accepted_bytes_total", "Content bytes accepted")
_refused = _counter("refused_total", "Commands refused at the edge", "domain", "reason")
_connections = _gauge("connections", "SMTP sessions open")
_arriving = _gauge("arriving_bytes", "Bytes held of messages that are on their way in")


def sessions(count: int, arriving: int) -> None:
    """How many are open, and how many bytes of content they hold."""
    _connections.set(count)
    _arriving.set(arriving)


def accepted(message: int, sender: str, recipients: dict[str, int], size: int, client: str) -> None:
    """A message is on disk; ``recipients``: how many for each domain."""
    for domain, count in recipients.items():
        _accepted.labels(domain).inc(count)
    _accepted_bytes.inc(size)
    count, names = sum(recipients.values()), list(recipients)[:FEW_DOMAINS]
    _log.info("accepted", id=message, domains=names, sender=sender, recipients=count, size=size, client=client)


def refused(reason: str, reply: Reply, *, client: str, domains: Sequence[str] = (), detail: str = "") -> None:
    """The edge said no; ``reason`` is one of a few fixed words (it is a label). ``domains``: the Gold domains that it
    is about; each counts it."""
    for domain in domains or ("",):
        _refused.labels(domain, reason).inc()
    about = ", ".join(domains[:FEW_DOMAINS]) + (", …" if len(domains) > FEW_DOMAINS else "")
    _log.info("refused", reason=reason, reply=str(reply), client=client, domain=about, detail=detail)


def asked_for(domain: str, client: str) -> None:
    """ETRN: a primary, or who may speak for it, asks for its mail."""
    _log.info("asked for its mail", domain=domain, client=client)


_blocklists = _counter("dnsbl_lookups_total", "Addresses asked of lists, by what came of it", "zone", "result")


def blocklist_asked(zone: str, result: str) -> None:
    """``result``: clear, listed, refused, failed; without a zone late or busy: taken before there was an answer."""
    _blocklists.labels(zone, result).inc()


def blocklist_left_alone(zone: str, reason: str) -> None:
    """A list gives no answers, or none for us: for a while nobody is kept away by it."""
    _log.warning("block list is left alone", zone=zone, reason=reason)


# --- the queue --------------------------------------------------------------------------------------------------------

_batch = Histogram("relay_commit_seconds", "Time of one commit of the writer", registry=registry)
_batch_size = Histogram(
    "relay_commit_commands", "Commands in one commit", registry=registry, buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
_queue_waits = _gauge("queue_recipients", "Recipients waiting", "domain", "state")


def committed(seconds: float, commands: int) -> None:
    _batch.observe(seconds)
    _batch_size.observe(commands)


def commit_failed(error: BaseException, commands: int) -> None:
    _faults.labels("writer").inc()
    _log.error("commit failed", error=f"{type(error).__name__}: {error}", commands=commands)


def writer_ended(error: BaseException) -> None:
    _faults.labels("writer").inc()
    _log.critical("the writer ended, the node must end", error=f"{type(error).__name__}: {error}")


def queue_depth(domain: str, state: str, recipients: int) -> None:
    _queue_waits.labels(domain, state).set(recipients)


# --- mail goes out ----------------------------------------------------------------------------------------------------

_outcomes = _counter("outcomes_total", "What became of recipients handed to a primary", "appliance", "outcome")
_delivery_connections = _gauge("delivery_connections", "Connections to a primary", "appliance")
_quarantine_over = _counter("quarantine_dropped_total", "Recipients dropped after their time in quarantine")
_connection_failures = _counter("connection_failures_total", "Connections that broke or weren't taken", "appliance")
_pushed_back = _counter("pressed_less_total", "Times that a primary got fewer connections, for its sake", "appliance")


@lru_cache(maxsize=1024)  # to find it takes longer than to count
def _deliveries(appliance: str) -> Counter:
    return _outcomes.labels(appliance, "delivered")


def delivered(appliance: str, message: int, recipient: str, reply: Reply) -> None:
    _deliveries(appliance).inc()
    _log.info("delivered", appliance=appliance, id=message, recipient=recipient, reply=str(reply))


def deferred(appliance: str, message: int, recipient: str, reply: Reply, next_attempt_at: str) -> None:
    _outcomes.labels(appliance, "deferred").inc()
    _log.info(
        "deferred",
        appliance=appliance,
        id=message,
        recipient=recipient,
        reply=str(reply),
        next_attempt_at=next_attempt_at,
    )


def held(appliance: str, message: int, recipient: str, reason: str, reply: Reply) -> None:
    _outcomes.labels(appliance, "held").inc()
    _log.warning("held", appliance=appliance, id=message, recipient=recipient, reason=reason, reply=str(reply))


def bounced(appliance: str, message: int, recipient: str, reply: str) -> None:
    """It has failed for good; ``reply`` says whether its sender is told."""
    _outcomes.labels(appliance, "bounced").inc()
    _log.warning("bounced", appliance=appliance, id=message, recipient=recipient, reply=reply)


def expired(appliance: str, message: int, recipient: str, reply: str) -> None:
    """The same, for age."""
    _outcomes.labels(appliance, "expired").inc()
    _log.warning("expired", appliance=appliance, id=message, recipient=recipient, reply=reply)


def quarantined(appliance: str, message: int, recipient: str, evidence: str, reply: str) -> None:
    """It has failed, or expired, and nobody is told, for want of a sender who exists."""
    _outcomes.labels(appliance, "quarantined").inc()
    _log.warning("quarantined", appliance=appliance, id=message, recipient=recipient, evidence=evidence, reply=reply)


def quarantine_over(message: int, recipient: str) -> None:
    """What nobody released is dropped."""
    _quarantine_over.inc()
    _log.warning("dropped after its time in quarantine", id=message, recipient=recipient)


def judged_later(appliance: str, message: int, sender: str, evidence: str) -> None:
    """Who vouches for the sender can't be known now."""
    _outcomes.labels(appliance, "judged_later").inc()
    _log.info("judged later", appliance=appliance, id=message, sender=sender, evidence=evidence)


def outcome_unknown(appliance: str, message: int) -> None:
    """The connection was lost between the final dot and its reply (RFC 1047): a duplicate is possible."""
    _outcomes.labels(appliance, "unknown").inc()
    _log.warning("outcome unknown, will be tried again", appliance=appliance, id=message)


def died_sending(messages: int) -> None:
    """The process before this one died while it was sending; the messages are watched from now on."""
    _log.warning("died while sending, a message that repeats it is held", messages=messages)


def drain_began(appliance: str, waiting: int) -> None:
    _log.info("drain began", appliance=appliance, waiting=waiting)


def drain_paused(appliance: str, reason: str) -> None:
    _log.warning("drain paused", appliance=appliance, reason=reason)


def drain_ended(appliance: str, tried: int, seconds: float) -> None:
    _log.info("drain ended", appliance=appliance, tried=tried, seconds=round(seconds, 1))


def ramp(appliance: str, connections: int) -> None:
    _delivery_connections.labels(appliance).set(connections)


def pressed_less(appliance: str, primary: str, before: int, after: int, reason: str) -> None:
    """A primary gets fewer connections, because it pushed back or became slow."""
    _pushed_back.labels(appliance).inc()
    _log.warning("pressed less", appliance=appliance, primary=primary, before=before, after=after, reason=reason)


def connection_failed(appliance: str, primary: str, reason: str) -> None:
    """A connection of a drain couldn't be had, or broke; what wasn't answered on it is tried again."""
    _connection_failures.labels(appliance).inc()
    _log.warning("connection failed", appliance=appliance, primary=primary, reason=reason)


def extension_left_unused(appliance: str, primary: str, extension: str, reason: str) -> None:
    """A primary offers what it can't do; its mail goes without that for a while."""
    _log.warning("extension left unused", appliance=appliance, primary=primary, extension=extension, reason=reason)


def breaker_tripped(appliance: str, reason: str) -> None:
    _log.warning("breaker tripped, the drain stops", appliance=appliance, reason=reason)


def breaker_released(appliance: str, by: str) -> None:
    _log.info("breaker released", appliance=appliance, by=by)


# --- reports to senders -----------------------------------------------------------------------------------------------

_reports = _counter("reports_total", "Reports to senders, by what became of them", "outcome")
_reports_waiting = _gauge("reports_waiting", "Reports that wait to be sent")


def report_made(appliance: str, message: int, to: str, kind: str, about: Sequence[str]) -> None:
    """It is on disk, and what it says is true; ``kind``: failed or delayed."""
    _reports.labels("made").inc()
    _log.info("report made", appliance=appliance, id=message, to=to, kind=kind, about=_few(about))


def report_sent(report: int, message: int, to: str, reply: str) -> None:
    _reports.labels("sent").inc()
    _log.info("report sent", report=report, id=message, to=to, reply=reply)


def report_deferred(report: int, message: int, to: str, reply: str, next_attempt_at: str) -> None:
    _reports.labels("deferred").inc()
    _log.info("report deferred", report=report, id=message, to=to, reply=reply, next_attempt_at=next_attempt_at)


def report_dropped(report: int, message: int, to: str, reply: str) -> None:
    """It was refused for good, or has become too old; nobody is told of that."""
    _reports.labels("dropped").inc()
    _log.warning("report dropped", report=report, id=message, to=to, reply=reply)


def reports_waiting(count: int) -> None:
    _reports_waiting.set(count)


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:FEW_DOMAINS]) + (", …" if len(names) > FEW_DOMAINS else "")


# --- the outage -------------------------------------------------------------------------------------------------------

_probes = _counter("probes_total", "Probes of primaries", "result")
_health = _gauge("appliance_health", "1 for the present health of an appliance", "appliance", "health")


def probed(result: str) -> None:
    _probes.labels(result).inc()


def health_changed(appliance: str, before: str, after: str, reason: str) -> None:
    _health.labels(appliance, before).set(0)
    _health.labels(appliance, after).set(1)
    _log.warning("health changed", appliance=appliance, before=before, after=after, reason=reason)


def isolated(reason: str) -> None:
    _log.error("this node may be cut off itself: nothing is called down", reason=reason)


def reached_elsewhere(appliance: str, node: str, said: str, to: str) -> None:
    """Nodes disagree: it isn't down, only out of the sight of ``node``, and ``to`` works for it from now on."""
    _log.warning("reached from another node only", appliance=appliance, node=node, said=said, to=to)


def reached_again(appliance_id: int, node: str) -> None:
    _log.info("reached from this node again", appliance_id=appliance_id, node=node)


def isolation_ended() -> None:
    _log.info("this node is connected again")


_recipients_asked = _counter("recipients_asked_total", "Recipients that primaries were asked about", "answer")


def recipient_asked(answer: str) -> None:
    """``answer``: accepted, rejected, unclear or silent."""
    _recipients_asked.labels(answer).inc()


def wildcard(domain: str, accepts_all: bool) -> None:
    """A primary was found to accept addresses that can't exist, or not to do so any more."""
    text = "the primary accepts any address" if accepts_all else "the primary no longer accepts any address"
    _log.warning(text, domain=domain)


def continuity_changed(appliance: str, before: str, after: str, reason: str) -> None:
    _log.warning("continuity changed", appliance=appliance, before=before, after=after, reason=reason)


def proof_failed(appliance: str, proof: str, evidence: str) -> None:
    _log.warning("proof failed", appliance=appliance, proof=proof, evidence=evidence)


# --- recipients -------------------------------------------------------------------------------------------------------

_syncs = _counter("syncs_total", "Syncs of recipients with the customers' directories", "appliance", "result")


def synced(appliance: str, addresses: int, added: int, removed: int) -> None:
    _syncs.labels(appliance, "ok").inc()
    _log.info("recipients synced", appliance=appliance, addresses=addresses, added=added, removed=removed)


def sync_failed(appliance: str, evidence: str) -> None:
    """The directory didn't answer in full, or would take too much off the list; the list stays."""
    _syncs.labels(appliance, "failed").inc()
    _log.warning("sync of recipients failed", appliance=appliance, evidence=evidence)


# --- tickets ----------------------------------------------------------------------------------------------------------

_tickets = _counter("ticket_events_total", "What happened to tickets", "event")


def ticket(event: str, number: int, appliance: str, priority: int, reason: str) -> None:
    """``event`` as in the ticket's history: opened, priority, resolved …"""
    _tickets.labels(event).inc()
    _log.warning("ticket", what=event, ticket=number, appliance=appliance, priority=priority, reason=reason)


_told = _counter("helpdesk_messages_total", "Messages to the helpdesk, by what came of it", "helpdesk", "result")
_outbox_messages = _gauge("outbox_messages", "Messages that haven't reached the helpdesk yet")
_outbox_age = _gauge("outbox_oldest_seconds", "For how long the oldest of them has waited")
_words = _counter("helpdesk_words_total", "What people did in the helpdesk, carried out here", "helpdesk", "act")


def outbox(messages: int, oldest_seconds: float) -> None:
    _outbox_messages.set(messages)
    _outbox_age.set(oldest_seconds)


def helpdesk_told(helpdesk: str) -> None:
    _told.labels(helpdesk, "taken").inc()


def helpdesk_failed(helpdesk: str, error: str, ticket: int, attempts: int) -> None:
    _told.labels(helpdesk, "failed").inc()
    _faults.labels("helpdesk").inc()
    _log.error(
        "helpdesk took no message, will be tried again",
        helpdesk=helpdesk,
        error=error,
        ticket=ticket,
        attempts=attempts,
    )


def helpdesk_disabled(helpdesk: str, error: str) -> None:
    """It said that it wants no more messages; an operator has to look."""
    _log.critical("helpdesk wants no more messages, none are sent", helpdesk=helpdesk, error=error)


def helpdesk_back(helpdesk: str, seconds: float) -> None:
    _log.warning("helpdesk takes messages again", helpdesk=helpdesk, after_seconds=round(seconds))


def helpdesk_unheard(helpdesk: str, error: str) -> None:
    """What people did there can't be read now; it is read later."""
    _faults.labels("helpdesk").inc()
    _log.error("helpdesk can't be listened to, will be tried again", helpdesk=helpdesk, error=error)


def helpdesk_heard(helpdesk: str, act: str, ticket: int, actor: str) -> None:
    """A person did something in the helpdesk, and it was carried out here."""
    _words.labels(helpdesk, act).inc()
    _log.info("heard from the helpdesk", helpdesk=helpdesk, act=act, ticket=ticket, actor=actor)


def helpdesk_refused(reason: str, client: str) -> None:
    """Somebody reported something in a way that isn't taken."""
    _words.labels("webhook", "refused").inc()
    _log.warning("report to the helpdesk's listener refused", reason=reason, client=client)


_people_told = _counter("notices_total", "Messages to people, by what came of them", "target", "result")


def person_told(target: str, ticket: int, what: str) -> None:
    """``target``: the name of a rule, or a customer's contact."""
    _people_told.labels(_lane(target), "sent").inc()
    _log.info("told of a ticket", target=target, ticket=ticket, what=what)


def person_not_told(target: str, ticket: int, error: str, attempts: int) -> None:
    _people_told.labels(_lane(target), "failed").inc()
    _faults.labels("people").inc()
    _log.error("couldn't be told, will be tried again", target=target, ticket=ticket, error=error, attempts=attempts)


def person_skipped(target: str, ticket: int, reason: str) -> None:
    _people_told.labels(_lane(target), "skipped").inc()
    _log.warning("not told", target=target, ticket=ticket, reason=reason)


def person_given_up(target: str, ticket: int, error: str) -> None:
    """It was tried for a day."""
    _people_told.labels(_lane(target), "given up").inc()
    _log.critical("couldn't be told, given up", target=target, ticket=ticket, error=error)


def notify_conflict(reason: str) -> None:
    """The address book names somebody whom no news of that outage can reach."""
    _log.error("somebody to notify can't be reached in an outage", reason=reason)


def _lane(target: str) -> str:
    """A label: no address stands in a metric."""
    return target.partition(" ")[0]


# --- the cluster ------------------------------------------------------------------------------------------------------


def appliance_taken(node: str, appliances: int) -> None:
    _log.info("owner of appliances", node=node, taken=appliances)


def handed_over(node: str, appliances: int, to: Sequence[str]) -> None:
    """So many appliances have other owners now, in good order."""
    _log.info("appliances handed over", node=node, appliances=appliances, to=list(to))


def lease_lost(node: str, reason: str) -> None:
    _log.error("lease lost: nothing new is begun", node=node, reason=reason)


def lease_regained(node: str) -> None:
    _log.info("lease renewed again", node=node)
