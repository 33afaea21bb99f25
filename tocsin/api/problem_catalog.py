"""Every kind of problem the door answers with: its status, and what it means for the person who meets it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from types import MappingProxyType

import yaml

from incidents.errors import (
    Conflict,
    Forbidden,
    IllegalTransition,
    InvalidInput,
    NotAuthenticated,
    NotFound,
    TocsinError,
    TooLarge,
)


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """One kind of problem. `code` ends its type URI (`/problems/<code>`); texts are by language (`en`, `zh`)."""

    code: str
    status: int
    titles: Mapping[str, str]
    meanings: Mapping[str, str]

    @property
    def title(self) -> str:
        return self.titles["en"]

    @property
    def meaning(self) -> str:
        return self.meanings["en"]


def _read() -> tuple[ProblemKind, ...]:
    text = files("tocsin.api").joinpath("problem_catalog.yaml").read_text("utf-8")
    return tuple(
        ProblemKind(kind["code"], kind["status"], kind["title"], kind["meaning"]) for kind in yaml.safe_load(text)
    )


_KINDS = _read()

CATALOG: Mapping[str, ProblemKind] = MappingProxyType({kind.code: kind for kind in _KINDS})

_BY_CLASS: tuple[tuple[type[TocsinError], str], ...] = (
    (TooLarge, "too-large"),
    (InvalidInput, "invalid-input"),
    (NotFound, "not-found"),
    (IllegalTransition, "illegal-transition"),
    (Conflict, "conflict"),
    (NotAuthenticated, "not-authenticated"),
    (Forbidden, "forbidden"),
)
"""Most special first."""

_BY_STATUS = {
    400: "malformed-request",
    **{
        kind.status: kind.code
        for kind in _KINDS
        if kind.status in {401, 403, 404, 405, 408, 413, 414, 415, 429, 431, 503}
    },
}


def kind_of(error: TocsinError) -> ProblemKind:
    """The kind of problem an error is, by its own code if that has a page, else by its class."""
    own = CATALOG.get(error.code)
    if own is not None:
        return own
    return CATALOG[next((code for base, code in _BY_CLASS if isinstance(error, base)), "internal")]


def kind_of_status(status: int) -> ProblemKind:
    """The kind of problem of a bare HTTP status."""
    code = _BY_STATUS.get(status)
    if code is None:
        code = "invalid-input" if 400 <= status < 500 else "internal"
    return CATALOG[code]
