"""Findings are kept once, in full, and masked."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from uuid import uuid4

import pytest
from sqlalchemy import Engine, func, select

from incidents.alerts.dialects import parse
from incidents.alerts.tables import SqlFindingsStore, findings
from incidents.errors import NotFound
from incidents.privacy import mask_tree
from tests.conftest import NIGHT
from tests.incidents.alerts.samples import finding_in, ocsf_bytes, wazuh_bytes


def test_a_finding_comes_back_masked(engine: Engine) -> None:
    raw = wazuh_bytes(full_log="login of zhang.wei@example.com \u0000 from 203.0.113.9", data__phone=13800138000)
    alert_id = uuid4()
    store = SqlFindingsStore(engine)

    store.save(alert_id, "a" * 64, "wazuh", NIGHT, parse("wazuh", raw).kept)
    kept = store.load(alert_id)

    assert (kept.digest, kept.dialect, kept.received_at) == ("a" * 64, "wazuh", NIGHT)
    assert kept.finding["raw_data"] == "login of [email] \u0000 from 203.0.113.9"
    assert kept.finding["unmapped"]["data"]["phone"] == "[phone]"
    assert kept.finding["device"]["hostname"] == "his-app-01"
    assert kept.finding["metadata"]["uid"] == "1795103267.912044"
    assert "zhang" not in json.dumps(kept.finding)


@pytest.mark.parametrize(("dialect", "raw"), [("wazuh", wazuh_bytes()), ("ocsf", ocsf_bytes("falco"))])
def test_an_alert_without_contacts_is_kept_to_the_byte_and_comes_back_as_a_finding(
    engine: Engine, dialect: str, raw: bytes
) -> None:
    alert_id, digest = uuid4(), hashlib.sha256(raw).hexdigest()
    store = SqlFindingsStore(engine)

    store.save(alert_id, digest, dialect, NIGHT, parse(dialect, raw).kept)
    with engine.connect() as connection:
        text = connection.scalar(select(findings.c.finding))

    assert text is not None
    assert hashlib.sha256(text.encode()).hexdigest() == digest
    assert store.load(alert_id).finding == json.loads(finding_in(dialect, raw).ocsf_json())


def test_findings_written_before_alerts_were_kept_as_they_came_are_read_on(engine: Engine) -> None:
    alert_id, ocsf = uuid4(), finding_in("wazuh", wazuh_bytes()).ocsf_json()
    row = {"alert_id": alert_id, "digest": "a" * 64, "dialect": "wazuh", "received_at": NIGHT, "finding": ocsf}
    with engine.begin() as connection:
        connection.execute(findings.insert(), row)

    assert SqlFindingsStore(engine).load(alert_id).finding == json.loads(ocsf)


def test_what_only_looks_like_a_contact_once_cut_out_is_masked_when_it_is_read(engine: Engine) -> None:
    raw = wazuh_bytes(syscheck={"path": "logs_\\13800138000"}, rule__mitre={"id": ["x_13800138000"], "tactic": ["y"]})
    alert_id = uuid4()
    store = SqlFindingsStore(engine)

    store.save(alert_id, "a" * 64, "wazuh", NIGHT, parse("wazuh", raw).kept)

    assert "13800138000" in raw.decode()
    assert mask_tree(store.load(alert_id).finding) == store.load(alert_id).finding


def test_saving_again_changes_nothing_and_newer_bytes_win(engine: Engine) -> None:
    alert_id = uuid4()
    store = SqlFindingsStore(engine)
    for digest, hours, title in (("a", 0, "first"), ("a", 1, "ignored"), ("b", 2, "second")):
        kept = parse("wazuh", wazuh_bytes(rule__description=title)).kept
        store.save(alert_id, digest * 64, "wazuh", NIGHT + timedelta(hours=hours), kept)

    with engine.connect() as connection:
        assert connection.scalar(select(func.count()).select_from(findings)) == 2
    assert store.load(alert_id).finding["finding_info"]["title"] == "second"


def test_an_unknown_alert_has_no_finding(engine: Engine) -> None:
    with pytest.raises(NotFound):
        SqlFindingsStore(engine).load(uuid4())
