"""relayctl: the operator's one command.

Each noun is a file of its own, loaded only when it is called. Exit 0: done; 1: refused or failed, with one plain line
on standard error; 2: the command line itself is wrong.
"""

from __future__ import annotations

import importlib
import os
import sys
from importlib.metadata import version
from pathlib import Path

import click

from cli.context import Operator
from relay import events
from relay.errors import RelayError

# command → (module, attribute); the order is that of --help.
COMMANDS = {
    "init": ("cli.init", "init"),
    "serve": ("cli.serve", "serve"),
    "demo": ("cli.demo", "demo"),
    "status": ("cli.status", "status"),
    "doctor": ("cli.doctor", "doctor"),
    "appliance": ("cli.appliance", "appliance"),
    "domain": ("cli.domain", "domain"),
    "recipient": ("cli.recipient", "recipient"),
    "queue": ("cli.queue", "queue"),
    "ledger": ("cli.ledger", "ledger"),
    "trace": ("cli.trace", "trace"),
    "failover": ("cli.failover", "failover"),
    "ticket": ("cli.ticket", "ticket"),
    "maintenance": ("cli.maintenance", "maintenance"),
    "dns": ("cli.dns", "dns"),
    "node": ("cli.node", "node"),
    "db": ("cli.db", "db"),
    "completion": ("cli.completion", "completion"),
}


class Commands(click.Group):
    """The commands above, imported when asked for: most calls need only one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = [name for name in COMMANDS if name.startswith(args[0][:2])]
            hint = f"; did you mean {' or '.join(near)}?" if near else ""
            ctx.fail(f"no command is named {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "-c",
    "--config",
    type=click.Path(path_type=Path, dir_okay=False),
    help="relay.toml to use (default: $RELAY_CONFIG, ./relay.toml, /etc/relay/relay.toml).",
)
@click.option("--json", "as_json", is_flag=True, help="Print facts as JSON, for scripts.")
@click.version_option(version("failover-relay"), prog_name="relayctl", message="%(prog)s %(version)s")
@click.pass_context
def relayctl(ctx: click.Context, config: Path | None, as_json: bool) -> None:
    """Run and operate the failover relay: a secondary MX that keeps mail while the primary is down.

    \b
    A first look:     relayctl demo
    A node here:      relayctl init --example && relayctl serve
    What is going on: relayctl status
    """
    events.silence()  # serve and demo set up a log of their own
    ctx.obj = Operator(config, as_json)
    ctx.call_on_close(ctx.obj.close)


def main() -> None:
    """The entry point: turns every failure into one line."""
    try:
        relayctl.main(standalone_mode=False)
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.Abort:
        click.echo("relayctl: stopped", err=True)
        sys.exit(1)
    except click.UsageError as error:
        error.show()
        sys.exit(2)
    except click.ClickException as error:
        click.echo(f"relayctl: {error.format_message()}", err=True)
        sys.exit(1)
    except RelayError as error:
        click.echo(f"relayctl: {error}", err=True)
        sys.exit(1)
    except BrokenPipeError:
        # Whoever reads has enough (relayctl … | head); Python must not complain of it at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        line = " ".join(str(error).split())
        click.echo(f"relayctl: unexpected {type(error).__name__}: {line}", err=True)
        sys.exit(1)
