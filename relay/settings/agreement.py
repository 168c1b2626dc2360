"""What several keys must agree on, which no section can say by itself.

Raises :class:`relay.errors.SettingsError` of one line that begins with where the settings come from.
"""

from __future__ import annotations

import re
from pathlib import Path

from relay.errors import SettingsError
from relay.settings.outage import Support
from relay.settings.people import Helpdesk, Notify
from relay.settings.settings import Settings
from relay.values import check_url, parse_address


def check(settings: Settings, where: Path | None) -> None:
    """What several keys must agree on."""
    node, smtp = settings.node, settings.smtp
    if bool(smtp.tls_certificate) != bool(smtp.tls_key):
        raise SettingsError(f"{where}: [smtp] tls_certificate and tls_key should be set together")
    if smtp.tls_sni and not smtp.tls_certificate:
        raise SettingsError(f"{where}: [smtp] tls_sni needs tls_certificate, for clients that ask for no host by name")
    if node.postmaster and "@" not in node.postmaster:
        raise SettingsError(f"{where}: [node] postmaster should be a mail address (it is {node.postmaster!r})")
    if settings.metrics.listen:
        try:
            parse_address(settings.metrics.listen)
        except ValueError as error:
            raise SettingsError(f"{where}: [metrics] listen: {error}") from None
    _check_helpdesk(settings.helpdesk, where)
    _check_notify(settings.notify, settings.support, where)
    public = [listen for listen in smtp.listen if not _loopback(parse_address(listen)[0])]
    if public and not node.postmaster:
        raise SettingsError(
            f"{where}: [node] postmaster should be set before [smtp] listen = {public[0]!r}: "
            "a public mail server must take mail for its postmaster (RFC 5321 4.5.1)"
        )


def _check_helpdesk(helpdesk: Helpdesk, where: Path | None) -> None:
    needs = {"embedded": (), "rt": ("url", "token", "queue"), "webhook": ("url", "secret")}[helpdesk.kind]
    for key in needs:
        if not getattr(helpdesk, key):
            raise SettingsError(f'{where}: [helpdesk] {key} should be set for kind = "{helpdesk.kind}"')
    try:
        if helpdesk.url:
            check_url(helpdesk.url)
        if helpdesk.listen:
            parse_address(helpdesk.listen)
    except ValueError as error:
        raise SettingsError(f"{where}: [helpdesk] {error}") from None
    if helpdesk.kind == "webhook" and helpdesk.url.startswith("http:") and not helpdesk.allow_private:
        raise SettingsError(f"{where}: [helpdesk] url should begin with https://; http:// needs allow_private = true")
    if helpdesk.listen and helpdesk.kind != "webhook":
        raise SettingsError(f'{where}: [helpdesk] listen is for kind = "webhook"')
    if helpdesk.kind == "rt" and not re.fullmatch(r"\d+-\d+-\w+", helpdesk.token):
        raise SettingsError(f"{where}: [helpdesk] token should be one that RT has made, such as 1-27-9e96…")
    if not all(0 <= number <= 2**31 - 1 for number in helpdesk.priorities.values()):
        raise SettingsError(f"{where}: [helpdesk] priorities should be numbers that RT takes, such as P1 = 90")


def _check_notify(notify: Notify, desk: Support, where: Path | None) -> None:
    if notify.mail and not re.match("mailtos?:", notify.mail):
        raise SettingsError(f"{where}: [notify] mail should begin with mailto:// or mailtos://")
    names = set[str]()
    for rule in notify.rules:
        about = f"{where}: [[notify.rules]] {rule.name}"
        if rule.name in names:
            raise SettingsError(f"{about}: there are two rules of this name")
        names.add(rule.name)
        if not rule.urls and not rule.contacts:
            raise SettingsError(f"{about}: urls should name somebody (or contacts = true the customer's own)")
        if rule.contacts and not notify.mail:
            raise SettingsError(f"{about}: contacts = true needs [notify] mail")
        try:
            rule.calendar(desk)
        except ValueError as error:
            raise SettingsError(f"{about}: hours, timezone, holidays: {error}") from None


def _loopback(host: str) -> bool:
    return host in ("localhost", "::1") or host.startswith("127.")
