"""One message's dialogue, from MAIL to the reply to its end: what is said, what the replies mean, what came of it.

Pure: replies go in, the next step comes out, in the end a :class:`Result`. It makes no difference here whether the
commands are sent one by one or all at once; RFC 2920 3.1 says what follows from either. Where the primary offers
CHUNKING (RFC 3030) there is no DATA: content follows the recipients, once one of them has been accepted.

What it promises: a recipient counts as delivered only by a 2xx to the end of its own message (the dot, or BDAT LAST). A
reply that can't be one to its command (2xx to DATA, 3xx to anything else, 2xx to the end of a message of which a part
was refused) means that replies and commands are out of step, and raises :class:`Failure` before anything is concluded
from it. Once all is sent and no reply to the end has come, the outcome is unknown.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from relay.mail import Envelope, Recipient, Reply
from relay.smtp.dialogue import Offers, mail_command, rcpt_command
from relay.smtp.failure import Failure, Kind, Stage


@dataclass(frozen=True, slots=True)
class Answer:
    """What a recipient of a message was told; the ``reply`` decides whether that is final."""

    recipient: Recipient
    reply: Reply
    stage: Stage
    """What the reply answers: MAIL, RCPT, DATA, BDAT or END_OF_DATA; without one, what was waited for."""
    local: bool = False
    """The reply is ours: the primary never gave one."""
    unknown: bool = False
    """All was sent and the answer never came: it may have been delivered, and is to be sent again (RFC 1047)."""

    @property
    def delivered(self) -> bool:
        return self.reply.positive


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a message: an answer for each recipient, in the order of the envelope."""

    answers: tuple[Answer, ...]
    seconds: tuple[float, ...] = ()
    """How long each of the primary's replies took, in their order; what it had to do before isn't counted."""
    failure: Failure | None = None
    """What ended the connection, if that is why the dialogue ended."""
    untried: bool = False
    """The connection ended before the primary had turned to this message. Nothing counts against it: send it again."""
    as_client: bool = False
    """The primary took the session for the original client's: what it refuses may be that client's mail alone."""


class Step(Enum):
    """What is to be done next."""

    WAIT = "more replies are due"
    COMMAND = "send the next command"
    CONTENT = "send the content, and its end"
    EMPTY = "send the dot alone: nobody is there to take it, and 354 was said all the same"
    MORE = "a part of the content was taken: go on with it"
    STOP = "there is a result, and no more of the content is to be sent"
    DONE = "there is a result"
    ABORT = "there is a result, and the connection is of no more use"


_NO_REPLY = Reply(451, "4.5.0", "no reply")


