"""OCSF findings of all versions become one class; activities are refused; the result is OCSF again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from incidents.errors import InvalidInput, NotFound
from tests.incidents.alerts.samples import CORPUS, DATA, SHARED, STORY_ALERT, finding_in, ocsf, ocsf_bytes, wazuh_bytes

EXPECTED: dict[str, tuple[int, bool] | str] = {
    "aws-v1-0-0-rc-2-security-hub-2001.json": (1, True),
    "aws-v1-1-0-inspector-2002.json": (3, False),
    "aws-v1-1-0-sechub-guardduty-2004.json": (2, False),
    "falco-samples-falco-2001.json": (3, False),
    "ibm-qradar-siem-offense-2001.json": (4, False),
    "prowler-samples-prowler-2004.json": (4, True),
    "aws-v1-1-0-waf-4002.json": "class_uid",
    "okta-v1-3-0-authentication-3002.json": "class_uid",
    "zeek-v1-3-0-ssh-log-4007.json": "class_uid",
}
"""Severity and whether the source calls it over, or the field a refusal names."""


def test_a_detection_finding_is_taken_as_it_is() -> None:
    finding = finding_in("ocsf", ocsf_bytes("guardduty-2004"))

    assert finding.source == "Amazon/GuardDuty"
    assert finding.asset == "AWS::IAM::AccessKey:ASIATMJPC7EXAMPLE"
    assert finding.time == 1695135922487
    assert finding.finding_info.created_time == 1695135922487
    assert finding.finding_info.first_seen_time == 1695135309000
    assert finding.model_extra is not None
    assert finding.model_extra["cloud"]["region"] == "us-east-2"


def test_a_security_finding_moves_into_the_class_that_replaced_it() -> None:
    finding = finding_in("ocsf", ocsf_bytes("falco"))

    assert (finding.class_uid, finding.type_uid) == (2004, 200401)
    assert finding.finding_info.uid == "ec834826-90c1-458a-8eec-a014e7266754"
    assert (finding.status_id, finding.asset) == (1, "host0.local")
    assert finding.unmapped is not None
    assert finding.unmapped["ocsf.class_uid"] == 2001


def test_an_offense_of_qradar_is_understood_in_spite_of_its_spelling() -> None:
    finding = finding_in("ocsf", ocsf_bytes("qradar"))

    assert finding.title == "BLEEDING-EDGE DOS -ISC- ICMP blind TCP reset DoS guessing attempt"
    assert finding.finding_info.analytic is not None
    assert finding.finding_info.analytic.type_id == 1
    assert finding.severity_id == 4  # risk level 3, High, because there is no severity
    assert finding.rule == finding.title  # its analytic is the engine that has all the rules


def test_activities_are_refused_unless_a_control_calls_them_alerts() -> None:
    with pytest.raises(InvalidInput, match="4002 is an activity") as caught:
        finding_in("ocsf", ocsf_bytes("waf"))
    assert [fault.field for fault in caught.value.errors] == ["class_uid"]

    finding = finding_in("ocsf", ocsf_bytes("waf", is_alert=True))

    assert finding.rule == "captcha-rule"
    assert finding.evidences is not None
    assert finding.evidences[0].src_endpoint is not None
    assert finding.evidences[0].src_endpoint.ip == "1.2.3.4"


def test_incidents_of_other_systems_are_refused() -> None:
    with pytest.raises(InvalidInput, match="2005 is an incident"):
        finding_in("ocsf", ocsf_bytes("falco", class_uid=2005))


@pytest.mark.parametrize("time", [1672758699, 1672758699558, 1672758699558123, 1672758699558123456, 1672758699.0])
def test_times_in_other_units_are_the_same_instant(time: float) -> None:
    assert finding_in("ocsf", ocsf_bytes("falco", time=time)).time // 1000 == 1672758699


def test_a_lone_time_in_words_needs_its_zone() -> None:
    dated = finding_in("ocsf", ocsf_bytes("falco", time=None, time_dt="2023-01-03T15:11:39.558Z"))
    assert dated.time == 1672758699558

    with pytest.raises(InvalidInput, match="no zone") as caught:
        finding_in("ocsf", ocsf_bytes("falco", time=None, time_dt="2023-01-03 15:11:39"))
    assert [fault.field for fault in caught.value.errors] == ["time_dt"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"class_uid": None}, "class_uid"),
        ({"class_uid": "2004"}, "class_uid"),
        ({"class_uid": True}, "class_uid"),
        ({"time": None, "time_dt": None}, "time"),
        ({"time": 12}, "time"),
        ({"time": "2023-01-03"}, "time"),
        ({"time": True}, "time"),
        ({"metadata": None}, "metadata"),
        ({"metadata": {"version": "1.1.0"}}, "metadata.product"),
        ({"metadata": 7}, "metadata"),
        ({"finding_info": "x"}, "finding_info"),
        ({"severity_id": 7}, "severity_id"),
        ({"severity_id": "7"}, "severity_id"),
        ({"severity_id": {}}, "severity_id"),
        ({"observables": [{"value": "x"}]}, "observables.0.type_id"),
        ({"resources": "host"}, "resources"),
        ({"unmapped": [1], "observables": 3}, "observables"),
    ],
)
def test_faults_are_named_by_field(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        finding_in("ocsf", ocsf_bytes("guardduty-2004", **changes))
    assert [fault.field for fault in caught.value.errors] == [field]


@pytest.mark.parametrize("change", [{"activity_id": 3}, {"status_id": 4}, {"status_id": 3}, {"status_code": "PASS"}])
def test_what_the_source_calls_over_is_over(change: dict[str, object]) -> None:
    assert not finding_in("ocsf", ocsf_bytes("guardduty-2004")).is_over
    assert finding_in("ocsf", ocsf_bytes("guardduty-2004", **change)).is_over


def test_an_unknown_dialect_is_told_the_known_ones() -> None:
    with pytest.raises(NotFound, match="ocsf, wazuh") as caught:
        finding_in("leef", b"{}")
    assert [fault.field for fault in caught.value.errors] == ["dialect"]


def required() -> dict[str, list[str]]:
    """What OCSF requires, from its own files where they are at hand, else from our table."""
    table: dict[str, list[str]] = json.loads((DATA / "ocsf-required.json").read_text())
    schema = SHARED / "reference" / "ocsf"
    if not schema.is_dir():
        return table
    read = {name: _required_of(schema, name) for name in table}
    assert {name: sorted(names) for name, names in read.items()} == table, "the table no longer fits the schema"
    return read


def _required_of(schema: Any, name: str) -> list[str]:
    places = [schema / "objects" / f"{name}.json", schema / "events" / "findings" / f"{name}.json"]
    places += [schema / "events" / f"{name}.json"]
    place = next((path for path in places if path.is_file()), None)
    if place is None:
        return []
    definition = json.loads(place.read_text())
    inherited = _required_of(schema, definition["extends"]) if definition.get("extends") else []
    wants = {key: what.get("requirement") for key, what in definition["attributes"].items() if isinstance(what, dict)}
    own = [key for key, requirement in wants.items() if requirement == "required"]
    # A child that only restates an attribute inherits its requirement.
    kept = [key for key in inherited if wants.get(key, "required") in {"required", None}]
    return sorted({*own, *kept})


@pytest.mark.parametrize("dialect", ["wazuh", "ocsf"])
def test_findings_have_what_ocsf_requires(dialect: str) -> None:
    raws = {
        "wazuh": [wazuh_bytes(), wazuh_bytes(agent=None, id=None), STORY_ALERT.read_bytes()],
        "ocsf": [ocsf_bytes("falco"), ocsf_bytes("qradar"), ocsf_bytes("guardduty-2004")],
    }
    wanted = required()
    for raw in raws[dialect]:
        document = finding_in(dialect, raw).model_dump(mode="json", exclude_none=True)
        info = document["finding_info"]
        assert set(wanted["detection_finding"]) <= document.keys()
        assert set(wanted["metadata"]) <= document["metadata"].keys()
        assert set(wanted["finding_info"]) <= info.keys()
        assert {"name", "uid"} & document["metadata"]["product"].keys()
        for name, parts in (
            ("analytic", [info["analytic"]] if "analytic" in info else []),
            ("device", [document["device"]] if "device" in document else []),
            ("observable", document.get("observables", [])),
        ):
            for part in parts:
                assert set(wanted[name]) <= part.keys()
        assert all({"tactic", "technique", "sub_technique"} & attack.keys() for attack in info.get("attacks", []))


def test_a_finding_reads_its_own_words() -> None:
    for name in ("falco", "qradar", "guardduty-2004"):
        once = finding_in("ocsf", ocsf_bytes(name))
        again = finding_in("ocsf", once.model_dump_json(exclude_none=True).encode())
        assert (again.source, again.rule, again.asset, again.time) == (once.source, once.rule, once.asset, once.time)
        assert again.finding_info == once.finding_info


@pytest.mark.skipif(not CORPUS.is_dir(), reason="the corpus of third-party samples is not beside this checkout")
def test_the_whole_corpus_is_understood_or_refused_as_decided() -> None:
    seen: dict[str, tuple[int, bool] | str] = {}
    for path in sorted((CORPUS / "ocsf").glob("*.json")):
        try:
            finding = finding_in("ocsf", path.read_bytes())
        except InvalidInput as refusal:
            seen[path.name] = refusal.errors[0].field
        else:
            seen[path.name] = (finding.severity_id, finding.is_over)
    assert seen == EXPECTED

    for path in sorted((CORPUS / "wazuh").glob("*.json")):
        assert finding_in("wazuh", path.read_bytes()).finding_info.uid == json.loads(path.read_bytes())["id"]


def test_samples_are_not_changed_by_reading_them() -> None:
    before = ocsf("qradar")
    finding_in("ocsf", json.dumps(before).encode())
    assert before == ocsf("qradar")
