"""The tables of mail. No other room touches them.

Hot rows are slim and content is kept apart. Two keys carry two numbers each, so that no second index is needed to
find what belongs together: a recipient's id is its message's number times 65,536 plus its place among the
recipients, and a piece of content has the content's number times 65,536 plus its place. There are no foreign keys
between hot tables: rows of a message come and go in one transaction, and ``relayctl db check`` looks for strays.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    Index,
    Integer,
    LargeBinary,
    PrimaryKeyConstraint,
    String,
    Table,
    text,
)

from relay.db import metadata

PLACES = 65_536
"""How many recipients of a message, or pieces of a content, have room in its number."""

Number = BigInteger().with_variant(Integer(), "sqlite")

# One row: the last numbers given out, which are never given again.
numbers = Table(
    "numbers",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("message", Number, nullable=False),
    Column("content", Number, nullable=False),
)

# ``packed``: zstd; raw where that made it no smaller. Piece 0 begins with our Received line.
content = Table(
    "content",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("packed", Boolean, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Content that is arriving in pieces and is no mail yet.
incoming = Table(
    "incoming",
    metadata,
    Column("content_id", Number, primary_key=True, autoincrement=False),
    Column("node", String, nullable=False),
    Column("began_at", Float, nullable=False),
)

# One row for each appliance that a transaction had recipients at. ``shared``: other messages have the same content.
# ``verdict``: whether the sender is vouched for, with the ``evidence``; NULL while that isn't known, and then ``asked``
# so many times in vain, to be asked again at ``ask_at``. ``warned_at``: when a delay was reported, or found not to be
# reportable; ``quarantined_at``: when a recipient was last held for want of a sender who may be told.
messages = Table(
    "messages",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("appliance_id", Integer, nullable=False),
    Column("content_id", Number, nullable=False),
    Column("shared", Boolean, nullable=False),
    Column("sender", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("message_id", String, nullable=False),
    Column("body", String, nullable=False),
    Column("smtputf8", Boolean, nullable=False),
    Column("ret", String),
    Column("envid", String),
    Column("client_ip", String, nullable=False),
    Column("client_port", Integer, nullable=False),
    Column("client_helo", String, nullable=False),
    Column("client_protocol", String, nullable=False),
    Column("verdict", String),
    Column("evidence", String),
    Column("asked", Integer, nullable=False, server_default="0"),
    Column("ask_at", Float),
    Column("warned_at", Float),
    Column("quarantined_at", Float),
    Index("messages_shared", "content_id", sqlite_where=text("shared"), postgresql_where=text("shared")),
)
QUARANTINED = "quarantined_at IS NOT NULL"
Index(
    "messages_quarantined",
    messages.c.quarantined_at,
    sqlite_where=text(QUARANTINED),
    postgresql_where=text(QUARANTINED),
)

# ``next_attempt_at``: only where a healthy primary deferred it; ``tried_at``: the last attempt; ``outage_id`` 0: none;
# ``remote``: the host that the last reply came from, NULL where it is ours, or there was none.
recipients = Table(
    "recipients",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("message_id", Number, nullable=False),
    Column("appliance_id", Integer, nullable=False),
    Column("domain", String, nullable=False),
    Column("address", String, nullable=False),
    Column("notify", String),
    Column("orcpt", String),
    Column("state", String, nullable=False),
    Column("reason", String),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Float),
    Column("tried_at", Float),
    Column("last_reply", String, nullable=False),
    Column("outage_id", Integer, nullable=False),
    Column("remote", String),
)

HOT = "state IN ('queued','held')"
"""The condition of the hot index; a query says it in these words to be served from it."""
FAILED = "reason = 'failed'"
"""The same of the index of what is to be judged, which is all but empty at any time."""
ASKED = "notify IS NOT NULL"
"""The same of the index of those for whom DSN asked something."""

Index(
    "recipients_hot",
    recipients.c.appliance_id,
    recipients.c.state,
    recipients.c.id,
    recipients.c.next_attempt_at,
    recipients.c.tried_at,
    sqlite_where=text(HOT),
    postgresql_where=text(HOT),
)
Index(
    "recipients_deferred",
    recipients.c.appliance_id,
    recipients.c.next_attempt_at,
    sqlite_where=text("next_attempt_at IS NOT NULL"),
    postgresql_where=text("next_attempt_at IS NOT NULL"),
)
for _name, _condition in (("recipients_failed", FAILED), ("recipients_asked", ASKED)):
    Index(
        _name,
        recipients.c.appliance_id,
        recipients.c.id,
        sqlite_where=text(_condition),
        postgresql_where=text(_condition),
    )

# What became of messages that have left; ``recipients``: JSON, each with its state and last reply.
trace = Table(
    "trace",
    metadata,
    Column("id", Number, primary_key=True, autoincrement=False),
    Column("appliance_id", Integer, nullable=False),
    Column("sender", String, nullable=False),
    Column("message_id", String, nullable=False),
    Column("size", Integer, nullable=False),
    Column("received_at", Float, nullable=False),
    Column("removed_at", Float, nullable=False),
    Column("client_ip", String, nullable=False),
    Column("client_helo", String, nullable=False),
    Column("recipients", String, nullable=False),
)

# Reports on their way to senders. ``domain``: the sender's, A-labels; ``about``: JSON, the addresses; ``content`` is
# packed as that of mail. Numbers are never given twice.
reports = Table(
    "reports",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", Integer, nullable=False),
    Column("message_id", Number, nullable=False),
    Column("sender", String, nullable=False),
    Column("domain", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("about", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", Float, nullable=False),
    Column("last_reply", String, nullable=False),
    Column("packed", Boolean, nullable=False),
    Column("content", LargeBinary, nullable=False),
    Index("reports_due", "domain", "next_attempt_at", "appliance_id"),
    sqlite_autoincrement=True,
)

# In recipients; a node writes rows of its own and reading sums them, so single rows may be negative. outage_id 0: none.
ledger = Table(
    "ledger",
    metadata,
    Column("domain", String, nullable=False),
    Column("node", String, nullable=False),
    Column("outage_id", Integer, nullable=False),
    Column("accepted", Integer, nullable=False),
    Column("delivered", Integer, nullable=False),
    Column("bounced", Integer, nullable=False),
    Column("expired", Integer, nullable=False),
    Column("dropped", Integer, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    PrimaryKeyConstraint("domain", "node", "outage_id"),
)

# What is here now, summed like the ledger: recipients queued and held, and the messages that they belong to.
depths = Table(
    "depths",
    metadata,
    Column("appliance_id", Integer, nullable=False),
    Column("domain", String, nullable=False),
    Column("node", String, nullable=False),
    Column("queued", Integer, nullable=False),
    Column("held", Integer, nullable=False),
    Column("bytes", Number, nullable=False),
    Column("messages", Integer, nullable=False, server_default="0"),
    PrimaryKeyConstraint("appliance_id", "domain", "node"),
)

# How much came for a domain in each hour (POSIX seconds // 3600), for the proof that there is room enough.
arrivals = Table(
    "arrivals",
    metadata,
    Column("domain", String, nullable=False),
    Column("hour", Integer, nullable=False),
    Column("node", String, nullable=False),
    Column("bytes", Number, nullable=False),
    PrimaryKeyConstraint("domain", "hour", "node"),
)

# Synthetic messages of the loop proof. A row outlives its content for a while: each nonce counts once.
loop_proofs = Table(
    "loop_proofs",
    metadata,
    Column("nonce", String, primary_key=True),
    Column("domain", String, nullable=False),
    Column("state", String, nullable=False),
    Column("packed", Boolean, nullable=False),
    Column("content", LargeBinary),
    Column("at", Float, nullable=False),
)
