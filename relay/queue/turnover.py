"""Whose rows a node adds its sums to on PostgreSQL: rows of its own, and new ones after a while.

A row that is changed leaves its old versions behind until vacuum removes them, and while anybody's transaction is open
(a backup's, for minutes) it can't; each further change has to walk past all of them. So the node goes over to new rows
after ``TURN`` transactions, and what the old ones hold is folded into one that is changed by nothing else.
"""

from __future__ import annotations

from typing import Any

import psycopg

from relay.queue.ledger import Deltas

TURN = 500
"""Transactions that change the same rows."""


class Turnover:
    """``node``: whose sums they are; its name alone has what was folded."""

    def __init__(self, node: str) -> None:
        self._node = node
        self._number = 0
        self._used = 0

    @property
    def rows(self) -> str:
        """The name that the sums of the next transaction are added under."""
        return f"{self._node}/{self._number}"

    @property
    def due(self) -> bool:
        """Whether they were used often enough."""
        return self._used >= TURN

    def used(self, deltas: Deltas) -> None:
        self._used += bool(deltas.depths or deltas.ledger)

    def fold(self, connection: psycopg.Connection[Any], *, all_turns: bool = False) -> None:
        """Inside a transaction: what is under the name of this turn, or of whatever turn a crash has left behind, goes
        under the node's own; then :meth:`folded`."""
        where = "starts_with(node, %(node)s || '/')" if all_turns else "node = %(turn)s"
        for table, keys, sums, _ in Deltas().rows(self._node):
            others = ", ".join(key for key in keys if key != "node")
            folded = ", ".join("%(node)s" if key == "node" else key for key in keys)
            totals = ", ".join(f"sum({name})" for name in sums)
            added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
            connection.execute(
                f"WITH gone AS (DELETE FROM {table} WHERE {where} RETURNING *)"  # noqa: S608
                f" INSERT INTO {table} ({', '.join((*keys, *sums))}) SELECT {folded}, {totals} FROM gone"
                f" GROUP BY {others} ORDER BY {others} ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {added}",
                {"node": self._node, "turn": self.rows},
            )

    def folded(self) -> None:
        """The transaction has been committed."""
        self._number += 1
        self._used = 0
