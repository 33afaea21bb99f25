"""Letters over HTTP and by the command line: who may make, get and state them."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import insert, select
from typer.testing import CliRunner

from incidents.record.database import reading, writing
from notifier.campaigns.campaign import Campaign
from notifier.deliveries.tables import campaign_recipients, sendings
from tests.rows import sending_row
from tests.tocsin.api.test_campaigns_api import put_csv, values
from tests.tocsin.conftest import Door, problem
from tocsin.access.tables import remembered_answers
from tocsin.cli import letters as cli
from tocsin.cli.main import app as commands

pytestmark = pytest.mark.slow
CSV = "name,phone,email,language,country,address\nAn Nguyễn,,an@example.com,vi,VN,12 Lê Lợi|Huế\n"


@pytest.fixture
def campaign(door: Door) -> UUID:
    """A campaign that could not reach its one person by mail."""
    incident = door.report("Customer table copied")["id"]
    body = {"template": "personal-data-breach", "values": values()}
    found = UUID(door.post(f"/v1/incidents/{incident}/campaigns", body).json()["campaign_id"])
    assert put_csv(door, str(found), CSV).status_code == 200
    asked = door.post(f"/v1/campaigns/{found}/approval-request")
    assert asked.status_code == 200, asked.text
    services = door.services
    known = services.record.load(Campaign, found)
    (member,) = services.audiences.members(known.audience_id)  # type: ignore[arg-type]
    with writing(services.engine) as connection:
        connection.execute(
            insert(sendings).values(
                sending_row(
                    found, services.clock.now(), incident_id=known.incident_id, audience_id=known.audience_id, failed=1
                )
            )
        )
        connection.execute(
            insert(campaign_recipients).values(
                campaign_id=found,
                recipient_id=member.recipient_id,
                position=1,
                language="vi",
                channels="email",
                reference="01234-ABCDE",
                outcome="failed",
            )
        )
    return found


def test_only_who_may_see_people_gets_their_addresses(door: Door, campaign: UUID) -> None:
    made = door.post(f"/v1/campaigns/{campaign}/letter-batches")
    assert (made.status_code, made.json()["letters"]) == (201, 1), made.text
    batch = f"/v1/letter-batches/{made.json()['batch_id']}"
    for role in ("analyst", "approver", "auditor"):
        problem(door.post(f"{batch}/export/addresses", by=role), 403, "forbidden")
    problem(door.post(f"{batch}/statement", {"state": "printed"}), 409, "illegal-transition")

    pages = door.post(f"{batch}/export/letters", by="privacy", headers={"Idempotency-Key": "one"})
    assert pages.content.startswith(b"%PDF-")
    again = door.post(f"{batch}/export/letters", by="privacy", headers={"Idempotency-Key": "one"})
    assert again.content.startswith(b"%PDF-")
    kinds = [one.event.kind for one in door.services.record.read(0, 1000)]
    assert kinds.count("letters.batch-exported") == 1, "a repeat has no second effect"
    with reading(door.services.engine) as connection:
        kept = [str(row) for row in connection.execute(select(remembered_answers))]
    assert not any("%PDF" in row or "Lê Lợi" in row for row in kept), "and nothing of it is kept"
    assert pages.headers["cache-control"] == "private, no-store"
    addresses = door.post(f"{batch}/export/addresses", by="privacy")
    assert "12 Lê Lợi" in addresses.content.decode()
    assert (addresses.headers["x-letters"], addresses.headers["x-left-out"]) == ("1", "0")
    assert door.post(f"{batch}/statement", {"state": "handed_over"}).json()["state"] == "handed_over"
    door.settle()

    listed = door.get(f"/v1/campaigns/{campaign}/letter-batches").json()
    assert (listed["waiting"], listed["items"][0]["state"]) == (0, "handed_over")
    told = "".join(one.event.model_dump_json() for one in door.services.record.read(0, 1000))
    assert not any(word in told for word in ("Lê Lợi", "an@example.com"))


def test_the_command_line_writes_files_for_nobody_else(
    door: Door, campaign: UUID, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    role = "analyst"

    class Here:
        def __init__(self, url: str, key: str) -> None:
            del url, key

        def get(self, path: str) -> Any:
            return door.get(path, by=role).json()

        def post(self, path: str, body: Any = None) -> Any:
            return door.post(path, body, by=role).json()

        def download(self, path: str) -> Any:
            answer = door.post(path, by=role)
            return answer.content, answer.headers

    monkeypatch.setattr(cli, "Service", Here)
    run = CliRunner().invoke
    assert "in no batch: 1" in run(commands, ["letters", "list", str(campaign)]).stdout
    batch = run(commands, ["letters", "make", str(campaign)]).stdout.split()[1].rstrip(":")
    role, pages, addresses = "privacy", tmp_path / "l.pdf", tmp_path / "a.csv"
    done = run(commands, ["letters", "export", batch, "--pages", str(pages), "--addresses", str(addresses)])
    assert "1 letters, 0 left out" in done.stdout, done.output
    assert {stat.S_IMODE(path.stat().st_mode) for path in (pages, addresses)} == {0o600}
    role = "analyst"
    assert "printed House 7" in run(commands, ["letters", "state", batch, "printed", "--reference", "House 7"]).stdout
