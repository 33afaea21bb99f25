"""One process of an installation under test: the real thing, but for channels that reach stand-ins.

`python -m tests.faults.one_process SETTINGS ROLE...`, where SETTINGS is JSON. `all` is `tocsin serve`.
"""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from functools import partial
from importlib.resources import files

import tocsin.sending
from incidents.facts import OrganisationProfile
from notifier.deliveries import Timing
from notifier.standins.outcomes import NUMBER_RANGES
from tocsin.observability.logs import set_up_logs
from tocsin.roles import Role
from tocsin.server import run_api, run_server, run_worker
from tocsin.settings import load_settings
from tocsin.wiring import open_services

TIMING = Timing(
    margin=timedelta(seconds=5),
    check_delays=(timedelta(seconds=1), timedelta(seconds=3)),
    poll_delays=(timedelta(seconds=3), timedelta(seconds=10), timedelta(seconds=30)),
    first_backoff=timedelta(seconds=1),
    hold=timedelta(seconds=2),
)
"""The simulated world answers at once, so it is asked sooner than a real provider."""


ANSWER_SECONDS = 10.0
"""So it takes a message, too: who dies while it waits for that is not waited for as long as for a real server."""


def main(settings_json: str, roles: list[str]) -> None:
    sending = vars(tocsin.sending)
    sending["EmailSettings"] = partial(sending["EmailSettings"], content_timeout=ANSWER_SECONDS)
    settings = load_settings(**json.loads(settings_json))
    set_up_logs(settings.log_level)
    opens = partial(
        open_services,
        profile=OrganisationProfile.from_toml(files("tocsin.story").joinpath("organisation.toml").read_text("utf-8")),
        timing=TIMING,
        simulated_numbers=tuple(known.pattern.pattern for known in NUMBER_RANGES),
    )
    if roles == ["all"]:
        run_server(settings, announce_json=True, opens=opens)
    elif roles == ["api"]:
        run_api(settings, announce_json=True, opens=opens)
    else:
        run_worker(settings, [Role(role) for role in roles], opens=opens)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
