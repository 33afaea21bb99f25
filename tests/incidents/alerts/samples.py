"""Wazuh alerts of our own in their true form, and the samples kept beside them."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

from incidents.alerts.dialects import parse
from incidents.alerts.finding import DetectionFinding, Finding
from incidents.privacy import mask_json, mask_tree

DATA = Path(__file__).parent / "data"
REPOSITORY = Path(__file__).parents[3]
STORY_ALERT = REPOSITORY / "tocsin" / "story" / "alert.wazuh.json"
SHARED = Path(os.environ.get("TOCSIN_SHARED", REPOSITORY.parent / "shared"))
CORPUS = SHARED / "samples" / "alerts"

_SSH: dict[str, Any] = {
    "timestamp": "2026-11-19T23:41:07.218+0800",
    "rule": {
        "level": 10,
        "description": "sshd: many failed logons from one address.",
        "id": "5763",
        "mitre": {"id": ["T1110.001"], "tactic": ["Credential Access"], "technique": ["Password Guessing"]},
        "frequency": 8,
        "firedtimes": 2,
        "mail": False,
        "groups": ["syslog", "sshd", "authentication_failures"],
        "pci_dss": ["10.2.4"],
    },
    "agent": {"id": "014", "name": "his-app-01", "ip": "192.0.2.14"},
    "manager": {"name": "wazuh-changsha"},
    "id": "1795103267.912044",
    "full_log": "Nov 19 23:41:05 his-app-01 sshd[4188]: Failed password for backup from 203.0.113.9 port 50022 ssh2",
    "predecoder": {"program_name": "sshd", "timestamp": "Nov 19 23:41:05", "hostname": "his-app-01"},
    "decoder": {"parent": "sshd", "name": "sshd"},
    "data": {"srcip": "203.0.113.9", "srcport": "50022", "dstuser": "backup"},
    "location": "/var/log/auth.log",
}


def wazuh(**changes: Any) -> dict[str, Any]:
    """A Wazuh alert; `rule__level=3` changes a field inside, None takes one away."""
    alert = copy.deepcopy(_SSH)
    for path, value in changes.items():
        *parents, name = path.split("__")
        holder = alert
        for parent in parents:
            holder = holder[parent]
        if value is None:
            holder.pop(name, None)
        else:
            holder[name] = value
    return alert


def wazuh_bytes(**changes: Any) -> bytes:
    """The same, as the bytes a webhook carries."""
    return json.dumps(wazuh(**changes)).encode()


def ocsf(name: str) -> dict[str, Any]:
    """One of the OCSF samples, by the middle of its name."""
    (path,) = DATA.glob(f"ocsf-*{name}*.json")
    document: dict[str, Any] = json.loads(path.read_bytes())
    return document


def ocsf_bytes(name: str, **changes: Any) -> bytes:
    """An OCSF sample with top-level attributes changed (None takes one away)."""
    document = ocsf(name) | changes
    return json.dumps({key: value for key, value in document.items() if value is not None}).encode()


SAID = tuple(name for name, member in vars(Finding).items() if isinstance(member, property))
"""What intake asks of a finding."""


def finding_in(dialect: str, raw: bytes) -> DetectionFinding:
    """The finding in an alert, read as intake reads it and checked against the model of OCSF.

    Whatever dialect it came in, it says of itself what the model says of it, and is kept with nothing but its contacts
    masked.
    """
    parsed = parse(dialect, raw)
    whole = DetectionFinding.model_validate_json(parsed.finding.ocsf_json())
    assert {name: getattr(parsed.finding, name) for name in SAID} == {name: getattr(whole, name) for name in SAID}
    plain = whole.model_dump(mode="json", exclude_none=True)
    if parsed.kept.as_received:
        assert parsed.kept.text.encode() == raw.removeprefix(b"\xef\xbb\xbf")
        assert mask_json(parsed.kept.text) == parsed.kept.text
    else:
        assert json.loads(parsed.kept.text) == mask_tree(plain)
    return whole
