"""Reading an audience file of any of the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import BinaryIO

from notifier.audience.csv_records import read_csv
from notifier.audience.ndjson_records import read_ndjson
from notifier.audience.parquet_records import read_parquet
from notifier.audience.records import AudienceFormat, ImportLimits, Record

_READERS: Mapping[AudienceFormat, Callable[[BinaryIO, ImportLimits], Iterator[Record]]] = {
    AudienceFormat.CSV: read_csv,
    AudienceFormat.NDJSON: read_ndjson,
    AudienceFormat.PARQUET: read_parquet,
}


def read_records(source: BinaryIO, form: AudienceFormat, limits: ImportLimits) -> Iterator[Record]:
    """The records of the file. InvalidInput for a file of another form, TooLarge beyond the limits."""
    return _READERS[form](source, limits)
