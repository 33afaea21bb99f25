"""What became of alerts, said in the traces of the incidents they went to: one span for each incident of a batch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol
from uuid import UUID

from opentelemetry.trace import Link

from incidents.tracing import begin_incident, join_incident, say

MOST_LINKS = 100
"""Messages that one span links to."""


class Taken(Protocol):
    """What is looked at of a receipt."""

    @property
    def incident_id(self) -> UUID | None: ...

    @property
    def outcome(self) -> str: ...


def trace_receipts(receipts: Iterable[Taken], links: Mapping[int, Sequence[Link]] | None = None) -> None:
    """Leave a mark with each incident that alerts declared or were linked to, and count the outcomes in the present
    span. `links` are those of the messages that brought the alerts, by place among the receipts."""
    outcomes: Counter[str] = Counter()
    alerts: Counter[UUID] = Counter()
    declared: set[UUID] = set()
    brought: dict[UUID, list[Link]] = {}
    for place, receipt in enumerate(receipts):
        outcomes[receipt.outcome] += 1
        if receipt.incident_id is None or receipt.outcome not in {"declared", "linked"}:
            continue
        alerts[receipt.incident_id] += 1
        brought.setdefault(receipt.incident_id, []).extend((links or {}).get(place, ()))
        if receipt.outcome == "declared":
            declared.add(receipt.incident_id)
    for incident_id, number in alerts.items():
        said, from_messages = {"tocsin.alerts": number}, brought[incident_id][:MOST_LINKS]
        if incident_id in declared:
            begin_incident(incident_id, said, links=from_messages)
        else:
            join_incident("alert.linked", incident_id, said, links=from_messages)
    say(**{f"alerts.{outcome}": number for outcome, number in outcomes.items()})
