"""Reading one value of one fact, and writing it back. Every fault is a `ValueError` that says what is wanted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, TypeVar

from incidents.facts.places import countries, currencies, is_subdivision
from incidents.facts.vocabulary import FactSpec, FactType, did_you_mean

Value = int | Decimal | bool | str | datetime | frozenset[str] | Mapping[str, int] | Mapping[str, Decimal]
Json = int | float | bool | str | list[str] | dict[str, int | str]

N = TypeVar("N", int, Decimal)

MAX_NUMBER = 10**13
MAX_ITEMS = 400
_SHOWN = 40


class Unfit(ValueError):
    """A stated value does not fit its fact. The text goes after the name of the fact."""


def _shown(raw: object) -> str:
    text = repr(raw)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"


def _whole(raw: object, unit: str | None = None) -> int:
    if isinstance(raw, bool) or not isinstance(raw, int):
        raise Unfit(f"wants a whole number{f' of {unit}' if unit else ''}, not {_shown(raw)}.")
    if not 0 <= raw <= MAX_NUMBER:
        raise Unfit(f"wants a whole number from 0 to {MAX_NUMBER}, not {_shown(raw)}.")
    return raw


def _exact(raw: object) -> Decimal:
    if isinstance(raw, bool) or not isinstance(raw, int | float | str | Decimal):
        raise Unfit(f"wants a number, not {_shown(raw)}.")
    try:
        number = Decimal(str(raw) if isinstance(raw, float) else raw)
    except InvalidOperation:
        raise Unfit(f"wants a number, not {_shown(raw)}.") from None
    if not number.is_finite() or not 0 <= number <= MAX_NUMBER:
        raise Unfit(f"wants a number from 0 to {MAX_NUMBER}, not {_shown(raw)}.")
    exponent = number.as_tuple().exponent
    if isinstance(exponent, int) and exponent < -6:
        raise Unfit("wants at most six digits after the point.")
    return number


def _int(spec: FactSpec, raw: object) -> int:
    return _whole(raw, spec.unit)


def _decimal(spec: FactSpec, raw: object) -> Decimal:
    number = _exact(raw)
    if spec.unit == "percent" and number > 100:
        raise Unfit(f"wants percent from 0 to 100, not {_shown(raw)}.")
    return number


def _bool(spec: FactSpec, raw: object) -> bool:
    if not isinstance(raw, bool):
        raise Unfit(f"wants true, false or “unknown”, not {_shown(raw)}.")
    return raw


def _word(spec: FactSpec, raw: object) -> str:
    if not isinstance(raw, str):
        raise Unfit(f"wants one of {', '.join(spec.values)}, not {_shown(raw)}.")
    if raw not in spec.values:
        listed = f" Allowed: {', '.join(spec.values)}." if len(spec.values) <= 12 else ""
        raise Unfit(f"has no value {_shown(raw)}.{did_you_mean(raw, spec.values) or listed}")
    return raw


def _items(raw: object) -> list[object]:
    if not isinstance(raw, list | tuple | set | frozenset):
        raise Unfit(f"wants a list, not {_shown(raw)}.")
    if len(raw) > MAX_ITEMS:
        raise Unfit(f"wants at most {MAX_ITEMS} items, not {len(raw)}.")
    return list(raw)


def _set(spec: FactSpec, raw: object) -> frozenset[str]:
    return frozenset(_word(spec, item) for item in _items(raw))


def country_code(raw: object) -> str:
    """`raw` as an ISO 3166-1 alpha-2 code. Raises `ValueError`."""
    if isinstance(raw, str) and raw in countries():
        return raw
    if raw is False:
        raise Unfit("wants country codes; false is how some YAML readers see NO: write it in quotes.")
    hint = " The United Kingdom is GB." if raw == "UK" else ""
    raise Unfit(f"wants an ISO 3166-1 code such as CN or DE, not {_shown(raw)}.{hint}")


def subdivision_code(raw: object) -> str:
    """`raw` as an ISO 3166-2 code. Raises `ValueError`."""
    if isinstance(raw, str) and is_subdivision(raw):
        return raw
    raise Unfit(f"wants an ISO 3166-2 code such as CN-HN or US-CA, not {_shown(raw)}.")


def _currency(raw: object) -> str:
    if isinstance(raw, str) and raw in currencies():
        return raw
    raise Unfit(f"wants an ISO 4217 currency code such as CNY or EUR, not {_shown(raw)}.")


def _map(raw: object, key: Callable[[object], str], value: Callable[[object], N]) -> Mapping[str, N]:
    if not isinstance(raw, Mapping):
        raise Unfit(f"wants an object of codes and numbers, not {_shown(raw)}.")
    if len(raw) > MAX_ITEMS:
        raise Unfit(f"wants at most {MAX_ITEMS} entries, not {len(raw)}.")
    return MappingProxyType({key(name): value(number) for name, number in sorted(raw.items(), key=str)})


def instant(raw: object) -> datetime:
    """`raw` (ISO 8601 text or a datetime) as an instant with its offset. Raises `ValueError` without a zone."""
    if isinstance(raw, str):
        try:
            raw = date.fromisoformat(raw) if len(raw) == len("2026-06-12") else datetime.fromisoformat(raw)
        except ValueError:
            raise Unfit(
                f"wants a time such as 2026-06-12T16:20:00+02:00 (ISO 8601 with offset), not {_shown(raw)}."
            ) from None
    if isinstance(raw, date) and not isinstance(raw, datetime):
        raise Unfit(f"has no time of day and no time zone; write both, such as {raw.isoformat()}T09:00:00+08:00.")
    if not isinstance(raw, datetime):
        raise Unfit(f"wants a time such as 2026-06-12T16:20:00+02:00, not {_shown(raw)}.")
    if raw.utcoffset() is None:
        raise Unfit(
            f"{raw.isoformat()} has no time zone. Add the offset, such as {raw.isoformat()}+08:00, or Z for UTC."
        )
    if not 1970 <= raw.year <= 2200:
        raise Unfit(f"wants a year from 1970 to 2200, not {raw.year}.")
    return raw


_READERS: Mapping[FactType, Callable[[FactSpec, object], Value]] = MappingProxyType(
    {
        FactType.INT: _int,
        FactType.DECIMAL: _decimal,
        FactType.BOOL: _bool,
        FactType.ENUM: _word,
        FactType.SET: _set,
        FactType.COUNTRY: lambda _, raw: country_code(raw),
        FactType.COUNTRIES: lambda _, raw: frozenset(country_code(item) for item in _items(raw)),
        FactType.PROVINCES: lambda _, raw: frozenset(subdivision_code(item) for item in _items(raw)),
        FactType.COUNT_BY_COUNTRY: lambda _, raw: _map(raw, country_code, _whole),
        FactType.COUNT_BY_PROVINCE: lambda _, raw: _map(raw, subdivision_code, _whole),
        FactType.MONEY: lambda _, raw: _map(raw, _currency, _exact),
        FactType.INSTANT: lambda _, raw: instant(raw),
    }
)


def read(spec: FactSpec, raw: object) -> Value:
    """The typed value of one stated fact. Raises `ValueError` with a sentence about what is wanted."""
    return _READERS[spec.type](spec, raw)


def _plain(number: Decimal) -> int | str:
    return int(number) if number == number.to_integral_value() else format(number.normalize(), "f")


def write(value: Value) -> Json:
    """The JSON form of a typed value; `read` gives the same value back."""
    match value:
        case datetime():
            return value.isoformat()
        case frozenset():
            return sorted(value)
        case Decimal():
            return _plain(value)
        case Mapping():
            return {key: _plain(number) if isinstance(number, Decimal) else number for key, number in value.items()}
        case _:
            return value


def for_conditions(spec: FactSpec, value: Value) -> Any:
    """The value as a CEL condition sees it: sets closed under `implies`, numbers as int or double, times in UTC."""
    match value:
        case datetime():
            return value.astimezone(UTC)
        case frozenset():
            return sorted(spec.closed(value) if spec.values else value)
        case Decimal():
            return _number(value)
        case Mapping():
            return {key: _number(number) if isinstance(number, Decimal) else number for key, number in value.items()}
        case _:
            return value


def _number(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def nothing(spec: FactSpec) -> Any:
    """What a fact is when the thing it counts did not happen: zero, false, the empty set, the lowest word."""
    match spec.type:
        case FactType.INT | FactType.DECIMAL:
            return 0
        case FactType.BOOL:
            return False
        case FactType.ENUM:
            return next(iter(spec.values))
        case FactType.COUNT_BY_COUNTRY | FactType.COUNT_BY_PROVINCE | FactType.MONEY:
            return {}
        case _:
            return []
