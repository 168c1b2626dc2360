"""One message's dialogue: which step follows which reply, and what each recipient was told in the end."""

from __future__ import annotations

import pytest

from relay.mail import Envelope, Recipient, Reply
from relay.smtp.dialogue import Offers
from relay.smtp.failure import Failure, Kind, Stage, closed, timed_out
from relay.smtp.transaction import Step, Transaction

ENVELOPE = Envelope("a@b.example", (Recipient("c@d.example"), Recipient("e@f.example")))
CLOSED = closed(Stage.END_OF_DATA)

# Each dialogue: what the primary says, with the step that follows; then what the two recipients were told, at
# which stage. All commands are sent at once.
PIPELINED = {
    "taken by both": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 251 wait, DATA 354 content, END_OF_DATA 250 done",
        "250 END_OF_DATA, 250 END_OF_DATA",
    ),
    "one refused": (
        "MAIL 250 wait, RCPT 550 wait, RCPT 250 wait, DATA 354 content, END_OF_DATA 250 done",
        "550 RCPT, 250 END_OF_DATA",
    ),
    "refused at the dot": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 450 wait, DATA 354 content, END_OF_DATA 554 done",
        "554 END_OF_DATA, 450 RCPT",
    ),
    "a code without meaning at the dot": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 250 wait, DATA 354 content, END_OF_DATA 150 done",
        "150 END_OF_DATA, 150 END_OF_DATA",
    ),
    "a code without meaning for one": (
        "MAIL 250 wait, RCPT 699 wait, RCPT 250 wait, DATA 354 content, END_OF_DATA 250 done",
        "699 RCPT, 250 END_OF_DATA",
    ),
    "all refused, and DATA too": (
        "MAIL 250 wait, RCPT 550 wait, RCPT 450 wait, DATA 554 done",
        "550 RCPT, 450 RCPT",
    ),
    "all refused, and 354 all the same": (
        "MAIL 250 wait, RCPT 550 wait, RCPT 450 wait, DATA 354 empty, END_OF_DATA 554 done",
        "550 RCPT, 450 RCPT",
    ),
    "all refused, 354, and the nothing was taken": (
        "MAIL 250 wait, RCPT 550 wait, RCPT 450 wait, DATA 354 empty, END_OF_DATA 250 done",
        "550 RCPT, 450 RCPT",
    ),
    "DATA refused": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 550 wait, DATA 451 done",
        "451 DATA, 550 RCPT",
    ),
    "MAIL refused": (
        "MAIL 451 wait, RCPT 503 wait, RCPT 503 wait, DATA 503 done",
        "451 MAIL, 451 MAIL",
    ),
    "MAIL refused, the rest taken by a strange server": (
        "MAIL 550 wait, RCPT 250 wait, RCPT 250 wait, DATA 354 empty, END_OF_DATA 250 done",
        "550 MAIL, 550 MAIL",
    ),
    "refused half-way through the content": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 550 wait, DATA 354 content, CONTENT 552 abort",
        "552 CONTENT, 550 RCPT",
    ),
}

# The same, each command waiting for the reply to the last.
ONE_BY_ONE = {
    "taken by both": (
        "MAIL 250 command, RCPT 250 command, RCPT 251 command, DATA 354 content, END_OF_DATA 250 done",
        "250 END_OF_DATA, 250 END_OF_DATA",
    ),
    "one refused": (
        "MAIL 250 command, RCPT 250 command, RCPT 550 command, DATA 354 content, END_OF_DATA 250 done",
        "250 END_OF_DATA, 550 RCPT",
    ),
    "all refused": (
        "MAIL 250 command, RCPT 550 command, RCPT 550 done",
        "550 RCPT, 550 RCPT",
    ),
    "MAIL refused": ("MAIL 550 done", "550 MAIL, 550 MAIL"),
    "DATA refused": ("MAIL 250 command, RCPT 250 command, RCPT 250 command, DATA 451 done", "451 DATA, 451 DATA"),
}

