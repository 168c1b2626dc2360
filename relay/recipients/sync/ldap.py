"""Asking one directory server: connect, TLS, bind, and a search page by page (RFC 4511, RFC 2696).

    found = await search(directory, url, password, domains, resolver, pool)      # {"acme.example": {"info", "sales"}}

What it promises: the answer is whole, or it is :class:`SyncFailed` with one line that says what failed; a server that
hangs, drips or never ends is left when the time is over, and one that sends without measure when the bounds are
reached. A password is sent over a connection that is encrypted and verified, unless the operator said that TLS is not
wanted. References to other servers are not followed: whom to ask is said by the operator alone.

Bytes come and go on the event loop; what they mean is worked out in ``pool``, since a page of entries takes longer
than the loop can spare.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeAlias

from sansldap import (
    BindResponse,
    ExtendedOperations,
    ExtendedResponse,
    LDAPClient,
    LDAPResult,
    LDAPResultCode,
    PagedResultControl,
    SearchResultDone,
    SearchResultEntry,
    SearchResultReference,
    SearchScope,
)

from relay.dns import Resolver
from relay.errors import LookupFailed, SyncFailed
from relay.recipients.sync.addresses import recipients_among
from relay.recipients.sync.model import CustomerDirectory, Tls
from relay.recipients.sync.url import LdapUrl, Scope
from relay.recipients.sync.wire import Wire

PAGE = 500
"""Entries asked for at a time; Active Directory gives 1000 at most."""
MOST_BYTES = 256 * 1024**2
MOST_ADDRESSES = 500_000
LONGEST_WORDS = 200
"""Characters of what a server says that are passed on."""

Answer: TypeAlias = BindResponse | ExtendedResponse | SearchResultDone

_SCOPES = {Scope.BASE: SearchScope.BASE, Scope.ONE: SearchScope.ONE_LEVEL, Scope.SUB: SearchScope.SUBTREE}


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: to connect to one address, for each answer (a page of entries is one), and for all together."""

    connect: float = 5.0
    answer: float = 30.0
    whole: float = 600.0


async def search(
    directory: CustomerDirectory,
    url: LdapUrl,
    password: str,
    domains: Iterable[str],
    resolver: Resolver,
    pool: Executor,
    limits: Limits,
) -> dict[str, set[str]]:
    """By domain, what stands before the @ of its addresses. Raises SyncFailed."""
    session = _Session(pool, limits)
    try:
        async with asyncio.timeout(limits.whole):
            await session.open(directory, url, resolver)
            if directory.user:
                await session.bind(directory.user, password)
            return await session.search(url, domains)
    except TimeoutError:
        raise SyncFailed(f"it was not done within {limits.whole:g} s") from None
    finally:
        session.close()


