"""`tocsin deliveries`: an operator lists, exports and removes the rows of finished campaigns."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from sqlalchemy import insert
from typer.testing import CliRunner, Result

from incidents.record.database import writing
from notifier.deliveries.tables import campaign_recipients, sendings
from tests.rows import sending_row
from tests.tocsin.test_cli_vault import installed  # noqa: F401 - the fixture
from tests.tocsin.test_settings import elsewhere  # noqa: F401 - the fixture it stands on
from tocsin.cli.main import app
from tocsin.settings import load_settings
from tocsin.wiring import open_services

pytestmark = pytest.mark.slow

NIGHT = datetime(2026, 11, 20, 1, 0, tzinfo=UTC)


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["deliveries", *arguments])


@pytest.fixture
def campaign(installed: Path) -> UUID:  # noqa: F811
    """A finished campaign to one person."""
    made = uuid4()
    with open_services(load_settings()) as services, writing(services.engine) as connection:
        connection.execute(
            insert(sendings).values(sending_row(made, NIGHT, planned=True, accepted=1, finished_at=NIGHT))
        )
        connection.execute(
            insert(campaign_recipients).values(
                campaign_id=made,
                recipient_id=uuid4(),
                position=1,
                language="en",
                channels="email",
                reference="7K3M9-QX2AB",
                outcome="accepted",
            )
        )
    return made


def test_list_export_remove(campaign: UUID, tmp_path: Path) -> None:
    (listed,) = json.loads(run("list", "--json").output)
    assert (listed["campaign_id"], listed["recipients"]) == (str(campaign), 1)
    assert (listed["own_partition"], listed["keeps"]) == (False, "they were not written to a file")
    refused = run("remove", str(campaign), "--reason", "over")
    assert refused.exit_code == 1
    assert "not written to a file" in refused.stderr

    made = json.loads(run("export", str(campaign), str(tmp_path / "rows.gz"), "--json").output)
    assert (made["rows"], len(made["digest"])) == (1, 64)

    gone = run("remove", str(campaign), "--reason", "over", "--by", "Lan Nguyễn")
    assert gone.exit_code == 0, gone.stderr
    with open_services(load_settings()) as services:
        (recorded,) = services.record.read(0, 10, kinds=("delivery.rows-removed",))
    assert recorded.event.actor == "user:Lan-Nguy-n"
    assert "removed already" in run("list", "--json").output


def test_a_campaign_that_is_not_there_is_named(installed: Path) -> None:  # noqa: F811
    unknown = uuid4()
    refused = run("remove", str(unknown), "--reason", "over")
    assert refused.exit_code == 1
    assert str(unknown) in refused.stderr
    assert run("list").exit_code == 0
