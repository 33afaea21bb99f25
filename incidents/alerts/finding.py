"""The Detection Finding: what a detector said, in the words of OCSF (class 2004, schema 1.8.0).

Only what Tocsin reads is typed here. OCSF grows with every minor version, so attributes not named here are kept as
they came (`extra="allow"`) and a finding written out again is still a whole OCSF event. Names, types and required
attributes follow github.com/ocsf/ocsf-schema, `events/findings/detection_finding.json` and its objects.
"""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, Any, Literal, NamedTuple, Protocol

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

OCSF_VERSION = "1.8.0"
CLASS_UID = 2004
MAX_LINE = 300
"""Longest title, source or rule in characters; the rest is cut."""

SEVERITIES: dict[int, str] = {
    0: "Unknown",
    1: "Informational",
    2: "Low",
    3: "Medium",
    4: "High",
    5: "Critical",
    6: "Fatal",
    99: "Other",
}
"""OCSF `severity_id` and its caption (dictionary.json, `severity_id`)."""

_ENDED_STATUSES = frozenset({3, 4, 5, 6})
"""`status_id`: Suppressed, Resolved, Archived, Deleted."""
_ACTIVITY_CLOSE = 3
EARLIEST = 946_684_800_000
LATEST = 4_102_444_800_000
"""2000-01-01 and 2100-01-01 in milliseconds: times outside are mistakes of unit or of clock."""


