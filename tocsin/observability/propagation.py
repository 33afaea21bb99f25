"""An incident's trace, for those who read its events elsewhere: `traceparent` (W3C Trace Context)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from incidents.tracing import traceparent_of
from tocsin.observability.traces import is_chosen
from tocsin.settings import TracesSettings


def trace_of(settings: TracesSettings) -> Callable[[UUID], str]:
    """Names the trace of an incident, and says truly whether its spans are sent anywhere."""

    def said(incident_id: UUID) -> str:
        sampled = bool(settings.endpoint) and is_chosen(incident_id.int, settings.share)
        return traceparent_of(incident_id, sampled=sampled)

    return said