# The same where content goes by BDAT, with all commands sent at once.
CHUNKED = {
    "taken by both": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 251 content, BDAT 250 more, END_OF_DATA 250 done",
        "250 END_OF_DATA, 250 END_OF_DATA",
    ),
    "one refused": (
        "MAIL 250 wait, RCPT 550 wait, RCPT 250 content, END_OF_DATA 250 done",
        "550 RCPT, 250 END_OF_DATA",
    ),
    "all refused": ("MAIL 250 wait, RCPT 550 wait, RCPT 450 done", "550 RCPT, 450 RCPT"),
    "MAIL refused": ("MAIL 451 wait, RCPT 503 wait, RCPT 503 done", "451 MAIL, 451 MAIL"),
    "a part refused": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 550 content, BDAT 250 more, BDAT 552 stop",
        "552 BDAT, 550 RCPT",
    ),
    "a part refused, and those behind it": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 550 content, BDAT 452 stop, BDAT 503 wait, BDAT 250 wait",
        "452 BDAT, 550 RCPT",
    ),
    "refused at the end": (
        "MAIL 250 wait, RCPT 250 wait, RCPT 550 content, END_OF_DATA 554 done",
        "554 END_OF_DATA, 550 RCPT",
    ),
}

OUT_OF_STEP = [
    "MAIL 354",
    "MAIL 250, RCPT 354",
    "MAIL 250, RCPT 250, RCPT 250, DATA 250",
    "MAIL 250, RCPT 250, RCPT 250, DATA 354, END_OF_DATA 354",
    "MAIL 250, RCPT 250, RCPT 250, DATA 354, CONTENT 250",
]


def told(text: str) -> tuple[Stage, Reply]:
    stage, code = text.split()[:2]
    return Stage[stage], Reply(int(code), "", "said the primary")


def play(transaction: Transaction, dialogue: str) -> list[str]:
    """The steps that follow each reply; content goes out at once, unless the reply comes half-way."""
    steps: list[str] = []
    for line in dialogue.split(", "):
        stage, reply = told(line)
        if stage is Stage.END_OF_DATA and steps[-1] == "content":
            transaction.all_sent = True
        step = transaction.replied(stage, reply)
        if step is Step.COMMAND:
            assert [sent for sent, _ in transaction.next_commands(1)] != []
        steps.append(step.name.lower())
    return steps


@pytest.mark.parametrize(("dialogue", "answers"), PIPELINED.values(), ids=PIPELINED.keys())
def test_pipelined(dialogue: str, answers: str) -> None:
    """With all commands sent at once, each recipient gets the reply that decided about it."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    assert [stage.name for stage, _ in transaction.next_commands()] == ["MAIL", "RCPT", "RCPT", "DATA"]
    check(transaction, dialogue, answers)


@pytest.mark.parametrize(("dialogue", "answers"), ONE_BY_ONE.values(), ids=ONE_BY_ONE.keys())
def test_one_by_one(dialogue: str, answers: str) -> None:
    """With each command waiting for the last reply, nothing more is said than there is reason to."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    assert [stage.name for stage, _ in transaction.next_commands(1)] == ["MAIL"]
    check(transaction, dialogue, answers)


@pytest.mark.parametrize(("dialogue", "answers"), CHUNKED.values(), ids=CHUNKED.keys())
def test_chunked(dialogue: str, answers: str) -> None:
    """With BDAT there is no DATA: content follows the recipients, and the first refusal of a part decides."""
    transaction = Transaction(ENVELOPE, Offers(chunking=True), None)
    assert [stage.name for stage, _ in transaction.next_commands()] == ["MAIL", "RCPT", "RCPT"]
    steps = [line.split()[2] for line in dialogue.split(", ")]
    assert play(transaction, dialogue) == steps
    heard = [f"{answer.reply.code} {answer.stage.name}" for answer in transaction.result([]).answers]
    assert heard == answers.split(", ")


def test_chunked_one_by_one() -> None:
    """Without PIPELINING each command waits for its reply, and the content for that to the last recipient."""
    transaction = Transaction(ENVELOPE, Offers(chunking=True), None)
    transaction.next_commands(1)
    assert play(transaction, "MAIL 250, RCPT 550, RCPT 250") == ["command", "command", "content"]


