"""What the public pages share: their style with its policy, the organisation's name, days in the reader's language."""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime
from hashlib import sha256
from importlib.resources import files
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date

from incidents.facts import OrganisationProfile

SHARED = "public, max-age=60"
"""Short, because a code that is not known yet may be known in a minute."""


def style_and_policy() -> tuple[str, str]:
    """The style sheet, and the Content-Security-Policy that lets in nothing else."""
    style = files("tocsin.public_pages").joinpath("page.css").read_text("utf-8")
    digest = b64encode(sha256(style.encode()).digest()).decode()
    policy = (
        f"default-src 'none'; style-src 'sha256-{digest}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )
    return style, policy


def name_of(profile: OrganisationProfile, language: str) -> str:
    """The organisation's name for readers of a language."""
    return profile.names.get(language) or profile.names.get(language.partition("-")[0]) or profile.name


def day_of(instant: datetime, profile: OrganisationProfile, language: str) -> str:
    """The day of an instant where the organisation is, written out."""
    there = instant.astimezone(ZoneInfo(profile.time_zone))
    return format_date(there.date(), "long", Locale.parse(language, sep="-"))
