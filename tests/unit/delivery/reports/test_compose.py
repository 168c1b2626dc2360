"""Reports, read back by the email package: what strangers wrote stays what it is."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from email import message_from_bytes
from email.message import Message
from email.utils import parseaddr, parsedate_to_datetime

import pytest
from flufl.bounce import all_failures
from hypothesis import example, given, settings
from hypothesis import strategies as st

from relay.delivery.reports.compose import HEADER_LIMIT, LINE_LIMIT, About, Original, report

RECEIVED, TRIED, UNTIL = 1_790_000_000.0, 1_790_003_600.0, 1_791_000_000.0
ORIGINAL = Original("alice@world.example", None, None, RECEIVED, "<1@world.example>", False, 4000)
FAILED = About("bob@gold.example", None, "failed", "550 5.1.1 no such user", "mail.gold.example", TRIED, None)
DELAYED = About("eve@gold.example", None, "delayed", "451 4.2.0 try later", "192.0.2.25", TRIED, UNTIL)
HEADER = b"Received: from a by b\r\nSubject: hello\r\n"
TOP = [
    *("From", "To", "Subject", "Date", "Message-ID", "In-Reply-To", "References"),
    *("Auto-Submitted", "MIME-Version", "Content-Type"),
]

ATOMS = [
    *(
        "\r\n",
        "\n",
        "\r",
        "\0",
        "--",
        " ",
        "\t",
        "\u2028",
        "\u202e",
        "\ud800",
        "é",
        "x" * 1200,
        "\\",
        '"',
        "<",
        ">",
        ";",
        "+0A",
    ),
    *(
        "\r\nBcc: x@evil.example\r\n",
        "\r\n\r\nbody",
        "Action: delivered",
        "@",
        ".",
        "=",
        "\r\n.\r\n",
        "\U0001f4e8" * 400,
    ),
]
TEXTS = st.lists(st.sampled_from(ATOMS), max_size=6).map("".join) | st.text(max_size=60)
OCTETS = TEXTS.map(lambda text: text.encode("utf-8", "surrogatepass")) | st.binary(max_size=200)
ABOUT = st.builds(
    About,
    address=TEXTS,
    orcpt=st.none() | TEXTS | TEXTS.map(lambda text: f"rfc822;{text}"),
    action=st.sampled_from(["failed", "delayed"]),
    reply=TEXTS,
    remote=TEXTS,
    tried_at=st.none() | st.floats(0, 4e9),
    retry_until=st.none() | st.floats(0, 4e9),
)


def made(
    original: Original = ORIGINAL, about: Sequence[About] = (FAILED,), header: bytes = HEADER, report_id: str = "r1"
) -> bytes:
    return report(
        original,
        about,
        hostname="mx.relay.example",
        postmaster="postmaster@relay.example",
        header=header,
        at=TRIED,
        report_id=report_id,
    )


def parts_of(octets: bytes) -> tuple[Message, str, list[Message], Message]:
    """The whole report, its words, its groups of fields and the part with the original's header."""
    whole = message_from_bytes(octets)
    words, fields, header = (part for part in whole.get_payload() if isinstance(part, Message))
    text = words.get_payload(decode=True)
    groups = fields.get_payload()
    assert isinstance(text, bytes)
    assert isinstance(groups, list)
    return whole, text.decode(), [group for group in groups if isinstance(group, Message)], header


def header_of(part: Message) -> bytes:
    octets = part.get_payload(decode=True)
    assert isinstance(octets, bytes)
    return octets