def test_a_yes_to_the_end_after_a_refused_part_is_out_of_step() -> None:
    """What was refused in part can't be taken whole: the outcome is unknown."""
    transaction = Transaction(ENVELOPE, Offers(chunking=True), None)
    transaction.next_commands()
    play(transaction, "MAIL 250, RCPT 250, RCPT 250")
    transaction.all_sent = True
    assert play(transaction, "BDAT 552") == ["wait"]
    with pytest.raises(Failure) as caught:
        transaction.replied(*told("END_OF_DATA 250"))
    for answer in transaction.lost(caught.value, [], head=True, untried=False).answers:
        assert (answer.unknown, answer.local, answer.delivered) == (True, True, False)


@pytest.mark.parametrize("code", [250, 451, 501, 550])
def test_an_introduction_costs_nothing(code: int) -> None:
    """Whatever XFORWARD is answered the message goes on; RSET at the latest makes the primary forget it."""
    transaction = Transaction(ENVELOPE, Offers(), None, b"XFORWARD ADDR=192.0.2.1\r\n")
    assert [stage.name for stage, _ in transaction.next_commands()][:2] == ["XFORWARD", "MAIL"]
    dialogue = f"XFORWARD {code} wait, MAIL 550 wait, RCPT 503 wait, RCPT 503 wait, DATA 503 done"
    assert play(transaction, dialogue) == [line.split()[2] for line in dialogue.split(", ")]
    assert [answer.reply.code for answer in transaction.result([]).answers] == [550, 550]
    assert transaction.open


def test_a_connection_lost_at_the_introduction_has_not_turned_to_the_message() -> None:
    """What breaks at XFORWARD counts as broken before MAIL."""
    transaction = Transaction(ENVELOPE, Offers(), None, b"XFORWARD ADDR=192.0.2.1\r\n")
    transaction.next_commands()
    play(transaction, "XFORWARD 250")
    assert not transaction.heard
    failure = Failure(Stage.XFORWARD, Kind.CLOSED, "421", Reply(421, "4.3.2", "bye"))
    answers = transaction.lost(failure, [], head=True, untried=True).answers
    assert [(answer.reply.code, answer.stage) for answer in answers] == [(421, Stage.MAIL)] * 2


def check(transaction: Transaction, dialogue: str, answers: str) -> None:
    assert play(transaction, dialogue) == [line.split()[2] for line in dialogue.split(", ")]
    result = transaction.result([0.25])
    assert result.seconds == (0.25,)
    assert result.failure is None
    assert not result.untried
    assert [f"{answer.reply.code} {answer.stage.name}" for answer in result.answers] == answers.split(", ")
    assert [answer.recipient for answer in result.answers] == list(ENVELOPE.recipients)
    assert not any(answer.local or answer.unknown for answer in result.answers)
    assert [answer.delivered for answer in result.answers] == [
        code.startswith("2") and code.endswith("END_OF_DATA") for code in answers.split(", ")
    ]


@pytest.mark.parametrize("dialogue", OUT_OF_STEP)
def test_sees_that_replies_are_out_of_step(dialogue: str) -> None:
    """A reply that can't be one to its command is an error of the connection, and delivers nothing."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    transaction.next_commands()
    with pytest.raises(Failure) as caught:
        play(transaction, dialogue)
    assert caught.value.kind is Kind.PROTOCOL
    result = transaction.lost(caught.value, [], head=True, untried=False)
    assert not any(answer.delivered for answer in result.answers)
    assert all(answer.local and answer.reply.temporary for answer in result.answers)


@pytest.mark.parametrize(
    ("dialogue", "open_after"),
    [
        ("MAIL 250, RCPT 550, RCPT 550, DATA 554", True),
        ("MAIL 250, RCPT 250, RCPT 250, DATA 451", True),
        ("MAIL 250, RCPT 550, RCPT 550, DATA 354, END_OF_DATA 554", False),
        ("MAIL 250, RCPT 250, RCPT 250, DATA 354, END_OF_DATA 451", False),
        ("MAIL 451, RCPT 503, RCPT 503, DATA 503", False),
    ],
)
def test_knows_whether_the_primary_still_has_it_open(dialogue: str, open_after: bool) -> None:
    """A transaction that was begun and got no dot is still open at the primary, and has to be reset."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    transaction.next_commands()
    play(transaction, dialogue)
    assert transaction.open is open_after


