"""The small world of the lab: who is where, and what the DNS says of it.

dns       192.0.2.53   NSD, every name in here
sender    192.0.2.10   out.world.example, somebody's mail server
primary   192.0.2.25   mail.gold.example, the customer's appliance: MX 10 of gold.example
relay     192.0.2.26   mx.relay.example, the backup: MX 20
copy      192.0.2.27   mail.copy.example, a bystander that gets a copy of everything and never fails
"""

from __future__ import annotations

ADDRESSES = {
    "dns": "192.0.2.53",
    "sender": "192.0.2.10",
    "primary": "192.0.2.25",
    "relay": "192.0.2.26",
    "copy": "192.0.2.27",
}
GOLD = "gold.example"
COPY = "copy.example"
SENDER = "out.world.example"
RELAY = "mx.relay.example"
NAMES = {"sender": SENDER, "primary": f"mail.{GOLD}", "relay": RELAY, "copy": f"mail.{COPY}"}


def zones() -> dict[str, str]:
    """Every zone, reverse ones too: Postfix asks who its clients are."""
    return {
        GOLD: f"@ MX 10 mail\n@ MX 20 {RELAY}.\nmail A {ADDRESSES['primary']}\n",
        COPY: f"@ MX 10 mail\nmail A {ADDRESSES['copy']}\n",
        "relay.example": f"mx A {ADDRESSES['relay']}\n",
        "world.example": f"@ MX 10 out\nout A {ADDRESSES['sender']}\n",
        "2.0.192.in-addr.arpa": "".join(
            f"{ADDRESSES[host].rpartition('.')[2]} PTR {name}.\n" for host, name in NAMES.items()
        ),
    }
