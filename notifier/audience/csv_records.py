"""From bytes to records: RFC 4180 CSV, in UTF-8 with or without a byte order mark, within limits, as a stream.

A record that is broken (a stray quote, a quote never closed) costs its own line only: reading goes on behind it.
"""

from __future__ import annotations

import csv
import io
from collections import deque
from collections.abc import Iterator
from typing import BinaryIO

from incidents.errors import InvalidInput
from notifier.audience.records import ImportLimits, Record, counted, read_lines
from notifier.audience.row import COLUMNS, MORE_COLUMNS


def read_csv(source: BinaryIO, limits: ImportLimits) -> Iterator[Record]:
    """The records after the header. InvalidInput for a bad header, TooLarge beyond the limits."""
    texts = _texts(read_lines(source, limits), limits)
    header = next(texts, None)
    if header is None:
        raise InvalidInput(f"The file is empty. Its first line must be {','.join(COLUMNS)}.", field="header")
    columns = _columns(header[0])
    row = 1
    for text, broken in texts:
        if not text.strip("\r\n") and broken is None:
            continue  # blank lines are no records (RFC 4180 writers end the file with one)
        row = counted(row, limits)
        yield _record(row, text, broken, columns)


def _columns(header: str) -> list[str]:
    """The column order. The header is not repeated in errors: without one, it is somebody's contact."""
    names = [name.strip().lower() for name in _cells(header) or []]
    if not set(COLUMNS) <= set(names) <= {*COLUMNS, *MORE_COLUMNS} or len(set(names)) != len(names):
        hint = " It seems to be separated by semicolons; use commas." if header.count(";") >= 4 else ""
        raise InvalidInput(
            f"The first line must be the header {','.join(COLUMNS)}, with all five columns once, and "
            f"{' or '.join(MORE_COLUMNS)} besides if you have them.{hint}",
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
    if '"' not in text and (line := text.rstrip("\r\n")).isprintable():
        return line.split(",") if line else []  # what the reader below gives for it, sooner
    try:
        return next(csv.reader(io.StringIO(text, newline=""), strict=True), [])
    except csv.Error:
        return None


def _is_open(text: str) -> bool:
    """Whether the text ends inside a quoted field, so that the next line belongs to it."""
    if '"' not in text:
        return False
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
