"""What operators write to say where a directory is."""

from __future__ import annotations

import pytest
from sansldap import LDAPFilter

from relay.recipients.sync.url import ATTRIBUTES, LdapUrl, Scope


def test_all_of_a_url_is_understood() -> None:
    """As RFC 4516 has it, with its escapes."""
    url = LdapUrl.parse("ldaps://dc1.acme.example:3269/ou=a%3Fb,dc=acme?mail,proxyAddresses?one?(cn=a%20b)")
    assert (url.secure, url.host, url.port, url.place) == (True, "dc1.acme.example", 3269, "dc1.acme.example:3269")
    assert (url.base, url.attributes, url.scope) == ("ou=a?b,dc=acme", ("mail", "proxyAddresses"), Scope.ONE)
    assert url.filter == LDAPFilter.from_string("(cn=a b)")


@pytest.mark.parametrize(
    ("text", "port", "base"),
    [
        ("ldap://dc1.acme.example", 389, ""),
        ("LDAPS://DC1.Acme.Example/", 636, ""),
        ("ldap://dc1.acme.example/dc=acme???", 389, "dc=acme"),
        ("ldaps://192.0.2.1/dc=acme", 636, "dc=acme"),
        ("ldaps://[2001:db8::1]/dc=acme", 636, "dc=acme"),
        ("ldaps://[2001:db8::1]:25/dc=acme", 25, "dc=acme"),
    ],
)
def test_what_is_not_said_has_a_default(text: str, port: int, base: str) -> None:
    """Whoever has one of the usual attributes, everywhere below the base."""
    url = LdapUrl.parse(text)
    assert (url.port, url.base, url.attributes, url.scope) == (port, base, ATTRIBUTES, Scope.SUB)
    assert "(proxyAddresses=*)" in str(url.filter)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("dc1.acme.example", "should be an LDAP URL"),
        ("http://dc1.acme.example/", "should be an LDAP URL"),
        ("ldap:///dc=acme", "should be an LDAP URL"),
        ("ldap://dc1.acme.example:99999/", "should be a host, or host:port"),
        ("ldap://relay@dc1.acme.example/", "is not a domain name"),
        ("ldap://dc1.acme.example/dc=acme?mail?all", "'all' should be base, one or sub"),
        ("ldap://dc1.acme.example/dc=acme?ma!l", "'ma!l' should be the name of an attribute"),
        ("ldap://dc1.acme.example/dc=acme???(cn=a", "'(cn=a' is no LDAP filter"),
        ("ldap://dc1.acme.example/dc=acme????!x-tls", "extensions (!x-tls) are not understood"),
        (f"ldap://dc1.acme.example/dc=acme???{'(!' * 5000}", "is no LDAP filter"),
    ],
)
def test_what_is_wrong_with_a_url_is_said(text: str, wrong: str) -> None:
    """In one sentence, and never by a traceback."""
    with pytest.raises(ValueError) as said:
        LdapUrl.parse(text)
    assert wrong in str(said.value)
