"""relay.toml and RELAY_* variables: every default and every check.

A variable (RELAY_SMTP__TIMEOUT=60; lists as JSON) wins over the file. An unknown or wrong key is refused by name, with
what it should be, as a :class:`relay.errors.SettingsError` of one line. Nothing here opens a socket or a database.
"""

from __future__ import annotations

import json
import os
import re
import socket
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from relay.errors import SettingsError
from relay.hours import Calendar
from relay.networks import parse_network
from relay.values import check_secret, check_url, check_zone, parse_address, parse_blocklist, parse_duration, parse_size

CONFIG_PATHS = (Path("relay.toml"), Path("/etc/relay/relay.toml"))
OWN_RULES = ("everyone", "contacts", "mail")
"""Names in [notify] that no rule of a person's may have: of the short way, and of the customers' own contacts."""
PROOFS = ("dns", "loop", "space", "expiry", "recipients", "tls")
MOST_CONNECTIONS = 1000
"""To one appliance, whoever asks for it."""


def _address(text: str) -> str:
    parse_address(text)
    return text


def _blocklist(text: str) -> str:
    parse_blocklist(text)
    return text


def _plan_name(text: str) -> str:
    if text == "gold":
        raise ValueError("the plan gold is built in; give yours another name")
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError(f"{text!r} should be a name in small letters, digits, - and _")
    return text


def _rule_name(text: str) -> str:
    if text in OWN_RULES:
        raise ValueError(f"{text!r} is the relay's own; give your rule another name")
    if not re.fullmatch(r"[a-z0-9_-]+", text):
        raise ValueError(f"{text!r} should be a name in small letters, digits, - and _")
    return text


def _notify_url(text: str) -> str:
    if not re.match(r"[A-Za-z0-9]{2,12}://\S", text) or not text.isprintable() or "://" in text.partition("://")[2]:
        raise ValueError("should be one URL of Apprise, such as mailtos://user:password@smtp.desk.example?to=…")
    return text


def _secrets(given: Any) -> Any:
    """One secret is a list of one; a variable gives a list as JSON."""
    if isinstance(given, str):
        return json.loads(given) if given.startswith("[") else (given,)
    return given


def _or_never(given: Any) -> float:
    return 0.0 if str(given).strip() in ("0", "never") else parse_duration(given)


Size = Annotated[int, BeforeValidator(parse_size)]
Duration = Annotated[float, BeforeValidator(parse_duration)]
Listen = Annotated[str, AfterValidator(_address)]
Network = Annotated[str, AfterValidator(parse_network)]
Blocklist = Annotated[str, AfterValidator(_blocklist)]
SQLITE, POSTGRESQL = "sqlite:///", r"postgresql(\+psycopg)?://"
Positive = Annotated[float, Field(gt=0)]
NotifyUrl = Annotated[str, AfterValidator(_notify_url)]
Happening = Literal[
    "opened",
    "raised",
    "lowered",
    "acknowledged",
    "responded",
    "comment",
    "returned",
    "drained",
    "warning-50",
    "warning-75",
    "breach",
    "resolved",
]
"""What people are told of tickets; see relay.tickets.people.rules."""


class Section(BaseModel):
    """One table of relay.toml."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Node(Section):
    """Who this node is, and where its data lies. ``mx_names`` and ``mx_addresses``: how the DNS names this cluster.
    ``database_direct``: where ``database`` goes by PgBouncer, the same database without it, for LISTEN. ``folder``:
    what a node on PostgreSQL keeps on its own machine, a few KiB; with SQLite that is beside the database."""

    name: str = Field(
        default_factory=lambda: socket.gethostname().split(".")[0] or "relay", pattern=r"^[A-Za-z0-9._-]+$"
    )
    hostname: str = Field(default_factory=socket.getfqdn, min_length=1)
    postmaster: str = ""
    mx_names: list[str] = []
    mx_addresses: list[str] = []
    database: str = Field(default="sqlite:///var/relay.db", pattern=rf"^({SQLITE}|{POSTGRESQL}).+")
    database_direct: str = Field(default="", pattern=rf"^({POSTGRESQL}.+)?$")
    folder: str = Field(default="var", min_length=1)


class TlsPair(Section):
    """A certificate with its chain, and its key: PEM files."""

    certificate: str = Field(min_length=1)
    key: str = Field(min_length=1)


class Smtp(Section):
    """The listeners. Sizes in bytes, times in seconds; ``memory`` bounds the bytes in flight; ``fair_shares``: domains
    for which mail comes at the same time take turns; ``tls_sni``: certificates for clients that ask for the hosts that
    they name; ``proxy_protocol_from``: the load balancers whose connections begin with a header of the PROXY protocol;
    ``etrn_from``: who may ask for any domain's mail beside its own servers."""

    listen: list[Listen] = ["127.0.0.1:2525"]
    max_message_size: Annotated[Size, Field(ge=65536)] = 50 * 1024**2
    max_recipients: int = Field(default=1000, ge=100)  # RFC 5321 4.5.3.1.8: at least 100
    max_connections: int = Field(default=1000, ge=1)
    max_connections_per_client: int = Field(default=50, ge=1)
    memory: Annotated[Size, Field(ge=1024**2)] = 256 * 1024**2
    fair_shares: bool = True
    timeout: Positive = 300.0
    bare_newline: Literal["normalize", "reject"] = "normalize"
    tls_certificate: str = ""
    tls_key: str = ""
    tls_sni: list[TlsPair] = []
    proxy_protocol_from: list[Network] = []
    etrn_from: list[Network] = []


