"""Settings of warnings to your own people, and of the look at all clocks: `[warnings]`, `[watchdog]`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import EmailStr, Field, SecretStr, StringConstraints, model_validator

from tocsin.settings_section import Section

OwnerId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
DutyPattern = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,79}\*?$")]
"""A word as duties have it; `*` at the end stands for any rest."""


class OwnerSettings(Section):
    """Somebody of yours who owns duties: a person, a desk, counsel. Duties that fit all criteria given are theirs."""

    name: str = Field(min_length=1, max_length=120, description="How pages and mails name the owner.")
    email: tuple[EmailStr, ...] = Field(min_length=1, max_length=10, description="Where warnings go.")
    language: Literal["en", "zh-Hans"] | None = Field(None, description="Language of the mails, if another.")
    rules: tuple[DutyPattern, ...] = Field((), max_length=200, description="Ids of rules.")
    roles: tuple[DutyPattern, ...] = Field((), max_length=200, description="Roles of recipients, such as us.hhs_ocr.")
    jurisdictions: tuple[DutyPattern, ...] = Field((), max_length=200, description="Such as EU, CN or US-*.")
    recipient_kinds: tuple[Literal["authority", "individuals", "party", "public", "internal"], ...] = Field(
        (), description="Kinds of recipients."
    )


class WarningSettings(Section):
    """Mails to your own people when a duty presses or was missed."""

    enabled: bool | None = Field(
        None, description="Whether they are sent; unset: if `smtp` is set and `email` names anybody."
    )
    email: tuple[EmailStr, ...] = Field(
        (),
        max_length=50,
        description="Addresses of your own staff or desks: warned of duties that nobody else owns, and of warnings "
        "that an owner does not acknowledge.",
    )
    owners: dict[OwnerId, OwnerSettings] = Field(
        default_factory=dict,
        max_length=200,
        description="Who owns which duties, a table each: `[warnings.owners.dpo]` with `name`, `email`, `language`, "
        "and what is theirs by `rules`, `roles`, `jurisdictions` and `recipient_kinds`.",
    )
    escalate_after: int = Field(
        2, ge=0, le=100, description="After so many repeats a warning goes to `email` too, until it is acknowledged."
    )
    language: Literal["en", "zh-Hans"] = Field("en", description="Language of the mails.")
    repeat_minutes: int = Field(
        60,
        ge=5,
        le=1440,
        description="As long as nobody has acknowledged it, a warning is repeated every so many minutes.",
    )


class WatchdogSettings(Section):
    """Proof that the clocks themselves run."""

    every_minutes: int = Field(5, ge=1, le=1440, description="Between two looks at all open duties.")
    heartbeat_url: SecretStr = Field(
        SecretStr(""), description="Called (https, GET) after each look that found all well. A secret; empty: nothing."
    )
    heartbeat_url_file: Path | None = Field(None, description="File that holds `heartbeat_url`.")

    @model_validator(mode="after")
    def _is_https(self) -> Self:
        url = self.heartbeat_url.get_secret_value()
        if url and (urlsplit(url).scheme != "https" or not urlsplit(url).hostname):
            raise ValueError("heartbeat_url must start with https://")
        return self
