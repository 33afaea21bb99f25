"""What every format of an audience file comes to: numbered records of text cells, within limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePath
from typing import BinaryIO

from incidents.errors import InvalidInput, TooLarge


class AudienceFormat(StrEnum):
    """How an audience file is written."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"

    @classmethod
    def of_name(cls, name: str) -> AudienceFormat:
        """By the ending of the file's name. InvalidInput for another ending."""
        known = {".csv": cls.CSV, ".ndjson": cls.NDJSON, ".jsonl": cls.NDJSON, ".parquet": cls.PARQUET}
        try:
            return known[PurePath(name).suffix.lower()]
        except KeyError:
            raise InvalidInput(f"The file's name must end in {', '.join(known)}.", field="file") from None


@dataclass(frozen=True, slots=True)
class ImportLimits:
    """Limits of one import. Memory is that of one batch of records, however many there are."""

    max_bytes: int = 64 * 1024 * 1024
    max_rows: int = 200_000
    record_bytes: int = 8192
    record_lines: int = 8
    max_field: int = 320
    max_faults: int = 1000
    """Faults kept in the answer; all of them are in the report of rows."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record: its number (the header, real or thought, is 1) and its cells, or the reason it is broken."""

    row: int
    cells: dict[str, str]
    broken: str | None = None


def counted(row: int, limits: ImportLimits) -> int:
    """The number of the next record. TooLarge beyond the limit."""
    if row > limits.max_rows:
        raise TooLarge(f"The file has more than {limits.max_rows} rows. Split it.", field="rows")
    return row + 1


def too_many_bytes(limits: ImportLimits) -> TooLarge:
    """The file is over the limit."""
    return TooLarge(f"The file is larger than {limits.max_bytes} bytes. Split it.", field="file")


def read_lines(source: BinaryIO, limits: ImportLimits) -> Iterator[str]:
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
            raise too_many_bytes(limits)
        text = "" if too_long else line.replace(b"\x00", b"\xff").decode("utf-8", errors="replace")
        yield text.removeprefix("\ufeff") if first else text
        first = False