class Limits(Section):
    """What strangers may ask for; *Limits* in deploy/runbook.md tells more.

    ``client_messages``, ``client_recipients``, ``domain_messages``, ``domain_recipients``: a minute; 0: any number.
    ``domain_connections``: sessions at a time with mail for one domain; 0: as many as leave the others a fair share.
    ``client_errors``: commands refused for good in a session. ``exempt``: networks that rates, ``greet_wait`` and
    ``dnsbl`` don't apply to. ``greet_wait``: seconds before the banner of a client that isn't known; 0: none.
    ``dnsbl``: zones, as zone or zone=127.0.0.2,127.0.0.4-8. ``min_disk_free``: bytes; never less than is reserved.
    ``database_capacity``: bytes of the volume that a PostgreSQL database lies on, which only its operator knows; 0: not
    known, and then nothing is refused before the server itself says that it is full.
    """

    client_messages: int = Field(default=0, ge=0)
    client_recipients: int = Field(default=0, ge=0)
    domain_messages: int = Field(default=0, ge=0)
    domain_recipients: int = Field(default=0, ge=0)
    domain_connections: int = Field(default=0, ge=0)
    client_errors: int = Field(default=20, ge=1)
    exempt: list[Network] = []
    greet_wait: float = Field(default=0.2, ge=0, le=30)
    dnsbl: list[Blocklist] = []
    min_disk_free: Size = 0
    database_capacity: Size = 0


class Watch(Section):
    """How primaries are probed; seconds and counts. ``references``: host:port that tell whether we are cut off."""

    interval: Positive = 30.0
    down_interval: Positive = 2.0
    connect_timeout: Positive = 5.0
    reply_timeout: Positive = 30.0
    down_after: int = Field(default=3, ge=1)
    up_after: int = Field(default=2, ge=1)
    references: list[Listen] = []


class Continuity(Section):
    """When the relay takes over and gives back; seconds."""

    ticket_after: float = Field(default=60, ge=0)
    settle: float = Field(default=600, ge=0)
    proof_after: float = Field(default=600, ge=0)
    on_business_hours: Literal["raise", "keep"] = "raise"
    raise_before: float = Field(default=1800, ge=0)
    skip_proofs: list[Literal["dns", "loop", "space", "expiry", "recipients", "tls"]] = []


class Within(Section):
    """Times to acknowledge and to respond, such as "1h"."""

    acknowledge: Duration
    respond: Duration


class Plan(Section):
    """What a support plan promises at each priority."""

    p1: Within
    p2: Within
    p3: Within


class Support(Section):
    """The desk's own hours, in which P2 and P3 clocks run; ``plans``: those beside Gold, which is built in."""

    hours: str = "Mon-Fri 09:00-18:00"
    timezone: Annotated[str, AfterValidator(check_zone)] = "UTC"
    holidays: str = ""
    plans: dict[Annotated[str, AfterValidator(_plan_name)], Plan] = {}

    def calendar(self) -> Calendar:
        return Calendar.parse(self.hours, self.timezone, self.holidays)


