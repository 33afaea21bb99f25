"""An incident's trace, for those who read its events elsewhere: `traceparent` (W3C Trace Context)."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID

from incidents.tracing import traceparent_of
from tocsin.settings import TracesSettings

_LOW_BITS = 56
"""How many of a trace id's last bits are random in every kind of id: the others may be a version of UUIDs."""


def is_chosen(trace_id: int, share: float) -> bool:
    """Whether a trace is among the share that is kept. Every process and every version answers alike."""
    return (trace_id & ((1 << _LOW_BITS) - 1)) < share * (1 << _LOW_BITS)


def trace_of(settings: TracesSettings) -> Callable[[UUID], str]:
    """Names the trace of an incident, and says truly whether its spans are sent anywhere."""

    def said(incident_id: UUID) -> str:
        sampled = bool(settings.endpoint) and is_chosen(incident_id.int, settings.share)
        return traceparent_of(incident_id, sampled=sampled)

    return said
