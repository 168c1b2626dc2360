"""relayctl serve: a node in the foreground."""

from __future__ import annotations

import asyncio
import gc
import signal
import sys

import click
import uvloop

from cli.context import Operator
from relay import events, log
from relay.app import App
from relay.errors import RelayError

COLLECT_EVERY = 20_000, 20, 20
"""Objects made before Python looks for unreachable cycles among them, which a node hardly makes: a message is some
hundred objects, and the usual 700 cost a tenth of all processor time."""

SWITCH_AFTER = 0.0002
"""Seconds that a thread waits for the interpreter's lock before the loop has to hand it over. The loop lets go of it
between any two of its callbacks, and has it back before a thread on another processor is awake: at the usual 5 ms a
thread that reads or writes the database is woken in vain again and again, which costs the loop a system call each
time."""


@click.command()
@click.pass_obj
def serve(operator: Operator) -> None:
    """Run a node in the foreground until SIGTERM or Ctrl-C; SIGHUP rereads certificates and settings.

    The log goes to standard error: for people on a terminal, one JSON object a line otherwise.
    """
    log.configure(lost=events.log_lost)
    gc.set_threshold(*COLLECT_EVERY)
    sys.setswitchinterval(SWITCH_AFTER)
    settings = operator.settings
    sys.exit(uvloop.run(_serve(App(settings, config=operator.config))))


async def _serve(app: App) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, app.stop, signal.Signals(number).name)
    loop.add_signal_handler(signal.SIGHUP, app.reload)
    try:
        await app.run()
    except RelayError as error:
        click.echo(f"relayctl: {error}", err=True)
        return 1
    return 0