def test_a_failure() -> None:
    """Words, fields and header say who wasn't reached, why, who said so and when."""
    original = replace(ORIGINAL, envid="abc+2B1", ret="HDRS")
    whole, words, groups, header = parts_of(made(original, [replace(FAILED, orcpt="rfc822;Bob+2Bx@gold.example")]))
    assert whole.get_content_type() == "multipart/report"
    assert whole.get_param("report-type") == "delivery-status"
    assert parseaddr(whole["From"]) == ("MAILER-DAEMON", "postmaster@relay.example")
    assert parseaddr(whole["To"])[1] == "alice@world.example"
    assert whole["Subject"] == "Your message could not be delivered"
    assert whole["Message-ID"] == "<r1@mx.relay.example>"
    assert whole["Auto-Submitted"] == "auto-replied"
    assert whole["In-Reply-To"] == whole["References"] == "<1@world.example>"
    assert parsedate_to_datetime(whole["Date"]).timestamp() == TRIED
    assert "bob@gold.example" in words
    assert "550 5.1.1 no such user" in words
    assert "check how" in words
    message, recipient = groups
    assert dict(message.items()) == {
        "Reporting-MTA": "dns; mx.relay.example",
        "Original-Envelope-Id": "abc+1",
        "Arrival-Date": "Mon, 21 Sep 2026 14:13:20 +0000",
    }
    assert dict(recipient.items()) == {
        "Original-Recipient": "rfc822; Bob+x@gold.example",
        "Final-Recipient": "rfc822; bob@gold.example",
        "Action": "failed",
        "Status": "5.1.1",
        "Remote-MTA": "dns; mail.gold.example",
        "Diagnostic-Code": "smtp; 550 5.1.1 no such user",
        "Last-Attempt-Date": "Mon, 21 Sep 2026 15:13:20 +0000",
    }
    assert header.get_content_type() == "text/rfc822-headers"
    assert header_of(header) == HEADER


def test_a_delay() -> None:
    """Nothing need be done, and until when it is tried is said to people and programs."""
    whole, words, groups, _ = parts_of(made(about=[DELAYED]))
    assert whole["Subject"] == "Your message is delayed, nothing to do yet"
    assert "need not do anything" in words
    until = "Sat, 03 Oct 2026 04:00:00 +0000"
    assert until in " ".join(words.split())
    assert groups[1]["Action"] == "delayed"
    assert groups[1]["Status"] == "4.2.0"
    assert groups[1]["Will-Retry-Until"] == until
    assert groups[1]["Remote-MTA"] == "dns; [192.0.2.25]"


def test_what_we_say_ourselves_is_no_reply_of_anybody() -> None:
    """Without a remote host there is none in the fields, and the diagnostic isn't SMTP's."""
    _, words, groups, _ = parts_of(made(about=[replace(FAILED, reply="expired", remote="")]))
    assert "Remote-MTA" not in groups[1]
    assert groups[1]["Diagnostic-Code"] == "X-Relay; expired"
    assert groups[1]["Status"] == "4.4.7"
    assert "said:" not in words
    assert "give up now" in words


@pytest.mark.parametrize(
    ("reply", "action", "status"),
    [
        ("550 5.1.1 no such user", "failed", "5.1.1"),
        ("550 no such user", "failed", "5.0.0"),
        ("550", "failed", "5.0.0"),
        ("550 4.2.2 mailbox full", "failed", "5.2.2"),
        ("550-5.7.26 two lines", "failed", "5.7.26"),
        ("554 5.1.1.9 not one", "failed", "5.0.0"),
        ("554 see 5.1.1", "failed", "5.0.0"),
        ("451 4.7.1 greylisted", "failed", "4.7.1"),
        ("421 too busy", "failed", "4.0.0"),
        ("5.4.6 a loop", "failed", "5.4.6"),
        ("", "failed", "4.4.7"),
        ("expired", "failed", "4.4.7"),
        ("550 5.1.1 perhaps", "delayed", "4.1.1"),
        ("connection refused", "delayed", "4.0.0"),
    ],
)
def test_a_status_comes_from_the_last_reply(reply: str, action: str, status: str) -> None:
    """The enhanced code where there is one, in the class of the reply's own code; what only took too long stays 4."""
    _, _, groups, _ = parts_of(made(about=[replace(FAILED if action == "failed" else DELAYED, reply=reply)]))
    assert groups[1]["Status"] == status


