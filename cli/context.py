"""What every command shares: the settings, the database, who is asking, and how to print.

Commands take :class:`Operator` by ``@click.pass_obj``. The database is opened when first used, closed at the end.
"""

from __future__ import annotations

import asyncio
import functools
import getpass
import os
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

import click

from cli.render import Printer
from relay.clock import Clock
from relay.db import Database
from relay.errors import DatabaseMissing, Refused
from relay.settings import Settings, find, load

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

RELAY = "relay"
"""Who the relay itself is in histories: no person goes by this name."""


class Operator:
    """One call of relayctl."""

    def __init__(self, config: Path | None, as_json: bool) -> None:
        self.config = config
        self.out = Printer(as_json)
        self.clock = Clock()
        self._db: Database | None = None

    @functools.cached_property
    def settings(self) -> Settings:
        return load(self.config)

    @property
    def db(self) -> Database:
        if self._db is None:
            try:
                self._db = Database(self.settings.node.database)
            except DatabaseMissing as error:
                if find(self.config) is None:  # in the wrong folder, mostly
                    raise Refused(
                        f"no relay.toml in this folder or /etc/relay ('-c FILE' names one), and {error}"
                    ) from None
                raise
        return self._db

    @functools.cached_property
    def who(self) -> str:
        """The person, for histories: sudo's user before root."""
        try:
            name = os.environ.get("SUDO_USER") or getpass.getuser()
        except (KeyError, OSError):
            name = ""
        return f"uid {os.getuid()}" if name in ("", RELAY) else name

    def now(self) -> float:
        return self.clock.now()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return asyncio.run(work)

    def close(self) -> None:
        if self._db is not None:
            self._db.close()


class Noun(click.Group):
    """A group of verbs, listed in the order in which they are defined."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


def json_option(command: F) -> F:
    """``--json`` behind the command as well as before it."""

    def remember(ctx: click.Context, _parameter: click.Parameter, value: bool) -> None:
        if value and not ctx.resilient_parsing:
            ctx.find_root().obj.out.as_json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, callback=remember, help="Print facts as JSON, for scripts."
    )(command)


yes_option = click.option("-y", "--yes", is_flag=True, help="Don't ask.")
limit_option = click.option(
    "--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Lines at most."
)
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would change.")


class Number(click.ParamType[int]):
    """The number of a message, a ticket …, such as a database can hold."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        number: int = click.INT.convert(value, param, ctx)
        if abs(number) >= 2**63:
            self.fail(f"{value} is larger than any number here", param, ctx)
        return number


NUMBER = Number()


class When(click.ParamType[float]):
    """A moment: ISO 8601 (UTC unless it says otherwise), as POSIX seconds."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
        except ValueError:
            self.fail(f"{value!r} should be a time such as 2026-11-23T22:00 (UTC)", param, ctx)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
