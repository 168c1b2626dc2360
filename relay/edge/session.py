"""One SMTP session: what each command does, from EHLO to the 250 that means durable (RFC 5321 section 4).

Promises: 250 to the end of data is said only once the queue has the message on disk; what is refused leaves nothing
behind; the envelope is handed over as it was given, the null sender as an empty one; the content gets one Received
line. Nothing authenticates here, ever. Policy is admission's, octets are the wire's.
"""

from __future__ import annotations

import dataclasses

from relay.edge import refusals
from relay.edge.addresses import Path, parse_recipient, parse_sender
from relay.edge.bdat import OUT_OF_ORDER, SYNTAX, bdat, torn
from relay.edge.chunks import Chunks
from relay.edge.connection import Ending
from relay.edge.content import Content
from relay.edge.entrance import Entrance
from relay.edge.header import survey
from relay.edge.intake import Intake, Taken
from relay.edge.parameters import MailParameters, mail_parameters, recipient_parameters
from relay.edge.received import received_line
from relay.edge.shared import Shared
from relay.edge.shares import Turn, patient
from relay.edge.transaction import FREE_RECIPIENTS, RECIPIENT, Transaction
from relay.edge.wire import Wire
from relay.errors import Deferred, Rejected
from relay.mail import Client, Recipient, Reply
from relay.queue.content import UPLOAD_ABOVE
from relay.queue.model import Incoming

OFFERS = ("8BITMIME", "SMTPUTF8", "PIPELINING", "CHUNKING", "DSN", "ETRN")
"""What EHLO says beside what depends on settings (RFC 6152, 6531, 2920, 3030, 3461, 1985)."""

_UTF8 = {"SMTP": "UTF8SMTP", "ESMTP": "UTF8SMTP", "ESMTPS": "UTF8SMTPS"}  # RFC 6531 section 4.3
_BYE = Reply(221, "2.0.0", "Bye")