LOST = {
    # dialogue, then what broke: answers as "code stage flags"
    "before anything": ("", timed_out(Stage.MAIL, 5), "451 MAIL local, 451 MAIL local"),
    "at RCPT": ("MAIL 250, RCPT 550", closed(Stage.RCPT), "550 RCPT, 451 RCPT local"),
    "at DATA": ("MAIL 250, RCPT 250, RCPT 550", closed(Stage.DATA), "451 DATA local, 550 RCPT"),
    "half-way through the content": (
        "MAIL 250, RCPT 250, RCPT 550, DATA 354",
        closed(Stage.CONTENT),
        "451 CONTENT local, 550 RCPT",
    ),
    "with 421 at MAIL": (
        "",
        Failure(Stage.MAIL, Kind.CLOSED, "421", Reply(421, "4.3.2", "bye")),
        "421 MAIL, 421 MAIL",
    ),
    "with 421 at RCPT": (
        "MAIL 250, RCPT 250",
        Failure(Stage.RCPT, Kind.CLOSED, "421", Reply(421, "4.3.2", "bye")),
        "421 RCPT, 421 RCPT",
    ),
}


@pytest.mark.parametrize(("dialogue", "failure", "answers"), LOST.values(), ids=LOST.keys())
def test_a_lost_connection_defers_whom_nobody_has_refused(dialogue: str, failure: Failure, answers: str) -> None:
    """Recipients that have their answer keep it; the others get a temporary one that says what happened."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    transaction.next_commands()
    if dialogue:
        play(transaction, dialogue)
    result = transaction.lost(failure, [], head=True, untried=False)
    assert result.failure is failure
    assert [
        f"{answer.reply.code} {answer.stage.name}{' local' if answer.local else ''}" for answer in result.answers
    ] == answers.split(", ")
    assert all(answer.reply.permanent or answer.reply.temporary for answer in result.answers)
    assert not any(answer.unknown for answer in result.answers)


def test_the_outcome_is_unknown_once_the_dot_is_out() -> None:
    """All was sent and no reply came: temporary, unknown, and the text says so; the refused recipient stays refused."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    transaction.next_commands()
    play(transaction, "MAIL 250, RCPT 250, RCPT 550, DATA 354")
    transaction.all_sent = True
    first, second = transaction.lost(CLOSED, [], head=True, untried=False).answers
    assert (first.unknown, first.local, first.stage, first.reply.temporary) == (True, True, Stage.END_OF_DATA, True)
    assert "unknown" in first.reply.text
    assert (second.unknown, second.reply.code) == (False, 550)


def test_a_421_to_the_dot_is_an_answer() -> None:
    """Whoever says 421 to the dot hasn't taken the message: nothing is unknown about that."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    transaction.next_commands()
    play(transaction, "MAIL 250, RCPT 250, RCPT 250, DATA 354")
    transaction.all_sent = True
    failure = Failure(Stage.END_OF_DATA, Kind.CLOSED, "421", Reply(421, "4.3.2", "bye"))
    for answer in transaction.lost(failure, [], head=True, untried=False).answers:
        assert (answer.reply, answer.local, answer.unknown) == (failure.reply, False, False)


def test_a_421_to_somebody_else_is_not_ours() -> None:
    """A message that waits behind the one that got 421 is told by us why it wasn't tried."""
    transaction = Transaction(ENVELOPE, Offers(), None)
    failure = Failure(Stage.END_OF_DATA, Kind.CLOSED, "the session was ended", Reply(421, "4.3.2", "bye"))
    result = transaction.lost(failure, [], head=False, untried=True)
    assert result.untried
    assert all((answer.reply.code, answer.local, answer.stage) == (451, True, Stage.MAIL) for answer in result.answers)
