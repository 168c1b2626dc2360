"""relayctl: the operator's one command.

Each noun is a file of its own, loaded only when it is called: most calls need only one. Exit 0: done; 1: refused or
failed, with one plain line on standard error; 2: the command line itself is wrong.
"""

from __future__ import annotations

import difflib
import errno
import importlib
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click
from click.shell_completion import CompletionItem

from cli.plain import printable

# Each is the attribute of that name in the module of that name; the order and the words are those of --help.
COMMANDS = {
    "init": "Write relay.toml and make the database, or bring it up to date.",
    "serve": "Run a node in the foreground.",
    "demo": "A whole outage on loopback in under a minute, narrated.",
    "status": "Health, continuity, readiness, queue and ticket.",
    "doctor": "Try every proof and check now, and say what to do.",
    "appliance": "The customers' mail systems that are watched.",
    "domain": "The Gold domains whose mail is taken.",
    "recipient": "Who exists at a domain.",
    "queue": "The mail that waits: list, hold, release, retry, drop …",
    "ledger": "What was accepted, and what became of it.",
    "trace": "What became of a message.",
    "failover": "Take over by hand, give back, see what was done.",
    "ticket": "The desk's tickets: read them, say what you do.",
    "notify": "Who is told of tickets: list the rules, try them.",
    "backup": "The customers' backups of their appliances.",
    "sla": "The month of a customer: outages, mail kept, targets met.",
    "maintenance": "Windows in which an outage is expected.",
    "dns": "What the DNS says of our domains.",
    "node": "The nodes that share this database.",
    "db": "The database: bring it up to date, check, save, restore it.",
    "completion": "A completion script for bash, zsh or fish.",
}


STDERR = 2
CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


class Commands(click.Group):
    """The commands above, imported when they are called; --help and completion read the table alone."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"cli.{cmd_name}")
        if "relay.events" in sys.modules:
            importlib.import_module(
                "relay.log"
            ).silence()  # what a command does is said by the command; serve and demo set up a log of their own
        command: click.Command = getattr(module, cmd_name)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS)
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no command is named {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        found = [CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def _print_version(ctx: click.Context, _parameter: click.Parameter, asked: bool) -> None:
    if asked and not ctx.resilient_parsing:
        from cli.version import version

        click.echo(f"relayctl {version()}")
        ctx.exit()


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="relay.toml to use (default: $RELAY_CONFIG, ./relay.toml, /etc/relay/relay.toml).",
)
@click.option("--json", "as_json", is_flag=True, help="Print facts as JSON, for scripts.")
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
@click.pass_context
def relayctl(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Run and operate the failover relay: a secondary MX that keeps mail while the primary is down.

    \b
    A first look:     relayctl demo
    A node here:      relayctl init --example && relayctl serve
    What is going on: relayctl status
    """
    from cli.context import Operator

    ctx.obj = Operator(config, as_json)
    ctx.call_on_close(ctx.obj.close)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command (``argv``: without the program's name) and return its exit status; every failure is one line."""
    _open_what_is_closed()
    _never_fail_to_print()
    try:
        status = relayctl.main(argv, prog_name="relayctl", standalone_mode=False)
        sys.stdout.flush()  # here, where a reader that has gone can be told from a failure
        return status if isinstance(status, int) else 0
    except click.UsageError as error:
        error.show()
        return 2
    except (click.Abort, KeyboardInterrupt):
        return _failed("stopped")
    except click.ClickException as error:
        return _failed(error.format_message())
    except SystemExit as end:  # rich and click have met a reader that has gone
        _drop_output()
        return end.code if isinstance(end.code, int) else 1
    except BrokenPipeError:
        _drop_output()  # whoever reads has enough (relayctl … | head)
        return 1
    except Exception as error:
        return _failed(_explain(error))


def _explain(error: Exception) -> str:
    from relay.errors import RelayError

    if isinstance(error, RelayError):
        return str(error)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror or error}"
    if isinstance(error, OSError) and error.errno in CANNOT_WRITE:
        _drop_output()
        return f"can't write the output: {error.strerror}"
    return f"unexpected {type(error).__name__}: {error}"


def _failed(text: str) -> int:
    click.echo(f"relayctl: {printable(' '.join(text.split()))}", err=True)
    return 1


def _open_what_is_closed() -> None:
    """Who starts us without standard output or error hears nothing; and no file that we open gets their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= STDERR:
        pass
    os.close(number)
    for number, name in ((STDERR - 1, "stdout"), (STDERR, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w"))


def _never_fail_to_print() -> None:
    """What this terminal's encoding doesn't know is printed as an escape."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """What is still to be printed can't be; Python must not try again, and complain, at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