class Delivery(Section):
    """How mail is handed back. ``client``: whether a primary that wants to know is told the original client of each
    message; auto: so that it judges the client itself (XCLIENT), or for its log (XFORWARD), as it offers."""

    max_connections: int = Field(default=20, ge=1, le=MOST_CONNECTIONS)
    ramp: bool = True
    tls: Literal["opportunistic", "verify", "none"] = "opportunistic"
    client: Literal["auto", "xforward", "none"] = "auto"


class Dns(Section):
    """``resolvers``: "host" or "host:port"; empty: the system's. ``timeout``: seconds a look-up may take in all."""

    resolvers: list[str] = []
    timeout: Positive = 5.0


class Metrics(Section):
    """Where Prometheus asks; empty for none."""

    listen: str = "127.0.0.1:9125"


class Backup(Section):
    """The relay's own database. ``max_age``: of its last backup before ``relayctl doctor`` warns; "never": somebody
    else saves it."""

    max_age: Annotated[float, BeforeValidator(_or_never)] = 2 * 86400.0


class Helpdesk(Section):
    """Where tickets are shown to people; deploy/helpdesk.md tells more.

    ``url``, ``token``, ``queue``: Request Tracker's, or the receiver's address. ``secret``: of webhooks in both
    directions, or a list of them: all sign, each is believed. ``priorities`` and ``sla``: what P1, P2 and P3 are
    there. ``field``: RT's custom field for our ticket; ``customer_field``: the one with the customer's name, where it
    has one. ``poll``: seconds between looks at what people did there. ``listen``: where they report it themselves.
    ``allow_private``: webhooks may go to addresses that aren't public, and unencrypted.
    """

    kind: Literal["embedded", "rt", "webhook"] = "embedded"
    url: str = ""
    token: str = ""
    queue: str = ""
    secret: Annotated[
        tuple[Annotated[str, AfterValidator(check_secret)], ...], NoDecode, BeforeValidator(_secrets)
    ] = ()
    priorities: dict[Literal["P1", "P2", "P3"], int] = {}
    sla: dict[Literal["P1", "P2", "P3"], str] = {}
    field: str = Field(default="RelayIncident", min_length=1)
    customer_field: str = ""
    poll: Positive = 15.0
    listen: str = ""
    allow_private: bool = False


class Rule(Section):
    """Who is told what of which tickets, and when.

    ``urls``: Apprise's; ``contacts``: the customer's own, by [notify] mail, of anything but mail flow, of which they
    hear by themselves. ``customers``, ``appliances``, ``domains``, ``conditions``: empty for all. ``priorities``: of
    the ticket then. ``hours``: always, desk, or hours of its own (in ``timezone``, empty for the desk's); what happens
    outside of them waits for their beginning.
    """

    name: Annotated[str, AfterValidator(_rule_name)]
    urls: list[NotifyUrl] = []
    contacts: bool = False
    customers: list[str] = []
    appliances: list[str] = []
    domains: list[str] = []
    conditions: list[Literal["mailflow", "mx", "certificate", "recipients", "backup", "quota", "contract"]] = []
    priorities: Annotated[list[Literal[1, 2, 3]], Field(min_length=1)] = [1, 2, 3]
    events: Annotated[list[Happening], Field(min_length=1)] = [
        "opened",
        "raised",
        "lowered",
        "warning-75",
        "breach",
        "resolved",
    ]
    hours: str = "always"
    timezone: str = ""
    holidays: str = ""

    def calendar(self, desk: Support) -> Calendar:
        """Raises ValueError."""
        if self.hours == "desk":
            return desk.calendar()
        return Calendar.parse(self.hours, self.timezone or desk.timezone, self.holidays)


class Notify(Section):
    """Whom to tell of tickets: *Who gets what, when* in deploy/runbook.md tells more.

    ``urls``: the short way: these are told of every P1, of what becomes of it, and of every breach. ``mail``: the
    operator's own mail server, by which the customers' contacts are written to (Apprise's mailto or mailtos).
    """

    urls: list[NotifyUrl] = []
    mail: Annotated[str, AfterValidator(lambda text: text and _notify_url(text))] = ""
    rules: list[Rule] = []


class Settings(BaseSettings):
    """Everything that can be set. Made by :func:`load`."""

    model_config = SettingsConfigDict(extra="forbid", frozen=True, env_prefix="RELAY_", env_nested_delimiter="__")

    node: Node = Field(default_factory=Node)
    smtp: Smtp = Smtp()
    limits: Limits = Limits()
    watch: Watch = Watch()
    continuity: Continuity = Continuity()
    support: Support = Support()
    delivery: Delivery = Delivery()
    dns: Dns = Dns()
    metrics: Metrics = Metrics()
    backup: Backup = Backup()
    helpdesk: Helpdesk = Helpdesk()
    notify: Notify = Notify()


