"""What belongs together gets one key, what does not gets another, and the key gives nothing away."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from incidents.alerts.correlation import CorrelationTable, default_correlation_table, read_correlation_table
from incidents.alerts.identity import alert_id_of, content_digest
from incidents.errors import InvalidInput
from tests.incidents.alerts.samples import finding_in, ocsf_bytes, wazuh_bytes


def key(table: CorrelationTable | None = None, **changes: Any) -> str:
    finding = finding_in("wazuh", wazuh_bytes(**changes))
    return (table or default_correlation_table()).correlate("wazuh", finding).key


def test_the_same_rule_on_the_same_host_is_one_incident() -> None:
    plain: dict[str, Any] = {"rule__groups": ["syslog"]}
    first = key(**plain)

    assert key(**plain, id="1795103999.1", timestamp="2026-11-20T00:00:00+0800", data__srcip="203.0.113.77") == first
    assert key(**plain, rule__id="5764") != first
    assert key(**plain, agent__id="015") != first
    assert key(**plain, manager__name="wazuh-hanoi") != first


def test_guessing_from_one_address_is_one_incident_whichever_host_saw_it() -> None:
    first = key()

    assert first.startswith("password-guessing:")
    assert key(agent__id="015") == first
    assert key(data__srcip="203.0.113.77") != first


def test_the_first_entry_that_fits_decides() -> None:
    table = read_correlation_table(
        """
        entries:
          - {name: by-user, when: {dialect: [wazuh], rule: ["57*"], source: ["*changsha"]}, by: [user], window_hours: 1}
          - {name: rest, by: [source], window_hours: 0.5}
        """
    )
    finding = finding_in("wazuh", wazuh_bytes())

    assert key(table) == key(table, agent__id="99")
    assert key(table) != key(table, data__dstuser="root")
    assert table.correlate("wazuh", finding).window == timedelta(hours=1)
    assert table.correlate("ocsf", finding).key.startswith("rest:")
    assert key(table, rule__id="600").startswith("rest:")
    assert key(table, manager__name="other").startswith("rest:")


def test_attributes_do_not_run_into_each_other() -> None:
    table = read_correlation_table("entries: [{name: two, by: [user, src_ip], window_hours: 1}]")

    assert key(table, data={"dstuser": "a"}) != key(table, data={"dstuser": None, "srcuser": "a\x1f"})


def test_a_key_holds_no_text_of_the_alert() -> None:
    table = read_correlation_table("entries: [{name: who, by: [user, tactic, type], window_hours: 1}]")

    assert "zhang" not in key(table, data__dstuser="zhang.wei@example.com")


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("entries: []", "correlation.entries"),
        ("entries: [{name: a, by: [asset], window_hours: 0}]", "correlation.entries.0.window_hours"),
        ("entries: [{name: a, by: [colour], window_hours: 1}]", "correlation.entries.0.by.0"),
        ("entries: [{name: a, by: [], window_hours: 1}]", "correlation.entries.0.by"),
        ("entries: [{name: a, by: [rule], window_hours: 1, when: {type: [x]}}]", "correlation"),
        ("entries: [{name: A B, by: [rule], window_hours: 1}]", "correlation.entries.0.name"),
        ("entries: [{name: a, by: [rule], window: 1}]", "correlation.entries.0.window_hours"),
        ("entries: [", "correlation"),
        ("- 1", "correlation"),
    ],
)
def test_a_wrong_table_names_the_fault(text: str, field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_correlation_table(text)
    assert caught.value.errors[0].field == field


def test_two_entries_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidInput, match="same name"):
        read_correlation_table(
            "entries: [{name: a, when: {type: [x]}, by: [rule], window_hours: 1}, "
            "{name: a, by: [rule], window_hours: 1}]"
        )


def test_the_identity_is_the_native_id_at_its_source() -> None:
    one = alert_id_of(finding_in("wazuh", wazuh_bytes()))

    assert alert_id_of(finding_in("wazuh", wazuh_bytes(rule__firedtimes=9, full_log="other"))) == one
    assert alert_id_of(finding_in("wazuh", wazuh_bytes(id="1795103267.1"))) != one
    assert alert_id_of(finding_in("wazuh", wazuh_bytes(manager__name="wazuh-hanoi"))) != one
    assert alert_id_of(finding_in("ocsf", ocsf_bytes("falco"))) == alert_id_of(
        finding_in("ocsf", ocsf_bytes("falco", time=1700000000000, activity_id=2))
    )


def test_a_content_digest_does_not_depend_on_how_json_is_written() -> None:
    document = {"b": [1, {"d": "长沙", "c": None}], "a": 1.5}

    assert content_digest(document) == content_digest(json.loads(json.dumps(document, indent=3, sort_keys=True)))
    assert content_digest(document) != content_digest({**document, "a": 1.25})
