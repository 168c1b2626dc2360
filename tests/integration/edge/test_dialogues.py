"""Sessions with the edge, told in text files (see dialogues/README)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from relay import events
from relay.appliances.facts import Health, HealthFact
from relay.appliances.model import RecipientPolicy, WhenUp
from tests.integration.edge.house import Client, House, house

FILES = sorted((Path(__file__).parent / "dialogues").glob("*.txt"))


@dataclass
class Dialogue:
    """A file, read: settings, turns (octets of the client, patterns of the relay), what must be queued."""

    settings: dict[str, Any] = field(default_factory=dict)
    turns: list[bytes | str] = field(default_factory=list)
    queued: list[tuple[list[str], list[str]]] = field(default_factory=list)


def read(path: Path) -> Dialogue:
    dialogue = Dialogue()
    for number, text in enumerate(path.read_text().splitlines(), 1):
        mark, said = text[:2], text[3:]
        if mark == "C:":
            dialogue.turns.append(said.encode() + b"\r\n")
        elif mark == "C>":
            dialogue.turns.append(said.encode().decode("unicode_escape").encode("latin-1"))
        elif mark == "S:":
            dialogue.turns.append(said)
        elif mark == "Q:":
            dialogue.queued.append((re.findall(r"<(.*?)>(?= <|$)", said), []))
        elif mark.startswith("|"):
            dialogue.queued[-1][1].append(text[1:])
        elif text.startswith("set: "):
            name, value = text[5:].split(" = ")
            dialogue.settings[name] = value
        else:
            assert text == "" or text.startswith("#"), f"{path}:{number}: {text}"
    return dialogue


@pytest.mark.parametrize("path", FILES, ids=[path.stem for path in FILES])
async def test_dialogue(path: Path, tmp_path: Path) -> None:
    """Each session goes as its file tells it, leaves what it says in the queue, and the relay takes mail afterwards."""
    dialogue = read(path)
    faults = events.registry.get_sample_value("relay_faults_total", {"where": "edge"})
    async with house(tmp_path, **dialogue.settings) as relay:
        await add_domains(relay)
        async with relay.client(hello=False) as client:
            await play(dialogue, client)
        stored = await relay.everything()
        assert [[one.sender, *one.recipients] for one in stored] == [envelope for envelope, _ in dialogue.queued]
        for one, (_, lines) in zip(stored, dialogue.queued, strict=True):
            assert not lines or one.content.decode() == "".join(f"{line}\r\n" for line in lines)
        async with relay.client() as client:
            assert (await client.mail(b"still here")).startswith("250 2.0.0 ")
    assert events.registry.get_sample_value("relay_faults_total", {"where": "edge"}) == faults


async def add_domains(relay: House) -> None:
    """Those that the README of the dialogues names."""
    await relay.add_domain("xn--bcher-kva.example")
    await relay.add_domain("listed.example", ["info", "sales"], recipients=RecipientPolicy.LISTED)
    await relay.add_domain("empty.example", recipients=RecipientPolicy.LISTED)
    await relay.add_domain("over.example", until=date(2020, 1, 1))
    await relay.add_domain("full.example", quota=1)
    small = await relay.add_domain("small.example")
    await relay.set_health(small, HealthFact(Health.DOWN, "silent", 0.0, offered_size=100_000, offered_smtputf8=False))
    up = await relay.add_domain("up.example", when_up=WhenUp.DEFER)
    await relay.set_health(up, HealthFact(Health.UP, "answers", 0.0))
    relay.pulse.beat(up.appliance_id, relay.clock.monotonic() + 60)


async def play(dialogue: Dialogue, client: Client) -> None:
    pending = b""
    for said in dialogue.turns:
        if isinstance(said, bytes):
            pending += said
            continue
        await client.send(pending)
        pending = b""
        if said == "closed":
            assert await client.ended()
        else:
            heard = await client.reply() if said.startswith("250*") else await client.line()
            pattern = re.escape(said).replace(r"\*", ".*")
            assert re.fullmatch(pattern, heard, re.DOTALL), f"expected {said!r}, heard {heard!r}"
    assert not pending
