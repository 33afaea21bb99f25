"""A file of what became of every recipient of a campaign, and the digest by which an auditor can check it.

NDJSON: a line that says what it is, a line for each recipient in the order of the audience, a last line with the sums
and the root of the Merkle tree (RFC 6962) over all lines before it. CSV: a line for each delivery (one without a
delivery for whoever has none) under a heading; its root is in the record only. A line of the tree is the line's bytes
without the end of the line.
"""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal

from sqlalchemy import Engine

from incidents.errors import InvalidInput
from incidents.record import stable_id
from notifier.audience.merkle import Tree, leaf_hash
from projections.coverage.coverage import Outcomes
from projections.coverage.history import Line, lines

Form = Literal["ndjson", "csv"]
FORMS: tuple[Form, ...] = ("ndjson", "csv")
DIGEST = "rfc6962-sha256"
PARTS = tuple(name for name in Outcomes.model_fields if name != "planned")
CHUNK = 64 * 1024
"""Bytes that are given out at once."""
MAX_LINE = 1_000_000
_HEADING = (
    *("position", "recipient", "language", "outcome", "delivery", "channel", "state", "code", "at", "events"),
    "channels",
)


@dataclass(slots=True)
class HistoryFile:
    """One file under way. What it says of itself is complete when `chunks` has ended."""

    engine: Engine
    campaign: Any
    form: Form
    at: datetime
    recipients: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    _tree: Tree = field(default_factory=Tree)

    @property
    def root(self) -> str:
        """The root over what was given out so far."""
        return f"{DIGEST}:{self._tree.root().hex()}"

    @property
    def sums(self) -> dict[str, int]:
        """How many people count to each part."""
        return {name: self.outcomes[name] for name in PARTS}

    def chunks(self) -> Iterator[bytes]:
        """The file, in pieces."""
        held, size = list[bytes](), 0
        for line in self._lines():
            held.append(line + b"\n")
            size += len(line) + 1
            if size >= CHUNK:
                yield b"".join(held)
                held, size = [], 0
        yield b"".join(held)

    def _lines(self) -> Iterator[bytes]:
        yield self._leaf(_plain(self._head()) if self.form == "ndjson" else _row(_HEADING))
        for line in lines(self.engine, self.campaign):
            self.recipients += 1
            self.outcomes[line.outcome] += 1
            if self.form == "ndjson":
                yield self._leaf(_plain(_recipient(line)))
            else:
                for row in _rows(line):
                    yield self._leaf(_row(row))
        if self.form == "ndjson":
            yield _plain({"kind": "end", "recipients": self.recipients, "outcomes": self.sums, "root": self.root})

    def _leaf(self, line: bytes) -> bytes:
        self._tree.add(leaf_hash(line))
        return line

    def _head(self) -> dict[str, Any]:
        one = self.campaign
        return {
            "kind": "campaign",
            "format": 1,
            "campaign": str(one.campaign_id),
            "incident": str(one.incident_id),
            "state": one.state,
            "drill": one.drill,
            "audience": str(one.audience_id),
            "audience_digest": one.audience_digest,
            "text_digest": one.text_digest,
            "planned": one.planned,
            "stream": str(stable_id("deliveries", str(one.campaign_id))),
            "exported_at": self.at.isoformat(),
        }


def _recipient(line: Line) -> dict[str, Any]:
    return {
        "kind": "recipient",
        "position": line.position,
        "recipient": str(line.recipient_id),
        "language": line.language,
        "channels": list(line.channels),
        "outcome": line.outcome,
        "deliveries": [
            {
                "delivery": str(row["delivery"]),
                "channel": row["channel"],
                "state": row["state"],
                "code": row["code"],
                "at": _instant(row["moved_at"]),
                "events": [int(version) for version in row["versions"].split(",") if version],
            }
            for row in line.deliveries
        ],
    }


def _rows(line: Line) -> Iterator[tuple[Any, ...]]:
    person = (line.position, line.recipient_id, line.language, line.outcome)
    for row in line.deliveries:
        found = (row["delivery"], row["channel"], row["state"], row["code"] or "", _instant(row["moved_at"]))
        yield (*person, *found, row["versions"].replace(",", " "), " ".join(line.channels))
    if not line.deliveries:
        yield (*person, "", "", "", "", "", "", " ".join(line.channels))


def _instant(milliseconds: int) -> str:
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat()


def _plain(values: dict[str, Any]) -> bytes:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def _row(values: Iterable[Any]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="").writerow(values)
    return text.getvalue().encode()


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file says, made anew from its lines."""

    root: str
    recipients: int
    outcomes: dict[str, int]


def check_file(source: Iterable[bytes]) -> Checked:
    """Check a file of NDJSON by itself: sums and root are what its lines give. InvalidInput names the line that is
    wrong. Whether it is the file that was given out, the root in the record says."""
    tree, outcomes, number, place = Tree(), Counter[str](), 0, 0
    for number, raw in enumerate(source, 1):
        line = raw.rstrip(b"\n")
        found = _read(line, number)
        if found.get("kind") == "end":
            root = f"{DIGEST}:{tree.root().hex()}"
            checked = Checked(root, place, {name: outcomes[name] for name in PARTS})
            said = (found.get("root"), found.get("recipients"), found.get("outcomes"))
            if said != (checked.root, checked.recipients, checked.outcomes):
                raise InvalidInput(
                    "The last line is not what those before it give: the file was altered.", field="file"
                )
            return checked
        tree.add(leaf_hash(line))
        if found.get("kind") == "recipient":
            place += 1
            outcomes[str(found.get("outcome"))] += 1
    raise InvalidInput(f"The file breaks off after line {number}.", field="file")


def _read(line: bytes, number: int) -> dict[str, Any]:
    if len(line) > MAX_LINE:
        raise InvalidInput(f"Line {number} is too long to be one of ours.", field="file")
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise InvalidInput(f"Line {number} is no JSON object.", field="file")
    return found
