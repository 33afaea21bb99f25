"""Wazuh 3.x and 4.x: the records of `alerts.json`, as `wazuh-integratord` hands them to an integration.

Also understood: the same record inside `all_fields` (integratord's Shuffle form) or `_source` (a document of the
Wazuh indexer). Field names: documentation.wazuh.com, "Alerts", "Rules classification", "Integration with APIs".

The alert is checked once, as it comes. The OCSF document is right by how it is made of it, and is not checked again.
"""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_core import to_json

from incidents.alerts.dialects.reading import read_model, read_time
from incidents.alerts.finding import CLASS_UID, OCSF_VERSION, SEVERITIES, Integer, clean_line
from incidents.alerts.identity import content_digest

NAME = "wazuh"

MAX_LEVEL = 16

LEVEL_STEPS: tuple[tuple[int, int], ...] = ((15, 5), (12, 4), (7, 3), (4, 2), (0, 1))
"""From this rule level on, this OCSF severity. Wazuh's own dashboards call 0-6 low, 7-11 medium, 12-14 high and
15 and more critical; the low band is divided at 4, below which its classification sees no security relevance."""

_WRAPPERS = ("all_fields", "_source")
_CLASS = {
    "activity_id": 1,
    "activity_name": "Create",
    "category_uid": 2,
    "category_name": "Findings",
    "class_uid": CLASS_UID,
    "class_name": "Detection Finding",
    "type_uid": CLASS_UID * 100 + 1,
    "type_name": "Detection Finding: Create",
    "status_id": 1,
    "status": "New",
    "is_alert": True,
}
"""What every finding of Wazuh's says."""
_IP, _USER, _URL, _HASH, _PATH = 2, 4, 6, 8, 45
_HASHES = {"md5": 1, "sha1": 2, "sha256": 3}
"""OCSF `fingerprint.algorithm_id`."""


def _as_list(value: Any) -> Any:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else value


Strings = Annotated[tuple[str, ...], BeforeValidator(_as_list)]
Level = Annotated[Integer, Field(ge=0, le=MAX_LEVEL)]


class _Part(BaseModel):
    # What is not named here is left in the document, from which `_unmapped` takes it over.
    model_config = ConfigDict(frozen=True, extra="ignore", coerce_numbers_to_str=True)


class _Mitre(_Part):
    id: Strings = ()
    tactic: Strings = ()
    technique: Strings = ()


class _Rule(_Part):
    id: str
    level: Level
    description: str | None = None
    groups: Strings = ()
    mitre: _Mitre | None = None


class _Named(_Part):
    name: str | None = None
    node: str | None = None
    hostname: str | None = None


class _Agent(_Part):
    id: str | None = None
    name: str | None = None
    ip: str | None = None


class _Alert(_Part):
    timestamp: str = Field(validation_alias=AliasChoices("timestamp", "@timestamp"))
    rule: _Rule
    id: str | None = None
    agent: _Agent | None = None
    manager: _Named | None = None
    cluster: _Named | None = None
    predecoder: _Named | None = None
    location: str | None = None
    full_log: str | None = None
    data: dict[str, Any] | None = None
    syscheck: dict[str, Any] | None = None


class WazuhFinding:
    """A `Finding`: it says what a DetectionFinding of the same alert says, and builds that only when asked for it."""

    __slots__ = (
        "_alert",
        "_document",
        "_time",
        "detected_at",
        "rule",
        "severity_id",
        "source",
        "title",
        "types",
        "uid",
    )

    def __init__(self, alert: _Alert, document: dict[str, Any], time: int) -> None:
        rule = alert.rule
        said = rule.description or f"Wazuh rule {rule.id}"
        self._alert, self._document, self._time = alert, document, time
        self.uid = alert.id or f"sha256:{content_digest(document)}"
        of_source = ("Wazuh", _cluster(alert), alert.manager.name if alert.manager else None)
        self.source = clean_line("/".join(dict.fromkeys(part for part in of_source if part)))
        self.rule = clean_line(rule.id or said)
        self.title = clean_line(said) or self.rule
        self.types = rule.groups
        self.severity_id = severity_of(rule.level)
        self.detected_at = datetime.fromtimestamp(time / 1000, UTC)

    @property
    def asset(self) -> str | None:
        """The host, by the agent's number."""
        number, name, address = _host(self._alert)
        found = number or name or _ip(address)
        return clean_line(found) if found else None

    @property
    def asset_name(self) -> str | None:
        """The host, by its name."""
        _, name, _ = _host(self._alert)
        return clean_line(name) if name else self.asset

    @property
    def user(self) -> str | None:
        """The account."""
        found = _user(self._alert.data or {})
        return None if found is None else str(found["name"])

    @property
    def src_ip(self) -> str | None:
        """Where it came from."""
        found = _source(self._alert.data or {})
        return None if found is None else str(found["ip"])

    @property
    def tactic(self) -> str | None:
        """The first MITRE ATT&CK tactic."""
        mitre = self._alert.rule.mitre
        return next((tactic for tactic in mitre.tactic if tactic), None) if mitre else None

    @property
    def is_over(self) -> bool:
        """Wazuh never says so."""
        return False

    def ocsf_json(self) -> str:
        """The whole finding as compact OCSF JSON, contacts included."""
        return to_json(_ocsf(self._alert, self._document, self.uid, self._time)).decode()


