"""Asking a directory: a real slapd, and servers that do what none should."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from sansldap import LDAPServer, PartialAttribute

from relay.dns import Resolver
from relay.errors import SyncFailed
from relay.recipients.sync import ldap
from relay.recipients.sync.ldap import Limits, search
from relay.recipients.sync.model import CustomerDirectory, Tls
from relay.recipients.sync.url import LdapUrl
from relay.recipients.sync.wire import Wire
from relay.settings import Dns
from tests.support.certificates import certificate
from tests.support.slapd import BASE, LIMIT, LIMITED, PASSWORD, USER, DirectoryServer, directory_server
from tests.support.waiting import eventually

pytestmark = pytest.mark.real

PATIENT = Limits(whole=60.0)
SHORT = Limits(connect=1.0, answer=0.5, whole=20.0)
MANY = 2500
DOMAINS = ("acme.example", "acme.test")

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DirectoryServer]:
    """2,500 people, which is more than three pages."""
    with directory_server(tmp_path_factory.mktemp("ldap"), [f"user{place}" for place in range(MANY)]) as server:
        yield server


async def _ask(
    url: str,
    *,
    user: str = USER,
    password: str = PASSWORD,
    ca: Path | str = "",
    tls: Tls = Tls.STARTTLS,
    limits: Limits = PATIENT,
) -> dict[str, set[str]]:
    parsed = LdapUrl.parse(url)
    whom = CustomerDirectory(1, (parsed,), user, "", tls, str(ca))
    pool = ThreadPoolExecutor(2)
    try:
        resolver = Resolver(Dns(resolvers=["127.0.0.1:9"], timeout=0.2))
        return await search(whom, parsed, password, DOMAINS, resolver, pool, limits)
    finally:
        pool.shutdown()


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_everybody_is_found_page_by_page_and_encrypted(directory: DirectoryServer, scheme: str) -> None:
    """By StartTLS as by LDAPS; a domain where nobody is has an empty set."""
    found = await _ask(directory.url(scheme), ca=directory.ca)
    assert found == {"acme.example": {f"user{place}" for place in range(MANY)}, "acme.test": set()}


async def test_the_filter_of_the_url_is_obeyed(directory: DirectoryServer) -> None:
    """Also its attributes and its scope."""
    found = await _ask(directory.url("ldaps", "?mail?one?(|(cn=user7)(cn=user8*9))"), ca=directory.ca)
    assert found["acme.example"] == {"user7"} | {f"user8{digits}9" for digits in ("", *map(str, range(10)))}
    assert (await _ask(directory.url("ldaps", "?sn"), ca=directory.ca))["acme.example"] == set()


async def test_active_directorys_proxy_addresses_are_understood(directory: DirectoryServer) -> None:
    """Main and further addresses count, other kinds and other domains don't."""
    values = ["SMTP:Boss@Acme.Example", "smtp:chief@acme.test", "X500:/o=Acme/cn=boss", "smtp:boss@elsewhere.example"]
    directory.add("boss", proxyAddresses=values)
    try:
        found = await _ask(directory.url("ldaps", "??sub?(cn=boss)"), ca=directory.ca)
        assert found == {"acme.example": {"boss"}, "acme.test": {"chief"}}
    finally:
        directory.remove("boss")


