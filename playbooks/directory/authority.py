"""One entry of the directory. What is not known stays empty, and `unknown` says so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from incidents.facts.places import countries, is_subdivision, regions
from playbooks.law.pack import Confidence


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def _place(code: str) -> str:
    if code in countries() or is_subdivision(code) or code.lower() in regions() or code == "ZZ":
        return code
    raise ValueError(f"“{code}” is no place: use ISO 3166 (CN, CN-HN), a region (EU, EEA), or ZZ for everywhere")


Place = Annotated[str, AfterValidator(_place)]
RoleName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_.-]*$", max_length=80)]
Words = Annotated[str, Field(min_length=1, max_length=500)]
Url = Annotated[str, Field(pattern=r"^https?://[^\s\"<>]+$", max_length=500)]


class Portal(_Frozen):
    """Where to file online: what it is called, and its address where that is known."""

    name: Words
    url: Url | None = None


class Authority(_Frozen):
    """Who a recipient role is at a place, and how to reach it."""

    roles: tuple[RoleName, ...] = Field(min_length=1)
    """Recipient roles of the law packs."""
    place: Place
    name: Mapping[str, Words]
    named: bool = True
    """Whether this is one authority. Otherwise it is a kind of authority, and which one it is depends on the case."""
    languages: tuple[Words, ...] = ()
    """Language tags in which it takes filings; empty where nobody checked."""
    portal: Portal | None = None
    hotline: Words | None = None
    email: Words | None = None
    fax: Words | None = None
    address: Words | None = None
    """Postal address."""
    channels: tuple[Words, ...] = ()
    """Other ways, in words."""
    sources: tuple[Words, ...] = ()
    confidence: Confidence
    note: str = Field("", max_length=2_000)
    origin: Literal["shipped", "own"] = "shipped"
    """Whether the entry came with Tocsin or from the operator. Set by the loader."""

    @model_validator(mode="after")
    def _in_english(self) -> Self:
        if not self.name.get("en"):
            raise ValueError("name needs at least the language en")
        return self

    def name_in(self, language: str) -> str:
        """The name for a reader of `language` (BCP 47), else in English."""
        base = language.split("-", maxsplit=1)[0]
        return self.name.get(language) or self.name.get(base) or self.name["en"]

    @property
    def unknown(self) -> tuple[str, ...]:
        """What nobody entered yet. A portal whose address is missing counts as `portal.url`."""
        missing = [name for name in ("hotline", "email", "address", "languages") if not getattr(self, name)]
        if self.portal is None:
            missing.insert(0, "portal")
        elif self.portal.url is None:
            missing.insert(0, "portal.url")
        return tuple(missing)