def from_document(document: dict[str, Any]) -> WazuhFinding:
    """The finding in an alert that was read from JSON. InvalidInput names the field and the fault."""
    prefix = ""
    for wrapper in _WRAPPERS:
        if "rule" not in document and isinstance(document.get(wrapper), dict):
            document, prefix = document[wrapper], wrapper
    alert = read_model(_Alert, document, prefix)
    return WazuhFinding(alert, document, read_time(alert.timestamp, f"{prefix}.timestamp" if prefix else "timestamp"))


def severity_of(level: int) -> int:
    """The OCSF severity of a Wazuh rule level (0 to 16)."""
    return next(severity for start, severity in LEVEL_STEPS if level >= start)


def _ocsf(alert: _Alert, document: dict[str, Any], uid: str, time: int) -> dict[str, Any]:
    """The Detection Finding. Attributes without a value are left out."""
    rule = alert.rule
    title = rule.description or f"Wazuh rule {rule.id}"
    severity = severity_of(rule.level)
    evidence = _evidence(alert)
    info = {
        "uid": uid,
        "title": title,
        "types": rule.groups,
        "analytic": {"uid": rule.id, "name": title, "type": "Rule", "type_id": 1},
        "attacks": _attacks(rule.mitre),
        "created_time": time,
    }
    metadata = {
        "version": OCSF_VERSION,
        "product": {"name": "Wazuh", "vendor_name": "Wazuh"},
        "uid": uid,
        "tenant_uid": _cluster(alert),
        "log_provider": alert.manager.name if alert.manager else None,
        "log_name": alert.location,
        "log_format": "Wazuh alert JSON",
        "original_time": alert.timestamp,
        "labels": rule.groups,
    }
    finding = {
        **_CLASS,
        "time": time,
        "severity_id": severity,
        "severity": SEVERITIES[severity],
        "message": title,
        "metadata": _present(metadata),
        "finding_info": _present(info),
        "device": _device(alert),
        "observables": _observables(evidence),
        "evidences": (evidence,) if evidence else None,
        "raw_data": alert.full_log,
        "unmapped": _unmapped(document),
    }
    return _present(finding)


def _cluster(alert: _Alert) -> str | None:
    """What tells installations apart. A single one has no cluster, or one with the name it came with."""
    name = alert.cluster.name if alert.cluster else None
    return name if name not in {"", "wazuh"} else None


