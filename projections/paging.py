"""Pages of a list. A cursor names the last row seen, not a number of rows, so that a moving list shows none twice."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar
from uuid import UUID

from pydantic import BaseModel, ConfigDict
from sqlalchemy import Column, ColumnElement, Connection, RowMapping, Select, and_, or_

from incidents.errors import InvalidInput

T = TypeVar("T")

MAX_LIMIT = 500


class ReadModel(BaseModel):
    """Base of what queries return."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Page(ReadModel, Generic[T]):
    """Some items, and where the next ones begin (None: there are no more)."""

    items: tuple[T, ...]
    next_cursor: str | None = None


@dataclass(frozen=True)
class Order:
    """How a list is sorted: by columns that together tell each row from every other, all in one direction."""

    name: str
    """Stands in the cursors, so that none is taken for one of another order."""
    columns: tuple[Column[Any], ...]
    readers: tuple[Callable[[Any], Any], ...]
    """One for each column: reads its value from a cursor."""
    descending: bool = False


def read_page(
    connection: Connection, statement: Select[Any], order: Order, *, limit: int, cursor: str | None
) -> tuple[Sequence[RowMapping], str | None]:
    """The rows of a statement behind a cursor (None: from the first), at most `limit`, and the cursor of the next.

    InvalidInput for a limit or cursor that cannot be. The statement brings its own WHERE and selects the columns of
    the order.
    """
    if cursor is not None:
        values = decode_cursor(cursor, order.name, order.readers)
        statement = statement.where(after(order.columns, values, descending=order.descending))
    sorting = [column.desc() if order.descending else column.asc() for column in order.columns]
    rows = connection.execute(statement.order_by(*sorting).limit(check_limit(limit) + 1)).mappings().all()
    if len(rows) <= limit:
        return rows, None
    return rows[:limit], encode_cursor(order.name, [rows[limit - 1][column] for column in order.columns])


def check_limit(limit: int) -> int:
    """A page's size. InvalidInput unless it is 1 to 500."""
    if not 1 <= limit <= MAX_LIMIT:
        raise InvalidInput(f"A page holds 1 to {MAX_LIMIT} items, not {limit}.", field="limit")
    return limit


def encode_cursor(order: str, values: Sequence[Any]) -> str:
    """The cursor after a row, from the values of its sort columns. `order` names the order they belong to."""
    plain = [value.isoformat() if isinstance(value, datetime) else value for value in values]
    text = json.dumps([order, *plain], default=str, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, order: str, readers: Sequence[Callable[[Any], Any]]) -> list[Any]:
    """The values in a cursor, each read by its reader. InvalidInput for one that is broken or of another order."""
    try:
        raw = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        if not isinstance(raw, list) or raw[:1] != [order] or len(raw) != len(readers) + 1:
            raise ValueError("another order")
        return [read(value) for read, value in zip(readers, raw[1:], strict=True)]
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError, binascii.Error) as error:
        raise InvalidInput(
            "The cursor is not one that this list gave out; ask for the first page again.", field="cursor"
        ) from error


def read_instant(value: Any) -> datetime:
    """A cursor's instant."""
    instant = datetime.fromisoformat(value)
    if instant.tzinfo is None:
        raise ValueError("an instant needs a zone")
    return instant


def read_uuid(value: Any) -> UUID:
    """A cursor's id."""
    return UUID(value)


def read_integer(value: Any) -> int:
    """A cursor's number, within what both databases can hold."""
    if not isinstance(value, int) or abs(value) >= 2**63:
        raise ValueError("not a number of ours")
    return value


def read_text(value: Any) -> str:
    """A cursor's text."""
    if not isinstance(value, str) or "\x00" in value or len(value) > 256:
        raise ValueError("not a text of ours")
    return value


def after(
    columns: Sequence[ColumnElement[Any]], values: Sequence[Any], *, descending: bool = False
) -> ColumnElement[bool]:
    """The rows behind a cursor: `(a, b, c) > (x, y, z)` written out, which both databases can serve by an index."""
    choices = []
    for index, (column, value) in enumerate(zip(columns, values, strict=True)):
        same = [c == v for c, v in zip(columns[:index], values[:index], strict=True)]
        choices.append(and_(*same, column < value if descending else column > value))
    return or_(*choices)