def _to_milliseconds(value: Any) -> Any:
    """OCSF times are milliseconds since 1970. Producers that send seconds, micro- or nanoseconds are understood."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        # pydantic reports a ValueError as a fault of the field; a TypeError would escape it.
        raise ValueError("a time is a number of milliseconds since 1970-01-01T00:00:00Z")  # noqa: TRY004
    number = int(value)
    if 0 < number < 100_000_000_000:
        number *= 1000
    elif number >= 100_000_000_000_000_000:
        number //= 1_000_000
    elif number >= 100_000_000_000_000:
        number //= 1000
    if not EARLIEST <= number < LATEST:
        raise ValueError("the time is not between the years 2000 and 2100; it counts milliseconds since 1970")
    return number


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("a number is wanted, not true or false")  # noqa: TRY004 - see above
    return value


def _known_severity(value: int) -> int:
    if value not in SEVERITIES:
        raise ValueError(f"one of {', '.join(str(known) for known in SEVERITIES)} is wanted")
    return value


Timestamp = Annotated[int, BeforeValidator(_to_milliseconds)]
"""OCSF `timestamp_t`: milliseconds since 1970-01-01T00:00:00Z."""
Integer = Annotated[int, BeforeValidator(_no_bool)]
Severity = Annotated[Integer, AfterValidator(_known_severity)]


class OcsfObject(BaseModel):
    """Base of OCSF objects: frozen, open to attributes of other schema versions."""

    model_config = ConfigDict(frozen=True, extra="allow", coerce_numbers_to_str=True)


class Feature(OcsfObject):
    """Part of a product."""

    name: str | None = None
    uid: str | None = None


class Product(OcsfObject):
    """The product that made the finding."""

    name: str | None = None
    vendor_name: str | None = None
    uid: str | None = None
    version: str | None = None
    feature: Feature | None = None


class Metadata(OcsfObject):
    """Where the event comes from. `version` is the version of OCSF it follows."""

    version: str
    product: Product
    uid: str | None = None
    tenant_uid: str | None = None
    log_provider: str | None = None
    event_code: str | None = None


class Analytic(OcsfObject):
    """The rule, model or signature that matched. `type_id` 1 is a rule."""

    name: str | None = None
    uid: str | None = None
    type: str | None = None
    type_id: Integer = 0


class Term(OcsfObject):
    """A technique, sub-technique or tactic of MITRE ATT&CK."""

    name: str | None = None
    uid: str | None = None


class Attack(OcsfObject):
    """What the finding means in MITRE ATT&CK."""

    tactic: Term | None = None
    tactics: tuple[Term, ...] | None = None
    technique: Term | None = None
    sub_technique: Term | None = None


class FindingInfo(OcsfObject):
    """The finding itself."""

    uid: str
    title: str | None = None
    desc: str | None = None
    types: tuple[str, ...] | None = None
    analytic: Analytic | None = None
    attacks: tuple[Attack, ...] | None = None
    created_time: Timestamp | None = None
    first_seen_time: Timestamp | None = None
    last_seen_time: Timestamp | None = None
    modified_time: Timestamp | None = None


class Observable(OcsfObject):
    """A value worth searching for. `name` is the path of the attribute it was found in."""

    name: str | None = None
    type: str | None = None
    type_id: Integer
    value: str | None = None


class Endpoint(OcsfObject):
    """One end of a connection."""

    ip: str | None = None
    port: Integer | None = None
    hostname: str | None = None
    name: str | None = None
    uid: str | None = None


class Device(Endpoint):
    """The host the finding is about."""

    type_id: Integer = 0


class Resource(OcsfObject):
    """A thing that was the target."""

    name: str | None = None
    uid: str | None = None
    type: str | None = None
    hostname: str | None = None
    ip: str | None = None


class User(OcsfObject):
    """An account."""

    name: str | None = None
    uid: str | None = None


class Evidence(OcsfObject):
    """What the detector saw."""

    src_endpoint: Endpoint | None = None
    dst_endpoint: Endpoint | None = None
    user: User | None = None


class Kept(NamedTuple):
    """What is kept of an alert besides its summary. No contacts are in it."""

    text: str
    """JSON: the alert as it was received, or its Detection Finding, contacts masked."""
    as_received: bool


class Finding(Protocol):
    """What intake looks at of a Detection Finding. It is built in full only for those who read it."""

    @property
    def uid(self) -> str: ...
    @property
    def source(self) -> str: ...
    @property
    def rule(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def types(self) -> tuple[str, ...]: ...
    @property
    def asset(self) -> str | None: ...
    @property
    def asset_name(self) -> str | None: ...
    @property
    def user(self) -> str | None: ...
    @property
    def src_ip(self) -> str | None: ...
    @property
    def tactic(self) -> str | None: ...
    @property
    def severity_id(self) -> int: ...
    @property
    def detected_at(self) -> datetime: ...
    @property
    def is_over(self) -> bool: ...
    def ocsf_json(self) -> str:
        """The whole finding as compact OCSF JSON, contacts included."""
        ...


class DetectionFinding(OcsfObject):
    """An OCSF Detection Finding. All times are milliseconds since 1970 in UTC."""

    activity_id: Integer = 1
    activity_name: str | None = None
    category_uid: Literal[2] = 2
    category_name: str | None = "Findings"
    class_uid: Literal[2004] = 2004
    class_name: str | None = "Detection Finding"
    type_uid: Integer
    type_name: str | None = None
    time: Timestamp
    severity_id: Severity = 0
    severity: str | None = None
    status_id: Integer | None = None
    status: str | None = None
    status_code: str | None = None
    message: str | None = None
    is_alert: bool | None = None
    metadata: Metadata
    finding_info: FindingInfo
    observables: tuple[Observable, ...] | None = None
    resources: tuple[Resource, ...] | None = None
    device: Device | None = None
    src_endpoint: Endpoint | None = None
    evidences: tuple[Evidence, ...] | None = None
    raw_data: str | None = None
    unmapped: dict[str, Any] | None = Field(default=None)

    @property
    def uid(self) -> str:
        """The source's own id of it."""
        return self.finding_info.uid

    @property
    def types(self) -> tuple[str, ...]:
        """What kinds of finding it is, by the source's names."""
        return self.finding_info.types or ()

    @property
    def source(self) -> str:
        """Vendor, product and what tells installations of it apart, joined by `/`."""
        product, metadata = self.metadata.product, self.metadata
        vendor = product.vendor_name if product.vendor_name != product.name else None
        parts = (vendor, product.name or product.uid, metadata.tenant_uid, metadata.log_provider)
        return clean_line("/".join(dict.fromkeys(part for part in parts if part)) or "unknown")

    @property
    def rule(self) -> str:
        """The identity of what matched: the analytic's uid, else the event code. Without both the title stands in,
        because names and types of analytics are often those of a whole engine."""
        analytic = self.finding_info.analytic
        candidates = (
            analytic.uid if analytic else None,
            self.metadata.event_code,
            self.finding_info.title,
            analytic.name if analytic else None,
            *(self.finding_info.types or ()),
        )
        return clean_line(next((text for text in candidates if text), "unknown"))

    @property
    def asset(self) -> str | None:
        """The thing most concerned: the device, else the first resource (by uid, host name, name or address), else
        the first host among the observables."""
        holders: list[Device | Resource] = [self.device] if self.device else []
        holders += list((self.resources or ())[:1])
        for holder in holders:
            found = holder.uid or holder.hostname or holder.name or holder.ip
            if found:
                return clean_line(found)
        hosts = (seen.value for seen in self.observables or () if seen.type_id == 1 or seen.name == "hostname")
        return next((clean_line(host) for host in hosts if host), None)

    @property
    def asset_name(self) -> str | None:
        """The asset as people call it: its host name or name where it has one."""
        for holder in (self.device, *(self.resources or ())[:1]):
            if holder and (holder.hostname or holder.name):
                return clean_line(holder.hostname or holder.name or "")
        return self.asset

    @property
    def title(self) -> str:
        """One line for people: the finding's title, else its message, else the rule."""
        return clean_line(self.finding_info.title or "") or clean_line(self.message or "") or self.rule

    @property
    def user(self) -> str | None:
        """The first account in the evidence."""
        users = (evidence.user for evidence in self.evidences or ())
        return next((user.name or user.uid for user in users if user), None)

    @property
    def src_ip(self) -> str | None:
        """Where it came from: the address of the source, else the first one in the evidence."""
        if self.src_endpoint and self.src_endpoint.ip:
            return self.src_endpoint.ip
        ends = (evidence.src_endpoint for evidence in self.evidences or ())
        return next((end.ip for end in ends if end and end.ip), None)

    @property
    def tactic(self) -> str | None:
        """The first MITRE ATT&CK tactic."""
        for attack in self.finding_info.attacks or ():
            for tactic in (attack.tactic, *(attack.tactics or ())):
                if tactic and (tactic.name or tactic.uid):
                    return tactic.name or tactic.uid
        return None

    @property
    def detected_at(self) -> datetime:
        """When the detector made the finding (not when the last update of it was sent)."""
        return datetime.fromtimestamp((self.finding_info.created_time or self.time) / 1000, UTC)

    @property
    def is_over(self) -> bool:
        """Whether the source itself calls it closed, suppressed, resolved or passed: nothing to declare."""
        return (
            self.activity_id == _ACTIVITY_CLOSE
            or self.status_id in _ENDED_STATUSES
            or (self.status_code or "").upper() in {"PASS", "PASSED"}
        )

    def ocsf_json(self) -> str:
        """The whole finding as compact OCSF JSON, contacts included."""
        return self.model_dump_json(exclude_none=True)


def clean_line(text: str, limit: int = MAX_LINE) -> str:
    """One line without control characters, at most `limit` characters long."""
    return _known_line(text, limit) if len(text) <= MAX_LINE else _line(text, limit)


def _line(text: str, limit: int) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text)
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"


_known_line = lru_cache(maxsize=4_096)(_line)
"""Of short texts only: thousands of long ones would be all the memory there is."""
