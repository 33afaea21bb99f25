"""The languages alerts come in, by name. A new one is a module with `NAME`, `from_document` and a line here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from pydantic_core import to_json

from incidents.alerts.dialects import ocsf, wazuh
from incidents.alerts.dialects.reading import LIMITS, Limits, nests_deeper, read_json, read_object
from incidents.alerts.finding import Finding, Kept
from incidents.errors import InvalidInput, NotFound, TocsinError, TooLarge
from incidents.privacy import has_contacts, mask_json

__all__ = ["DIALECTS", "LIMITS", "BatchItem", "Limits", "Parsed", "nests_deeper", "parse", "parse_many"]

Dialect = Callable[[dict[str, Any]], Finding]
"""From a JSON object to the finding in it; InvalidInput names the field and the fault."""

DIALECTS: Mapping[str, Dialect] = MappingProxyType({wazuh.NAME: wazuh.from_document, ocsf.NAME: ocsf.from_document})


@dataclass(frozen=True, slots=True)
class Parsed:
    """The finding in an alert, and what will be kept of it."""

    finding: Finding
    kept: Kept


@dataclass(frozen=True, slots=True)
class BatchItem:
    """One alert of a batch: parsed, or the error that says why it is none. `raw` is what its digest is of."""

    index: int
    raw: bytes
    parsed: Parsed | None = None
    error: TocsinError | None = None


def parse(dialect: str, raw: bytes, limits: Limits = LIMITS) -> Parsed:
    """The finding in one alert.

    NotFound for a dialect nobody knows, TooLarge over the size limit, InvalidInput for anything else that is wrong.
    """
    return _parsed(_dialect(dialect), read_object(raw, limits), raw)


def _parsed(read: Dialect, document: dict[str, Any], raw: bytes) -> Parsed:
    finding = read(document)
    # Most alerts hold no contacts. They are kept as they came, to the byte; of the others the masked finding.
    text = raw.decode().removeprefix("\ufeff")
    if has_contacts(text):
        return Parsed(finding, Kept(mask_json(finding.ocsf_json()), as_received=False))
    return Parsed(finding, Kept(text, as_received=True))


def parse_many(dialect: str, raw: bytes, limits: Limits = LIMITS) -> list[BatchItem]:
    """The findings in a JSON array of alerts, in lines of JSON (NDJSON), or in one single alert.

    A wrong alert does not spoil the others: it becomes an item with its error. TooLarge when the batch is over its
    limits of bytes or of alerts; InvalidInput when it is not a batch at all.
    """
    read = _dialect(dialect)
    if len(raw) > limits.max_batch_bytes:
        raise TooLarge(
            f"The batch has {len(raw)} bytes; at most {limits.max_batch_bytes} are taken. Send it in parts.",
            field="body",
        )
    if raw.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        documents = read_json(raw, limits)
        _check_count(len(documents), limits)
        return [_of_document(read, index, document, limits) for index, document in enumerate(documents)]
    lines = [line for line in raw.split(b"\n") if line.strip()]
    if len(lines) < 2 or not _are_lines(lines, limits):
        return [BatchItem(0, raw, _parsed(read, read_object(raw, limits), raw))]
    _check_count(len(lines), limits)
    return [_of_bytes(read, index, line, limits) for index, line in enumerate(lines)]


def _dialect(name: str) -> Dialect:
    found = DIALECTS.get(name)
    if found is None:
        raise NotFound(
            f"There is no alert dialect {name[:40]!r}. Known dialects: {', '.join(sorted(DIALECTS))}.",
            field="dialect",
        )
    return found


def _check_count(count: int, limits: Limits) -> None:
    if count > limits.max_items:
        raise TooLarge(
            f"The batch holds {count} alerts; at most {limits.max_items} are taken. Send it in parts.", field="body"
        )


def _are_lines(lines: list[bytes], limits: Limits) -> bool:
    """Whether each line is an alert of its own: the first or the second one reads as a JSON object by itself.

    (Of one alert written over several lines, neither does.)
    """
    for line in lines[:2]:
        try:
            read_object(line, limits)
        except InvalidInput:
            continue
        return True
    return False


def _of_document(read: Dialect, index: int, document: Any, limits: Limits) -> BatchItem:
    raw = to_json(document)
    if not isinstance(document, dict):
        return BatchItem(index, raw, error=InvalidInput("An alert is a JSON object.", field=str(index)))
    if len(raw) > limits.max_bytes:
        error = TooLarge(f"The alert has {len(raw)} bytes; at most {limits.max_bytes} are taken.", field=str(index))
        return BatchItem(index, raw, error=error)
    try:
        return BatchItem(index, raw, _parsed(read, document, raw))
    except InvalidInput as error:
        return BatchItem(index, raw, error=error)


def _of_bytes(read: Dialect, index: int, line: bytes, limits: Limits) -> BatchItem:
    try:
        return BatchItem(index, line, _parsed(read, read_object(line, limits), line))
    except InvalidInput as error:
        return BatchItem(index, line, error=error)
