"""What the server of the jobs' processes imports when it starts, once."""

from __future__ import annotations

import signal

from worker.warm import warm_up

# The whole group may be sent SIGTERM: the jobs answer it, this server ends with its worker.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
warm_up()
