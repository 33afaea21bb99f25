"""A process that takes alerts in until it is ended: for tests that kill it and stand it still.

`python -m tests.tocsin.intake.consuming_process DATABASE BROKER PREFIX BATCH NAME`
"""

from __future__ import annotations

import signal
import sys
import threading

import tocsin.kafka
from tests.tocsin.intake.installation import installation
from tocsin.alert_consumer import open_alert_consumer
from tocsin.observability.logs import set_up_logs

if __name__ == "__main__":
    url, broker, prefix, batch, name = sys.argv[1:]
    tocsin.kafka.SESSION_MS = 3_000  # the dead are noticed sooner than in the field
    set_up_logs("info")
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    with installation(url, broker, prefix=prefix, batch_alerts=int(batch)) as here:
        open_alert_consumer(here, process=name).run(stop)