class Session(Entrance):
    """One client's connection."""

    def __init__(self, shared: Shared) -> None:
        super().__init__(shared)
        self.client: Client | None = None
        """Known from EHLO on."""
        self.mail = self._ended = Transaction()
        self._sender: str | None = None  # of the present or the last transaction, and its last recipient: for the log
        self._recipient: Path | None = None

    def note(self, reply: Reply, said: bytes, reason: str = "") -> None:
        shared, verb = self.shared, said[:4].upper()
        if verb == b"RCPT":
            names = [self._recipient.domain] if self._recipient is not None else []
        else:
            mail = self.mail
            if not mail.begun and (self._in_message or verb in (b"DATA", b"BDAT")):
                mail = self._ended  # the transaction ended with its message
            names = mail.names
        domains = [name for name in names if shared.admission.known(name)]
        shared.tally.add(domains, refusals.note(reply, self.ip, domains, said, self._sender, reason))

    # --- commands -----------------------------------------------------------------------------------------------------

    async def smtp_HELO(self, hostname: str) -> None:
        await self._hello(hostname, "SMTP")
        self.say(f"250 {self.shared.hostname}\r\n".encode())

    async def smtp_EHLO(self, hostname: str) -> None:
        await self._hello(hostname, "ESMTPS" if self.encrypted else "ESMTP")
        offers = [f"SIZE {self.shared.smtp.max_message_size}", *OFFERS]
        if self.shared.tls is not None and not self.encrypted:
            offers.insert(1, "STARTTLS")
        lines = [f"250-{line}\r\n" for line in (self.shared.hostname, *offers)]
        self.say("".join([*lines, "250 ENHANCEDSTATUSCODES\r\n"]).encode())

    async def smtp_STARTTLS(self, arg: str) -> None:
        if arg:
            raise Rejected(501, "5.5.4", "This command takes no argument")
        if self.encrypted:
            raise Rejected(503, "5.5.1", "TLS is on already")
        if self.shared.tls is None:
            raise Rejected(502, "5.5.1", "TLS is not offered here")
        self._no_chunks()
        self.say(b"220 2.0.0 Ready to start TLS\r\n")
        await self.start_tls(self.shared.tls)
        self.client = None  # what was said before counts no more (RFC 3207 section 4.2)
        await self.reset()

    async def smtp_MAIL(self, arg: str | None) -> None:
        if self.client is None:
            raise Rejected(503, "5.5.1", "Say EHLO first")
        self._no_chunks()
        if self.mail.sender is not None:
            raise Rejected(503, "5.5.1", "One sender at a time; RSET begins anew")
        self.mail.begun = True
        path = parse_sender(arg or "")
        asked = mail_parameters(path.parameters)
        _check_utf8(path, asked)
        if asked.size is not None and asked.size > self.shared.smtp.max_message_size:
            raise Rejected(552, "5.3.4", f"The message is larger than {self.shared.smtp.max_message_size} bytes")
        self.shared.queue.check()
        self.shared.memory.check(min(asked.size or 0, UPLOAD_ABOVE))
        self.visitor.begins()
        self.mail.sender = self._sender = path.address
        self.mail.asked = asked
        self.say(b"250 2.1.0 Ok\r\n")

    async def smtp_RCPT(self, arg: str | None) -> None:
        mail, admission = self.mail, self.shared.admission
        self._no_chunks()
        if mail.sender is None:
            raise Rejected(503, "5.5.1", "MAIL comes first", mail.follows)
        mail.tried, self._recipient = True, None
        path = self._recipient = parse_recipient(arg or "")
        asked = recipient_parameters(path.parameters)
        _check_utf8(path, mail.asked)
        if len(mail.recipients) >= self.shared.smtp.max_recipients:
            raise Deferred(452, "4.5.3", "Too many recipients, send the message again for the rest")
        proof = admission.is_proof(path)
        if mail.proof is not None or (proof and mail.recipients):
            raise Deferred(452, "4.5.3", "A proof travels alone")
        if proof:
            mail.proof = path
        else:
            await self.visitor.names(path)
            told = None
            if admission.worth_asking(path):
                self.flush()  # what was asked before needn't wait for it
                told = await admission.ask(path)
            domain = admission.recipient(path, mail.asked, told)
            self.shared.shares.seen(domain.name)
            self.visitor.enters(domain.name, mail.count(domain) + 1)
            if len(mail.recipients) >= FREE_RECIPIENTS and path.address not in mail.recipients:
                self.shared.memory.take(RECIPIENT)
                mail.charged += RECIPIENT
            mail.add(Recipient(path.address, *asked), domain)
        self.say(b"250 2.1.5 Ok\r\n")

    async def smtp_DATA(self, arg: str) -> None:
        if arg:
            raise Rejected(501, "5.5.4", "This command takes no argument")
        mail = self.mail
        self._no_chunks()
        if (refusal := mail.nobody()) is not None:
            raise refusal
        intake = self.intake(Content())
        self.say(b"354 End data with <CR><LF>.<CR><LF>\r\n")
        try:
            await self._take(mail, intake)
        finally:
            await self.reset()

    async def smtp_BDAT(self, arg: str) -> None:
        await bdat(self, arg)

    async def smtp_RSET(self, arg: str) -> None:
        if arg:
            raise Rejected(501, "5.5.4", "This command takes no argument")
        await self.reset()
        self.say(b"250 2.0.0 OK\r\n")

    async def smtp_ETRN(self, arg: str) -> None:
        if self.client is None:
            raise Rejected(503, "5.5.1", "Say EHLO first")
        if self.mail.begun:
            raise Rejected(503, "5.5.1", "Not within a message")
        self.say(refusals.line(await self.shared.etrn.ask(arg, self.ip, self.shared.askers)))

    async def smtp_VRFY(self, arg: str) -> None:
        self.say(b"252 2.0.0 Send a message and see\r\n")

    async def smtp_HELP(self, arg: str) -> None:
        self.say(f"214 2.0.0 {b' '.join(self.commands).decode()}\r\n".encode())

    async def smtp_QUIT(self, arg: str) -> None:
        raise Ending(_BYE)

    commands = {  # noqa: RUF012 - a ClassVar of the base class
        b"MAIL": smtp_MAIL,
        b"RCPT": smtp_RCPT,
        b"DATA": smtp_DATA,
        b"BDAT": smtp_BDAT,
        b"EHLO": smtp_EHLO,
        b"HELO": smtp_HELO,
        b"STARTTLS": smtp_STARTTLS,
        b"RSET": smtp_RSET,
        b"NOOP": Wire.smtp_NOOP,
        b"ETRN": smtp_ETRN,
        b"VRFY": smtp_VRFY,
        b"HELP": smtp_HELP,
        b"QUIT": smtp_QUIT,
    }

    # --- how ----------------------------------------------------------------------------------------------------------

    async def reset(self) -> None:
        mail = self._ended = self.mail
        self.mail = Transaction()
        self.shared.memory.take(-mail.charged)
        if self.admitted:
            self.visitor.ends()
        if mail.intake is not None:
            await mail.intake.close(accepted=False)

    def _refuse(self, reply: Reply, said: bytes, reason: str = "") -> None:
        if said.lstrip()[:4].upper() == b"BDAT":
            broken = SYNTAX if reply.code in (500, 501) else None  # no command to us, but its chunk follows
        else:
            broken = OUT_OF_ORDER if self.mail.intake is not None else None  # it may be what is left of a chunk
        if broken is not None:
            self._interrupted = True
            raise Ending(broken, reason, said)
        super()._refuse(reply, said, reason)

    def _no_chunks(self) -> None:
        """Between the chunks of a message nothing else has a place. Raises Ending."""
        if self.mail.intake is not None:
            raise Ending(OUT_OF_ORDER)

    async def _hello(self, name: str, protocol: str) -> None:
        if not name or not name.isprintable():
            raise Rejected(501, "5.5.4", "Say who you are")
        await self.reset()
        self.client = Client(self.ip, self.port, name.encode("ascii", "replace").decode(), protocol)

    def intake(self, content: Content | Chunks) -> Intake:
        """For the message of the present transaction."""
        shared = self.shared
        limit = min(shared.smtp.max_message_size, shared.admission.room(self.mail.domains))
        reject_bare = shared.smtp.bare_newline == "reject"
        queue, memory, shares, names = shared.queue, shared.memory, shared.shares, self.mail.names
        return Intake(queue.upload, memory, shares, content, limit, names, reject_bare=reject_bare)

    async def _take(self, mail: Transaction, intake: Intake) -> None:
        """Read the message to its end, whatever becomes of it, and have it stored."""
        accepted = False
        try:
            ended = False
            while not ended:
                chunk = await self.chunk()
                size = len(chunk)
                try:
                    ended = await intake.feed(chunk)
                except Exception as error:
                    raise torn(error) from error
                if not intake.refused:
                    self.patience.progress(size)
            await self.conclude(mail, intake)
            accepted = True
        finally:
            await intake.close(accepted=accepted)

    async def conclude(self, mail: Transaction, intake: Intake) -> None:
        """Store what has come when its domain has its turn, and say 250. Raises Rejected, Deferred, Gone, Ending."""
        turn = self.shared.shares.ask(mail.names, intake.held)
        try:
            await self._wait_for(turn, intake)
            try:
                taken = await intake.finish()
            finally:
                self.lines.put_back(intake.behind)
            await self._store(mail, taken)
        finally:
            turn.end()
        self.patience.renew(self.clock.monotonic())

    async def _wait_for(self, turn: Turn, intake: Intake) -> None:
        """For the turn of this message's domain, which comes at once while there is mail for that one alone."""
        if turn.ready is None or turn.ready.done() or intake.refused:
            return
        try:
            async with patient():
                await self.stand_by(turn.ready, more=intake.more_behind)
        except Deferred as refusal:
            await intake.refuse(refusal)

    async def _store(self, mail: Transaction, taken: Taken) -> None:
        shared, client = self.shared, self.client
        assert client is not None and mail.sender is not None  # noqa: S101 - MAIL saw to both
        header = survey(taken.beginning, shared.admission.own_names)
        shared.admission.content(header)
        if mail.asked.smtputf8:
            client = dataclasses.replace(client, protocol=_UTF8[client.protocol])
        now = shared.clock.now()
        received = received_line(client, shared.hostname, next(shared.counter), now)
        if mail.proof is not None:
            await self._store_proof(mail.proof, received, taken)
            return
        incoming = Incoming(
            mail.envelope, client, now, received, taken.content, taken.size, header.message_id, mail.routes
        )
        numbers = await shared.queue.accept(incoming)
        self.visitor.delivered(mail.routes)
        self.say(f"250 2.0.0 Ok: queued as {', '.join(map(str, numbers))}\r\n".encode())

    async def _store_proof(self, path: Path, received: bytes, taken: Taken) -> None:
        if not isinstance(taken.content, bytes):
            raise Rejected(552, "5.3.4", "A proof is a small message")
        await self.shared.queue.prove_write(path.domain, path.local.lower(), received + taken.content)
        self.visitor.delivered(())
        self.say(b"250 2.0.0 Ok: proven\r\n")


def _check_utf8(path: Path, asked: MailParameters) -> None:
    if not asked.smtputf8 and not path.address.isascii():
        raise Rejected(553, "5.6.7", "An address that isn't ASCII needs SMTPUTF8")
