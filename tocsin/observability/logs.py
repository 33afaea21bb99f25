"""Logs: one JSON object a line on standard error (or plain text on a terminal), through `structlog`."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from opentelemetry import trace
from structlog.typing import EventDict, WrappedLogger

from incidents.privacy import mask_contacts, mask_tree

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
_PLAIN_FIELDS = frozenset({"timestamp", "level", "logger", "trace_id", "span_id", "_record", "_from_structlog"})
"""Set by the processors themselves; the last two are objects that the formatter takes out again."""
_DETAIL = re.compile(r"(?m)^(\W*DETAIL:).*$")
"""Where PostgreSQL repeats the values of a row that it refused."""


def mask_values(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The last gate before a line is written: whatever looks like a phone number or an address is masked, however
    deep it is inside lists and mappings.

    Callers must not log contacts at all; this is for text that came from elsewhere (a library's message or error, a
    provider's).
    """
    for name, value in event.items():
        if name not in _PLAIN_FIELDS:
            event[name] = _masked(value)
    return event


def _masked(value: Any) -> Any:
    match value:
        case str():
            return mask_contacts(_DETAIL.sub(r"\1 [hidden]", value))
        case None | bool() | int() | float():
            return mask_tree(value)
        case Mapping():
            return {_masked(str(key)): _masked(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [_masked(item) for item in value]
        case _:
            return _masked(repr(value))  # as the renderer would show it


def name_trace(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Add the present trace and span, so that a line is found from a trace and the other way round. Within the work
    on an incident there is one even where no traces are sent: its id is the incident's."""
    present = trace.get_current_span().get_span_context()
    if present.is_valid:
        event["trace_id"] = f"{present.trace_id:032x}"
        event["span_id"] = f"{present.span_id:016x}"
    return event


def set_up_logs(level: str, *, stream: TextIO | None = None) -> None:
    """Configure `structlog` and the standard library's loggers to write alike."""
    out = stream or sys.stderr
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        name_trace,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        mask_values,
    ]
    renderer: structlog.typing.Processor = (
        structlog.dev.ConsoleRenderer() if out.isatty() else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            foreign_pre_chain=shared,
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(_LEVELS[level])
    for noisy in ("twilio", "httpx", "aiohttp", "mail.log", "eventsourcing", "alembic"):
        # Their info lines repeat request addresses and headers, which may name a recipient.
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It says at each attempt that brokers are away, several times over; our workers say it once.
    logging.getLogger("kafka").setLevel(logging.CRITICAL)
