"""A Wazuh alert becomes the finding it describes; what Wazuh leaves out is missed nowhere."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from incidents.alerts.dialects.wazuh import severity_of
from incidents.errors import InvalidInput
from tests.incidents.alerts.samples import STORY_ALERT, finding_in, wazuh, wazuh_bytes


def test_an_alert_becomes_a_finding() -> None:
    finding = finding_in("wazuh", wazuh_bytes())

    assert finding.class_uid == 2004
    assert finding.title == "sshd: many failed logons from one address."
    assert (finding.source, finding.rule, finding.asset) == ("Wazuh/wazuh-changsha", "5763", "014")
    assert (finding.severity_id, finding.severity) == (3, "Medium")
    assert finding.detected_at == datetime(2026, 11, 19, 15, 41, 7, 218000, tzinfo=UTC)
    assert finding.finding_info.uid == "1795103267.912044"
    assert finding.finding_info.types == ("syslog", "sshd", "authentication_failures")
    assert finding.evidences is not None
    assert finding.evidences[0].src_endpoint is not None
    assert (finding.evidences[0].src_endpoint.ip, finding.evidences[0].src_endpoint.port) == ("203.0.113.9", 50022)
    assert {(seen.type, seen.value) for seen in finding.observables or ()} == {
        ("IP Address", "203.0.113.9"),
        ("User Name", "backup"),
    }
    assert finding.unmapped is not None
    assert finding.unmapped["decoder"] == {"parent": "sshd", "name": "sshd"}


def test_a_sub_technique_names_its_technique_and_tactic() -> None:
    (attack,) = finding_in("wazuh", wazuh_bytes()).finding_info.attacks or ()

    assert attack.technique is not None
    assert attack.sub_technique is not None
    assert attack.tactic is not None
    assert attack.technique.uid == "T1110"
    assert (attack.sub_technique.uid, attack.sub_technique.name) == ("T1110.001", "Password Guessing")
    assert attack.tactic.name == "Credential Access"


def test_techniques_and_names_of_unequal_number_are_not_paired() -> None:
    mitre = {"id": ["T1070", "T1107"], "tactic": ["Defense Evasion"], "technique": ["Indicator Removal"]}
    attacks = finding_in("wazuh", wazuh_bytes(rule__mitre=mitre)).finding_info.attacks or ()

    assert [(attack.technique.uid, attack.technique.name) for attack in attacks if attack.technique] == [
        ("T1070", None),
        ("T1107", None),
    ]


@pytest.mark.parametrize(
    ("level", "severity"),
    [(0, 1), (3, 1), (4, 2), (6, 2), (7, 3), (11, 3), (12, 4), (14, 4), (15, 5), (16, 5)],
)
def test_levels_become_severities(level: int, severity: int) -> None:
    assert severity_of(level) == severity
    assert finding_in("wazuh", wazuh_bytes(rule__level=level)).severity_id == severity


@pytest.mark.parametrize(
    "timestamp",
    [
        "2026-11-19T15:41:07.218+0000",
        "2026-11-19T23:41:07.218+0800",
        "2026-11-19T15:41:07.218Z",
        "2026-11-19T15:41:07.218000+00:00",
        "2026-11-19 15:41:07.218+00",
    ],
)
def test_every_way_wazuh_writes_a_time_is_the_same_instant(timestamp: str) -> None:
    assert finding_in("wazuh", wazuh_bytes(timestamp=timestamp)).time == 1795102867218


@pytest.mark.parametrize(
    "left_out",
    ["agent", "manager", "id", "full_log", "predecoder", "decoder", "data", "location", "rule__groups", "rule__mitre"],
)
def test_what_wazuh_may_leave_out_is_not_asked_for(left_out: str) -> None:
    finding = finding_in("wazuh", wazuh_bytes(**{left_out: None}))

    assert finding.rule == "5763"


def test_without_an_id_the_content_is_the_identity() -> None:
    one = finding_in("wazuh", json.dumps(wazuh(id=None)).encode())
    spaced = finding_in("wazuh", json.dumps(wazuh(id=None), indent=4, sort_keys=True).encode())
    other = finding_in("wazuh", json.dumps(wazuh(id=None, rule__firedtimes=3)).encode())

    assert one.finding_info.uid == spaced.finding_info.uid
    assert one.finding_info.uid != other.finding_info.uid


def test_what_the_manager_got_by_syslog_is_about_the_host_in_the_log() -> None:
    raw = wazuh_bytes(agent={"id": "000", "name": "wazuh-changsha"}, predecoder__hostname="fw-02")

    assert finding_in("wazuh", raw).asset == "fw-02"


def test_windows_events_and_file_changes_give_evidence() -> None:
    windows = finding_in(
        "wazuh",
        wazuh_bytes(
            data={"win": {"eventdata": {"ipAddress": "198.51.100.3", "ipPort": "0", "targetUserName": "svc_backup"}}}
        ),
    )
    changed = finding_in(
        "wazuh",
        wazuh_bytes(
            data=None,
            syscheck={
                "path": "C:\\Windows\\System32\\drivers\\etc\\hosts",
                "sha256_after": "ab" * 32,
                "event": "modified",
            },
        ),
    )

    assert [seen.value for seen in windows.observables or ()] == ["198.51.100.3", "svc_backup"]
    assert [seen.value for seen in changed.observables or ()] == [
        "C:\\Windows\\System32\\drivers\\etc\\hosts",
        "ab" * 32,
    ]


@pytest.mark.parametrize("address", ["-", "any", "", "fe80::1%eth0", 7])
def test_no_address_is_made_of_what_is_none(address: object) -> None:
    finding = finding_in("wazuh", wazuh_bytes(data={"srcip": address}))

    addresses = [seen.value for seen in finding.observables or ()]
    assert addresses == (["fe80::1"] if address == "fe80::1%eth0" else [])


@pytest.mark.parametrize("wrapper", ["all_fields", "_source"])
def test_wrapped_alerts_are_the_same_alerts(wrapper: str) -> None:
    wrapped = json.dumps({"severity": 2, "pretext": "WAZUH Alert", wrapper: wazuh()}).encode()

    assert finding_in("wazuh", wrapped) == finding_in("wazuh", wazuh_bytes())


def test_a_fault_inside_a_wrapper_is_named_with_it() -> None:
    with pytest.raises(InvalidInput) as caught:
        finding_in("wazuh", json.dumps({"all_fields": wazuh(rule__level=99)}).encode())
    assert [fault.field for fault in caught.value.errors] == ["all_fields.rule.level"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"timestamp": None}, "timestamp"),
        ({"timestamp": "2026-11-19T15:41:07"}, "timestamp"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "1970-01-01T00:00:00+0000"}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+1400"}, "timestamp"),
        ({"rule": None}, "rule"),
        ({"rule": "5763"}, "rule"),
        ({"rule__level": 17}, "rule.level"),
        ({"rule__level": -1}, "rule.level"),
        ({"rule__level": True}, "rule.level"),
        ({"rule__level": "high"}, "rule.level"),
        ({"rule__id": None}, "rule.id"),
        ({"rule__groups": {"a": 1}}, "rule.groups"),
        ({"agent": ["014"]}, "agent"),
        ({"data": "srcip"}, "data"),
    ],
)
def test_faults_are_named_by_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        finding_in("wazuh", wazuh_bytes(**changes))
    assert [fault.field for fault in caught.value.errors] == [field]
    assert caught.value.detail


def test_a_time_without_a_zone_says_what_to_do() -> None:
    with pytest.raises(InvalidInput, match="no zone"):
        finding_in("wazuh", wazuh_bytes(timestamp="2026-11-19T15:41:07.218"))


def test_the_alert_of_the_story_is_a_serious_finding() -> None:
    finding = finding_in("wazuh", STORY_ALERT.read_bytes())

    assert finding.severity_id == 4
    assert finding.asset == "027"
    assert "data_exfiltration" in (finding.finding_info.types or ())
