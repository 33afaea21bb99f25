"""What is true of the organisation itself: stated once, joined to the facts of every incident."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import Annotated, Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from incidents.errors import FieldFault, InvalidInput
from incidents.facts.facts import Facts
from incidents.facts.values import Json, country_code, subdivision_code


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError(f"“{name}” is not a time zone; use an IANA name such as Asia/Shanghai") from None
    return name


def _place(code: str) -> str:
    return subdivision_code(code) if "-" in code else country_code(code)


Country = Annotated[str, AfterValidator(country_code)]
Place = Annotated[str, AfterValidator(_place)]
Zone = Annotated[str, AfterValidator(_zone)]
Text = Annotated[str, Field(min_length=1, max_length=300)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Establishment(_Frozen):
    """A place where the organisation is established. `place` is ISO 3166-1 or 3166-2."""

    place: Place
    time_zone: Zone | None = None
    name: Text | None = None
    main: bool = False

    @property
    def country(self) -> str:
        """ISO 3166-1 code of the place."""
        return self.place[:2]


class Contact(_Frozen):
    """A contact of the organisation (an office or function), as notices and filings name it."""

    name: Text
    names: Mapping[str, Text] = Field(default_factory=dict, description="Names by language tag.")
    email: Text | None = None
    phone: Text | None = None
    address: Text | None = None

    @model_validator(mode="after")
    def _reachable(self) -> Contact:
        if not (self.email or self.phone or self.address):
            raise ValueError("a contact needs an email, a phone or an address")
        return self

    def called(self, language: str) -> str:
        """What it is called in a language."""
        return self.names.get(language, self.name)


class LegalId(_Frozen):
    """A registration of the organisation: `scheme` such as uscc (CN), lei, vat; and its `value`."""

    scheme: Text
    value: Text


class OrganisationProfile(_Frozen):
    """The organisation: names, roles, places, languages and contacts. Written as TOML by `tocsin init`."""

    name: Text
    names: Mapping[str, Text] = Field(default_factory=dict, description="Names by language tag.")
    legal_ids: tuple[LegalId, ...] = ()
    roles: tuple[str, ...] = Field((), description="Roles in law; words of the fact `roles`.")
    sectors: tuple[str, ...] = Field((), description="Sectors; words of the fact `sectors`.")
    sector_has_rules: bool | None = None
    licences: tuple[Text, ...] = Field((), description="Licences held, as free text.")
    establishments: tuple[Establishment, ...] = ()
    countries: tuple[Country, ...] = Field((), description="Further countries where it operates or offers services.")
    languages: tuple[Text, ...] = ("en",)
    time_zone: Zone = "UTC"
    persons_held: int | None = Field(None, ge=0)
    registered_users: int | None = Field(None, ge=0)
    monthly_active_users: int | None = Field(None, ge=0)
    small_enterprise: bool | None = None
    annual_turnover: Mapping[str, int | float | str] = Field(default_factory=dict)
    dpo: Contact | None = Field(None, description="Data protection officer or head of network data security.")
    incident_contact: Contact | None = None
    address: Text | None = None
    domain: Text | None = Field(None, description="Public domain on which people can check a notice.")
    website: Text | None = None

    @model_validator(mode="after")
    def _facts_hold(self) -> OrganisationProfile:
        try:
            Facts.parse(self.facts())
        except InvalidInput as fault:
            raise ValueError("; ".join(error.reason for error in fault.errors)) from fault
        if sum(place.main for place in self.establishments) > 1:
            raise ValueError("at most one establishment can be the main one")
        return self

    def facts(self) -> dict[str, Json]:
        """The facts that this profile states for every incident (JSON forms, ready for `Facts.parse`)."""
        places = [place.place for place in self.establishments]
        stated: dict[str, Any] = {
            "roles": sorted(self.roles) or None,
            "sectors": sorted(self.sectors) or None,
            "countries": sorted({*self.countries, *(code[:2] for code in places)}) or None,
            "provinces": sorted({code for code in places if "-" in code}) if places else None,
            "main_establishment": next((p.country for p in self.establishments if p.main), None),
            "sector_has_rules": self.sector_has_rules,
            "persons_held": self.persons_held,
            "registered_users": self.registered_users,
            "monthly_active_users": self.monthly_active_users,
            "small_enterprise": self.small_enterprise,
            "annual_turnover": dict(self.annual_turnover) or None,
        }
        return {name: value for name, value in stated.items() if value is not None}

    def establishment_in(self, countries: frozenset[str] | tuple[str, ...]) -> Establishment | None:
        """The main establishment in one of `countries`, else the first there, else None."""
        there = [place for place in self.establishments if place.country in countries]
        return next((place for place in there if place.main), there[0] if there else None)

    @classmethod
    def parse(cls, mapping: Mapping[str, Any]) -> OrganisationProfile:
        """Read a profile from a mapping. Raises `InvalidInput` with a list of faulty fields."""
        try:
            return cls.model_validate(dict(mapping))
        except ValidationError as fault:
            errors = [
                FieldFault(".".join(map(str, error["loc"])) or "profile", error["msg"]) for error in fault.errors()
            ]
            raise InvalidInput(
                f"The organisation profile is not valid: {errors[0].field}: {errors[0].reason}", errors=errors
            ) from fault

    @classmethod
    def from_toml(cls, text: str) -> OrganisationProfile:
        """Read a profile from TOML, either at the top level or in a table `[organisation]`. Raises `InvalidInput`."""
        try:
            raw = tomllib.loads(text)
        except tomllib.TOMLDecodeError as fault:
            raise InvalidInput(f"The organisation profile is not valid TOML: {fault}", field="profile") from fault
        inner = raw.get("organisation", raw)
        return cls.parse(inner if isinstance(inner, Mapping) else raw)
