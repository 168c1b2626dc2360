"""relayctl db restore: a backup in the place of the database, and what that means for the mail."""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import click

from cli.context import Operator, json_option, yes_option
from cli.render import at, clock_time, plural, span
from relay.backup.manifest import Counts
from relay.backup.record import Restored
from relay.backup.restore import Opened, Outcome, Present, bring_back, nobody_lives_on, opened, present
from relay.db import place
from relay.errors import BackupError, Refused


@click.command("restore")
@click.argument("backup", metavar="BACKUP|-")
@click.option("--hold", is_flag=True, help="Hold all of its mail until somebody releases it.")
@click.option("--force", is_flag=True, help="In place of a database that isn't empty; also with faults in it.")
@yes_option
@json_option
@click.pass_obj
def restore(operator: Operator, backup: str, hold: bool, force: bool, yes: bool) -> None:
    """Put a backup in the place of the database; no node may run on it.

    The backup is verified first, and brought up to this program's version. What it replaces is kept under another
    name. The mail is then as old as the backup: what was delivered since would be delivered again, and what was
    accepted since isn't there; --hold lets you look before anything goes out.

    \b
    relayctl db restore /srv/backup/relay-one-20261123T030000Z.tar --hold
    """
    url = operator.settings.node.database_direct or operator.settings.node.database
    where = place(url)
    with ExitStack() as stack:
        source = sys.stdin.buffer if backup == "-" else stack.enter_context(Path(backup).open("rb"))
        if where.path is not None:
            where.path.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.gettempdir()) if where.path is None else where.path.resolve().parent
        if stack.enter_context(nobody_lives_on(url)):
            click.echo(f"{where.name}: a restore was broken off; what was there before it is there again", err=True)
        before = present(url)
        if before.in_use and not force:
            raise Refused(f"{where.name} isn't empty ({_held_by(before)}): --force replaces it, and keeps it aside")
        try:
            found = stack.enter_context(opened(source, url, beside))
        except BackupError as error:
            raise BackupError(f"{backup}: {error}") from error
        now = operator.now()
        lines = _consequences(found, before, now, hold)
        if before.in_use and not yes:
            _ask(lines, where.name, piped=backup == "-")
        restored = Restored(now, found.manifest.made_at, backup, operator.who, hold)
        try:
            outcome = bring_back(found, url, before, restored, faulty=force)
        except BackupError as error:
            raise BackupError(f"{backup}: {error}") from error
        _tell(operator, found, outcome, lines, where.name)


def _held_by(before: Present) -> str:
    if before.counts is None:
        return before.trouble
    counts = before.counts
    return (
        f"{plural(counts.messages, 'message')}, {plural(counts.queued, 'recipient')} queued, {counts.held} held"
        if counts.messages
        else "it has appliances, and no mail that waits"
    )


def _ask(lines: list[str], where: str, *, piped: bool) -> None:
    if piped or not sys.stdin.isatty():
        raise Refused(f"this would replace {where}: say --yes where nobody is asked")
    for line in lines:
        click.echo(line, err=True)
    click.confirm(f"Replace {where}?", abort=True, err=True)


def _consequences(found: Opened, before: Present, now: float, hold: bool) -> list[str]:
    """What it means for the mail: exactly, where what is replaced can be counted."""
    about, old = found.manifest, before.counts
    lines = [
        f"the backup shows {clock_time(about.made_at)}, {span(now - about.made_at)} ago: "
        f"{plural(about.counts.messages, 'message')}, {plural(about.counts.queued, 'recipient')} queued, "
        f"{about.counts.held} held, {plural(about.counts.tickets, 'open ticket')}"
    ]
    since = _since(about.counts, old)
    if since is None:
        lines.append(
            "what was accepted since then isn't in it; what was delivered since then is queued in it again, "
            f"mail for {plural(about.counts.queued + about.counts.held, 'recipient')} at most"
        )
    else:
        accepted, left, delivered = since
        lines.append(
            f"since then mail for {plural(accepted, 'recipient')} was accepted, which isn't in it, and for "
            f"{plural(left, 'recipient')} left ({delivered} delivered), which may be queued in it again"
        )
    if not hold and about.counts.queued:
        lines.append("the first node that starts on it delivers what is queued in it (--hold: not before you say so)")
    return lines


def _since(then: Counts, old: Counts | None) -> tuple[int, int, int] | None:
    """(accepted, left, delivered) between the backup and what is there; None where these are of two histories."""
    if old is None or old.accepted < then.accepted or old.delivered < then.delivered:
        return None
    before, after = (counts.accepted - counts.queued - counts.held for counts in (then, old))
    return old.accepted - then.accepted, max(0, after - before), old.delivered - then.delivered


def _tell(operator: Operator, found: Opened, outcome: Outcome, lines: list[str], where: str) -> None:
    about = found.manifest
    facts = {
        "database": where,
        "made_at": at(about.made_at),
        "replaced": outcome.aside or None,
        "held": outcome.held,
        "upgraded": outcome.upgraded,
        "counts": about.facts()["counts"],
        "said": lines,
    }
    if operator.out.facts(facts):
        return
    out = operator.out
    out.line(f"{where} is restored" + (f", and upgraded from {about.revision}" if outcome.upgraded else ""), "green")
    for line in lines:
        out.line(line)
    if outcome.held:
        out.line(
            f"mail for {plural(outcome.held, 'recipient')} is held: 'relayctl queue list', 'relayctl trace' at the "
            "primaries' word, then 'relayctl queue drop' what they have, and 'relayctl queue release --reason operator'"
        )
    if outcome.aside:
        out.line(f"what it replaced is kept as {outcome.aside}; remove it once nobody needs it any more")
    out.line(
        "tickets that were opened since then are unknown here: close them in the helpdesk by hand; new ones have "
        "numbers that were never given before"
    )
    out.line("next: 'relayctl doctor', then start the node ('systemctl start relay')")
