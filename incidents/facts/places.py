"""Country and subdivision codes (ISO 3166) and named regions, as conditions and time zones need them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType

from babel import Locale
from babel.numbers import list_currencies

from incidents.facts.strict_yaml import load_yaml

_NOT_COUNTRIES = frozenset({"EU", "EZ", "UN", "ZZ", "QO", "XA", "XB"})
_SUBDIVISION = re.compile(r"^([A-Z]{2})-[A-Z0-9]{1,3}$")


@cache
def countries() -> frozenset[str]:
    """All ISO 3166-1 alpha-2 codes (and XK)."""
    return frozenset(
        code
        for code in map(str, Locale("en").territories)
        if len(code) == 2 and code.isalpha() and code not in _NOT_COUNTRIES
    )


@cache
def currencies() -> frozenset[str]:
    """All ISO 4217 codes."""
    return frozenset(list_currencies())


def is_subdivision(code: str) -> bool:
    """Whether `code` has the form of an ISO 3166-2 code of a known country (`CN-HN`)."""
    match = _SUBDIVISION.match(code)
    return match is not None and match.group(1) in countries()


@cache
def regions() -> Mapping[str, tuple[str, ...]]:
    """Named groups of countries: `eu`, `eea`."""
    raw = load_yaml(files("incidents.facts").joinpath("regions.yaml").read_text(encoding="utf-8"))
    return MappingProxyType({name: tuple(codes) for name, codes in raw["regions"].items()})


@cache
def country_zones() -> Mapping[str, str]:
    """Time zone of the capital, for the countries where a pack needs one."""
    raw = load_yaml(files("incidents.facts").joinpath("regions.yaml").read_text(encoding="utf-8"))
    return MappingProxyType(dict(raw["zones"]))
