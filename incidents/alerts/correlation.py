"""What makes two alerts the same incident: a small table, given as data.

The key is a digest: the attributes it is made of (an account name, say) may be personal and stay out of the record.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from fnmatch import translate
from functools import lru_cache
from importlib.resources import files
from typing import Literal, Self
from uuid import UUID

import yaml
from pydantic import Field, ValidationError, model_validator

from incidents.alerts.dialects.reading import refuse
from incidents.alerts.events import CorrelationOpened
from incidents.alerts.finding import Finding
from incidents.errors import InvalidInput
from incidents.facts.strict_yaml import load_yaml
from incidents.record import Aggregate, Context, Model, folds, stable_id

Attribute = Literal["source", "rule", "asset", "user", "src_ip", "type", "tactic"]


class When(Model):
    """Patterns (`*`, `?`) of which one must fit, for each attribute that is given."""

    dialect: tuple[str, ...] = ()
    source: tuple[str, ...] = ()
    rule: tuple[str, ...] = ()
    type: tuple[str, ...] = ()

    def fits(self, dialect: str, finding: Finding) -> bool:
        """Whether an alert is meant."""
        return (
            (not self.dialect or _any_fits(self.dialect, (dialect,)))
            and (not self.source or _any_fits(self.source, (finding.source,)))
            and (not self.rule or _any_fits(self.rule, (finding.rule,)))
            and (not self.type or _any_fits(self.type, finding.types))
        )


class Entry(Model):
    """One line of the table."""

    name: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    when: When = When()
    by: tuple[Attribute, ...] = Field(min_length=1)
    window_hours: float = Field(gt=0, le=24 * 366)
    """How long after its first alert an incident takes in further ones."""


class Correlation(Model):
    """The key of an alert, and for how long it holds."""

    key: str
    window: timedelta


class CorrelationTable(Model):
    """The whole table. The last entry must fit every alert."""

    entries: tuple[Entry, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.entries[-1].when != When():
            raise ValueError("the last entry must have no `when`, so that every alert finds one")
        names = [entry.name for entry in self.entries]
        if len(set(names)) != len(names):
            raise ValueError("two entries have the same name")
        return self

    def correlate(self, dialect: str, finding: Finding) -> Correlation:
        """The key that all alerts of one incident share."""
        entry = next(entry for entry in self.entries if entry.when.fits(dialect, finding))
        values = "\x1f".join([_READERS[name](finding) or "" for name in entry.by])
        of = _known_correlation if len(values) <= _REMEMBERED else _correlation
        return of(entry.name, entry.by, entry.window_hours, values)


def _correlation(name: str, by: tuple[str, ...], window_hours: float, values: str) -> Correlation:
    digest = hashlib.sha256(f"{','.join(by)}\x1e{values}".encode()).hexdigest()[:32]
    return Correlation(key=f"{name}:{digest}", window=timedelta(hours=window_hours))


_REMEMBERED = 1_000
"""Longest text that is remembered, in characters: thousands of longer ones would be all the memory there is."""
_known_correlation = lru_cache(maxsize=8_192)(_correlation)


def read_correlation_table(text: str) -> CorrelationTable:
    """The table in a YAML text. InvalidInput naming the entry and the fault."""
    try:
        return CorrelationTable.model_validate(load_yaml(text))
    except yaml.YAMLError as error:
        raise InvalidInput(f"The correlation table is not YAML: {error}.", field="correlation") from error
    except ValidationError as error:
        refuse(error, "correlation")


@lru_cache(maxsize=1)
def default_correlation_table() -> CorrelationTable:
    """The table that comes with Tocsin (`correlation.yaml`)."""
    return read_correlation_table((files("incidents.alerts") / "correlation.yaml").read_text("utf-8"))


class CorrelationStream(Aggregate):
    """The incident a key is open for."""

    incident_id: UUID | None = None
    opened_at: datetime | None = None

    @staticmethod
    @lru_cache(maxsize=8_192)
    def id_of(key: str) -> UUID:
        """The id of a key's stream."""
        return stable_id("correlation", key)

    def open(self, context: Context, key: str, incident_id: UUID) -> None:
        """From now on this key means this incident."""
        self.emit(CorrelationOpened, context, key=key, incident_id=incident_id)

    def holds_at(self, instant: datetime, window: timedelta) -> bool:
        """Whether alerts arriving at `instant` still belong to the incident it was opened for."""
        return self.opened_at is not None and instant - self.opened_at <= window

    @folds(CorrelationOpened)
    def _opened(self, event: CorrelationOpened) -> None:
        self.incident_id = event.incident_id
        self.opened_at = event.recorded_at


@lru_cache(maxsize=256)
def _pattern(patterns: tuple[str, ...]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{translate(pattern)})" for pattern in patterns))


def _any_fits(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return (_known_fits if sum(map(len, values)) <= _REMEMBERED else _fits)(patterns, values)


def _fits(patterns: tuple[str, ...], values: tuple[str, ...]) -> bool:
    fits = _pattern(patterns).match
    return any(fits(value) is not None for value in values)


_known_fits = lru_cache(maxsize=4_096)(_fits)


_READERS: dict[str, Callable[[Finding], str | None]] = {
    "source": lambda finding: finding.source,
    "rule": lambda finding: finding.rule,
    "asset": lambda finding: finding.asset,
    "user": lambda finding: finding.user,
    "src_ip": lambda finding: finding.src_ip,
    "type": lambda finding: next(iter(finding.types), None),
    "tactic": lambda finding: finding.tactic,
}
