"""Audiences over HTTP in each format, chosen, reported; and the forecast before the approval."""

from __future__ import annotations

import io
import json
from uuid import UUID, uuid4

from incidents.record import Context
from notifier.audience import AudienceFormat
from tests.tocsin.api.test_campaigns_api import campaign, incident  # noqa: F401 - fixtures
from tests.tocsin.conftest import Door, problem
from tocsin.console.incident_page import gather

PEOPLE = [
    {"name": "Ann", "phone": "", "email": "ann@example.com", "language": "en", "country": "GB"},
    {"name": "Bo", "phone": "+8613800138000", "email": "", "language": "zh", "country": "CN"},
    {"name": "Bo", "phone": "13800138000", "email": "", "language": "zh", "country": "CN"},
]


def _parquet() -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    out = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(PEOPLE), out)
    return out.getvalue()


def test_a_file_of_each_format_and_what_it_will_take(door: Door, campaign: str) -> None:  # noqa: F811
    path = f"/v1/campaigns/{campaign}"
    ndjson = "".join(json.dumps(one) + "\n" for one in PEOPLE).encode()
    for media, content in (("application/x-ndjson", ndjson), ("application/vnd.apache.parquet", _parquet())):
        answer = door.ask("PUT", f"{path}/audience", content=content, headers={"Content-Type": media})
        assert answer.status_code == 200, answer.text
        assert (answer.json()["audience"]["recipients"], answer.json()["audience"]["folded"]) == (2, 1)
    rows = door.get(f"{path}/audience/rows").json()["items"]
    assert rows == [{"row": 4, "kind": "folded", "field": "phone", "reason": "repeats row 3"}]
    assert door.get(f"{path}/audience/rows", params={"after_row": 4}).json()["items"] == []

    found = door.get(f"{path}/forecast").json()
    each = door.get(f"{path}/preview", params={"language": "zh-Hans"}).json()["sms"]["segments"]
    assert (found["sms_segments"], found["sms_recipients"], found["email_recipients"]) == (each, 1, 1)
    assert (found["cost"], found["unpriced"]) == (None, {"CN": each})


def test_an_audience_imported_on_the_server_is_chosen(door: Door, campaign: str) -> None:  # noqa: F811
    path = f"/v1/campaigns/{campaign}"
    assert problem(door.get(f"{path}/forecast"), 409, "illegal-transition")
    services = door.services
    made = services.audiences.import_file(
        io.BytesIO(_parquet()), Context.of_command("user:ops", services.clock), AudienceFormat.PARQUET
    )
    chosen = door.ask("PUT", f"{path}/audience-choice", json={"audience_id": str(made.audience_id)})
    assert chosen.status_code == 200, chosen.text
    assert chosen.json()["campaign"]["audience_digest"] == made.digest
    unknown = door.ask("PUT", f"{path}/audience-choice", json={"audience_id": str(uuid4())})
    assert problem(unknown, 404, "not-found")
    assert (
        door.ask("PUT", f"{path}/audience-choice", json={"audience_id": str(uuid4())}, by="approver").status_code == 403
    )


def test_the_page_of_the_incident_shows_it_before_the_approval(door: Door, incident: str, campaign: str) -> None:  # noqa: F811
    content = "".join(json.dumps(one) + "\n" for one in PEOPLE).encode()
    door.ask(
        "PUT", f"/v1/campaigns/{campaign}/audience", content=content, headers={"Content-Type": "application/x-ndjson"}
    )
    door.settle()
    found = door.get(f"/v1/campaigns/{campaign}/forecast").json()

    page = gather(door.services, UUID(incident), door.services.clock.now(), cursor=None)
    assert page.forecasts[UUID(campaign)].sms_segments == found["sms_segments"]
