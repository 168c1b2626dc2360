"""The page of a customer's month: whole, by itself, in plain words, and never anybody's markup."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from cli.sla_page import page
from relay.tickets.report import CustomerMonth, customer_month
from relay.tickets.words import ABOUT
from tests.unit.tickets.november import MONTH, SUBJECTS, TERMS, moment, november

VOID = {"meta", "br"}
EVIL = "\"><script>alert(1)</script>'&<img src=x>"


class Reader(HTMLParser):
    """Checks that what is opened is closed, and keeps the words and what is drawn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.classes: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.classes += [value or "" for name, value in attrs if name == "class" and tag in ("rect", "circle")]
        assert not {name for name, _ in attrs} & {"src", "href", "onload", "onclick"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open[-1:] != ["style"]:
            self.words.append(data)

    @property
    def text(self) -> str:
        """In one line, with plain blanks."""
        return re.sub(r"[\s\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]+", " ", " ".join(self.words))


def shown(one: CustomerMonth) -> Reader:
    return Reader(page(one, moment("12-15 12:00")))


def test_the_month_is_told_in_two_sentences() -> None:
    """With the figures that matter to a customer, and all their parts below."""
    text = shown(november()).text
    assert "Your mail server was away for 5 h in 4 outages. For 3 h 30 min of that our" in text
    assert "30 min of it had been announced as maintenance. We kept 1 320 messages meanwhile" in text
    assert "delivered 1 266 to you afterwards; 50 still wait." in text
    assert "Of 6 targets for our answers we kept 3 ." in text
    assert "after 12 min (target 1 h) late by 25 min (target 1 h)" in text
    assert "not done, late by 2 d (target 8 h)" in text
    assert "Made 15 Dec 12:00 2026. All times are Europe/Berlin." in text
    assert not re.search(
        r"appliance|primary|continuity (state|active)|readiness|standby|probe|no connection within", text
    )


def test_the_picture_has_every_outage_and_ticket() -> None:
    """Five stretches away, four covered, one announced; a mark for each ticket that was opened in the month."""
    classes = shown(november()).classes
    counted = {kind: classes.count(kind) for kind in ("up", "away", "covered", "planned", "mark", "missed", "ahead")}
    assert counted == {"up": 2, "away": 5, "covered": 5, "planned": 1, "mark": 2, "missed": 2, "ahead": 0}
    assert shown(november("14 02:30")).classes.count("ahead") == 2


def test_a_page_needs_nothing_and_runs_nothing() -> None:
    """No script, no address of anything, and a policy that forbids both."""
    text = page(november(), moment("12-15 12:00"))
    assert set(Reader(text).tags).isdisjoint(
        {"script", "link", "img", "iframe", "object", "image", "use", "foreignobject"}
    )
    assert not re.search(r"https?:|//[a-z]|@import|javascript:", text)
    assert set(re.findall(r"url\((.*?)\)", text)) == {"#hatch"}
    assert "default-src 'none'" in text


def test_what_others_wrote_is_only_words() -> None:
    """Names and domains that are markup stand there as they are."""
    subjects = [
        replace(one, appliance=replace(one.appliance, name=f"{one.appliance.name}{EVIL}"), domains=(EVIL,))
        for one in SUBJECTS
    ]
    evil = customer_month(EVIL, subjects, [], MONTH, TERMS, moment("12-15 12:00"))
    reader = shown(evil)
    assert "script" not in reader.tags
    assert "img" not in reader.tags
    assert reader.text.count("<script>alert(1)</script>") > 5


def test_a_month_without_anything_says_so() -> None:
    """In one sentence, with no empty table."""
    quiet = customer_month("Acme Ltd", [replace(SUBJECTS[0], outages=())], [], MONTH, TERMS, moment("12-15 12:00"))
    text = shown(quiet).text
    assert "Your mail server was there all the time. There was no ticket." in text
    assert "100 %" in text
    assert text.count("There was none.") == 2


@pytest.mark.parametrize("condition", list(ABOUT))
def test_every_condition_has_plain_words(condition: str) -> None:
    """For the column that says what a ticket is about."""
    assert ABOUT[condition]  # type: ignore[index]
