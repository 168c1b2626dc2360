"""Tables of appliances, their domains and what is known of them. Times are POSIX seconds, lists are JSON."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from relay.db import metadata

appliances = Table(
    "appliances",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("customer", String, nullable=False),
    Column("primaries", JSON, nullable=False),
    Column("business_hours", String, nullable=False),
    Column("timezone", String, nullable=False),
    Column("holidays", String, nullable=False),
    Column("activation", String, nullable=False),
    Column("contacts", JSON, nullable=False),
    Column("hidden", Boolean, nullable=False),
    Column("skip_proofs", JSON, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("plan", String, nullable=False, server_default="gold"),
    Column("backup_every", Integer, nullable=False, server_default="0"),
    Column("max_connections", Integer),
    Column("max_rate", Float),
    Column("tls", String),
)

domains = Table(
    "domains",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("name", String, nullable=False, unique=True),
    Column("appliance_id", ForeignKey("appliances.id"), nullable=False, index=True),
    Column("recipients", String, nullable=False),
    Column("when_up", String, nullable=False),
    Column("lifetime", Integer, nullable=False),
    Column("quota", BigInteger, nullable=False),
    Column("quota_messages", Integer, nullable=False, server_default="0"),
    Column("until", String),
    Column("created_at", Float, nullable=False),
    Column("never_seen", String, nullable=False),
    Column("plus_addressing", String, nullable=False, server_default="+"),
)

# One row an appliance, written by watch alone.
health = Table(
    "health",
    metadata,
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String, nullable=False),
    Column("reason", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("offered_size", BigInteger),
    Column("offered_smtputf8", Boolean),
    Column("offered_8bitmime", Boolean),
    Column("version", Integer, nullable=False, server_default="0"),
)

# One row an appliance: what we do about it, written by continuity; ``order`` is what an operator said (activate or
# deactivate), written by failover commands and cleared by continuity when the outage ends.
continuity = Table(
    "continuity",
    metadata,
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("state", String, nullable=False),
    Column("since", Float, nullable=False),
    Column("ready", Boolean),
    Column("failing_proofs", JSON, nullable=False),
    Column("outage_id", Integer),
    Column("operator_order", String),
    Column("operator_name", String),
    Column("operator_at", Float),
    Column("doubt_since", Float),
    Column("priority", Integer),
    Column("downs", JSON, nullable=False, default=list),
    Column("version", Integer, nullable=False, server_default="0"),
)

outages = Table(
    "outages",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("began_at", Float, nullable=False),
    Column("taken_over_at", Float),
    Column("returned_at", Float),
    Column("drained_at", Float),
    Column("ended_at", Float),
    Column("reason", String, nullable=False),
)

# How the drain of an appliance gets on: written by its owner every few seconds while there is one, by delivery alone.
drain_progress = Table(
    "drain_progress",
    metadata,
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), primary_key=True),
    Column("node", String, nullable=False),
    Column("began_at", Float, nullable=False),
    Column("at", Float, nullable=False),
    Column("phase", String, nullable=False),
    Column("tried", Integer, nullable=False),
    Column("left", Integer, nullable=False),
    Column("rate", Float, nullable=False),
    Column("moved_at", Float, nullable=False),
    Column("why", String, nullable=False),
)

# What drains have handed over of each outage's mail until it was drained, in seconds of draining; by delivery alone.
handbacks = Table(
    "handbacks",
    metadata,
    Column("outage_id", ForeignKey("outages.id", ondelete="CASCADE"), primary_key=True),
    Column("messages", Integer, nullable=False),
    Column("recipients", Integer, nullable=False),
    Column("seconds", Float, nullable=False),
    Column("peak", Float, nullable=False),
)

maintenance = Table(
    "maintenance",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False, index=True),
    Column("starts_at", Float, nullable=False),
    Column("ends_at", Float, nullable=False),
    Column("reason", String, nullable=False),
    Column("created_by", String, nullable=False),
)

# What a room found wrong in a customer's set-up; continuity alone turns findings into tickets. ``domain`` is empty
# where the finding is about the whole appliance.
findings = Table(
    "findings",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False),
    Column("domain", String, nullable=False),
    Column("condition", String, nullable=False),
    Column("evidence", String, nullable=False),
    Column("since", Float, nullable=False),
    UniqueConstraint("appliance_id", "domain", "condition"),
)

# The customer's own backups of an appliance, as operators record them.
backups = Table(
    "backups",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("appliance_id", ForeignKey("appliances.id", ondelete="CASCADE"), nullable=False),
    Column("made_at", Float, nullable=False),
    Column("what", String, nullable=False),
    Column("recorded_by", String, nullable=False),
    Column("recorded_at", Float, nullable=False),
    Index("backups_by_appliance", "appliance_id", "made_at"),
)

# What the DNS says of a domain whose contract is over, written by watch alone: when an MX last named this cluster, or
# that couldn't be known, and when it was last looked at.
naming = Table(
    "naming",
    metadata,
    Column("domain_id", ForeignKey("domains.id", ondelete="CASCADE"), primary_key=True),
    Column("named_at", Float, nullable=False),
    Column("looked_at", Float, nullable=False),
)

# One row: raised by whatever changes the tables above, so that a node reloads what it knows only when it must.
# ``directory``: the version at which appliances or domains last changed, which are much to reload and seldom change;
# rows of health and continuity have the version at which they were written.
facts_version = Table(
    "facts_version",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("version", Integer, nullable=False),
    Column("directory", Integer, nullable=False, server_default="0"),
)
