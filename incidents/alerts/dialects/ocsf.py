"""OCSF events of the Findings category, brought to the one class Tocsin works with.

- 2004 Detection Finding: taken as it is.
- 2001 Security Finding (deprecated): `finding` becomes `finding_info`, `state_id` becomes `status_id`, `analytic` and
  `attacks` move inside.
- 2002 Vulnerability, 2003 Compliance, 2006 Data Security, 2007 Application Security Posture: the same finding,
  re-classed.
- 2005 Incident Finding: refused. It is an incident of another system, not an alert.
- Any activity (3002 Authentication, 4002 HTTP, 4007 SSH ...): refused, unless its producer says `is_alert: true`.

An activity is a log line: turning every logon into an incident would drown the rest. OCSF 1.3 gave the security
control profile the flag `is_alert` for those that a control does call an alert.
Versions 0.1 to 1.8 are understood. The class, version and everything without a home is kept in `unmapped`.
"""

from __future__ import annotations

from typing import Any

from incidents.alerts.dialects.reading import read_model, read_time
from incidents.alerts.finding import CLASS_UID, OCSF_VERSION, SEVERITIES, DetectionFinding
from incidents.alerts.identity import content_digest
from incidents.errors import InvalidInput

NAME = "ocsf"

SECURITY_FINDING = 2001
INCIDENT_FINDING = 2005
FINDINGS = frozenset({2001, 2002, 2003, 2004, 2006, 2007})
_ACTIVITIES = {1: "Create", 2: "Update", 3: "Close"}
_TIMES = ("created_time", "first_seen_time", "last_seen_time", "modified_time")
_EVIDENCE = ("src_endpoint", "dst_endpoint", "process", "file", "user", "actor", "http_request", "api")
"""Attributes of an activity that a Detection Finding holds inside `evidences`."""
_CAMEL = {"typeId": "type_id", "relatedAnalytics": "related_analytics"}
"""IBM's mapping of QRadar writes these in camel case."""
_RISKS = ("risk_level_id", "impact_id")
"""Used for a missing `severity_id`: 0 Info or Unknown, 1 Low, 2 Medium, 3 High, 4 Critical."""


def from_document(document: dict[str, Any]) -> DetectionFinding:
    """The finding in an event that was read from JSON. InvalidInput names the field and the fault."""
    class_uid = _class_of(document)
    event = dict(document)
    if class_uid == SECURITY_FINDING:
        _from_security_finding(event)
    elif class_uid not in FINDINGS:
        _from_activity(event)
    if isinstance(event.get("resource"), dict) and not event.get("resources"):
        event["resources"] = [event.pop("resource")]  # class 2002 up to OCSF 1.2
    _settle_times(event)
    _settle_identity(event, document)
    _settle_class(event, class_uid)
    _settle_severity(event)
    return read_model(DetectionFinding, event)


def _class_of(document: dict[str, Any]) -> int:
    class_uid = document.get("class_uid")
    if isinstance(class_uid, bool) or not isinstance(class_uid, int):
        raise InvalidInput(
            "class_uid: an OCSF event names its class by number; 2004 is a Detection Finding.", field="class_uid"
        )
    if class_uid == INCIDENT_FINDING:
        raise InvalidInput(
            "class_uid: 2005 is an incident of another system. Send the Detection Findings it is made of, "
            "or report the incident as an incident.",
            field="class_uid",
        )
    if class_uid not in FINDINGS and document.get("is_alert") is not True:
        raise InvalidInput(
            f"class_uid: {class_uid} is an activity, not a finding. Send the Detection Finding (2004) that your "
            "detector makes of it, or set is_alert to true when your security control calls it an alert.",
            field="class_uid",
        )
    return class_uid


def _from_security_finding(event: dict[str, Any]) -> None:
    """Class 2001 of OCSF 0.x and 1.0."""
    finding = event.pop("finding", None)
    if finding is not None and "finding_info" not in event:
        event["finding_info"] = finding
    analytic = event.pop("analytic", None)
    info = _object(event, "finding_info")
    if isinstance(analytic, dict) and "analytic" not in info:
        event["finding_info"] = info = {**info, "analytic": _snake(analytic)}
    if isinstance(event.get("attacks"), list) and "attacks" not in info:
        event["finding_info"] = {**info, "attacks": event.pop("attacks")}
    if "status_id" not in event and "state_id" in event:
        event["status_id"], event["status"] = event.pop("state_id"), event.pop("state", None)
    _gather_evidence(event)


