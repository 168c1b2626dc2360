"""What status says first: of this machine's node, of the others, and what to do where one is missing or in doubt."""

from __future__ import annotations

from typing import Any

from cli.context import Operator
from cli.known import Known
from cli.nodes_check import clock_words, left_behind
from cli.render import plural, size, span
from cli.version import version
from relay.cluster.nodes import NodeRow, NodeState
from relay.queue.space import volume_free


def facts(operator: Operator, known: Known) -> dict[str, Any]:
    """This machine's node, by its settings; ``state`` tells whether it runs."""
    name = operator.settings.node.name
    row = next((row for row in known.nodes if row.name == name), None)
    return {
        "name": name,
        "version": row.version if row else version(),
        "state": row.state(known.now) if row else "stopped",
        "listeners": list(row.listeners) if row and row.runs(known.now) else [],
        "disk_free_bytes": volume_free(operator.db, operator.settings.limits.database_capacity),
    }


def tell(operator: Operator, node: dict[str, Any], known: Known, backup: str) -> None:
    """For a person; ``backup``: what is to be said of it."""
    where = f", listening on {', '.join(node['listeners'])}" if node["listeners"] else ""
    free = "" if node["disk_free_bytes"] is None else f", {size(node['disk_free_bytes'])} free"
    operator.out.line(
        f"node {node['name']} {node['version']}: {node['state']}{where}{free}{backup and f', {backup}'}",
        "" if node["state"] == NodeState.LIVE else "bold red",
    )
    running = any(row.runs(known.now) for row in known.nodes)
    for row in known.nodes:
        if row.name != node["name"] and row.state(known.now) is not NodeState.STOPPED:
            operator.out.line(_other(row, known.now, heirs=running), "bold red" if not row.runs(known.now) else "")
        if row.runs(known.now) and (wrong := clock_words(row)):
            operator.out.line(f"node {row.name}: {wrong[0]}; {wrong[1]}", "bold red")
        if known.in_doubt(row.name):
            operator.out.line(
                f"node {row.name} may be cut off itself, nothing is called down: {row.isolated}; "
                "look at its network; [watch] references make it certain",
                "bold red",
            )
    if not running:
        operator.out.line(
            "no node is running: what stands below is what the last one knew; start one: 'systemctl start relay'",
            "bold red",
        )


def _other(row: NodeRow, now: float, *, heirs: bool) -> str:
    state = row.state(now)
    if state is not NodeState.DEAD:
        return f"node {row.name} {row.version}: {state}, {plural(row.appliances, 'appliance')}"
    owned = left_behind(heirs=heirs) if row.owned else "others have what it owned"
    return (
        f"node {row.name} {row.version}: dead for {span(row.heard_of(now))}, {owned}; "
        f"start it again, or 'relayctl node remove {row.name}'"
    )
