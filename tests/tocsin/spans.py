"""Spans as they end, kept in memory. OpenTelemetry takes one provider for the life of a process, so tests share it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from tocsin.observability.traces import Masking, bare_provider


@cache
def _exporter() -> InMemorySpanExporter:
    exporter = InMemorySpanExporter()
    provider = bare_provider(1.0, role="test", process="test-1")
    provider.add_span_processor(SimpleSpanProcessor(Masking(exporter)))
    trace.set_tracer_provider(provider)
    return exporter


@contextmanager
def recorded_spans() -> Iterator[Spans]:
    """The spans that end while the block runs."""
    exporter = _exporter()
    exporter.clear()
    try:
        yield Spans(exporter)
    finally:
        exporter.clear()


class Spans:
    """What was exported."""

    def __init__(self, exporter: InMemorySpanExporter) -> None:
        self._exporter = exporter

    def all(self) -> tuple[ReadableSpan, ...]:
        return self._exporter.get_finished_spans()

    def named(self, name: str) -> list[ReadableSpan]:
        return [span for span in self.all() if span.name == name]

    def of_trace(self, trace_id: int) -> list[ReadableSpan]:
        return [span for span in self.all() if span.get_span_context().trace_id == trace_id]