def _from_activity(event: dict[str, Any]) -> None:
    rule = event.pop("firewall_rule", None)
    title = event.get("message") or event.get("type_name") or event.get("class_name")
    info: dict[str, Any] = {"title": title, "types": [event["class_name"]] if event.get("class_name") else None}
    if isinstance(rule, dict):
        info["analytic"] = {**rule, "type": "Rule", "type_id": 1}
    for name in ("attacks", "created_time"):
        if name in event:
            info[name] = event.pop(name)
    event["finding_info"] = info
    event["activity_id"] = 1
    event.pop("activity_name", None)
    _gather_evidence(event)


def _gather_evidence(event: dict[str, Any]) -> None:
    evidence = {name: event.pop(name) for name in _EVIDENCE if isinstance(event.get(name), dict)}
    if evidence and "evidences" not in event:
        event["evidences"] = [evidence]


def _settle_times(event: dict[str, Any]) -> None:
    """`x` in milliseconds wins over `x_dt` in ISO 8601 (datetime profile); a lone `x_dt` must have a zone."""
    if event.get("time") is None and event.get("time_dt") is not None:
        event["time"] = read_time(event["time_dt"], "time_dt")
    info = event.get("finding_info")
    if isinstance(info, dict):
        missing = {
            name: read_time(info[f"{name}_dt"], f"finding_info.{name}_dt")
            for name in _TIMES
            if info.get(name) is None and info.get(f"{name}_dt") is not None
        }
        event["finding_info"] = {**info, **missing}


def _settle_identity(event: dict[str, Any], document: dict[str, Any]) -> None:
    info = _object(event, "finding_info")
    if not info.get("uid"):
        metadata = _object(event, "metadata")
        event["finding_info"] = {**info, "uid": metadata.get("uid") or f"sha256:{content_digest(document)}"}


def _settle_class(event: dict[str, Any], class_uid: int) -> None:
    activity = event.get("activity_id", 1)
    known = activity if isinstance(activity, int) and activity in _ACTIVITIES else 99
    metadata = _object(event, "metadata")
    version = metadata.get("version")
    unmapped = event.get("unmapped")
    kept = dict(unmapped) if isinstance(unmapped, dict) else {"unmapped": unmapped} if unmapped else {}
    if class_uid != CLASS_UID:
        kept["ocsf.class_uid"] = class_uid
        event["type_name"] = f"Detection Finding: {_ACTIVITIES.get(known, 'Other')}"
        event["unmapped"] = kept
    else:
        event["unmapped"] = kept or None
    if metadata:
        event["metadata"] = {**metadata, "version": OCSF_VERSION, "log_format": f"OCSF {version or 'unversioned'}"}
    event |= {
        "class_uid": CLASS_UID,
        "class_name": "Detection Finding",
        "category_uid": 2,
        "category_name": "Findings",
        "type_uid": CLASS_UID * 100 + known,
    }


def _settle_severity(event: dict[str, Any]) -> None:
    if event.get("severity_id") is None:
        by_risk = (event.get(name) for name in _RISKS)
        level = next((n for n in by_risk if isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 4), None)
        event["severity_id"] = 0 if level is None else level + 1
    severity = event["severity_id"]
    if not event.get("severity") and isinstance(severity, int):
        event["severity"] = SEVERITIES.get(severity)


def _object(event: dict[str, Any], name: str) -> dict[str, Any]:
    """An object attribute, {} when absent. InvalidInput when it is something else."""
    value = event.get(name)
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(f"{name}: an object is wanted here.", field=name)
    return value


def _snake(analytic: dict[str, Any]) -> dict[str, Any]:
    renamed = {_CAMEL.get(name, name): value for name, value in analytic.items()}
    related = renamed.get("related_analytics")
    if isinstance(related, list):
        renamed["related_analytics"] = [_snake(item) if isinstance(item, dict) else item for item in related]
    return renamed
