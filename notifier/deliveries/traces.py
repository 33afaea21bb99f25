"""Spans of deliveries: of the first of each campaign, then of one in so many. A trace of millions helps nobody."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import NonRecordingSpan

from incidents.reference import reference_of
from incidents.tracing import INCIDENT, beginning_of, incident_span, say, tracer
from notifier.channels.outcome import Outcome
from notifier.deliveries.book import Claim

FIRST = 20
ONE_IN = 500
KEPT = 100
"""Campaigns that are counted at the same time."""


class DeliverySpans:
    """Chooses among the deliveries of one worker. The worker's loop is the only one to use it."""

    def __init__(self, *, first: int = FIRST, one_in: int = ONE_IN) -> None:
        self._first = first
        self._one_in = one_in
        self._seen: OrderedDict[UUID, int] = OrderedDict()

    def chosen(self, campaign_id: UUID) -> int:
        """The number of this try among the campaign's, if it is one of those that get a span; else 0."""
        number = self._seen[campaign_id] = self._seen.pop(campaign_id, 0) + 1
        if len(self._seen) > KEPT:
            self._seen.popitem(last=False)
        return 0 if number > self._first and number % self._one_in else number

    @contextmanager
    def around(self, claim: Claim, incident_id: UUID) -> Iterator[None]:
        """A span in the incident's trace around one try, if it is one of those that get one. Names no recipient."""
        number = self.chosen(claim.campaign_id)
        if not number:
            yield
            return
        with incident_span("delivery", incident_id, _said(claim.campaign_id, claim.channel, claim.drill, number)):
            yield

    def enter(
        self,
        number: int,
        campaign_id: UUID,
        incident_id: UUID,
        outcome: Outcome,
        *,
        channel: str,
        drill: bool,
        seconds: float,
    ) -> None:
        """The same afterwards, for a try that was one of many under way at once and took so many seconds."""
        ended = time.time_ns()
        within = trace.set_span_in_context(NonRecordingSpan(beginning_of(incident_id)), TraceContext())
        said = {
            INCIDENT: reference_of(incident_id),
            **_said(campaign_id, channel, drill, number),
            "tocsin.outcome": outcome.verdict.value,
            "tocsin.code": outcome.code or "",
        }
        began = ended - int(seconds * 1_000_000_000)
        tracer().start_span("delivery", context=within, attributes=said, start_time=began).end(ended)


def _said(campaign_id: UUID, channel: str, drill: bool, number: int) -> dict[str, str | int | bool]:
    return {
        "tocsin.campaign": str(campaign_id),
        "tocsin.channel": channel,
        "tocsin.drill": drill,
        "tocsin.number": number,
    }


def say_outcome(outcome: Outcome) -> None:
    """Add what came of it to the present span."""
    say(outcome=outcome.verdict.value, code=outcome.code or "")
