"""The disk of an SQLite installation fills up in the middle of a campaign.

What was answered is kept, what cannot be kept is refused, and when there is room again everything goes on.
"""

from __future__ import annotations

import json
import threading
from pathlib import Path

import httpx
import pytest

from incidents.alerts.events import AlertReceived
from tests.faults.installation import Installation, installation
from tests.faults.night import Night, crowd
from tests.faults.small_disk import small_disk
from tests.incidents.alerts.samples import wazuh
from tests.servers import kafka
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

MOST = 5_000


def storm(house: Installation) -> list[str]:
    """Send large alerts, until one cannot be taken. Returns the titles of those that were."""
    taken: list[str] = []
    headers = {"Authorization": f"Bearer {house.keys['siem']}", "Content-Type": "application/json"}
    with httpx.Client(base_url=house.url, headers=headers, timeout=60) as http:
        for number in range(MOST):
            title = f"storm: {number}"
            alert = wazuh(
                id=f"17970{number:05d}.1", rule__level=3, rule__description=title, full_log=f"{number} " + "x" * 30_000
            )
            answer = http.post("/v1/alerts/wazuh", content=json.dumps(alert))
            if answer.status_code >= 500:
                assert answer.headers["content-type"] == "application/problem+json"
                return taken
            assert answer.status_code < 300, answer.text
            taken.append(title)
    raise AssertionError("the disk did not fill up")


def test_the_disk_is_full_in_the_middle_of_a_campaign(tmp_path: Path) -> None:
    with (
        small_disk(tmp_path / "disk") as disk,
        installation(
            tmp_path / "house", f"sqlite:///{disk.folder / 'tocsin.sqlite'}", slow_by=0.3, bootstrap=kafka()
        ) as house,
    ):
        everything = house.add("everything", "all")
        everything.start()
        house.ready()
        night = Night(house, crowd(60))
        night.declare()
        night.approve()
        night.wait_until_told(0.2)

        disk.fill(everything)
        taken = storm(house)
        command = threading.Thread(target=night.waive_one_duty)
        command.start()
        wait_for(lambda: True if "worker.failed" in everything.log() else None, "workers to notice")
        wait_for(lambda: (everything.readiness() or (0, ""))[0] == 503 or None, "it to say that it is not fit")
        assert everything.is_running()
        assert "follower.parked" not in everything.log(), "nothing is passed over for want of room"
        disk.free(everything)
        command.join(120)
        assert not command.is_alive()

        night.check()
        house.ready()
        with house.record() as record:
            events = [r.event for r in record.read(0, 1_000_000, kinds=[AlertReceived.kind])]
            titles = [event.alert.title for event in events if isinstance(event, AlertReceived)]
            kept = [title for title in titles if title.startswith("storm")]
        assert sorted(kept) == sorted(taken), "what was answered is there once, what was refused is not"
        assert everything.end() == 0
