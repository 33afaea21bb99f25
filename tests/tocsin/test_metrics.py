"""Metrics say how much there is of something, in few words, and nothing of anybody."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prometheus_client.parser import text_string_to_metric_families
from sqlalchemy import insert

from incidents.clock import ManualClock
from incidents.privacy import find_contacts
from incidents.record.database import open_engine, writing
from projections.deadlines.pressure import LEFT, next_deadline, open_duties_by_time_left
from projections.tasks.reminders import late_reminders
from tests.conftest import NIGHT, ContextMaker
from tests.tocsin.test_background import FACTS
from tocsin.background import Background
from tocsin.backup.tables import backups
from tocsin.observability.measured import MEASURED, Measured
from tocsin.observability.metrics import Metrics
from tocsin.services import Services

pytestmark = pytest.mark.slow

CLOSED = {
    "follower": r"[a-z][a-z0-9._-]{0,40}",
    "used": r"0|50|80|95|100|missed",
    "left": r"over|1h|4h|24h|72h|more|none",
    "trouble": r"held|filtered|unanswered",
    "outcome": r"[a-z_]{1,20}",
    "channel": r"sms|email|",
    "state": r"[a-z_]{1,20}",
    "lease": r"[a-z][a-z0-9._-]{0,40}",
    "dialect": r"wazuh|ocsf|[a-z_-]{1,20}|unknown",
    "reason": r"[a-z_-]{1,40}",
    "problem": r"[a-z-]{1,40}",
    "method": r"GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|other",
    "route": r"unmatched|/[a-z0-9_{}:./-]*",
    "status": r"[1-5][0-9]{2}",
    "provider": r"[a-z]{1,20}",
    "worker": r"[a-z][a-z0-9._-]{0,40}",
    "le": r"[0-9.]+|\+Inf",
}
"""What a label may say. Names, ids and numbers of anything that grows with use fit none of these."""


@pytest.fixture
def busy(services: Services, analyst: ContextMaker) -> Background:
    """An incident with duties, everything that follows from it done."""
    background = Background(services)
    incident = services.incidents.report(uuid4(), analyst(), title="Bulk export")
    services.incidents.triage(incident.id, analyst())
    services.incidents.state_facts(incident.id, analyst(), FACTS)
    settle(services, background)
    return background


def settle(services: Services, background: Background) -> None:
    while not background.is_settled():
        for follower in background.followers:
            while follower.run_once():
                pass
    services.projections.drain()


def shown(metrics: Metrics) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    families = text_string_to_metric_families(metrics.render().decode())
    found: dict[str, dict[tuple[tuple[str, str], ...], float]] = {}
    for family in families:
        for sample in family.samples:
            found.setdefault(sample.name, {})[tuple(sorted(sample.labels.items()))] = sample.value
    return found


def test_open_duties_fall_into_one_band_each(services: Services, busy: Background, clock: ManualClock) -> None:
    due = [
        state.duty
        for incident in _incidents(services)
        for state in services.duties.register(incident).open_duties().values()
        if state.duty.status == "due"
    ]
    for hours in (0, 1, 30, 71, 72, 73, 1000):
        now = NIGHT + timedelta(hours=hours)
        found = open_duties_by_time_left(services.engine, now=now)
        wanted = dict.fromkeys((*(name for name, _ in LEFT), "more", "none"), 0)
        for duty in due:
            if duty.strict_due is None:
                wanted["none"] += 1
            else:
                band = next((name for name, end in LEFT if duty.strict_due - now <= end), "more")
                wanted[band] += 1
        assert found == wanted
        ahead = [duty.strict_due for duty in due if duty.strict_due is not None and duty.strict_due > now]
        assert next_deadline(services.engine, now=now) == min(ahead, default=None)
    assert sum(found.values()) == len(due) >= 3


def _incidents(services: Services) -> list[UUID]:
    return [r.event.originator_id for r in services.record.read(0, 1000, kinds=["incident.reported"])]


def test_a_reminder_is_late_until_it_is_called_out(services: Services, busy: Background) -> None:
    assert late_reminders(services.engine, now=NIGHT) == (0, None)
    number, oldest = late_reminders(services.engine, now=NIGHT + timedelta(days=30))

    assert number > 0
    assert oldest is not None
    assert NIGHT < oldest < NIGHT + timedelta(days=30)


def test_lag_is_told_in_events_and_in_seconds(
    services: Services, busy: Background, clock: ManualClock, analyst: ContextMaker
) -> None:
    busy.gauges.measure()
    seconds = shown(services.metrics)["tocsin_follower_lag_seconds"]
    assert set(seconds.values()) == {0.0}
    services.incidents.report(uuid4(), analyst(), title="Another")
    clock.advance(timedelta(seconds=42))
    busy.gauges.measure()

    seconds = shown(services.metrics)["tocsin_follower_lag_seconds"]
    events = shown(services.metrics)["tocsin_follower_lag_events"]
    for follower in ("automation", "projection-deadlines", "projection-severity_board"):
        label = (("follower", follower),)
        if label in seconds:
            assert seconds[label] == 42
            assert events[label] > 0
    assert seconds[(("follower", "automation"),)] == 42
    settle(services, busy)
    busy.gauges.measure()
    assert set(shown(services.metrics)["tocsin_follower_lag_seconds"].values()) == {0.0}


def test_the_newest_backup_is_told(services: Services, busy: Background) -> None:
    busy.gauges.measure()
    assert "tocsin_last_backup_timestamp_seconds" not in shown(services.metrics)
    with writing(services.engine) as connection:
        for hours in (1, 5, 3):
            made_at = NIGHT - timedelta(hours=hours)
            row = {"backup_id": uuid4(), "made_at": made_at, "head": 1, "rows": 1, "bytes": 1}
            connection.execute(insert(backups).values(row))
    busy.gauges.measure()

    (value,) = shown(services.metrics)["tocsin_last_backup_timestamp_seconds"].values()
    assert value == (NIGHT - timedelta(hours=1)).timestamp()


def test_an_old_measurement_is_not_shown() -> None:
    now = [100.0]
    measured = Measured(fresh_seconds=60, monotonic=lambda: now[0])
    assert list(measured.collect()) == []
    measured.show({"tocsin_timers_late": {(): 3}})
    now[0] = 160.0
    assert [family.samples[0].value for family in measured.collect()] == [3]
    now[0] = 160.1
    assert list(measured.collect()) == []


def test_only_what_is_described_is_shown() -> None:
    with pytest.raises(KeyError):
        Measured().show({"tocsin_surprise": {(): 1}})
    assert all(gauged.says.endswith(".") for gauged in MEASURED.values())


def test_connections_to_the_database_are_counted(database_url: str) -> None:
    engine = open_engine(database_url)
    metrics = Metrics(engine)
    with engine.connect():
        used = shown(metrics)["tocsin_database_connections"]
        assert used[(("state", "used"),)] == 1
    after = shown(metrics)
    assert after["tocsin_database_connections"] == {(("state", "used"),): 0, (("state", "idle"),): 1}
    assert after["tocsin_database_connections_most"][()] >= 5
    engine.dispose()


def test_labels_are_words_of_closed_lists_and_nothing_is_personal(door: Any, busy: Background) -> None:
    services = door.services
    for path in ("/v1/incidents", f"/v1/incidents/{uuid4()}", "/anna.weber@example.org", "/v1/nothing/13800138000"):
        door.get(path)
    door.ask("BREW", "/v1/incidents")
    for dialect in ("wazuh", "made-up-by-a-caller", "+8613800138000"):
        door.ask("POST", f"/v1/alerts/{dialect}", by="siem", content=b"{}")
    services.audiences.import_csv(
        io.BytesIO(b"name,phone,email,language,country\nAnna Weber,,anna.weber@example.org,en,DE\n"),
        ContextMaker(services.clock, "user:lan")(),
    )
    busy.gauges.measure()

    found = shown(services.metrics)
    text = services.metrics.render().decode()
    assert "Anna" not in text
    assert "13800138000" not in text
    assert not find_contacts(text)
    for name, samples in found.items():
        assert len(samples) < 2000, name
        for labels in samples:
            for label, value in labels:
                assert re.fullmatch(CLOSED[label], value), (name, label, value)


def test_more_use_makes_no_more_series(door: Any, busy: Background) -> None:
    def series() -> int:
        busy.gauges.measure()
        return sum(map(len, shown(door.services.metrics).values()))

    def use() -> None:
        for _ in range(3):
            incident = door.report()["id"]
            door.get(f"/v1/incidents/{incident}")
            door.get(f"/no/such/{uuid4()}")
        settle(door.services, busy)

    use()
    before = series()
    use()
    assert series() == before


def test_a_key_that_is_given_must_be_good_wherever_the_caller_is(door: Any) -> None:
    from tests.tocsin.conftest import Client

    local = Client(door.client.portal, door.client.app, "127.0.0.1")
    assert local.request("GET", "/metrics").status_code == 200
    assert local.request("GET", "/metrics", headers={"Host": "10.1.2.3:8000"}).status_code == 421
    wrong = {"Host": "10.1.2.3:8000", "Authorization": "Bearer made-up"}
    assert local.request("GET", "/metrics", headers=wrong).status_code == 401
    asked = door.get("/metrics", by="auditor", headers={"Host": "10.1.2.3:8000"})
    assert asked.status_code == 200
    assert door.get("/v1/incidents", by="auditor", headers={"Host": "10.1.2.3:8000"}).status_code == 421


def test_readiness_is_a_metric_too(door: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from incidents.errors import FieldFault
    from tocsin.api.routes import health

    door.get("/metrics", by="auditor")
    assert shown(door.services.metrics)["tocsin_ready"] == {(): 1.0}
    monkeypatch.setattr(health, "reasons_against", lambda _door: [FieldFault("workers", "have ended")])
    door.get("/metrics", by="auditor")
    assert shown(door.services.metrics)["tocsin_ready"] == {(): 0.0}