@pytest.mark.parametrize("scheme", ["ldap", "ldaps"])
async def test_a_certificate_of_somebody_else_gets_no_password(
    directory: DirectoryServer, scheme: str, tmp_path: Path
) -> None:
    """Neither that of an unknown authority, nor one for another name."""
    with pytest.raises(SyncFailed, match="its certificate is not believed: self-signed certificate"):
        await _ask(directory.url(scheme), ca=certificate(tmp_path, "localhost").certificate)
    other = certificate(tmp_path, "other.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(other.certificate, other.key)
    heard = bytearray()

    async def listen(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read())

    async with _server(listen, context) as port:
        with pytest.raises(SyncFailed, match="its certificate is not believed: .*localhost"):
            await _ask(f"ldaps://localhost:{port}/{BASE}", ca=other.certificate)
    assert not heard


async def test_what_the_server_refuses_is_said_in_words(directory: DirectoryServer, tmp_path: Path) -> None:
    """A wrong password, a wrong base, a CA that is none, a stranger who may see nothing."""
    for wrong, words in (
        ({"password": "wrong"}, f"it refuses the login as {USER}: invalid credentials"),
        ({"user": "", "password": ""}, f"it has no {BASE}, or shows it to others alone"),
        ({"ca": tmp_path / "none.pem"}, f"can't read {tmp_path}/none.pem: No such file or directory"),
        ({"ca": directory.password_file}, f"{directory.password_file} holds no PEM certificates"),
    ):
        with pytest.raises(SyncFailed) as failed:
            await _ask(directory.url("ldaps"), **({"ca": directory.ca} | wrong))  # type: ignore[arg-type]
        assert str(failed.value) == words
    with pytest.raises(SyncFailed, match="it has no dc=nowhere, or shows it to others alone"):
        await _ask(directory.url("ldaps").replace(BASE, "dc=nowhere"), ca=directory.ca)


async def test_a_part_is_never_taken_for_the_whole(directory: DirectoryServer) -> None:
    """A server that gives this user so many entries and no more has said nothing."""
    assert LIMIT < MANY
    with pytest.raises(SyncFailed, match="it gives only a part of the entries; raise its size limit"):
        await _ask(directory.url("ldaps"), user=LIMITED, ca=directory.ca)


async def test_without_tls_only_where_the_operator_said_so(directory: DirectoryServer) -> None:
    """In plain text it works, too."""
    found = await _ask(directory.url("ldap", "??sub?(cn=user1)"), tls=Tls.NONE)
    assert found["acme.example"] == {"user1"}


async def test_a_server_that_never_answers_is_left_in_time() -> None:
    """It says nothing to a connection, a handshake, a login."""

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with _server(silent) as port:
        for url, tls, words in (
            (f"ldap://127.0.0.1:{port}", Tls.STARTTLS, "no answer to StartTLS within 0.5 s"),
            (f"ldap://127.0.0.1:{port}", Tls.NONE, "no answer to the login within 0.5 s"),
            (f"ldaps://127.0.0.1:{port}", Tls.STARTTLS, "the TLS handshake failed"),
        ):
            with pytest.raises(SyncFailed, match=words):
                await _ask(url, tls=tls, limits=SHORT)


async def test_a_server_that_drips_is_left_when_the_whole_time_is_over() -> None:
    """An answer that comes byte by byte, and pages without end, are no way to hold the relay."""

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = LDAPServer()
        while data := await reader.read(4096):
            for request in server.receive(data):
                control = ldap.PagedResultControl(critical=False, size=0, cookie=b"more")
                server.search_result_done(request.message_id, controls=[control])
            writer.write(server.data_to_send())

    async with _server(endless) as port:
        with pytest.raises(SyncFailed, match="it was not done within 1 s"):
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE, limits=Limits(1.0, 1.0, 1.0))

    async def drip(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x30\x84\x7f\xff\xff\xff")
        while not writer.is_closing():
            writer.write(b"\x00")
            await asyncio.sleep(0.02)

    async with _server(drip) as port:
        with pytest.raises(SyncFailed, match="no answer to a page of entries within 0.5 s"):
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE, limits=SHORT)


