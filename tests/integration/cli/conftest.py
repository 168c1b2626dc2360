"""A relay.toml, a database, and mail that waits in it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from relay.clock import Clock
from relay.queue.states import Reason, State
from tests.integration.cli.console import Relayctl
from tests.integration.queue.material import LATER, NO, House, house, outcomes
from tests.support.database import copy_database, make_database

HOUR = 3600.0
CONTENT = b"Subject: hello\r\nMessage-ID: <5@elsewhere.example>\r\n\r\nA letter.\r\n.a dot\r\n"


@pytest.fixture(scope="session")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a database that nothing is in, to be copied: migrations take longer than most tests."""
    folder = tmp_path_factory.mktemp("empty")
    make_database(folder).close()
    return folder


@pytest.fixture
def relayctl(empty: Path, tmp_path: Path) -> Relayctl:
    """With an empty database."""
    copy_database(empty, tmp_path)
    return Relayctl(tmp_path)


class Mail:
    """Numbers of messages that wait, by what is special about them: for acme (acme.example, acme.test) and bolt."""

    plain: int
    null: int
    many: int
    old: int
    deferred: int
    failed: int
    bolt: int

    async def post(self, home: House) -> None:
        now = home.clock.now()

        async def accept(*recipients: str, age: float = 60.0, **options: object) -> int:
            (number,) = await home.accept(*recipients, received_at=now - age, **options)
            return number

        self.old = await accept("user@acme.test", sender="bob@elsewhere.example", age=50 * HOUR)
        self.plain = await accept("user@acme.example", message_id="<5@elsewhere.example>", content=CONTENT)
        self.null = await accept("user@acme.example", sender="", message_id="")
        self.many = await accept("one@acme.example", "two@acme.example", "three@acme.test")
        self.deferred = await accept("grey@acme.example")
        self.failed = await accept("nobody@acme.example")
        self.bolt = await accept("user@bolt.example")
        due = {message.id: message for message in await home.due(now=now)}
        await home.queue.record(
            outcomes([due[self.deferred]], reply=LATER, state=State.QUEUED, at=now, next_attempt_at=now + HOUR)
        )
        await home.queue.record(outcomes([due[self.failed]], State.HELD, NO, at=now, reason=Reason.FAILED))


@pytest.fixture(scope="session")
def posted(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Mail]:
    """A folder with a database that this mail is in, to be copied."""
    folder, mail = tmp_path_factory.mktemp("mail"), Mail()

    async def fill() -> None:
        async with house(folder, Clock()) as home:
            await mail.post(home)

    asyncio.run(fill())
    return folder, mail


@pytest.fixture
def mail(relayctl: Relayctl, posted: tuple[Path, Mail]) -> Mail:
    """Seven messages for nine recipients, in the database of ``relayctl``."""
    folder, numbers = posted
    copy_database(folder, relayctl.folder)
    return numbers
