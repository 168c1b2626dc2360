"""A real name server: NSD, serving zones from text.

Authoritative only: it answers REFUSED for what is in none of its zones. It has no control socket, no chroot and no
user of its own; a change of a zone is a restart, which takes a fraction of a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rcode

from tests.support.netns import HERE, Host
from tests.support.processes import need, running, tail
from tests.support.waiting import wait_until

CONFIGURATION = """\
server:
    ip-address: {address}@{port}
    server-count: 1
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    database: ""
    pidfile: ""
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    hide-version: yes
remote-control:
    control-enable: no
"""
ZONE = 'zone:\n    name: "{name}"\n    zonefile: "{name}.zone"\n'
HEAD = "$ORIGIN {name}.\n$TTL 1\n@ SOA ns.{name}. hostmaster.{name}. {serial} 3600 600 86400 1\n@ NS ns.{name}.\n"


class NameServer:
    """NSD on ``host``, UDP and TCP. Use :func:`name_server`."""

    def __init__(self, host: Host, port: int, folder: Path) -> None:
        self.host = host
        self.port = port
        self._folder = folder
        self._log = folder / "nsd.log"
        self._zones: dict[str, str] = {}
        self._serial = 0
        self._process = ExitStack()

    def serve(self, zones: Mapping[str, str]) -> None:
        """Serve these zones, and the earlier ones that aren't named anew: origin to records, with SOA and NS added."""
        self.stop()
        self._zones.update(zones)
        self._serial += 1
        lines = [CONFIGURATION.format(address=self.host.address, port=self.port, folder=self._folder)]
        for name, records in self._zones.items():
            (self._folder / f"{name}.zone").write_text(HEAD.format(name=name, serial=self._serial) + records)
            lines.append(ZONE.format(name=name))
        configuration = self._folder / "nsd.conf"
        configuration.write_text("".join(lines))
        program = need("nsd", "nsd")
        process = self._process.enter_context(
            running(self.host.argv(program, "-d", "-c", configuration), output=self._log)
        )
        wait_until(lambda: self._answers() or process.poll() is not None)
        assert process.poll() is None, f"NSD ended:\n{self.log()}"

    def stop(self) -> None:
        """Silence: queries get no answer until the next :meth:`serve`."""
        self._process.close()

    def log(self) -> str:
        """What NSD said so far."""
        return tail(self._log)

    def _answers(self) -> bool:
        query = dns.message.make_query(next(iter(self._zones)), "SOA")
        with self.host.inside():
            try:
                answer = dns.query.udp(query, self.host.address, port=self.port, timeout=0.2)
            except (OSError, dns.exception.DNSException):
                return False
        return answer.rcode() == dns.rcode.NOERROR and bool(answer.answer)


@contextmanager
def name_server(zones: Mapping[str, str], *, host: Host = HERE, port: int = 53) -> Iterator[NameServer]:
    """NSD serving ``zones`` (origin, without the last dot, to records) on ``host``, from a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="relay-nsd-") as folder:
        server = NameServer(host, port, Path(folder))
        try:
            server.serve(zones)
            yield server
        finally:
            server.stop()
