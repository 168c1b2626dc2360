"""The customer's directory on the command line: the options that set it, and how its sync stands, in words."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
from sqlalchemy import Connection

from cli.render import at, span
from relay.appliances.model import Appliance
from relay.clock import iso
from relay.errors import Refused, SyncFailed
from relay.recipients.sync import decide, store
from relay.recipients.sync.model import CustomerDirectory, Tls
from relay.recipients.sync.password import read_password
from relay.recipients.sync.store import DirectorySync, listed_domains
from relay.recipients.sync.url import LdapUrl
from relay.values import parse_duration

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

FIELDS = ("urls", "user", "password_file", "ca_file", "tls", "every")
NONE = "none"


def options(command: F) -> F:
    """What can be said of an appliance's directory, for ``appliance add|set``."""
    for option in reversed(
        (
            click.option(
                "--directory",
                "directory_urls",
                multiple=True,
                metavar="URL",
                help="An LDAP URL (RFC 4516) that listed recipients are synced from; repeat for fail-over. 'none' for "
                "none.",
            ),
            click.option("--directory-user", metavar="DN", help="Whom to log in there as; 'none' for nobody."),
            click.option("--directory-password-file", metavar="PATH", help="Its first line is the password."),
            click.option("--directory-ca", "directory_ca_file", metavar="PATH", help="Whose certificates to believe."),
            click.option(
                "--directory-tls",
                type=click.Choice([str(choice) for choice in Tls]),
                help="How ldap:// is encrypted (StartTLS), or not; ldaps:// always is.",
            ),
            click.option("--directory-every", metavar="TIME", help="How often to sync, such as 1h."),
        )
    ):
        command = option(command)
    return command


def values(given: dict[str, Any]) -> dict[str, Any]:
    """The options that were given, as fields of a directory; taken out of ``given``. Raises Refused."""
    found = {name: given.pop(f"directory_{name}") for name in FIELDS}
    changes = {name: value for name, value in found.items() if value not in (None, ())}
    if changes.get("urls") == (NONE,):
        if len(changes) > 1:
            raise Refused("--directory none leaves nothing else to be said of the directory")
        return {"urls": ()}
    if "urls" in changes:
        changes["urls"] = tuple(_read("--directory", LdapUrl.parse, url) for url in changes["urls"])
    if "every" in changes:
        changes["every"] = _read("--directory-every", parse_duration, changes["every"])
    for name in ("user", "password_file", "ca_file"):
        if changes.get(name) == NONE:
            changes[name] = ""
    for name in ("password_file", "ca_file"):
        if changes.get(name):
            changes[name] = str(Path(changes[name]).absolute())
    if "tls" in changes:
        changes["tls"] = Tls(changes["tls"])
    return changes


def _read(option: str, reader: Callable[[str], T], text: str) -> T:
    try:
        return reader(text)
    except ValueError as error:
        raise Refused(f"{option}: {error}") from None


def change(connection: Connection, appliance: Appliance, changes: dict[str, Any], now: float) -> str:
    """Set it; what else there is to say about that. Raises Refused."""
    if not changes:
        return ""
    if changes.get("urls") == ():
        before = store.remove_directory(connection, appliance.id, now)
        kept = before.addresses if before else 0
        return f"; the {decide.count(kept)} that it listed stay" if kept else ""
    directory = store.set_directory(connection, appliance.id, **changes)
    if not listed_domains(connection, appliance.id):
        return "; it is asked once a domain has the policy 'listed': relayctl domain set DOMAIN --recipients listed"
    return f"; it is asked now, and every {span(directory.every)}"


@dataclass(frozen=True, slots=True)
class Described:
    """How a directory is set and its sync stands, as JSON and for people; None and empty where there is none."""

    facts: dict[str, Any] | None = None
    words: str = ""


def describe(connection: Connection, appliance: Appliance) -> Described:
    sync = store.find(connection, appliance.id)
    if sync is None:
        return Described()
    directory, state = sync.directory, sync.state
    facts = {
        "urls": [url.text for url in directory.urls],
        "user": directory.user,
        "password_file": directory.password_file,
        "ca_file": directory.ca_file,
        "tls": str(directory.tls),
        "every_seconds": directory.every,
        "last_try_at": at(state.tried_at),
        "last_ok_at": at(state.ok_at),
        "failing_since": at(state.failing_since),
        "addresses": state.addresses,
        "problem": decide.evidence(directory, state, appliance.name),
    }
    asked = " ".join(url.text for url in directory.urls)
    return Described(facts, f"{asked}\n{_stands(connection, appliance, sync)[1]}")


@dataclass(frozen=True, slots=True)
class Finding:
    """For ``relayctl doctor``: ``result`` is ok, warning or failed."""

    check: str
    result: str
    evidence: str
    remedy: str = ""


def check(connection: Connection, appliance: Appliance) -> Iterator[Finding]:
    """How the sync of an appliance stands, and what may stop it or give the password away; nothing where it has no
    directory."""
    sync = store.find(connection, appliance.id)
    if sync is None:
        return
    result, evidence = _stands(connection, appliance, sync)
    command = f"'relayctl recipient sync {appliance.name}'"
    remedies = {
        "ok": "",
        "warning": f"{command} does it now",
        "failed": f"{command} tries it again; deploy/runbook.md, 'The sync of recipients fails', has more",
    }
    yield Finding("sync", result, evidence, remedies[result])
    yield from _password(sync.directory)


def _stands(connection: Connection, appliance: Appliance, sync: DirectorySync) -> tuple[str, str]:
    """The result of a check, and the sync in words."""
    directory, state = sync.directory, sync.state
    if not listed_domains(connection, appliance.id):
        return "ok", "no domain takes listed recipients alone, so the directory isn't asked"
    if problem := decide.evidence(directory, state, appliance.name):
        return "failed", problem
    if state.ok_at is None or state.tried_at is None:
        return "warning", f"the directory at {directory.name} hasn't been asked yet"
    every = span(directory.every)
    return "ok", f"{decide.count(state.addresses)} at {iso(state.ok_at)} from {directory.name}, asked every {every}"


def _password(directory: CustomerDirectory) -> Iterator[Finding]:
    path = directory.password_file
    if path:
        try:
            read_password(path)
            mode = stat.S_IMODE(Path(path).stat().st_mode)
        except SyncFailed as error:
            yield Finding("password", "failed", str(error), "the node's user must be able to read it, nobody else")
        else:
            if mode & (stat.S_IROTH | stat.S_IWOTH):
                yield Finding(
                    "password", "warning", f"{path} can be read by everybody on this machine", f"chmod 640 {path}"
                )
    if directory.readable:
        yield Finding(
            "password",
            "warning",
            f"the password of {directory.user} travels unencrypted to {directory.name}",
            "use ldaps://, or '--directory-tls starttls'",
        )
