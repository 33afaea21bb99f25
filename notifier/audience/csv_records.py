"""From bytes to records: RFC 4180 CSV, in UTF-8 with or without a byte order mark, within limits, as a stream.

A record that is broken (a stray quote, a quote never closed) costs its own line only: reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from incidents.errors import InvalidInput, TooLarge
from notifier.audience.row import COLUMNS


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Limits of one import. Memory stays within `record_bytes * record_lines` and some 200 bytes per row."""

    max_bytes: int = 64 * 1024 * 1024
    max_rows: int = 200_000
    record_bytes: int = 8192
    record_lines: int = 8
    max_field: int = 320
    max_faults: int = 1000
    """Faults kept in the list; further ones are counted."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number (the header is 1) and its cells, or the reason it is broken."""

    row: int
    cells: dict[str, str]
    broken: str | None = None


def read_records(source: BinaryIO, limits: ImportLimits) -> Iterator[Record]:
    """The records after the header. InvalidInput for a bad header, TooLarge beyond the limits."""
    texts = _texts(_lines(source, limits), limits)
    header = next(texts, None)
    if header is None:
        raise InvalidInput(f"The file is empty. Its first line must be {','.join(COLUMNS)}.", field="header")
    columns = _columns(header[0])
    row = 1
    for text, broken in texts:
        if not text.strip("\r\n") and broken is None:
            continue  # blank lines are no records (RFC 4180 writers end the file with one)
        row += 1
        if row - 1 > limits.max_rows:
            raise TooLarge(f"The file has more than {limits.max_rows} rows. Split it.", field="rows")
        yield _record(row, text, broken, columns)


def _columns(header: str) -> list[str]:
    """The column order. The header is not repeated in errors: without one, it is somebody's contact."""
    names = [name.strip().lower() for name in _cells(header) or []]
    if sorted(names) != sorted(COLUMNS):
        hint = " It seems to be separated by semicolons; use commas." if header.count(";") >= 4 else ""
        raise InvalidInput(
            f"The first line must be the header {','.join(COLUMNS)}, with all five columns once and no others.{hint}",
            field="header",
        )
    return names


def _record(row: int, text: str, broken: str | None, columns: list[str]) -> Record:
    if broken is not None:
        return Record(row, {}, broken)
    cells = _cells(text)
    if cells is None:
        return Record(row, {}, "has a quote in the wrong place (RFC 4180: double it and quote the whole field)")
    if len(cells) != len(columns):
        return Record(row, {}, f"has {len(cells)} fields instead of {len(columns)}")
    return Record(row, dict(zip(columns, cells, strict=True)))


def _cells(text: str) -> list[str] | None:
    try:
        return next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error:
        return None


def _is_open(text: str) -> bool:
    """Whether the text ends inside a quoted field, so that the next line belongs to it."""
    return text.count('"') % 2 == 1 and _cells(text) is None


def _texts(lines: Iterator[str], limits: ImportLimits) -> Iterator[tuple[str, str | None]]:
    """Physical lines joined to records."""
    waiting: deque[str] = deque()

    def pull() -> str | None:
        return waiting.popleft() if waiting else next(lines, None)

    while (first := pull()) is not None:
        if not first:
            yield "", f"is longer than {limits.record_bytes} bytes"
            continue
        parts = [first]
        while (still_open := _is_open("".join(parts))) and len(parts) < limits.record_lines:
            more = pull()
            if not more:
                break
            parts.append(more)
        if still_open:
            # The quote is never closed: give the line up and read the ones behind it afresh.
            waiting.extendleft(reversed(parts[1:]))
            yield "", "opens a quote that is never closed"
        else:
            yield "".join(parts), None


def _lines(source: BinaryIO, limits: ImportLimits) -> Iterator[str]:
    """Lines as text; bad bytes become U+FFFD. A line over the limit comes as an empty text, which no line is."""
    total, first = 0, True
    while line := source.readline(limits.record_bytes + 1):
        total += len(line)
        too_long = len(line) > limits.record_bytes
        while not line.endswith(b"\n") and too_long and total <= limits.max_bytes:
            line = source.readline(65536)
            total += len(line)
            if not line:
                break
        if total > limits.max_bytes:
            raise TooLarge(f"The file is larger than {limits.max_bytes} bytes. Split it.", field="file")
        text = "" if too_long else line.replace(b"\x00", b"\xff").decode("utf-8", errors="replace")
        yield text.removeprefix("\ufeff") if first else text
        first = False
