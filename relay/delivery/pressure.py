"""How hard one drain presses: the canary, the width of each host, the operator's limit and ceiling.

Carries out what the ramps and the ceiling decide, and tells it: to the log, and to whoever watches the drain.
"""

from __future__ import annotations

from relay import events
from relay.delivery.host import Host
from relay.delivery.means import Means
from relay.delivery.news import News
from relay.delivery.pace import Pace, pace_of
from relay.delivery.ramp import Ramp
from relay.delivery.route import Destination, Hops


class Pressure:
    """``canary``: one message at a time, until one is taken. ``has_ceiling``: an operator bounds the rate."""

    def __init__(self, destination: Destination, means: Means, hops: Hops, news: News, *, canary: bool) -> None:
        self.canary = canary
        self._destination = destination
        self._means = means
        self._hops = hops
        self._news = news
        self._read_limits()

    def _read_limits(self) -> None:
        self._limit = self._destination.max_connections(self._means.settings.delivery.max_connections)
        self.has_ceiling = self._destination.max_rate is not None

    @property
    def allowed(self) -> int:
        """Connections at once, to all hosts together."""
        return 1 if self.canary else self._limit

    @property
    def pace(self) -> Pace:
        return pace_of(self._hops.hosts, canary=self.canary, limit=self._limit, max_rate=self._destination.max_rate)

    def begin_ramp(self) -> Ramp:
        """What each host begins with."""
        return Ramp.begin(self._limit, gentle=self._means.settings.delivery.ramp)

    def begin_canary(self) -> None:
        """From now on one message at a time, and then as gently as at the first return."""
        self.canary = True
        self._hops.begin_anew()
        self._tell()

    def proven(self) -> None:
        """A canary was taken, or the primary is known to be up: none is needed any more."""
        if self.canary:
            self.canary = False
            self._tell()

    def heed_limits(self) -> None:
        """What an operator may have changed."""
        self._read_limits()
        for host in self._hops.hosts:
            before = host.ramp
            if host.limited(self._limit):
                self._changed(host, before)

    # What hosts answer

    def clean(self, host: Host, era: int, seconds: float | None) -> None:
        """See :meth:`Host.clean`."""
        before = host.ramp
        if host.clean(era, seconds):
            self._changed(host, before)

    def pushed_back(self, host: Host, era: int, why: str, *, gone: bool) -> None:
        """A host won't have more; ``gone``: it takes nobody at all."""
        before = host.ramp
        if host.lost(era, why) if gone else host.pushed_back(era, why):
            self._changed(host, before)

    # The ceiling

    def pause(self) -> float:
        """Seconds until the next message may begin; 0 for now."""
        if not self.has_ceiling:
            return 0.0
        now = self._means.clock.monotonic()
        ceiling = self._destination.ceiling(now)
        return ceiling.wait(now) if ceiling else 0.0

    def begun(self) -> None:
        """A message is begun."""
        if self.has_ceiling:
            self._destination.begun(self._means.clock.monotonic())

    def _changed(self, host: Host, before: Ramp) -> None:
        if host.ramp.era != before.era and host.ramp.width < before.width:
            name, width = self._destination.name, host.ramp.width
            events.pressed_less(name, str(host.primary), before.width, width, host.ramp.why)
        if host.ramp.width != before.width:
            self._tell()

    def _tell(self) -> None:
        events.ramp(self._destination.name, self.pace.width)
        self._news.announce()