class Transaction:
    """The dialogue of one message. Raises ValueError for an envelope that can't be written in commands.

    ``introduction``: what is said before MAIL of where the message comes from (XFORWARD); a refusal of that is heard
    and changes nothing.
    """

    def __init__(self, envelope: Envelope, offers: Offers, size: int | None, introduction: bytes = b"") -> None:
        self.envelope = envelope
        self.chunked = offers.chunking
        """Whether content goes by BDAT."""
        self.commands = (
            *([(Stage.XFORWARD, introduction)] if introduction else []),
            (Stage.MAIL, mail_command(envelope, offers, size)),
            *((Stage.RCPT, rcpt_command(recipient, offers)) for recipient in envelope.recipients),
            *([] if self.chunked else [(Stage.DATA, b"DATA\r\n")]),
        )
        self.stage = Stage.MAIL
        self.heard = False
        """Whether the primary has answered MAIL yet."""
        self.open = bool(introduction)
        """Whether the primary has something open, which RSET must end before the next message."""
        self.all_sent = False
        """Whether the whole content has gone out, its end included."""
        self._sent = 0
        self._replies = 0
        self._mail: Reply | None = None
        self._recipients: list[Reply] = []
        self._final = _NO_REPLY
        self._empty = False
        self._stopped = False  # a part of the content was refused

    def next_commands(self, count: int | None = None) -> Sequence[tuple[Stage, bytes]]:
        """The next ``count`` commands to send; None: all that are left."""
        begin = self._sent
        self._sent = len(self.commands) if count is None else begin + count
        return self.commands[begin : self._sent]

    def replied(self, stage: Stage, reply: Reply) -> Step:
        """Take the next reply. Raises Failure where it can't be one to what was asked."""
        self.stage = stage
        self.heard = self.heard or stage is not Stage.XFORWARD
        go_ahead = 300 <= reply.code < 400
        if reply.positive and (go_ahead if stage is not Stage.DATA else not go_ahead):
            raise Failure(stage, Kind.PROTOCOL, f"out of step: {reply} is no reply to {stage}")
        match stage:
            case Stage.XFORWARD:
                pass  # it changes nothing for the message
            case Stage.MAIL if reply.positive:
                self.open = True
            case Stage.MAIL:
                self._mail = reply
            case Stage.RCPT:
                self._recipients.append(reply)
            case Stage.DATA if go_ahead:
                self._empty = not self._accepted
                return Step.EMPTY if self._empty else Step.CONTENT
            case Stage.DATA:
                self._final = reply
                return Step.DONE
            case Stage.CONTENT if reply.positive:
                raise Failure(stage, Kind.PROTOCOL, f"out of step: {reply} in the middle of the content")
            case Stage.CONTENT:
                self._final = reply
                return Step.ABORT
            case Stage.BDAT if self._stopped:
                return Step.WAIT  # it had gone out before the refusal was heard (RFC 3030 section 2)
            case Stage.BDAT if reply.positive:
                return Step.MORE
            case Stage.BDAT:
                self._final, self._stopped = reply, True
                return Step.WAIT if self.all_sent else Step.STOP
            case Stage.END_OF_DATA:
                if self._stopped and reply.positive:
                    raise Failure(stage, Kind.PROTOCOL, f"out of step: {reply} after {self._final} to a part of it")
                self.open = False
                self._final = self._final if self._stopped else reply
                return Step.DONE
        self._replies += 1
        if self._replies < self._sent:
            return Step.WAIT
        if self._mail is None and self._replies < len(self.commands) - (not self.chunked):
            return Step.COMMAND
        if not self._accepted:
            return Step.DONE
        return Step.CONTENT if self.chunked else Step.COMMAND

    def result(self, seconds: Sequence[float]) -> Result:
        """What came of it, after the last step. ``seconds``: how long the replies took."""
        return Result(self._answers(self._final, local=False), tuple(seconds))

    def lost(self, failure: Failure, seconds: Sequence[float], *, head: bool, untried: bool) -> Result:
        """What came of it, the connection having failed. ``head``: it was this message's reply that was waited for."""
        if head:
            self.stage = Stage.MAIL if failure.stage is Stage.XFORWARD else failure.stage
        if head and failure.reply is not None:
            answers = self._answers(failure.reply, local=False)
        else:
            text = f"{failure.text}; the outcome is unknown" if self.all_sent else failure.text
            enhanced = "4.5.0" if failure.kind is Kind.PROTOCOL else "4.4.2"
            answers = self._answers(Reply(451, enhanced, text), local=True)
        return Result(answers, tuple(seconds), failure, untried)

    @property
    def _accepted(self) -> bool:
        return self._mail is None and any(reply.positive for reply in self._recipients)

    def _answers(self, final: Reply, *, local: bool) -> tuple[Answer, ...]:
        """``final`` is for those whom neither MAIL nor their own RCPT has refused."""
        if self._mail is not None:
            return tuple(Answer(recipient, self._mail, Stage.MAIL) for recipient in self.envelope.recipients)
        unknown = local and self.all_sent
        replies = iter(self._recipients)
        answers = []
        for recipient in self.envelope.recipients:
            own = next(replies, None)
            if own is not None and not own.positive:
                answers.append(Answer(recipient, own, Stage.RCPT))
            else:
                answers.append(Answer(recipient, final, self.stage, local, unknown))
        return tuple(answers)


def refused_here(envelope: Envelope, reply: Reply) -> Result:
    """The result of a message that isn't even tried, by a reply of our own."""
    return Result(tuple(Answer(recipient, reply, Stage.MAIL, local=True) for recipient in envelope.recipients))
