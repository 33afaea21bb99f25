"""Sending traces: OpenTelemetry's SDK, set up once at the start of a process when the settings say where spans go.

The SDK is an extra of its own (`traces`); the rooms know the API only, which does nothing without it. Two things are
ours: spans of an incident have ids that follow from its id (see `incidents.tracing`), and the last gate before the wire
masks whatever looks like a contact, as it does for log lines.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from opentelemetry import trace
from opentelemetry.trace import Link, SpanKind, TraceState

from incidents.errors import InvalidInput
from incidents.privacy import mask_tree
from incidents.tracing import first_span
from tocsin.observability.propagation import is_chosen
from tocsin.settings import TracesSettings

try:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan, TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
    from opentelemetry.sdk.trace.sampling import Decision, Sampler, SamplingResult
except ImportError:
    if not TYPE_CHECKING:
        SpanExporter = Sampler = RandomIdGenerator = object
    _HAS_SDK = False
else:
    _HAS_SDK = True

NOT_INSTALLED = (
    "Traces need a part that is not installed: install tocsin with the extra `traces` (pip install 'tocsin[traces]'), "
    "or leave the setting empty."
)


@contextmanager
def sending_traces(settings: TracesSettings, *, role: str, process: str) -> Iterator[None]:
    """Send the spans of this process for as long as the block runs; do nothing when no endpoint is set.

    `role` is what the process does (`api`, `notifier`), `process` its own id. InvalidInput when the extra is missing.
    """
    if not settings.endpoint:
        yield
        return
    provider = provider_of(settings, _wire(settings), role=role, process=process)
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()  # sends what waits


def provider_of(settings: TracesSettings, exporter: SpanExporter, *, role: str, process: str) -> TracerProvider:
    """A provider whose spans go to an exporter through the mask, in batches, never holding up the work."""
    provider = bare_provider(settings.share, role=role, process=process)
    provider.add_span_processor(BatchSpanProcessor(Masking(exporter)))
    return provider


def bare_provider(share: float, *, role: str, process: str) -> TracerProvider:
    """The same without anywhere to send. InvalidInput when the extra is missing."""
    if not _HAS_SDK:
        raise InvalidInput(NOT_INSTALLED, field="traces.endpoint")
    resource = Resource(
        {
            "service.name": "tocsin",
            "service.version": version("tocsin"),
            "service.instance.id": process,
            "tocsin.role": role,
        }
    )
    return TracerProvider(resource=resource, sampler=ByTrace(share), id_generator=Ids(), shutdown_on_exit=False)


def _wire(settings: TracesSettings) -> SpanExporter:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ImportError as error:
        raise InvalidInput(NOT_INSTALLED, field="traces.endpoint") from error
    pairs = filter(None, settings.headers.get_secret_value().split(","))
    headers = {name.strip(): value.strip() for name, _, value in (pair.partition("=") for pair in pairs)}
    return OTLPSpanExporter(
        endpoint=settings.endpoint,
        headers=headers,
        certificate_file=str(settings.ca_file) if settings.ca_file else None,
    )


class Ids(RandomIdGenerator):
    """Random ids, but for the first span of an incident's trace."""

    def generate_trace_id(self) -> int:
        """The incident's id, or a random one."""
        first = first_span.get()
        return super().generate_trace_id() if first is None else first.trace_id

    def generate_span_id(self) -> int:
        """The id of the incident's first span, or a random one."""
        first = first_span.get()
        return super().generate_span_id() if first is None else first.span_id


class ByTrace(Sampler):
    """Keeps a share of traces, each whole. What the caller of a request wishes does not count: it may be anybody."""

    def __init__(self, share: float) -> None:
        self._share = share

    def should_sample(
        self,
        parent_context: Any,
        trace_id: int,
        name: str,
        kind: SpanKind | None = None,
        attributes: Any = None,
        links: Sequence[Link] | None = None,
        trace_state: TraceState | None = None,
    ) -> SamplingResult:
        """By the trace's id alone."""
        kept = is_chosen(trace_id, self._share)
        return SamplingResult(Decision.RECORD_AND_SAMPLE if kept else Decision.DROP, attributes if kept else None)

    def get_description(self) -> str:
        """For people."""
        return f"ByTrace({self._share})"


class Masking(SpanExporter):
    """The last gate before spans leave: whatever looks like a telephone number or an address is masked."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Pass them on, masked where they must be."""
        return self._inner.export([_masked(span) for span in spans])

    def shutdown(self) -> None:
        """Close the one behind."""
        self._inner.shutdown()

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Flush the one behind."""
        return self._inner.force_flush(timeout_millis)


def _masked(span: ReadableSpan) -> ReadableSpan:
    mask: Callable[[Any], Any] = lambda attributes: mask_tree(dict(attributes or {}))  # noqa: E731
    return ReadableSpan(
        name=mask_tree(span.name),
        context=span.get_span_context(),
        parent=span.parent,
        resource=span.resource,
        attributes=mask(span.attributes),
        events=[Event(mask_tree(event.name), mask(event.attributes), event.timestamp) for event in span.events],
        links=[Link(link.context, mask(link.attributes)) for link in span.links],
        kind=span.kind,
        instrumentation_scope=span.instrumentation_scope,
        status=span.status,
        start_time=span.start_time,
        end_time=span.end_time,
    )
