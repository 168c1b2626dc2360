"""What a person may write in relay.toml, and what they are told when it is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from relay.errors import SettingsError
from relay.settings import load


def write(folder: Path, text: str) -> Path:
    path = folder / "relay.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_an_empty_file_gives_the_defaults_of_the_design(tmp_path: Path) -> None:
    """Nothing set means loopback, thirty seconds, three failures, a minute to the ticket."""
    settings = load(write(tmp_path, ""))
    assert settings.smtp.listen == ["127.0.0.1:2525"]
    assert (settings.watch.interval, settings.watch.down_interval, settings.watch.down_after) == (30.0, 2.0, 3)
    assert (settings.continuity.ticket_after, settings.continuity.settle) == (60, 600)
    assert settings.delivery.max_connections == 20
    assert settings.metrics.listen == "127.0.0.1:9125"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[node]\nnam = "x"', "[node] nam is not a setting; known here: name, hostname"),
        ("[foo]\nx = 1", "[foo] is not a setting; known here: node, smtp"),
        ('[smtp]\nlisten = ["x"]', "should be host:port"),
        ('[smtp]\nmax_message_size = "20XB"', "[smtp] max_message_size: should be a size such as 50MB"),
        ('[watch]\ninterval = "soon"', "[watch] interval: should be a valid number"),
        ("[watch]\ninterval = 0", "[watch] interval: should be greater than 0"),
        ('[delivery]\ntls = "maybe"', "[delivery] tls: should be 'opportunistic', 'verify' or 'none'"),
        ('[support]\ntimezone = "Mars/Base"', "should be a time zone such as Europe/Berlin"),
        ('[support]\nhours = "Foo"', "[support] hours"),
        ('[support.plans.gold]\np1 = "1h"', "the plan gold is built in"),
        ('[support.plans."My Plan"]\np1 = "1h"', "should be a name in small letters"),
        ('[support.plans.silver]\np1 = { acknowledge = "1h", respond = "soon" }', "should be a time such as 14d"),
        ('[support.plans.silver]\np1 = { acknowledge = "1h", respond = "1h" }', "silver p2: Field required"),
        ('[node]\ndatabase = "mysql://x"', "[node] database should be sqlite:///path/to/relay.db"),
        ('[smtp]\ntls_key = "k.pem"', "tls_certificate and tls_key should be set together"),
        ('[[smtp.tls_sni]]\ncertificate = "c"\nkey = "k"', "[smtp] tls_sni needs tls_certificate"),
        ('[[smtp.tls_sni]]\ncertificate = "c"', "[smtp] tls_sni 0 key: Field required"),
        ('[smtp]\nlisten = ["0.0.0.0:25"]', "[node] postmaster should be set before"),
        ("[limits]\nclient_messages = -1", "[limits] client_messages: should be greater than or equal to 0"),
        ("[limits]\nclient_errors = 0", "[limits] client_errors: should be greater than or equal to 1"),
        ('[limits]\nexempt = ["192.0.2.1/24"]', "'192.0.2.1/24' should be an address or a network"),
        ('[limits]\ndnsbl = ["nodots"]', "'nodots' should be a zone, or zone="),
        ('[limits]\ndnsbl = ["bl.example="]', "'bl.example=' should be a zone, or zone="),
        ('[limits]\ndnsbl = ["bl.example=127.0.0.2-300"]', "should be a zone, or zone="),
        ('[limits]\nmin_disk_free = "much"', "[limits] min_disk_free: should be a size"),
        ('[metrics]\nlisten = "here"', "[metrics] listen"),
        ('[helpdesk]\nkind = "jira"', "[helpdesk] kind: should be 'embedded', 'rt' or 'webhook'"),
        ('[helpdesk]\nkind = "rt"\nurl = "https://rt.example"', '[helpdesk] token should be set for kind = "rt"'),
        ('[helpdesk]\nkind = "webhook"\nurl = "https://x.example"', "[helpdesk] secret should be set"),
        ('[helpdesk]\nsecret = "whsec_c2hvcnQ="', "should be whsec_ and 24 to 64 random octets"),
        ('[helpdesk]\nurl = "desk.example"', "should be a URL such as https://"),
        ('[helpdesk]\nlisten = "127.0.0.1:80"', '[helpdesk] listen is for kind = "webhook"'),
        (
            '[helpdesk]\nkind = "rt"\nurl = "https://rt.example"\ntoken = "x"\nqueue = "Gold"',
            "token should be one that RT has made",
        ),
        ("[helpdesk]\npriorities = { P4 = 1 }", "[helpdesk] priorities P4"),
        ("what is this", "Expected '='"),
    ],
)
def test_a_wrong_key_is_refused_by_name_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    """The line names the file, the key, and what it should be."""
    path = write(tmp_path, text)
    with pytest.raises(SettingsError) as refusal:
        load(path)
    assert said in str(refusal.value)
    assert str(path) in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_variable_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELAY_SECTION__KEY overrides one key and leaves the rest of the section."""
    monkeypatch.setenv("RELAY_WATCH__INTERVAL", "12")
    settings = load(write(tmp_path, "[watch]\ninterval = 20\ndown_after = 5"))
    assert (settings.watch.interval, settings.watch.down_after) == (12.0, 5)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("RELAY_WATCHES__INTERVAL", "12", "RELAY_WATCHES__INTERVAL is not a setting"),
        ("RELAY_WATCH__INTERVALL", "12", "[watch] intervall is not a setting"),
        ("RELAY_SMTP__LISTEN", "127.0.0.1:25", "a list should be JSON"),
        ("RELAY_WATCH", "12", "should name a key"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    """A misspelt variable never passes in silence."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=said.replace("[", r"\[")):
        load(write(tmp_path, ""))


def test_the_database_lies_beside_its_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """relayctl finds the same database from any folder."""
    path = write(tmp_path, "")
    monkeypatch.chdir("/")
    assert load(path).node.database == f"sqlite:///{tmp_path}/var/relay.db"


def test_a_file_that_is_named_but_missing_says_how_to_make_it(tmp_path: Path) -> None:
    """A wrong -c is not silently the defaults."""
    with pytest.raises(SettingsError, match="no such file; 'relayctl init' makes one"):
        load(tmp_path / "absent.toml")


WEBHOOK = '[helpdesk]\nkind = "webhook"\nurl = "http://desk.example"\nsecret = '


def test_a_webhooks_secret_may_be_several_and_is_never_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One, a list, or a variable; what is wrong with one is said without it; unencrypted only where that is allowed."""
    one, two = "whsec_" + "b2xk" * 11, "whsec_" + "bmV3" * 11
    allowed = "\nallow_private = true"
    assert load(write(tmp_path, f'{WEBHOOK}"{one}"{allowed}')).helpdesk.secret == (one,)
    assert load(write(tmp_path, f'{WEBHOOK}["{one}", "{two}"]{allowed}')).helpdesk.secret == (one, two)
    with pytest.raises(SettingsError, match="url should begin with https://"):
        load(write(tmp_path, f'{WEBHOOK}"{one}"'))
    with pytest.raises(SettingsError) as refusal:
        load(write(tmp_path, f'{WEBHOOK}"whsec_hush"{allowed}'))
    assert "hush" not in str(refusal.value)
    monkeypatch.setenv("RELAY_HELPDESK__SECRET", two)
    assert load(write(tmp_path, f'{WEBHOOK}"{one}"{allowed}')).helpdesk.secret == (two,)
    monkeypatch.setenv("RELAY_HELPDESK__SECRET", f'["{one}", "{two}"]')
    assert load(write(tmp_path, f'{WEBHOOK}"{one}"{allowed}')).helpdesk.secret == (one, two)
