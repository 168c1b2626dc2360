"""What one transaction gathers."""

from __future__ import annotations

from relay.appliances.model import Domain, RecipientPolicy, WhenUp
from relay.edge.transaction import Transaction
from relay.mail import Recipient


def domain(appliance_id: int) -> Domain:
    """The relay's own host name: of our postmaster (appliance 0), or as a Gold domain."""
    return Domain(
        appliance_id, "mx2.example", appliance_id, RecipientPolicy.ANY, WhenUp.RELAY, 1, 1, until=None, created_at=0.0
    )


def test_our_postmaster_and_a_gold_domain_of_our_own_name_are_kept_apart() -> None:
    """Beside a recipient at our postmaster, a customer's at the same name still goes to the customer."""
    postmaster, user = Recipient("postmaster@mx2.example"), Recipient("user@mx2.example")
    mail = Transaction(sender="")
    mail.add(postmaster, domain(0))
    mail.add(user, domain(5))
    assert mail.routes == ((domain(0), (postmaster,)), (domain(5), (user,)))
    assert (mail.count(domain(0)), mail.count(domain(5)), mail.count(domain(7))) == (1, 1, 0)