def test_several_recipients() -> None:
    """Each has its group and its paragraph, those that failed first."""
    whole, words, groups, _ = parts_of(made(about=[DELAYED, FAILED]))
    assert [group["Final-Recipient"] for group in groups[1:]] == [
        "rfc822; eve@gold.example",
        "rfc822; bob@gold.example",
    ]
    assert words.index("bob@") < words.index("eve@")
    assert whole["Subject"] == "Your message could not be delivered"


@pytest.mark.parametrize("ret", ["FULL", "HDRS", None])
def test_the_text_of_the_original_is_never_in_it(ret: str | None) -> None:
    """Only the header comes back, whatever RET asked for; who asked for all of it is told."""
    octets = made(replace(ORIGINAL, ret=ret), header=HEADER + b"\r\nsecret text\r\n")
    assert b"secret" not in octets
    assert ("asked for all" in parts_of(octets)[1]) == (ret == "FULL")
    assert b"secret" not in made(header=b"\r\nsecret text\r\n")


def test_a_long_header_is_cut_between_lines() -> None:
    """No more than HEADER_LIMIT comes back, in whole lines where there are any."""
    lines = [f"X-{number}: {'y' * 200}\r\n".encode() for number in range(1000)]
    came = header_of(parts_of(made(header=b"".join(lines)))[3])
    assert HEADER_LIMIT - 300 < len(came) <= HEADER_LIMIT
    assert came == b"".join(lines[: came.count(b"\r\n")])
    assert len(header_of(parts_of(made(header=b"z" * 100_000))[3])) == HEADER_LIMIT


def test_a_sender_beyond_ascii() -> None:
    """The report is then in UTF-8, as RFC 6533 has it; before that it is in 7 bits, whatever else isn't."""
    recipient = replace(FAILED, address="zoë@gold.example", reply="550 5.1.1 não há")
    octets = made(
        replace(ORIGINAL, sender="jürgen@world.example", smtputf8=True), [recipient], "Subject: ü\r\n".encode()
    )
    assert "\r\nTo: <jürgen@world.example>\r\n".encode() in octets
    assert b"Content-Type: message/global-delivery-status\r\nContent-Transfer-Encoding: 8bit\r\n" in octets
    assert "\r\nFinal-Recipient: utf-8; zoë@gold.example\r\n".encode() in octets
    assert (
        "Content-Type: message/global-headers\r\nContent-Transfer-Encoding: 8bit\r\n\r\nSubject: ü\r\n".encode()
        in octets
    )
    plain = made(replace(ORIGINAL, smtputf8=True), [recipient], "Subject: ü\r\n".encode())
    _, words, groups, header = parts_of(plain)
    assert plain.isascii()
    assert groups[1]["Final-Recipient"] == r"utf-8; zo\x{EB}@gold.example"
    assert "zoë@gold.example" in words
    assert header_of(header) == "Subject: ü\r\n".encode()


def test_only_a_long_reply_is_folded() -> None:
    """At its blanks; an address stays in one line, where programs look for it, and so does a reply without blanks."""
    address, word = "a" * 100 + "@gold.example", "y" * 100
    octets = made(about=[replace(FAILED, address=address, reply="550 " + "word " * 30), replace(FAILED, reply=word)])
    assert f"\r\nFinal-Recipient: rfc822; {address}\r\n".encode() in octets
    assert max(len(line) for line in octets.split(b"\r\n") if b"word" in line) <= 78
    assert f"\r\nDiagnostic-Code: smtp;\r\n {word}\r\n".encode() in octets
    assert b"\r\nDiagnostic-Code: " in made(about=[replace(FAILED, reply=word, remote="")])


def test_nobody_is_never_answered() -> None:
    """There is no report to the null sender, nor one about nobody."""
    with pytest.raises(ValueError, match="a report needs"):
        made(replace(ORIGINAL, sender=""))
    with pytest.raises(ValueError, match="a report needs"):
        made(about=[])