def find(path: Path | None) -> Path | None:
    """The file named by -c, $RELAY_CONFIG, ./relay.toml or /etc/relay/relay.toml, in this order; None where none is."""
    if path is not None:
        return path
    if named := os.environ.get("RELAY_CONFIG"):
        return Path(named)
    return next((candidate for candidate in CONFIG_PATHS if candidate.is_file()), None)


def load(path: Path | None = None) -> Settings:
    """Read and check the settings. Raises SettingsError with one line that names the key."""
    where = find(path)
    if where is not None:
        try:
            tomllib.loads(where.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise SettingsError(f"{where}: no such file; 'relayctl init' makes one") from None
        except OSError as error:
            raise SettingsError(f"{where}: {error.strerror or error}") from None
        except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{where}: {error}") from None

    class FromHere(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return (env_settings, TomlConfigSettingsSource(settings_cls, where))

    _check_variables()
    try:
        settings = FromHere()
        settings.support.calendar()
    except ValidationError as error:
        raise SettingsError(f"{where or 'environment'}: {_explain(error)}") from None
    except SourceError:
        wrong = ", ".join(name for name in _variables() if os.environ[name].lstrip()[:1] not in "[{")
        raise SettingsError(f'environment: a list should be JSON, such as ["127.0.0.1:2525"]; see {wrong}') from None
    except ValueError as error:
        raise SettingsError(f"{where or 'environment'}: [support] hours, timezone, holidays: {error}") from None
    _check(settings, where)
    return _anchored(settings, where)


def _variables() -> list[str]:
    return [name for name in sorted(os.environ) if name.startswith("RELAY_") and name != "RELAY_CONFIG"]


def _check_variables() -> None:
    """A misspelt variable must not pass in silence: pydantic-settings looks only for those it knows."""
    for name in _variables():
        section, _, key = name.removeprefix("RELAY_").lower().partition("__")
        if section not in Settings.model_fields:
            raise SettingsError(
                f"environment: {name} is not a setting; sections are {', '.join(Settings.model_fields)}"
            )
        if not key and not os.environ[name].lstrip().startswith("{"):
            raise SettingsError(f"environment: {name} should name a key, as in RELAY_{section.upper()}__KEY")


def _anchored(settings: Settings, where: Path | None) -> Settings:
    """Relative paths of [node] are relative to relay.toml, so that relayctl finds them from any folder."""
    if where is None:
        return settings
    home, node = where.resolve().parent, settings.node
    found = {"folder": str(home / node.folder)}
    if node.database.startswith(SQLITE):
        found["database"] = f"{SQLITE}{home / node.database.removeprefix(SQLITE)}"
    return settings.model_copy(update={"node": node.model_copy(update=found)})


def _explain(error: ValidationError) -> str:
    """The first fault as '[section] key: what it should be'."""
    fault = error.errors()[0]
    place = [str(part) for part in fault["loc"]]
    name = f"[{place[0]}]" + "".join(f" {part}" for part in place[1:])
    if fault["type"] == "extra_forbidden":
        section = Settings.model_fields.get(place[0])
        kind: Any = section.annotation if section and len(place) > 1 else Settings
        kind = Rule if place[:2] == ["notify", "rules"] else kind
        return f"{name} is not a setting; known here: {', '.join(kind.model_fields)}"
    if fault["type"] == "string_pattern_mismatch" and place[1:] in (["database"], ["database_direct"]):
        # Without what it is: there may be a password in it.
        file = "sqlite:///path/to/relay.db or " if place[1] == "database" else ""
        return f"{name} should be {file}postgresql+psycopg://USER:PASSWORD@HOST/DATABASE"
    message = fault["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("Value ")
    secret = place[0] == "helpdesk" and place[1:2] in (["secret"], ["token"])
    secret |= place[0] == "notify" and not {"name", "priorities", "events", "conditions"} & set(place)
    if secret or fault["type"] == "missing":
        return f"{name}: {message}"  # what is given is nobody else's business
    return f"{name}: {message} (it is {fault['input']!r})"


def _check(settings: Settings, where: Path | None) -> None:
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
