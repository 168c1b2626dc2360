"""A customer's directory: entered, shown, tried, forgotten, and what doctor says of it."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import pytest

from tests.integration.cli.console import Relayctl
from tests.support.database import everything_in

URL = "ldaps://127.0.0.1:9/dc=acme,dc=example?mail?sub?(objectClass=person)"
SPARE = "ldap://127.0.0.1:19/dc=acme,dc=example"
USER = "cn=relay,dc=acme,dc=example"


@pytest.fixture
def password(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text("correct horse\n")
    path.chmod(0o600)
    return path


def _add(relayctl: Relayctl, *options: str | Path) -> None:
    argv = ["domain", "add", "acme.example", "--primary", "127.0.0.1:9", "--recipients", "listed", *options]
    relayctl.does(*map(str, argv))


def test_a_directory_is_kept_as_it_was_entered(relayctl: Relayctl, password: Path) -> None:
    """And changed one thing at a time; the password itself is nowhere."""
    login = ["--directory-user", USER, "--directory-password-file", password, "--directory-ca", "/etc/acme.pem"]
    _add(relayctl, "--directory", URL, "--directory", SPARE, *login, "--directory-every", "30m")
    wanted = {
        "urls": [URL, SPARE],
        "user": USER,
        "password_file": str(password),
        "ca_file": "/etc/acme.pem",
        "tls": "starttls",
        "every_seconds": 1800,
        "last_try_at": None,
        "last_ok_at": None,
        "failing_since": None,
        "addresses": 0,
        "problem": None,
    }
    assert relayctl.json("appliance", "show", "acme.example")["directory"] == wanted
    relayctl.does("appliance", "set", "acme.example", "--directory-tls", "none", "--directory-ca", "none")
    changed = wanted | {"tls": "none", "ca_file": ""}
    assert relayctl.json("appliance", "show", "acme.example")["directory"] == changed
    relayctl.does(
        *("appliance", "set", "acme.example", "--directory-user", "none", "--directory-password-file", "none"),
        *("--directory", SPARE, "--customer", "Acme Ltd"),
    )
    shown = relayctl.json("appliance", "show", "acme.example")
    assert shown["customer"] == "Acme Ltd"
    assert shown["directory"] == changed | {"urls": [SPARE], "user": "", "password_file": ""}
    assert "127.0.0.1 hasn't been asked yet" in relayctl.does("appliance", "show", "acme.example")
    assert relayctl.does("appliance", "set", "acme.example", "--directory", "none") == (
        "appliance acme.example changed: directory\n"
    )
    assert relayctl.json("appliance", "show", "acme.example")["directory"] is None
    with closing(relayctl.database()) as db:
        assert "correct horse" not in everything_in(db)


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        (["--directory", "dc1.acme.example"], "--directory: 'dc1.acme.example' should be an LDAP URL such as "),
        (["--directory", SPARE, "--directory-every", "soon"], "--directory-every: 'soon' should be a time such as "),
        (["--directory", SPARE, "--directory-every", "5s"], "--directory-every should be 60s or more"),
        (
            ["--directory", SPARE, "--directory-user", USER],
            "--directory-user and --directory-password-file go together",
        ),
        (["--directory-every", "1h"], "--directory URL is missing"),
        (["--directory", "none", "--directory-every", "1h"], "--directory none leaves nothing else to be said"),
        (["--directory", "none", "--directory", SPARE], "--directory: 'none' should be an LDAP URL"),
    ],
)
def test_what_is_wrong_with_a_directory_is_said(relayctl: Relayctl, options: list[str], wrong: str) -> None:
    """In one line, and nothing is half done."""
    argv = ["domain", "add", "acme.example", "--primary", "127.0.0.1:9", *options]
    assert relayctl.refuses(*argv).startswith(wrong)
    assert relayctl.json("appliance", "list") == []


def test_a_sync_that_fails_says_what_each_server_did(relayctl: Relayctl) -> None:
    """Now, afterwards in show and doctor, and with exit 1; --dry-run leaves no trace of it."""
    _add(relayctl, "--directory", URL, "--directory", SPARE)
    tried = relayctl("recipient", "sync", "acme.example", "--dry-run")
    assert (tried.status, tried.err) == (1, "relayctl: 1 of 1 sync failed\n")
    assert relayctl.json("appliance", "show", "acme.example")["directory"]["last_try_at"] is None
    answer = relayctl("recipient", "sync")
    assert (answer.status, answer.err) == (1, "relayctl: 1 of 1 sync failed\n")
    problem = relayctl.json("appliance", "show", "acme.example")["directory"]["problem"]
    assert answer.out == f"acme.example: {problem}\n"
    assert problem.startswith("the sync with the directory at 127.0.0.1 fails since 20")
    assert problem.endswith(
        "127.0.0.1:9: connection refused; 127.0.0.1:19: connection refused; it has never worked, and nobody is listed "
        "by it yet"
    )
    assert problem in relayctl.does("appliance", "show", "acme.example")
    answer = relayctl("--json", "doctor")
    assert answer.status == 1
    assert problem in answer.out
    assert "'relayctl recipient sync acme.example' tries it again" in answer.out


def test_doctor_warns_of_a_password_that_others_may_read(relayctl: Relayctl, password: Path) -> None:
    """In its file, or on its way."""
    login = ["--directory-user", USER, "--directory-password-file", password]
    _add(relayctl, "--directory", "ldap://dc1.acme.example/dc=acme", *login)
    assert "password" not in relayctl("doctor").out
    password.chmod(0o644)
    relayctl.does("appliance", "set", "acme.example", "--directory-tls", "none")
    out = relayctl("doctor").out
    assert f"{password} can be read by everybody on this machine" in out
    assert f"the password of {USER} travels unencrypted to dc1.acme.example" in out
    password.unlink()
    assert f"can't read the password file {password}: No such file or directory" in relayctl("doctor").out


def test_where_there_is_nothing_to_sync_it_is_said(relayctl: Relayctl) -> None:
    """No directory, no domain that takes listed recipients alone, no name to accept a loss of."""
    assert relayctl.refuses("recipient", "sync").startswith("no appliance has a directory; 'relayctl appliance set")
    relayctl.does("domain", "add", "acme.example", "--primary", "127.0.0.1:9")
    assert relayctl.refuses("recipient", "sync", "acme.example").startswith("acme.example has no directory; ")
    said = relayctl.does("appliance", "set", "acme.example", "--directory", URL)
    assert "it is asked once a domain has the policy 'listed'" in said
    assert "no domain takes listed recipients alone" in relayctl.does("recipient", "sync", "acme.example")
    assert "--accept-loss needs a name" in relayctl.misused("recipient", "sync", "--accept-loss")
