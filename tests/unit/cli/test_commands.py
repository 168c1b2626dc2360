"""The commands as a whole: what --help says, and what every hint tells people to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cli.main import COMMANDS, relayctl

ROOT = Path(__file__).parents[3]
SOURCES = [
    *(ROOT / "cli").glob("*.py"),
    *(ROOT / "relay").rglob("*.py"),
    ROOT / "README.md",
    *(ROOT / "deploy").glob("*.*"),
]


def _commands(
    group: click.Group = relayctl, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group, info_name="relayctl")
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from _commands(command, (*path, name))
        else:
            yield (*path, name), command


ALL = dict(_commands())


def test_every_command_is_there() -> None:
    """Those that the design names for one node."""
    wanted = """
        init serve demo status doctor ledger trace completion
        appliance add|set|show|list|remove
        domain add|set|show|list|remove|import|export
        recipient add|remove|list|import|forget|check|sync
        queue list|show|hold|release|retry|drop|export|reports
        failover activate|deactivate|history
        ticket list|show|open|ack|respond|wait|resume|comment|priority|resolve|reopen
        maintenance add|list|remove
        notify list|test
        backup record|list
        sla report
        dns check
        node list|drain|resume|remove
        db upgrade|backup|restore|check
    """
    first, *nouns = wanted.strip().splitlines()
    expected = {(name,) for name in first.split()}
    expected |= {(noun, verb) for line in nouns for noun, verbs in [line.split()] for verb in verbs.split("|")}
    assert set(ALL) == expected


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_every_command_explains_itself(path: tuple[str, ...]) -> None:
    """In a first line that a terminal of 80 columns shows whole, and each option in words of its own."""
    command = ALL[path]
    longest = max(len(other[-1]) for other in ALL if other[:-1] == path[:-1])
    if len(path) > 1:  # of the others a table tells
        assert not command.get_short_help_str(80 - 6 - longest).endswith("...")
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_of_help_fits_and_its_commands_exist(name: str) -> None:
    """It is kept apart from the commands, so that --help need not load them."""
    assert len(COMMANDS[name]) <= 80 - 4 - max(map(len, COMMANDS))
    assert relayctl.get_command(click.Context(relayctl), name) is not None


def test_facts_are_printed_as_json_by_every_command_that_has_some() -> None:
    """--json behind the command, everywhere but where the output is a stream or a story of its own."""
    without = {path for path, command in ALL.items() if not any("--json" in one.opts for one in command.params)}
    assert without == {("serve",), ("demo",), ("completion",), ("domain", "export")}


def test_what_changes_many_things_can_be_tried_first() -> None:
    """--dry-run, and --yes where mail is destroyed, or very many would be refused from then on."""
    options = {path: {name for one in command.params for name in one.opts} for path, command in ALL.items()}
    assert {path for path, names in options.items() if "--dry-run" in names} == {
        ("queue", "hold"),
        ("queue", "release"),
        ("queue", "retry"),
        ("queue", "drop"),
        ("queue", "export"),
        ("domain", "import"),
        ("recipient", "import"),
        ("recipient", "forget"),
        ("recipient", "sync"),
    }
    assert {path for path, names in options.items() if "--yes" in names} == {
        ("queue", "drop"),
        ("recipient", "import"),
        ("db", "restore"),
    }


def _hints() -> Iterator[tuple[str, str]]:
    """(file, what follows 'relayctl') of each command that a text quotes."""
    for path in SOURCES:
        text = re.sub(r'"\s*\n\s*f?"', "", path.read_text())  # a literal that goes on in the next line
        for match in re.finditer(r"['`]relayctl ((?:[^'`\n]|(?<=\w)'(?=\w))+)['`]", text):
            yield path.name, match[1]
        if path.suffix in (".md", ".service", ""):
            for match in re.finditer(r"^ +(?:\S*/)?relayctl (.+)$", text, re.MULTILINE):
                yield path.name, match[1].split("  ")[0]


@pytest.mark.parametrize(("source", "words"), sorted(set(_hints())))
def test_every_hint_can_be_typed(source: str, words: str) -> None:
    """A command that a message or a page tells people to type exists, and so do its options."""
    for alternative in _alternatives(words.split()):
        command: click.Command = relayctl
        options = {name for one in command.params for name in one.opts}
        for place, token in enumerate(alternative):
            if token == "|":
                break  # what comes behind it is another program's
            if token.startswith("-") and token != "-":
                assert token.split("=")[0] in options | {"--help"}, (source, words)
            elif isinstance(command, click.Group) and alternative[place - 1] not in ("-c", "--config"):
                found = command.get_command(click.Context(command), token)
                assert found is not None, (source, words)
                command = found
                options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}


def _alternatives(tokens: list[str]) -> Iterator[list[str]]:
    """'queue list|show' means two commands; what stands in brackets or capitals is no word of ours."""
    tokens = [token for token in tokens if not token.startswith("[")]
    for place, token in enumerate(tokens[:2]):
        if "|" in token and token.islower():
            for choice in token.split("|"):
                yield from _alternatives([*tokens[:place], choice, *tokens[place + 1 :]])
            return
    yield tokens
