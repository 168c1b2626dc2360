"""Where a message comes from, as a primary may be told: XFORWARD and XCLIENT, the extensions of Postfix.

XFORWARD is for the primary's log, and for filters behind it: it holds for one transaction and goes out with its MAIL.
XCLIENT makes the primary judge the session as if the original client had begun it; it begins anew with EHLO.
Postfix's XFORWARD_README and XCLIENT_README say how both are written.

Pure. What it promises: an attribute goes out only where it is offered, and each of the client's that is offered goes
out: what isn't known is ``[UNAVAILABLE]``, so that nothing of another client, nor of ourselves, stands in for it. Whose
login a session has (LOGIN) is never said: nobody logs in here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from relay.mail import Client
from relay.smtp.dialogue import command_line

UNAVAILABLE = "[UNAVAILABLE]"
TEMPUNAVAIL = "[TEMPUNAVAIL]"
"""Of a name that couldn't be looked up now."""

MAX_VALUE = 255
MAX_COMMAND = 512
_LONGEST = ("HELO", "REVERSE_NAME", "NAME")  # of these one is left out where a command gets too long, in this order

_ODD = re.compile(r"[^!#-'*+,\-./0-9:=?A-Z\[\]^_`a-z{|}~]")  # what has a meaning in a header of the primary's
_TO_ENCODE = re.compile(r"[^!-*,-<>-~]")


@dataclass(frozen=True, slots=True)
class Origin:
    """The client that brought a message, and ``ident``: our own number for it.

    ``name``: the client's, proven by its address; ``reverse_name``: what the DNS says alone. Empty: it has none.
    """

    client: Client
    ident: str = ""
    name: str = ""
    reverse_name: str = ""

    @property
    def helo(self) -> str:
        """The name that the client gave, without what could upset whoever hears it; empty where it is too long."""
        helo = _ODD.sub("?", self.client.helo)
        return helo if len(_xtext(helo)) <= MAX_VALUE else ""

    @property
    def greeting(self) -> str:
        """What to say in EHLO in its stead."""
        return self.helo or f"[{'IPv6:' if self.client.ipv6 else ''}{self.client.ip}]"


def xforward_command(origin: Origin | None, offered: Sequence[str]) -> bytes:
    """XFORWARD for the next transaction; empty where there is nothing to say."""
    if origin is None or not offered:
        return b""
    values = {
        **_known(origin),
        "PROTO": origin.client.protocol,
        "SOURCE": "REMOTE",
        "IDENT": origin.ident,
    }
    return _command("XFORWARD", values, offered)


def xclient_command(origin: Origin, offered: Sequence[str]) -> bytes:
    """XCLIENT for a session of ``origin``; what the primary doesn't hear of it here it hears by EHLO."""
    # Postfix knows these two protocols, and refuses the variants that RFC 3848 gives names.
    values = {**_known(origin), "PROTO": "SMTP" if origin.client.protocol == "SMTP" else "ESMTP"}
    return _command("XCLIENT", values, offered)


def _known(origin: Origin) -> dict[str, str]:
    client = origin.client
    return {
        "ADDR": f"IPV6:{client.ip}" if client.ipv6 else client.ip,
        "PORT": str(client.port or ""),
        "NAME": origin.name,
        "REVERSE_NAME": origin.reverse_name,
        "HELO": origin.helo,
    }


def _command(verb: str, values: Mapping[str, str], offered: Sequence[str]) -> bytes:
    said = {name: _value(values[name]) for name in dict.fromkeys(offered) if name in values}
    for longest in ("", *_LONGEST):
        if longest in said:
            said[longest] = UNAVAILABLE
        command = command_line(" ".join([verb, *(f"{name}={value}" for name, value in said.items())]))
        if len(command) <= MAX_COMMAND:
            break
    return command if said else b""


def _value(text: str) -> str:
    encoded = _xtext(text)
    return encoded if encoded and len(encoded) <= MAX_VALUE else UNAVAILABLE


def _xtext(text: str) -> str:
    """RFC 3461 section 4."""
    return _TO_ENCODE.sub(lambda one: "".join(f"+{octet:02X}" for octet in one[0].encode("utf-8", "replace")), text)
