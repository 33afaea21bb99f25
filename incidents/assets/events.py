"""What is recorded of the register of data assets. Nothing personal: parties are organisations, units and functions."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, Self
from uuid import UUID

from pydantic import AfterValidator, Field, field_validator, model_validator

from incidents.errors import InvalidInput
from incidents.facts import Facts, vocabulary
from incidents.facts.organisation import Country
from incidents.facts.values import MAX_NUMBER
from incidents.privacy import refuse_contacts
from incidents.record.event import Event, Model

MAX_NAME = 200
MAX_TEXT = 2_000
MAX_PROCESSORS = 50


def _clean(text: str) -> str:
    text = text.strip()
    if not text:
        raise ValueError("must not be empty")
    return _without_contacts(text)


def _without_contacts(text: str) -> str:
    try:
        return refuse_contacts(text, "text")
    except InvalidInput as fault:
        raise ValueError(fault.detail) from fault


Name = Annotated[str, Field(max_length=MAX_NAME), AfterValidator(_clean)]
Note = Annotated[str, Field(max_length=MAX_TEXT), AfterValidator(_without_contacts)]


class Classification(StrEnum):
    """Level of the data under the Data Security Law of China, art. 21: general, important, core."""

    GENERAL = "general"
    IMPORTANT = "important"
    CORE = "core"


_CLASS_OF_LEVEL = {Classification.IMPORTANT: "important_data", Classification.CORE: "core_data"}


class NamedParty(Model):
    """An organisation, a unit or a function of one; never a person's contact data."""

    name: Name
    party_id: UUID | None = None
    """Its id in the register of contract parties, where its confirmed contacts are."""


class AssetDescription(Model):
    """All that the register says of an asset. Classes, countries, sectors and systems are words of the facts."""

    name: Name
    owner: NamedParty
    """Who decides about the data and provides it."""
    custodian: NamedParty | None = None
    """Who keeps it and runs the systems it is on."""
    processors: tuple[NamedParty, ...] = Field((), max_length=MAX_PROCESSORS)
    """Who handles it on behalf of the owner."""
    classification: Classification
    data_classes: tuple[str, ...] = Field(min_length=1)
    """Every class among the data; `other` where none of the named ones fits. A complete list."""
    persons: int | None = Field(None, ge=0, le=MAX_NUMBER)
    """Natural persons whose data is held; None where nobody knows."""
    persons_by_country: dict[Country, Annotated[int, Field(ge=0, le=MAX_NUMBER)]] = Field(
        default_factory=dict, max_length=300
    )
    countries: tuple[Country, ...] = Field((), max_length=300)
    """Where the data is processed or the systems are operated (ISO 3166-1)."""
    sectors: tuple[str, ...] = ()
    system_classes: tuple[str, ...] = ()
    note: Note = ""

    @field_validator("data_classes", "sectors", "system_classes", "countries")
    @classmethod
    def _once_and_in_order(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(sorted(set(words)))

    @model_validator(mode="after")
    def _fits_the_vocabulary(self) -> Self:
        stated: dict[str, Any] = {
            "data_classes": list(self.data_classes),
            "sectors": list(self.sectors),
            "system_classes": list(self.system_classes),
        }
        try:
            Facts.parse(stated)
        except InvalidInput as fault:
            raise ValueError("; ".join(error.reason for error in fault.errors)) from fault
        return self

    @model_validator(mode="after")
    def _persons_agree(self) -> Self:
        spread = sum(self.persons_by_country.values())
        if self.persons is not None and spread > self.persons:
            raise ValueError(f"persons says {self.persons}, but persons_by_country adds up to {spread}")
        if (self.persons or spread) and not self.is_personal:
            raise ValueError(
                f"persons are counted ({self.persons or spread}), but data_classes names no class of personal data"
            )
        return self

    @property
    def is_personal(self) -> bool:
        """Whether a class of personal data is among the data."""
        return "personal" in vocabulary()["data_classes"].closed(frozenset(self.data_classes))

    @property
    def fact_classes(self) -> frozenset[str]:
        """Words of the fact `data_classes`: those named, and the one that the level stands for."""
        level = _CLASS_OF_LEVEL.get(self.classification)
        return frozenset({*self.data_classes, *((level,) if level else ())})

    @property
    def persons_total(self) -> int | None:
        """Persons in all places; the sum over the countries where only that is known."""
        return self.persons if self.persons is not None else (sum(self.persons_by_country.values()) or None)

    @property
    def persons_everywhere(self) -> dict[str, int] | None:
        """Persons by country when that list is complete, else None."""
        known = self.persons_by_country
        return dict(known) if known and sum(known.values()) == self.persons_total else None


class AssetRegistered(Event, kind="asset.registered"):
    """The asset came into the register. Opens the stream."""

    asset: AssetDescription


class AssetRevised(Event, kind="asset.revised"):
    """What the register says of it changed. `asset` is the whole description as it is now."""

    asset: AssetDescription
    changed: tuple[str, ...]


class AssetRetired(Event, kind="asset.retired"):
    """It is no longer in use. What it was stays on record."""

    name: str
    reason: str


EVENTS: tuple[type[Event], ...] = (AssetRegistered, AssetRevised, AssetRetired)
