"""Traces: one for each incident, joined by whoever works on it in whichever process (OpenTelemetry's API only).

The trace of an incident has the incident's id, and its first span an id that follows from it. So a follower that acts
hours later, after a restart, on another machine, joins the trace without anything having been stored or passed on.
A request or a batch of messages has a trace of its own; where it touches an incident, the two are linked.

What is said of a span is what events say too: kinds, ids that we made, counts. Nothing that came from outside.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

import structlog
from opentelemetry import trace
from opentelemetry.context import Context as TraceContext
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from incidents.reference import reference_of

INCIDENT = "tocsin.incident"
"""The attribute that holds an incident's reference."""

Said = Mapping[str, str | int | bool]

first_span: ContextVar[SpanContext | None] = ContextVar("tocsin_first_span", default=None)
"""The ids that the span which is being started must have; the ids' maker of `tocsin.observability.traces` reads it."""

_SPAN_ID = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15
"""An odd number, so that multiplying by it modulo 2**64 maps no two halves to one."""
_PROPAGATOR = TraceContextTextMapPropagator()


def tracer() -> Tracer:
    """Ours. Costs next to nothing where traces are not set up."""
    return trace.get_tracer("tocsin")


def is_set_up() -> bool:
    """Whether anybody gets what is said; a storm of alerts is not to make spans for nobody."""
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)


def beginning_of(incident_id: UUID) -> SpanContext:
    """The first span of an incident's trace, whoever made it and whenever."""
    span_id = (incident_id.int * _GOLDEN) & _SPAN_ID
    return SpanContext(incident_id.int, span_id or 1, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED))


def traceparent_of(incident_id: UUID, *, sampled: bool = True) -> str:
    """The `traceparent` (W3C Trace Context) with which somebody outside joins an incident's trace."""
    first = beginning_of(incident_id)
    return f"00-{first.trace_id:032x}-{first.span_id:016x}-{int(sampled):02x}"


def given_by(traceparent: str | None) -> TraceContext:
    """The trace that a message or a request names; an empty one for none, and for one that is not well-formed.

    `tracestate` and baggage are left out: they are free text of somebody else.
    """
    return _PROPAGATOR.extract({"traceparent": traceparent} if traceparent else {}, context=TraceContext())


def link_to(traceparent: str | None) -> list[Link]:
    """The same as a link, for a span that is about many messages at once; empty for none."""
    context = trace.get_current_span(given_by(traceparent)).get_span_context()
    return [Link(context)] if context.is_valid else []


@contextmanager
def span(
    name: str,
    said: Said | None = None,
    *,
    within: TraceContext | None = None,
    kind: SpanKind = SpanKind.INTERNAL,
    links: Iterable[Link] = (),
) -> Iterator[Span]:
    """A span around some work, in the present trace (or `within` another). An error gives it its class's name, not its
    text, which may repeat what somebody typed."""
    with tracer().start_as_current_span(
        name,
        context=within,
        kind=kind,
        attributes=said,
        links=list(links),
        record_exception=False,
        set_status_on_exception=False,
    ) as current:
        try:
            yield current
        except Exception as error:
            current.set_status(Status(StatusCode.ERROR, type(error).__name__))
            raise


@contextmanager
def incident_span(
    name: str, incident_id: UUID, said: Said | None = None, *, links: Iterable[Link] = ()
) -> Iterator[Span]:
    """A span in the trace of an incident. Log lines within it name the incident.

    It stands under the present span if that is in this trace, else under the first span, linked to the present one.
    """
    reference = reference_of(incident_id)
    within, found = None, list(links)
    if trace.get_current_span().get_span_context().trace_id != incident_id.int:
        within = trace.set_span_in_context(NonRecordingSpan(beginning_of(incident_id)), TraceContext())
        found += _present()
    with (
        structlog.contextvars.bound_contextvars(incident=reference),
        span(name, {INCIDENT: reference, **(said or {})}, within=within, links=found) as current,
    ):
        yield current


def begin_incident(incident_id: UUID, said: Said | None = None, *, links: Iterable[Link] = ()) -> None:
    """The first span of an incident's trace: it was declared, by the request or message that is being handled."""
    if not is_set_up():
        return
    first = beginning_of(incident_id)
    token = first_span.set(first)
    try:
        started = tracer().start_span(
            "incident.declared",
            context=TraceContext(),
            attributes={INCIDENT: reference_of(incident_id), **(said or {})},
            links=[*links, *_present()],
        )
    finally:
        first_span.reset(token)
    started.end()
    point_to(incident_id)


def join_incident(name: str, incident_id: UUID, said: Said | None = None, *, links: Iterable[Link] = ()) -> None:
    """Leave a mark in an incident's trace: something that took its time in another trace touched it."""
    if not is_set_up():
        return
    with incident_span(name, incident_id, said, links=links):
        pass
    point_to(incident_id)


def point_to(incident_id: UUID) -> None:
    """Let the present span name an incident and link to its trace."""
    present = trace.get_current_span()
    if present.is_recording():
        present.set_attribute(INCIDENT, reference_of(incident_id))
        present.add_link(beginning_of(incident_id))


def _present() -> list[Link]:
    context = trace.get_current_span().get_span_context()
    return [Link(context)] if context.is_valid else []


def say(**said: Any) -> None:
    """Add to what the present span says: `outcome="linked"` becomes `tocsin.outcome`."""
    present = trace.get_current_span()
    for name, value in said.items():
        present.set_attribute(f"tocsin.{name}", value)
