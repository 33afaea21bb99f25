"""From bytes to records: NDJSON, one object of texts to a line, in UTF-8, within limits, as a stream."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, BinaryIO

from notifier.audience.records import ImportLimits, Record, counted, read_lines
from notifier.audience.row import COLUMNS, MORE_COLUMNS

_COLUMNS = frozenset((*COLUMNS, *MORE_COLUMNS))


def read_ndjson(source: BinaryIO, limits: ImportLimits) -> Iterator[Record]:
    """A record for every line that is not blank, numbered from 2 as the rows of a CSV are. A key that is absent or
    null is an empty cell. TooLarge beyond the limits."""
    row = 1
    for line in read_lines(source, limits):
        if line and not line.strip():
            continue
        row = counted(row, limits)
        yield _record(row, line, limits)


def _record(row: int, line: str, limits: ImportLimits) -> Record:
    if not line:
        return Record(row, {}, f"is longer than {limits.record_bytes} bytes")
    try:
        found = json.loads(line, object_pairs_hook=_once)
    except _Twice:
        return Record(row, {}, "has a key twice")
    except (ValueError, RecursionError):
        return Record(row, {}, "is not valid JSON")
    return record_of(row, found)


def record_of(row: int, found: Any) -> Record:
    """A record from an object. What is no text is refused: 138 as a number has lost what stood before it."""
    if not isinstance(found, dict):
        return Record(row, {}, f"is not an object with the keys {', '.join(COLUMNS)}")
    if not found.keys() <= _COLUMNS:
        return Record(row, {}, f"has other keys than {', '.join((*COLUMNS, *MORE_COLUMNS))}")
    cells = {name: "" if (value := found.get(name)) is None else value for name in COLUMNS}
    cells |= {name: found[name] for name in MORE_COLUMNS if found.get(name) is not None}
    wrong = [name for name, value in cells.items() if not isinstance(value, str)]
    if wrong:
        return Record(row, {}, f"holds something that is no text in {', '.join(wrong)}")
    return Record(row, cells)


class _Twice(ValueError):
    pass


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _Twice
    return found