class _Session:
    """A conversation with one server."""

    def __init__(self, pool: Executor, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._client = LDAPClient()
        self._wire: Wire | None = None
        self._received = 0

    async def open(self, directory: CustomerDirectory, url: LdapUrl, resolver: Resolver) -> None:
        self._wire = await Wire.open(await _addresses(url.host, resolver), url.port, self._limits.connect)
        if not url.secure and directory.tls is Tls.NONE:
            return
        context = await asyncio.get_running_loop().run_in_executor(self._pool, _context, directory.ca_file)
        if not url.secure:
            self._client.extended_request(ExtendedOperations.LDAP_START_TLS.value)
            result = _result(await self._ask(self._wire, "StartTLS"), ExtendedResponse)
            if result.result_code != LDAPResultCode.SUCCESS:
                raise SyncFailed(f"it refuses StartTLS: {_words(result)}")
            self._client = LDAPClient()  # nothing that was said before the handshake counts after it
        await self._wire.encrypt(context, url.host, self._limits.answer)

    async def bind(self, user: str, password: str) -> None:
        assert self._wire is not None  # noqa: S101 - it is open
        self._client.bind_simple(user, password)
        result = _result(await self._ask(self._wire, "the login"), BindResponse)
        if result.result_code != LDAPResultCode.SUCCESS:
            raise SyncFailed(f"it refuses the login as {user}: {_words(result)}")

    async def search(self, url: LdapUrl, domains: Iterable[str]) -> dict[str, set[str]]:
        assert self._wire is not None  # noqa: S101
        harvest = _Harvest(url, domains)
        cookie = b""
        while True:
            self._client.search_request(
                url.base,
                _SCOPES[url.scope],
                time_limit=int(self._limits.answer),
                filter=url.filter,
                attributes=list(url.attributes),
                # Not critical: a server without pages gives all at once, or says that it is too much.
                controls=[PagedResultControl(critical=False, size=PAGE, cookie=cookie)],
            )
            done = await self._ask(self._wire, "a page of entries", harvest.take)
            _check(_result(done, SearchResultDone), url)
            page = next((one for one in done.controls if isinstance(one, PagedResultControl)), None)
            if page is None or not page.cookie:
                return harvest.found
            cookie = page.cookie

    def close(self) -> None:
        """Without a word: nothing depends on an unbind."""
        if self._wire is not None:
            self._wire.close()

    async def _ask(self, wire: Wire, what: str, take: Callable[[SearchResultEntry], None] | None = None) -> Answer:
        """Send what the client has to say; the answer that ends it. Entries before that go to ``take``."""
        loop = asyncio.get_running_loop()
        wire.send(self._client.data_to_send())
        try:
            async with asyncio.timeout(self._limits.answer):
                while True:
                    data = await wire.receive()
                    self._received += len(data)
                    if self._received > MOST_BYTES:
                        raise SyncFailed(f"it sent more than {MOST_BYTES // 1024**2} MB")
                    answer = await loop.run_in_executor(self._pool, self._read, data, take)
                    if answer is not None:
                        return answer
        except TimeoutError:
            raise SyncFailed(f"no answer to {what} within {self._limits.answer:g} s") from None

    def _read(self, data: bytes, take: Callable[[SearchResultEntry], None] | None) -> Answer | None:
        """In a thread of the pool. None: there is more to come."""
        try:
            messages = self._client.receive(data)
        except Exception as error:  # whatever a stranger's bytes do to those who read them
            raise SyncFailed(f"it doesn't speak LDAP as it should: {_plain(str(error))}") from error
        for message in messages:
            if isinstance(message, SearchResultEntry) and take is not None:
                take(message)
            elif isinstance(message, (BindResponse, ExtendedResponse, SearchResultDone)):
                return message
            elif not isinstance(message, SearchResultReference):
                raise SyncFailed("it answers something that was not asked")
        return None


class _Harvest:
    """The addresses among the entries of a search."""

    def __init__(self, url: LdapUrl, domains: Iterable[str]) -> None:
        self._attributes = frozenset(_name(attribute) for attribute in url.attributes)
        self._count = 0
        self.found: dict[str, set[str]] = {domain: set() for domain in domains}

    def take(self, entry: SearchResultEntry) -> None:
        for attribute in entry.attributes:
            if _name(attribute.name) not in self._attributes:
                continue
            _, _, part = attribute.name.lower().partition(";range=")
            if part and not part.endswith("-*"):
                # Active Directory gives so many values of an attribute and no more; to miss some would be a loss.
                raise SyncFailed(
                    f"{entry.object_name} has more values of {_name(attribute.name)} than it gives at once"
                )
            self._count += recipients_among(attribute.values, self.found)
        if self._count > MOST_ADDRESSES:
            raise SyncFailed(f"it has more than {MOST_ADDRESSES} addresses of these domains")


def _name(attribute: str) -> str:
    """Without its options (``;lang-en``)."""
    return attribute.partition(";")[0].lower()


async def _addresses(host: str, resolver: Resolver) -> list[str]:
    if host == "localhost":
        return ["127.0.0.1", "::1"]
    try:
        return await resolver.addresses(host)
    except LookupFailed as error:
        raise SyncFailed(f"the DNS gives no answer: {error}") from error


def _context(ca_file: str) -> ssl.SSLContext:
    """Whom to believe. Reads files: not on the loop."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except ssl.SSLError as error:  # which is an OSError, too
        raise SyncFailed(f"{ca_file} holds no PEM certificates") from error
    except OSError as error:
        raise SyncFailed(f"can't read {ca_file}: {error.strerror}") from error


def _result(answer: Answer, kind: type[Answer]) -> LDAPResult:
    if not isinstance(answer, kind):
        raise SyncFailed("it answers something that was not asked")
    return answer.result


def _check(result: LDAPResult, url: LdapUrl) -> None:
    """Raises SyncFailed unless the search found all that there is."""
    match result.result_code:
        case LDAPResultCode.SUCCESS:
            return
        case LDAPResultCode.SIZE_LIMIT_EXCEEDED | LDAPResultCode.ADMIN_LIMIT_EXCEEDED:
            raise SyncFailed("it gives only a part of the entries; raise its size limit for the relay's user")
        case LDAPResultCode.NO_SUCH_OBJECT:
            raise SyncFailed(f"it has no {url.base or 'entry without a name'}, or shows it to others alone")
        case LDAPResultCode.REFERRAL:
            raise SyncFailed(
                f"it sends us to another server ({_plain(', '.join(result.referrals or ()))}); name that one"
            )
        case _:
            raise SyncFailed(f"it refuses the search: {_words(result)}")


def _words(result: LDAPResult) -> str:
    """The result in LDAP's words and the server's."""
    name = result.result_code.name.replace("_", " ").lower()
    said = _plain(result.diagnostics_message)
    return f"{name} ({said})" if said else name


def _plain(text: str) -> str:
    """A stranger's words in one short line."""
    line = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    return line if len(line) <= LONGEST_WORDS else f"{line[:LONGEST_WORDS]}…"
