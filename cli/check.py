"""relayctl recipient check: would we take mail for somebody, and why?

Asks the edge's own admission, with what the database knows: quota, contract and health are in the answer as they are
in the edge's. Only whether probes keep their schedule is the node's secret; they are taken to.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import click
from sqlalchemy import Connection, func, select

from cli.context import Operator, json_option
from cli.table import prose, word
from relay.appliances.directory import Directory
from relay.appliances.facts import Health
from relay.appliances.model import Domain, RecipientPolicy
from relay.appliances.pulse import Pulse
from relay.edge.addresses import Path, parse_recipient
from relay.edge.admission import Admission
from relay.edge.parameters import NOTHING_ASKED
from relay.errors import EdgeError
from relay.mail import Reply
from relay.queue.sums import Depth
from relay.queue.tables import depths
from relay.recipients import lists
from relay.recipients.address import bases, mailbox
from relay.recipients.entry import EVERYONE
from relay.recipients.known import Recipients
from relay.recipients.learning import Learning
from relay.recipients.lists import Listed

ANSWERS = {"550 5.1.1": "unknown", "451 4.3.0": "undecided"}
"""What a reply says of a recipient; any other is about something else."""
LEARNED = "by what its primary has answered so far; while that is up, the edge asks it first"

NOT_LISTED = {
    "unknown": "nobody lists it",
    "undecided": "only listed recipients are taken, and the list is empty",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """``answer``: taken, unknown, undecided, or (for another reason) refused or deferred; ``reply``: as a client gets
    it, empty for taken."""

    address: str
    answer: str
    reply: str
    why: str


@click.command("check")
@click.argument("addresses", nargs=-1, required=True)
@json_option
@click.pass_obj
def check(operator: Operator, addresses: tuple[str, ...]) -> None:
    """Would we take mail for ADDRESS now, and why?

    Answers as the edge would: taken, unknown, undecided; or refused or deferred for a reason that isn't the recipient.
    """
    answers = operator.run(_ask(operator, addresses))
    if operator.out.facts([asdict(one) for one in answers]):
        return
    operator.out.table(
        ("ADDRESS", word("ANSWER"), prose("WHY")),
        ((one.address, one.answer, " – ".join(part for part in (one.reply, one.why) if part)) for one in answers),
        empty="",
    )


async def _ask(operator: Operator, addresses: tuple[str, ...]) -> list[Answer]:
    directory, pulse = Directory(operator.db), Pulse()
    await directory.refresh()
    for number in directory.snapshot.appliances:
        if directory.health(number).state is Health.UP:
            pulse.beat(number, operator.clock.monotonic())
    learning = Learning(operator.db, directory, pulse, operator.clock, lambda _: False, lambda *_: False, _nobody)
    recipients = Recipients(operator.db, directory, learning)
    waiting = await operator.db.run(_waiting)
    admission = Admission(
        operator.settings.node,
        directory,
        pulse,
        recipients,
        lambda name: waiting.get(name, Depth()),
        operator.clock,
        proof_key=b"",
    )
    answers = []
    for address in addresses:
        domain: Domain | None = None
        try:
            path = parse_recipient(f"TO:<{address}>")
            domain = directory.domain(path.domain)
            if domain is not None and domain.recipients is RecipientPolicy.LEARNED:
                await learning.refresh()
            elif domain is not None:
                await recipients.load(domain)
            admission.recipient(path, NOTHING_ASKED._replace(smtputf8=not address.isascii()))
        except EdgeError as refusal:
            answers.append(_refused(address, refusal.reply, domain))
        else:
            with operator.db.read() as connection:
                answers.append(Answer(address, "taken", "", _why(connection, domain, path)))
    return answers


def _refused(address: str, reply: Reply, domain: Domain | None) -> Answer:
    answer = ANSWERS.get(f"{reply.code} {reply.enhanced}", "refused" if reply.permanent else "deferred")
    why = ""
    if domain is not None and answer in NOT_LISTED:
        why = LEARNED if domain.recipients is RecipientPolicy.LEARNED else NOT_LISTED[answer]
    return Answer(address, answer, str(reply), why)


def _waiting(connection: Connection) -> dict[str, Depth]:
    sums = [func.sum(depths.c[name]) for name in ("queued", "held", "bytes", "messages")]
    rows = connection.execute(select(depths.c.domain, *sums).group_by(depths.c.domain))
    return {name: Depth(*counts) for name, *counts in rows}


async def _nobody(_domain: Domain, _address: str) -> None:
    """No primary is asked."""


def _why(connection: Connection, domain: Domain | None, path: Path) -> str:
    if domain is None or path.local.lower() == "postmaster":
        return "a postmaster always exists"
    if domain.recipients is RecipientPolicy.ANY:
        return f"every recipient of {domain.name} is taken"
    if domain.recipients is RecipientPolicy.LEARNED:
        return LEARNED
    text = mailbox(path.local)
    names = [text, *bases(text, domain.plus_addressing), EVERYONE]
    found: dict[str, Listed] = {}
    for one in lists.find(connection, domain, names):
        found.setdefault(one.entry.local, one)
    name = next(name for name in names if name in found)
    listed = found[name]
    said = f"listed by {'the sync' if listed.source == 'sync' else 'operators'}"
    if name == EVERYONE:
        return f"there is a catch-all, {said}"
    if listed.entry.target:
        said += f" as an alias of {listed.entry.target}"
    return said if name == text else f"an extension of {listed.entry.address(domain.name)}, {said}"
