"""OpenLDAP's slapd, of Debian, with a small company in it: a private instance on loopback, in the test's own folder.

    with directory_server(tmp_path, ["ann", "bob"]) as directory:
        directory.url("ldaps")           # or "ldap", which offers StartTLS
        directory.add("cat"); directory.remove("ann")
        directory.stop(); directory.start()

Each person has ``mail: NAME@acme.example``. The relay logs in as ``directory.user``, whose password is in
``directory.password_file``; strangers see nothing.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.support.certificates import certificate
from tests.support.processes import free_port, need, running, tail
from tests.support.waiting import wait_until

BASE = "dc=acme,dc=example"
USER = f"cn=relay,{BASE}"
LIMITED = f"cn=limited,{BASE}"
"""Gets LIMIT entries of a search at most, pages or not."""
LIMIT = 100
PASSWORD = "correct horse"
HOST = "localhost"

# What the server knows of Active Directory is this one attribute, with its real number.
SCHEMA = """
attributetype ( 1.2.840.113556.1.2.210 NAME 'proxyAddresses'
    EQUALITY caseIgnoreMatch SYNTAX 1.3.6.1.4.1.1466.115.121.1.15 )
objectclass ( 1.3.6.1.4.1.32473.1.1 NAME 'activeDirectoryRecipient' SUP top AUXILIARY MAY proxyAddresses )
"""

CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
include {folder}/ad.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
TLSCertificateFile {certificate}
TLSCertificateKeyFile {key}
sizelimit {limit}
database mdb
maxsize 67108864
dbnosync
suffix "{base}"
directory {folder}/data
rootdn "cn=admin,{base}"
rootpw "{password}"
limits dn.exact="{user}" size=unlimited size.prtotal=unlimited
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="{user}" read by dn.exact="{limited}" read by * none
"""

COMPANY = f"""dn: {BASE}
objectClass: dcObject
objectClass: organization
dc: acme
o: Acme

dn: {USER}
objectClass: person
cn: relay
sn: relay
userPassword: {PASSWORD}

dn: {LIMITED}
objectClass: person
cn: limited
sn: limited
userPassword: {PASSWORD}
"""


class DirectoryServer:
    """Made by :func:`directory_server`."""

    user = USER

    def __init__(self, folder: Path, people: Iterable[str]) -> None:
        self._folder = folder
        self._program = need("slapd", "slapd")
        self._log = folder / "slapd.log"
        self.ports = {"ldap": free_port(), "ldaps": free_port()}
        self._process = ExitStack()
        made = certificate(folder, HOST, "127.0.0.1")
        self.ca = made.certificate
        """Whose certificates to believe: its own, signed by itself."""
        self.password_file = folder / "password"
        self.password_file.write_text(f"{PASSWORD}\n")
        self.password_file.chmod(0o600)
        (folder / "data").mkdir()
        (folder / "ad.schema").write_text(SCHEMA)
        self._configuration = folder / "slapd.conf"
        self._configuration.write_text(
            CONFIGURATION.format(
                folder=folder,
                certificate=made.certificate,
                key=made.key,
                limit=LIMIT,
                base=BASE,
                password=PASSWORD,
                user=USER,
                limited=LIMITED,
            )
        )
        self._run(
            need("slapadd", "slapd"),
            "-q",
            "-f",
            str(self._configuration),
            text="\n".join([COMPANY, *(_person(name, {"mail": [f"{name}@acme.example"]}) for name in people)]),
        )

    def url(self, scheme: str, rest: str = "", host: str = HOST) -> str:
        """``rest``: what follows the base DN."""
        return f"{scheme}://{host}:{self.ports[scheme]}/{BASE}{rest}"

    def start(self) -> None:
        listen = " ".join(f"{scheme}://127.0.0.1:{port}/" for scheme, port in self.ports.items())
        argv = [self._program, "-f", self._configuration, "-h", listen, "-d", "0"]
        process = self._process.enter_context(running(argv, self._log))
        wait_until(lambda: self._answers() or process.poll() is not None)
        assert process.poll() is None, f"slapd ended:\n{tail(self._log)}"

    def stop(self) -> None:
        """Nobody listens any more, until the next :meth:`start`."""
        self._process.close()

    def add(self, name: str, **attributes: list[str]) -> None:
        """Another person, with ``mail`` unless attributes are given."""
        self._modify("ldapadd", _person(name, attributes or {"mail": [f"{name}@acme.example"]}))

    def remove(self, *names: str) -> None:
        self._modify("ldapmodify", "\n".join(f"dn: cn={name},{BASE}\nchangetype: delete\n" for name in names))

    def _modify(self, program: str, text: str) -> None:
        url = f"ldap://127.0.0.1:{self.ports['ldap']}"
        login = ("-x", "-D", f"cn=admin,{BASE}", "-w", PASSWORD)
        self._run(need(program, "ldap-utils"), "-H", url, *login, text=text)

    def _answers(self) -> bool:
        url = f"ldap://127.0.0.1:{self.ports['ldap']}"
        argv = [need("ldapwhoami", "ldap-utils"), "-x", "-H", url]
        return subprocess.run(argv, capture_output=True, check=False).returncode == 0

    def _run(self, *argv: str, text: str) -> None:
        done = subprocess.run(argv, input=text, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{argv[0]}: {done.stderr}"


def _person(name: str, attributes: Mapping[str, list[str]]) -> str:
    classes = ["inetOrgPerson", *(["activeDirectoryRecipient"] if "proxyAddresses" in attributes else [])]
    lines = [
        f"dn: cn={name},{BASE}",
        *(f"objectClass: {one}" for one in classes),
        f"cn: {name}",
        f"sn: {name}",
        *(f"{attribute}: {value}" for attribute, values in attributes.items() for value in values),
    ]
    return "\n".join(lines) + "\n"


@contextmanager
def directory_server(folder: Path, people: Iterable[str]) -> Iterator[DirectoryServer]:
    """One that runs, with these people in it; gone when the block is left."""
    home = folder / "slapd"
    home.mkdir()
    server = DirectoryServer(home, people)
    try:
        server.start()
        yield server
    finally:
        server.stop()
