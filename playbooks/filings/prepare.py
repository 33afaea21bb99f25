"""Prepares the text of a filing: who files, under which article, what is known, and what the law still wants said.

The prepared text is a draft for a person, never sent by itself. What is not known is marked, not invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile, vocabulary
from incidents.facts.vocabulary import FactType
from incidents.record import Model
from playbooks.directory import Authority
from playbooks.duties.events import DutyOnRecord

LANGUAGES = ("en", "zh-Hans")


class FilingItem(Model):
    """One item the law demands, in words."""

    id: str
    text: str


class PreparedFiling(Model):
    """The draft."""

    language: str
    subject: str
    text: str


def prepare(
    duty: DutyOnRecord,
    items: Sequence[FilingItem],
    facts: Facts,
    profile: OrganisationProfile,
    *,
    reference: str,
    title: str,
    prepared_at: datetime,
    language: str = "en",
    authority: Authority | None = None,
) -> PreparedFiling:
    """Prepare the draft of one filing, with times in the zone of the duty. InvalidInput for an unknown language.

    `authority` is who the recipient is by the directory; a recipient that it does not know is marked.
    """
    if language not in LANGUAGES:
        raise InvalidInput(f"Filings are prepared in {', '.join(LANGUAGES)}.", field="language")
    zone = ZoneInfo(duty.time_zone)

    def local(instant: datetime | None) -> str | None:
        return instant.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z") if instant else None

    contact = profile.dpo or profile.incident_contact
    text = (
        _environment()
        .get_template(f"{language}.txt.j2")
        .render(
            duty=duty,
            items=items,
            known=_known(facts, language, zone),
            organisation=profile.names.get(language, profile.name),
            legal_ids=profile.legal_ids,
            contact=contact,
            authority=_who(authority, language),
            reach=_reach(authority, language),
            reference=reference,
            title=title,
            prepared_at=local(prepared_at),
            clock_at=local(duty.clock_at),
            due=local(duty.strict_due),
        )
    )
    subject, _, body = text.partition("\n")
    return PreparedFiling(language=language, subject=subject.strip(), text=body.strip() + "\n")


def _known(facts: Facts, language: str, zone: ZoneInfo) -> Mapping[str, str]:
    """Label to value of every known fact, in words of the language."""
    shown: dict[str, str] = {}
    for name, value in facts.known().items():
        spec = vocabulary()[name]
        label = spec.zh if language.startswith("zh") else spec.en
        if spec.type is FactType.INSTANT:
            instant = facts.instant(name)
            shown[label] = instant.astimezone(zone).strftime("%Y-%m-%d %H:%M %Z") if instant else ""
        elif spec.type is FactType.BOOL:
            shown[label] = _YES_NO[language][bool(value)]
        elif isinstance(value, list):
            shown[label] = "; ".join(_word(spec.values, item, language) for item in value)
        elif isinstance(value, dict):
            shown[label] = "; ".join(f"{key}: {amount}" for key, amount in value.items())
        else:
            shown[label] = _word(spec.values, value, language)
    return shown


_REACH = {
    "en": {
        "portal": "Portal",
        "hotline": "Hotline",
        "email": "E-mail",
        "fax": "Fax",
        "address": "Address",
        "channels": "Other ways",
        "sources": "Source",
        "unnamed": "[which office it is depends on the place: to be completed]",
        "low": "[low confidence: verify with counsel]",
    },
    "zh-Hans": {
        "portal": "门户",
        "hotline": "热线",
        "email": "电子邮件",
        "fax": "传真",
        "address": "地址",
        "channels": "其他渠道",
        "sources": "来源",
        "unnamed": "[具体机关依属地确定：待补充]",
        "low": "[可信度低：请与法律顾问核实]",
    },
}


def _who(authority: Authority | None, language: str) -> str | None:
    if authority is None:
        return None
    words = _REACH[language]
    marks = [words["unnamed"]] * (not authority.named) + [words["low"]] * (authority.confidence == "low")
    return " ".join((authority.name_in(language), *marks))


def _reach(authority: Authority | None, language: str) -> Mapping[str, str]:
    """Label to address of every way to reach the authority that the directory knows."""
    if authority is None:
        return {}
    portal = authority.portal
    parts = () if portal is None else (portal.name, portal.url) if portal.url != portal.name else (portal.url,)
    found = {
        "portal": " ".join(part for part in parts if part),
        "hotline": authority.hotline,
        "email": authority.email,
        "fax": authority.fax,
        "address": authority.address,
        "channels": "; ".join(authority.channels),
        "sources": " ".join(authority.sources),
    }
    return {_REACH[language][name]: value for name, value in found.items() if value}


_YES_NO = {"en": {True: "yes", False: "no"}, "zh-Hans": {True: "是", False: "否"}}


def _word(values: Mapping[str, object], word: object, language: str) -> str:
    entry = values.get(str(word)) if values else None
    if entry is None:
        return str(word)
    return str(getattr(entry, "zh" if language.startswith("zh") else "en"))


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader("playbooks.filings"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
