"""Apprise: what its URLs mean, and one message sent by one of them. Blocks: to be called in a thread.

What was found in its source, and how it is met here:
- ``notify`` answers no more than yes or no; why is said to its logger alone, in lines that may hold the URL: they are
  caught, and only what is known to be no secret is told on;
- time limits are for each read and write; a server that drips can hold a thread for as long as it likes: so each
  target has threads of its own (relay.tickets.people.threads);
- PagerDuty's plugin triggers and resolves by one key; it can't acknowledge, so nothing is sent where somebody did;
- what is too long for it (an SMS) a plugin would send in many pieces: it gets the first line alone;
- a mail's Message-ID is always a new one: that it is a repetition, and which ticket it is about, other fields say.
"""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from urllib.parse import unquote, urlsplit

from apprise import Apprise, AppriseAsset, NotifyBase, NotifyFormat, NotifyType, OverflowMode
from apprise.plugins.custom_json import NotifyJSON
from apprise.plugins.email import NotifyEmail
from apprise.plugins.pagerduty import NotifyPagerDuty

from relay.errors import NotifyError, SettingsError
from relay.mail import domain_of
from relay.tickets.people.message import Message, Reach

CONNECT_TIMEOUT = 10.0
READ_TIMEOUT = 15.0
"""Seconds, where the URL names none (cto=, rto=); Apprise's own 4 are few for a night in which much is slow."""
SHORT = 600
"""A plugin whose messages may have fewer characters gets the first line alone."""
FEW = 200
_OWN_HOST = {"mailto", "mailtos", "json", "jsons", "xml", "xmls", "form", "forms", "apprise", "apprises", "ntfys"}
"""Schemes whose URL has a host where it says so, and no secret there."""
_REFUSED = "the mail server refuses the address"
_ASSET = AppriseAsset(
    app_id="failover-relay", app_desc="failover-relay", app_url="", secure_logging=True, storage_mode="memory"
)
_log = logging.getLogger("apprise")


def reach(urls: Mapping[str, str]) -> dict[str, Reach]:
    """Where each leads, by the same names. Raises SettingsError with the name of the first that Apprise doesn't
    understand."""
    found = {}
    for name, url in urls.items():
        try:
            plugin = load(url)
        except ValueError as error:
            raise SettingsError(f"[notify] {name}: {redacted(url)} {error}") from None
        found[name] = Reach(addresses(plugin), server(plugin))
    return found


def load(url: str) -> NotifyBase:
    """What sends by a URL. Raises ValueError with what is wrong, without the URL."""
    with _overheard():
        try:
            plugin = Apprise.instantiate(url, asset=_ASSET, suppress_exceptions=False)
        except Exception:  # a plugin's own, whose text may hold what it is given
            plugin = None
    if not isinstance(plugin, NotifyBase):
        raise ValueError("is no URL that Apprise understands; https://appriseit.com/services/ shows how they look")
    if isinstance(plugin, NotifyEmail) and not plugin.targets:
        raise ValueError("has no mail address to write to")
    if plugin.socket_read_timeout == NotifyBase.socket_read_timeout:
        plugin.socket_read_timeout = READ_TIMEOUT
    if plugin.socket_connect_timeout == NotifyBase.socket_connect_timeout:
        plugin.socket_connect_timeout = CONNECT_TIMEOUT
    return plugin


def mail_to(url: str, address: str) -> NotifyEmail:
    """The mail server at ``url``, to write to ``address`` alone. Raises ValueError."""
    plugin = load(url)
    if not isinstance(plugin, NotifyEmail):
        raise ValueError("is no URL of a mail server")
    local = address.rpartition("@")[0]
    plugin.targets, plugin.cc, plugin.bcc = [(False, f"{local}@{domain_of(address)}")], set(), set()
    return plugin


def addresses(plugin: NotifyBase) -> frozenset[str]:
    """The mail addresses that it writes to, whichever service carries them."""
    if isinstance(plugin, NotifyEmail):
        return frozenset({*(address for _, address in plugin.targets), *plugin.cc, *plugin.bcc})
    _, _, rest = unquote(unquote(plugin.url())).partition("://")  # type: ignore[no-untyped-call]
    _, _, behind = rest.partition("/")
    return frozenset(re.findall(r"[^\s/?&=,;:<>\"']+@[^\s/?&=,;:<>\"'@]+\.[^\s/?&=,;:<>\"'@]+", behind))


