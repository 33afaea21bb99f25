"""Findings are kept once, in full, and masked."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, select

from incidents.alerts.dialects import parse
from incidents.alerts.tables import SqlFindingsStore, findings
from incidents.errors import NotFound
from incidents.record.database import metadata, open_engine
from tests.conftest import NIGHT
from tests.incidents.alerts.samples import wazuh_bytes


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    metadata.create_all(engine, tables=[findings])
    yield engine
    engine.dispose()


def test_a_finding_comes_back_masked(engine: Engine) -> None:
    raw = wazuh_bytes(full_log="login of zhang.wei@example.com \u0000 from 203.0.113.9", data__phone=13800138000)
    alert_id = uuid4()
    store = SqlFindingsStore(engine)

    store.save(alert_id, "a" * 64, "wazuh", NIGHT, parse("wazuh", raw))
    kept = store.load(alert_id)

    assert (kept.digest, kept.dialect, kept.received_at) == ("a" * 64, "wazuh", NIGHT)
    assert kept.finding["raw_data"] == "login of [email] \u0000 from 203.0.113.9"
    assert kept.finding["unmapped"]["data"]["phone"] == "[phone]"
    assert kept.finding["device"]["hostname"] == "his-app-01"
    assert kept.finding["metadata"]["uid"] == "1795103267.912044"
    assert "zhang" not in json.dumps(kept.finding)


def test_saving_again_changes_nothing_and_newer_bytes_win(engine: Engine) -> None:
    alert_id = uuid4()
    store = SqlFindingsStore(engine)
    for digest, hours, title in (("a", 0, "first"), ("a", 1, "ignored"), ("b", 2, "second")):
        finding = parse("wazuh", wazuh_bytes(rule__description=title))
        store.save(alert_id, digest * 64, "wazuh", NIGHT + timedelta(hours=hours), finding)

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(findings)) == 2
    assert store.load(alert_id).finding["finding_info"]["title"] == "second"


def test_an_unknown_alert_has_no_finding(engine: Engine) -> None:
    with pytest.raises(NotFound):
        SqlFindingsStore(engine).load(uuid4())