def test_a_boundary_that_is_in_the_content_is_not_used() -> None:
    """Also somebody who knows how boundaries are made can't end a part."""
    first = message_from_bytes(made()).get_boundary()
    assert first
    octets = made(header=f"Subject: x\r\n--{first}--\r\n".encode())
    assert message_from_bytes(octets).get_boundary() != first
    assert first in header_of(parts_of(octets)[3]).decode()
    assert made() == made()


def test_mailman_understands_it() -> None:
    """The detectors of a mailing list's software know who failed, and who is only waited for."""
    temporary, permanent = all_failures(message_from_bytes(made(about=[FAILED, DELAYED])))
    assert permanent == {b"bob@gold.example"}
    assert temporary == {b"eve@gold.example"}


@settings(max_examples=300)
@given(
    st.builds(
        Original,
        sender=TEXTS.filter(bool),
        envid=st.none() | TEXTS,
        ret=st.sampled_from([None, "FULL", "HDRS"]),
        received_at=st.floats(0, 4e9),
        message_id=TEXTS,
        smtputf8=st.booleans(),
        size=st.integers(0, 10**12),
    ),
    st.lists(ABOUT, min_size=1, max_size=4),
    OCTETS,
    TEXTS,
)
@example(ORIGINAL, [replace(FAILED, reply="550 " + "x" * 5000, address="a" * 5000)], b"\r\n\r\n", "r1")
@example(replace(ORIGINAL, sender="ü@x\r\nBcc: y"), [FAILED], b"Subject: \xff\0\r\n" + b"x" * 2000, "r1")
def test_no_stranger_changes_its_form(original: Original, about: list[About], header: bytes, report_id: str) -> None:
    """Whatever is in addresses, replies, names and headers, a report has its fields, its parts and its lines."""
    check_form(made(original, about, header, report_id), original, about)


def check_form(octets: bytes, original: Original, about: Sequence[About]) -> None:
    """The form that a report has whatever it says."""
    assert octets.endswith(b"--\r\n")
    assert octets.count(b"\r") == octets.count(b"\n") == octets.count(b"\r\n")
    assert b"\0" not in octets
    assert max(map(len, octets.split(b"\r\n"))) <= LINE_LIMIT
    if original.sender.isascii():
        assert octets.isascii()
    whole = message_from_bytes(octets)
    assert [name for name in whole if name != "Content-Transfer-Encoding"] == [
        name for name in TOP if name not in ("In-Reply-To", "References") or name in whole
    ]
    parts = whole.get_payload()
    assert isinstance(parts, list)
    kinds = [part.get_content_type().replace("global-", "") for part in parts if isinstance(part, Message)]
    assert kinds in (
        ["text/plain", "message/delivery-status", "text/rfc822-headers"],
        ["text/plain", "message/delivery-status", "message/headers"],
    )
    header_as_a_message = [] if kinds[2] == "text/rfc822-headers" else list(parts[2].walk())[1:]
    assert not any(part.defects for part in whole.walk() if part not in header_as_a_message)
    fields = re.search(rb"delivery-status\r\n(?:Content[^\r]*\r\n)?\r\n(.*?)\r\n--", octets, re.DOTALL)
    assert fields
    groups = [message_from_bytes(group) for group in fields[1].removesuffix(b"\r\n").split(b"\r\n\r\n")]
    assert len(groups) == 1 + len(about)
    for group, one in zip(groups[1:], about, strict=True):
        assert [name for name in group if name not in ("Original-Recipient", "Remote-MTA", "Diagnostic-Code")] == [
            *("Final-Recipient", "Action", "Status"),
            *(["Last-Attempt-Date"] if one.tried_at is not None else []),
            *(["Will-Retry-Until"] if one.action == "delayed" and one.retry_until is not None else []),
        ]
        assert group["Action"] == one.action
        assert re.fullmatch(r"[45]\.\d{1,3}\.\d{1,3}", group["Status"])
        assert not group.get_payload()
