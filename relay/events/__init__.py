"""One function per thing that happens: the log line and the metric together, so that neither is forgotten.

Each part of the program has a file of its own here, and says ``events.delivered(…)``. Log lines go where relay.log
says. Metrics are Prometheus's, on a registry of this program's own. Nothing here decides anything, and nothing here may
fail its caller.
"""

from relay.events.delivery import *
from relay.events.edge import *
from relay.events.metrics import registry as registry
from relay.events.node import *
from relay.events.outage import *
from relay.events.queue import *
from relay.events.recipients import *
from relay.events.tickets import *
