"""A worker on a machine whose clock is an hour wrong: everything is as if it were right."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest

from notifier.campaigns.events import DeliveriesRecorded
from playbooks.duties.register import DutyRegister
from tests.faults.installation import installation
from tests.faults.night import MANY_NIGHTS, Night
from tests.faults.wrong_clock import wrong_clock
from tests.servers import fresh_database, kafka
from tests.world import wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("seconds", [3600, -3600] if MANY_NIGHTS else [3600])
def test_an_hour_wrong_on_one_worker(tmp_path: Path, seconds: int) -> None:
    began = datetime.now(UTC)
    with (
        fresh_database("postgresql", tmp_path) as url,
        installation(tmp_path / "house", url, bootstrap=kafka()) as house,
    ):
        house.add("api", "api").start()
        right = house.add("right", "playbooks", "projections", "notifier", "relay")
        wrong = house.add("wrong", "playbooks", "projections", "notifier", "relay")
        wrong.start(**wrong_clock(seconds, tmp_path))
        house.ready("api", "wrong")
        right.start()
        house.ready("right")
        night = Night(house)
        night.declare()
        night.approve()
        night.waive_one_duty()
        night.check()

        said = wrong.log().splitlines()[-1]
        by_its_clock = datetime.fromisoformat(said.split('"timestamp": "')[1][:19]).replace(tzinfo=UTC)
        assert abs(by_its_clock - datetime.now(UTC) - timedelta(seconds=seconds)) < timedelta(minutes=5), "was wrong"
        ended = datetime.now(UTC)
        with house.record() as record:
            events = record.read(0, 1_000_000)
            times = [recorded.event.recorded_at for recorded in events]
            assert all(began - timedelta(seconds=5) <= at <= ended + timedelta(seconds=5) for at in times)
            moves = [m for r in events if isinstance(r.event, DeliveriesRecorded) for m in r.event.moves]
            assert all(began - timedelta(seconds=5) <= move.at <= ended + timedelta(seconds=5) for move in moves)
            kinds = {recorded.event.kind for recorded in events}
            assert not kinds & {"duty.missed", "duty.warned"}, "nothing was called out an hour early"
            register = record.load(DutyRegister, DutyRegister.id_for(UUID(night.incident_id)))
            due = [state.duty.strict_due for state in register.duties.values() if state.duty.strict_due is not None]
            assert due
        assert night.marked == 0, "no claim was taken from the other before its time"
        share = wait_for(lambda: _took_part(wrong.log()) or None, "the wrong one to have had a share")
        assert share


def _took_part(log: str) -> bool:
    return '"event": "leases.changed"' in log