async def test_a_server_that_floods_is_left_at_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes and addresses have one; memory is the other customers', too."""

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = LDAPServer()
        (request,) = server.receive(await reader.read(4096))
        for place in range(3000):
            attribute = PartialAttribute("mail", [f"user{place}@acme.example".encode()])
            server.search_result_entry(request.message_id, f"cn=user{place}", [attribute])
        writer.write(server.data_to_send())
        await reader.read()

    async with _server(flood) as port:
        monkeypatch.setattr(ldap, "MOST_ADDRESSES", 2000)
        with pytest.raises(SyncFailed, match="it has more than 2000 addresses"):
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE)
        monkeypatch.setattr(ldap, "MOST_BYTES", 100_000)
        with pytest.raises(SyncFailed, match="it sent more than"):
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"220 mail.acme.example ESMTP\r\n", "it doesn't speak LDAP as it should"),
        (bytes.fromhex("300c02010961070a010004000400"), "it doesn't speak LDAP as it should"),
        (bytes.fromhex("300c02010161070a010004000400"), "it answers something that was not asked"),
        (b"\x30\x05\x02\x01\x01\x63\x80", "it doesn't speak LDAP as it should"),
        (b"\x30\x80", "it doesn't speak LDAP as it should"),
        (b"", "it ended the connection"),
    ],
)
async def test_what_is_no_answer_is_a_failure_in_one_line(said: bytes, words: str) -> None:
    """Another protocol, an answer to nobody's question, broken encoding, nothing at all."""

    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(4096)
        writer.write(said)
        await writer.drain()

    async with _server(say) as port:
        with pytest.raises(SyncFailed, match=words) as failed:
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE, limits=SHORT)
    assert "\n" not in str(failed.value)


async def test_what_comes_in_plain_text_behind_starttls_counts_for_nothing(tmp_path: Path) -> None:
    """Whoever put it there wants it to count as encrypted: an answer ends it, the beginning of one is forgotten."""
    made = certificate(tmp_path, "localhost")
    injected = b""

    async def inject(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = LDAPServer()
        (request,) = server.receive(await reader.read(4096))
        server.extended_response(request.message_id)
        writer.write(server.data_to_send() + injected)
        await writer.start_tls(made.context())
        server = LDAPServer()
        (request,) = server.receive(await reader.read(4096))
        server.search_result_done(request.message_id)
        writer.write(server.data_to_send())
        await reader.read()

    async with _server(inject) as port:
        url = f"ldap://localhost:{port}/{BASE}"
        injected = bytes.fromhex("300c0201016507")
        assert await _ask(url, user="", ca=made.certificate) == {"acme.example": set(), "acme.test": set()}
        injected = bytes.fromhex("300c02010165070a010004000400")
        with pytest.raises(SyncFailed, match="it doesn't speak LDAP as it should"):
            await _ask(url, user="", ca=made.certificate)

    async def chatter(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(injected)
        await reader.read()

    async with _server(chatter) as port:
        wire = await Wire.open(["127.0.0.1"], port, 1.0)
        await eventually(lambda: wire.unread)
        with pytest.raises(SyncFailed, match="in plain text in front of the TLS handshake"):
            await wire.encrypt(ssl.create_default_context(cafile=made.certificate), "localhost", 1.0)
        wire.close()


async def test_an_entry_with_more_values_than_are_given_at_once_is_no_success() -> None:
    """Active Directory says so in the attribute's name; the missing ones would be refused."""

    async def ranged(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server = LDAPServer()
        (request,) = server.receive(await reader.read(4096))
        attribute = PartialAttribute("proxyAddresses;range=0-1499", [b"smtp:a@acme.example"])
        server.search_result_entry(request.message_id, "cn=boss", [attribute])
        server.search_result_done(request.message_id)
        writer.write(server.data_to_send())
        await reader.read()

    async with _server(ranged) as port:
        with pytest.raises(SyncFailed, match="cn=boss has more values of proxyaddresses than it gives at once"):
            await _ask(f"ldap://127.0.0.1:{port}", user="", tls=Tls.NONE)


@asynccontextmanager
async def _server(script: Script, context: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """The port of a server that does this with each connection, and then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await script(reader, writer)
        except (OSError, asyncio.CancelledError):
            pass  # the other side has gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
