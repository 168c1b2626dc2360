"""relayctl completion: what a shell needs to complete commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: relayctl completion bash > /etc/bash_completion.d/relayctl
    zsh:  relayctl completion zsh > "${fpath[1]}/_relayctl"
    fish: relayctl completion fish > ~/.config/fish/completions/relayctl.fish
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"no completion for {shell} here")
    click.echo(kind(ctx.find_root().command, {}, "relayctl", "_RELAYCTL_COMPLETE").source())
