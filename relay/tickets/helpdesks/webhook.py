"""Webhooks: each message is POSTed to one receiver, signed as Standard Webhooks say. deploy/helpdesk.md has the schema.

A repetition has the same ``webhook-id`` and the same body. Each secret signs, so that a new one can be brought in
before the old one is taken out. The receiver's name is looked up for each message, and the connection goes to an
address that was found to be public, not to the name.
"""

from __future__ import annotations

import json
from collections.abc import Container, Mapping
from datetime import UTC, datetime
from typing import Any

import httpx2
from standardwebhooks import Webhook as Signer

from relay.clock import Clock
from relay.dns import Resolver
from relay.errors import HelpdeskDown, HelpdeskError, HelpdeskGone, LookupFailed
from relay.settings import Helpdesk as Settings
from relay.tickets.helpdesks.addresses import is_public
from relay.tickets.helpdesks.helpdesk import Heard, Message
from relay.tickets.helpdesks.http import Answer, client, exchange, refusal


def document(message: Message) -> dict[str, Any]:
    """The payload, with keys that receivers may rely on: more may be added, none renamed."""
    event = dict(message.payload["event"])
    comment = event.pop("reason")
    return {
        "id": message.key,
        "type": f"ticket.{message.kind}",
        "timestamp": event["at"],
        "data": {"event": event, "comment": comment, "ticket": message.payload["ticket"]},
    }


class Webhook:
    """A receiver at ``settings.url``."""

    name = "webhook"

    def __init__(self, settings: Settings, clock: Clock, resolver: Resolver) -> None:
        self.url = settings.url
        self._signers = [Signer(secret) for secret in settings.secret]
        self._allow_private = settings.allow_private
        self._clock = clock
        self._resolver = resolver
        self._web = client(trust_env=False)  # a proxy would connect to whatever it likes

    async def deliver(self, message: Message) -> str | None:
        if message.heard:
            return None
        body = json.dumps(document(message), ensure_ascii=False, separators=(",", ":"))
        answer = await self._post(body, self._signed(message.key, body))
        if answer.status == 410:
            raise HelpdeskGone("answers 410 Gone: it wants no more messages; SIGHUP sends them again")
        if not answer.ok:
            raise refusal(answer, self._wall())
        return None

    async def hear(self, cursor: str, tickets: Mapping[str, int], known: Container[str]) -> Heard:
        """Receivers report by themselves (relay.tickets.helpdesks.listener)."""
        return Heard((), cursor)

    async def check(self) -> str:
        addresses = await self._addresses()
        return f"the receiver {self.url} is at {', '.join(addresses)}"

    async def close(self) -> None:
        await self._web.aclose()

    def _signed(self, key: str, body: str) -> dict[str, str]:
        # By the wall clock, which is what the receiver compares with its own.
        at = datetime.fromtimestamp(int(self._wall()), UTC)
        return {
            "content-type": "application/json",
            "user-agent": "failover-relay",
            "webhook-id": key,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signer.sign(key, at, body) for signer in self._signers),
        }

    async def _post(self, body: str, headers: Mapping[str, str]) -> Answer:
        """To the first of the receiver's addresses that takes the connection. Raises HelpdeskDown where none does."""
        url = httpx2.URL(self.url)
        failure: HelpdeskError = HelpdeskDown(f"{url.host} has no address")
        for address in await self._addresses():
            request = self._web.build_request(
                "POST",
                url.copy_with(host=address),
                content=body.encode(),
                headers={**headers, "host": url.netloc.decode("ascii")},
                # The certificate has to be the name's all the same.
                extensions={"sni_hostname": url.raw_host.decode("ascii")},
            )
            try:
                return await exchange(self._web, request, only_status=True)
            except HelpdeskDown as error:
                failure = error
        raise failure

    async def _addresses(self) -> list[str]:
        host = httpx2.URL(self.url).raw_host.decode("ascii").strip("[]")
        try:
            found = await self._resolver.addresses(host)
        except LookupFailed as error:
            raise HelpdeskDown(f"can't be looked up: {error}") from error
        allowed = [address for address in found if self._allow_private or is_public(address)]
        if found and not allowed:
            raise HelpdeskDown(
                f"{host} is at {', '.join(found)}, which isn't public; [helpdesk] allow_private = true allows it"
            )
        return allowed

    def _wall(self) -> float:
        return self._clock.now() + self._clock.drift()
