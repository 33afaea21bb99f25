"""From a Parquet file to records, some hundred rows at a time. Needs the extra `parquet`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, BinaryIO

from incidents.errors import InvalidInput, TooLarge
from notifier.audience.ndjson_records import record_of
from notifier.audience.records import ImportLimits, Record, counted, too_many_bytes
from notifier.audience.row import COLUMNS, MORE_COLUMNS

ROWS_AT_ONCE = 1000
MAX_GROUP_BYTES = 256 * 1024 * 1024
"""Largest row group, unpacked, that is read: a small file may unpack to more than there is memory."""


def read_parquet(source: BinaryIO, limits: ImportLimits) -> Iterator[Record]:
    """The rows in order. InvalidInput when it is no Parquet file, has other columns, or pyarrow is not there; TooLarge
    beyond the limits."""
    arrow, parquet = _library()
    if source.seek(0, io.SEEK_END) > limits.max_bytes:
        raise too_many_bytes(limits)
    source.seek(0)
    row = 1
    try:
        file = parquet.ParquetFile(source, pre_buffer=False)
        _check(arrow, file)
        for batch in file.iter_batches(batch_size=ROWS_AT_ONCE, columns=file.schema_arrow.names, use_threads=False):
            for found in batch.to_pylist():
                row = counted(row, limits)
                yield record_of(row, found)
    except (arrow.ArrowException, OSError, UnicodeDecodeError) as error:
        # What the library says may repeat a value.
        raise InvalidInput(
            f"The file is not a Parquet file that can be read; it ends at row {row} ({type(error).__name__}).",
            field="file",
        ) from None


def _library() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise InvalidInput(
            "Parquet files need pyarrow, which is not installed. Install tocsin[parquet], or give CSV or NDJSON.",
            field="file",
        ) from error
    return pyarrow, parquet


def _check(arrow: Any, file: Any) -> None:
    schema = file.schema_arrow
    names = set(schema.names)
    if not set(COLUMNS) <= names <= {*COLUMNS, *MORE_COLUMNS} or len(names) != len(schema.names):
        raise InvalidInput(
            f"The columns must be {', '.join(COLUMNS)}, each once, and {' or '.join(MORE_COLUMNS)} if you have them.",
            field="header",
        )
    types = arrow.types
    for field in schema:
        kind = field.type.value_type if types.is_dictionary(field.type) else field.type
        if not (types.is_string(kind) or types.is_large_string(kind) or types.is_null(kind)):
            raise InvalidInput(f"The column {field.name} must hold texts; it holds {kind}.", field=field.name)
    for index in range(file.metadata.num_row_groups):
        if file.metadata.row_group(index).total_byte_size > MAX_GROUP_BYTES:
            raise TooLarge(
                f"Row group {index + 1} is larger than {MAX_GROUP_BYTES} bytes. Write the file in smaller groups.",
                field="file",
            )