def _present(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _host(alert: _Alert) -> tuple[str | None, str | None, str | None]:
    """The agent's number, name and address. Agent 000 is the manager; what it received by syslog is about the host
    named in the log, which has but a name."""
    agent = alert.agent
    logged_host = alert.predecoder.hostname if alert.predecoder else None
    if agent is None or (agent.id == "000" and logged_host):
        return None, logged_host or (alert.manager.name if alert.manager else None), None
    return agent.id, agent.name, agent.ip


def _device(alert: _Alert) -> dict[str, Any] | None:
    number, name, address = _host(alert)
    if alert.agent is None and not name:
        return None
    return _present(
        {"uid": number, "name": name, "hostname": name, "ip": _ip(address), "type_id": 0, "type": "Unknown"}
    )


def _evidence(alert: _Alert) -> dict[str, Any]:
    data = alert.data or {}
    found = {
        "src_endpoint": _source(data),
        "dst_endpoint": _endpoint(
            data.get("dstip") or data.get("dest_ip"), data.get("dstport") or data.get("dest_port")
        ),
        "user": _user(data),
        "url": {"url_string": data["url"]} if isinstance(data.get("url"), str) else None,
        "file": _file(alert.syscheck),
    }
    return _present(found)


def _of_windows(data: dict[str, Any]) -> dict[str, Any]:
    """The data of a Windows event, {} where there is none."""
    windows = data.get("win")
    event = windows.get("eventdata") if isinstance(windows, dict) else None
    return event if isinstance(event, dict) else {}


def _source(data: dict[str, Any]) -> dict[str, Any] | None:
    event = _of_windows(data)
    return _endpoint(
        data.get("srcip") or data.get("src_ip") or event.get("ipAddress"),
        data.get("srcport") or data.get("src_port") or event.get("ipPort"),
    )


def _endpoint(address: Any, port: Any) -> dict[str, Any] | None:
    ip = _ip(address)
    if ip is None:
        return None
    number = int(port) if isinstance(port, str) and port.isascii() and port.isdigit() and len(port) < 6 else port
    usable = isinstance(number, int) and not isinstance(number, bool) and 0 < number < 65536
    return {"ip": ip, "port": number} if usable else {"ip": ip}


def _user(data: dict[str, Any]) -> dict[str, Any] | None:
    name = data.get("dstuser") or data.get("srcuser") or _of_windows(data).get("targetUserName")
    return {"name": name} if isinstance(name, str) and name.strip("- ") else None


def _file(syscheck: dict[str, Any] | None) -> dict[str, Any] | None:
    path = syscheck.get("path") if syscheck else None
    if syscheck is None or not isinstance(path, str) or not path:
        return None
    hashes = [
        {"algorithm_id": algorithm, "value": syscheck[f"{name}_after"]}
        for name, algorithm in _HASHES.items()
        if isinstance(syscheck.get(f"{name}_after"), str)
    ]
    name = path.replace("\\", "/").rpartition("/")[2] or path
    return {"path": path, "name": name, "type_id": 1, "hashes": hashes}


def _observables(evidence: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[tuple[str, int, str, str]] = [
        (f"evidences[].{end}.ip", _IP, "IP Address", evidence[end]["ip"])
        for end in ("src_endpoint", "dst_endpoint")
        if end in evidence
    ]
    if "user" in evidence:
        found.append(("evidences[].user.name", _USER, "User Name", evidence["user"]["name"]))
    if "url" in evidence:
        found.append(("evidences[].url.url_string", _URL, "URL String", evidence["url"]["url_string"]))
    if "file" in evidence:
        found.append(("evidences[].file.path", _PATH, "File Path", evidence["file"]["path"]))
        found += [
            ("evidences[].file.hashes[].value", _HASH, "Hash", fingerprint["value"])
            for fingerprint in evidence["file"]["hashes"]
        ]
    return [{"name": name, "type_id": type_id, "type": kind, "value": value} for name, type_id, kind, value in found]


def _attacks(mitre: _Mitre | None) -> list[dict[str, Any]] | None:
    """Wazuh lists ids, names and tactics side by side; only lists of one length, or one tactic, can be paired."""
    if mitre is None or not (mitre.id or mitre.tactic):
        return None
    names = mitre.technique if len(mitre.technique) == len(mitre.id) else (None,) * len(mitre.id)
    tactic = {"name": mitre.tactic[0]} if len(mitre.tactic) == 1 else None
    attacks: list[dict[str, Any]] = []
    for uid, name in zip(mitre.id, names, strict=True):
        parent, dot, _ = uid.partition(".")
        exact = {"uid": uid} if name is None else {"uid": uid, "name": name}
        attack: dict[str, Any] = {"technique": {"uid": parent} if dot else exact}
        if dot:
            attack["sub_technique"] = exact
        if tactic:
            attack["tactic"] = tactic
        attacks.append(attack)
    if tactic is None or not attacks:
        attacks += [{"tactic": {"name": name}} for name in mitre.tactic]
    return attacks


_MAPPED = frozenset({"timestamp", "@timestamp", "id", "full_log", "location", "manager"})


def _unmapped(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in _MAPPED}


_LONGEST_ADDRESS = 128
"""With its zone. Whatever is longer is none, and is not to be remembered."""


def _ip(value: Any) -> str | None:
    """An address without its zone, or None: Wazuh writes `any`, `-` and the like where it knows none."""
    return _address(value) if isinstance(value, str) and len(value) <= _LONGEST_ADDRESS else None


@lru_cache(maxsize=4_096)
def _address(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text.partition("%")[0].strip()))
    except ValueError:
        return None
