"""relayctl init: relay.toml and a database that is up to date."""

from __future__ import annotations

from pathlib import Path

import click

from cli.context import Operator, json_option
from cli.db import bring_up_to_date
from relay.appliances import store
from relay.appliances.model import Primary
from relay.db import Database
from relay.errors import Refused
from relay.settings import find, load

TEMPLATE = """\
# The failover relay. Every key has a default; those shown here are the ones to look at first.
# Each can also be set by a variable: RELAY_SMTP__TIMEOUT=120, RELAY_SMTP__LISTEN='["0.0.0.0:25"]'.

[node]
# The name that EHLO and Received say; it should resolve to this machine.
# hostname = "mx2.relay.example"
# Where mail to postmaster goes; needed before listening on anything but loopback (RFC 5321 4.5.1).
# postmaster = "postmaster@relay.example"
# How the customers' MX records name this cluster, and the addresses behind: what the dns proof compares with.
# mx_names = ["mx2.relay.example"]
# mx_addresses = ["192.0.2.2"]
database = "sqlite:///var/relay.db"      # relative to this file
# For nodes on several machines, see deploy/postgresql.md:
# database = "postgresql+psycopg://relay:PASSWORD@db.example/relay"

[smtp]
listen = ["127.0.0.1:2525"]
# tls_certificate = "/etc/relay/tls/fullchain.pem"
# tls_key = "/etc/relay/tls/privkey.pem"
# tls_sni = [{ certificate = "/etc/relay/tls/acme.pem", key = "/etc/relay/tls/acme.key" }]
# Load balancers before this node that speak the PROXY protocol: every connection of theirs must begin with it.
# proxy_protocol_from = ["192.0.2.10"]

[watch]
# host:port that answer as long as this node itself is connected.
# references = ["192.0.2.53:53"]

[support]
# The desk's own hours, in which the clocks of P2 and P3 run.
hours = "Mon-Fri 09:00-18:00"
timezone = "UTC"
# Holidays of a country (DE) or a part of it (DE-BY), and dates of your own.
# holidays = "DE-BY, 2026-12-24"

# Plans beside Gold (P1 1h and 1h, P2 1h and 4h, P3 1h and 8h), for 'relayctl appliance set NAME --plan silver'.
# [support.plans.silver]
# p1 = { acknowledge = "2h", respond = "2h" }
# p2 = { acknowledge = "2h", respond = "8h" }
# p3 = { acknowledge = "4h", respond = "16h" }

# [helpdesk]
# Tickets in the helpdesk that you have: Request Tracker, or webhooks; see deploy/helpdesk.md.
# kind = "webhook"
# url = "https://desk.example/hooks/relay"
# secret = "whsec_..."

# [notify]
# Who is told of P1s and breaches (Apprise: mail, SMS, chat, PagerDuty); rules are in deploy/runbook.md.
# urls = ["pagerduty://KEY@TOKEN"]
# A mail server of yours, by which the customers' contacts are told of outages.
# mail = "mailtos://relay:PASSWORD@smtp.desk.example"

# [backup]
# When 'relayctl doctor' misses a backup of this relay's own database; "never": somebody else saves it.
# max_age = "2d"

[metrics]
listen = "127.0.0.1:9125"
"""

EXAMPLE_DOMAIN = "gold.example"
EXAMPLE_PRIMARY = Primary("127.0.0.1", 2526)


@click.command()
@click.option("--example", is_flag=True, help=f"Add the domain {EXAMPLE_DOMAIN} with a primary at {EXAMPLE_PRIMARY}.")
@json_option
@click.pass_obj
def init(operator: Operator, example: bool) -> None:
    """Write relay.toml, if there is none, and make the database or bring it up to date."""
    path = find(operator.config) or Path("relay.toml")
    written = not path.exists()
    if written:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(TEMPLATE, encoding="utf-8")
        except OSError as error:
            raise Refused(f"can't write {path}: {error.strerror}") from None
    settings = load(path)
    _, revision = bring_up_to_date(settings.node.database)
    database = Database(settings.node.database)
    try:
        if example:
            _add_example(database, operator.now())
    finally:
        database.close()
    where = database.name if database.path is None else f"database {database.path}"
    operator.out.done(
        f"{path} {'written' if written else 'kept as it is'}; {where} is at {revision}"
        + (f"; {EXAMPLE_DOMAIN} has its primary at {EXAMPLE_PRIMARY}" if example else "")
        + "; next: relayctl serve",
        config=str(path),
        written=written,
        database=database.name,
        revision=revision,
    )


def _add_example(database: Database, now: float) -> None:
    with database.write() as connection:
        if store.find_domain(connection, EXAMPLE_DOMAIN) is None:
            appliance = store.add_appliance(
                connection,
                now,
                name=EXAMPLE_DOMAIN,
                customer="Example Ltd",
                primaries=(EXAMPLE_PRIMARY,),
                business_hours="none",
                # Nothing in the DNS names an example on loopback.
                skip_proofs=("dns",),
            )
            store.add_domain(connection, now, name=EXAMPLE_DOMAIN, appliance_id=appliance.id)