def server(plugin: NotifyBase) -> str:
    """The host that it hands mail to; empty for what isn't mail."""
    return str(plugin.smtp_host).lower().rstrip(".") if isinstance(plugin, NotifyEmail) else ""


def redacted(url: str) -> str:
    """What may be shown of a URL: its scheme, and its host where that is no secret."""
    scheme, _, _ = url.partition("://")
    try:
        host = urlsplit(url).hostname if scheme.lower() in _OWN_HOST else None
    except ValueError:
        host = None
    return f"{scheme.lower()}://{host or ''}{'/' if host else ''}…"


def send(plugin: NotifyBase, message: Message) -> bool:
    """Send it, however long that takes; False where this target isn't told such things. Raises NotifyError."""
    title, text = " ".join(message.title.split()), message.text
    kind = NotifyType.SUCCESS if message.ends else NotifyType.FAILURE if message.pages else NotifyType.INFO
    if isinstance(plugin, NotifyPagerDuty):
        if not message.pages and not message.ends:
            return False
        plugin.dedup, plugin.action = message.thread, "resolve" if message.ends else "trigger"
        plugin.details = {**plugin.details, "ticket": text}
        plugin.include_image = False
        title, text = "", text.partition("\n")[0]
    elif isinstance(plugin, NotifyEmail):
        reference = f"<{message.thread}@relay.invalid>"
        plugin.headers |= {"Auto-Submitted": "auto-generated", "X-Relay-Notice": message.key}
        plugin.headers |= {"In-Reply-To": reference, "References": reference}
    elif isinstance(plugin, NotifyJSON):
        plugin.payload_extras |= {"id": message.key, "thread": message.thread}
    elif plugin.body_maxlen < SHORT:
        title, text = "", text.partition("\n")[0]
    with _overheard() as lines:
        try:
            told = plugin.notify(
                title=title, body=text, notify_type=kind, body_format=NotifyFormat.TEXT, overflow=OverflowMode.TRUNCATE
            )
        except Exception as error:
            raise NotifyError(f"Apprise can't send it: {type(error).__name__}") from None
    if not told:
        why = _reason(lines)
        raise NotifyError(why, theirs=why.startswith(_REFUSED))
    return True


def test(plugin: NotifyBase, message: Message) -> None:
    """Send it to try the way: where only incidents are told, one is opened and closed. Raises NotifyError."""
    if isinstance(plugin, NotifyPagerDuty):
        for one in (replace(message, pages=True), replace(message, ends=True)):
            send(plugin, one)
    else:
        send(plugin, message)


def _reason(lines: Iterable[str]) -> str:
    """Why it wasn't taken, of what the plugin has said to its logger."""
    said = "\n".join(lines)
    for pattern, words in (
        (r"recipient \S+ was refused: (\d{3}) ([^\n]*)", rf"{_REFUSED}: \1 \2"),  # of several addresses
        (r"\{'[^']*@[^']*': \((\d{3}), b?'([^']*)'", rf"{_REFUSED}: \1 \2"),  # of a single one: smtplib raises
        (r"\[Errno -?\d+\] ([A-Za-z ]+)", r"can't be reached: \1"),
        (r"(?:Read|read|connect|Connect).{0,20}timed out|timed out", "gives no answer in time"),
        (r"certificate verify failed(?:: ([a-z ]+))?", r"has a certificate that can't be verified: \1"),
        (r"\[SSL: (\w+)\]", r"can't be spoken to by TLS: \1"),
        (r"\((\d{3}), b?'([^']*)'", r"answers \1 \2"),
        (r"error=(\d{3})", r"answers \1"),
        (r"Connection aborted|Connection reset|BadStatusLine|unexpectedly closed|Remote end closed", "breaks off"),
    ):
        if found := re.search(pattern, said):
            text = found.expand(words) if found.re.groups else words
            return " ".join(text.rstrip(": ").split())[:FEW]
    return "didn't take it, and says no more"


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What Apprise says to its logger in this thread; nowhere else is it heard."""
    lines: list[str] = []
    _ear.lines.value = lines
    try:
        yield lines
    finally:
        _ear.lines.value = None


class _Heard(threading.local):
    value: list[str] | None = None


class _Ear(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines = _Heard()

    def emit(self, record: logging.LogRecord) -> None:
        if self.lines.value is not None:
            self.lines.value.append(record.getMessage())


_ear = _Ear()
_log.addHandler(_ear)
_log.setLevel(logging.DEBUG)
_log.propagate = False
