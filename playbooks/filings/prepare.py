"""Prepares the text of a filing: who files, under which article, what is known, and each item that the law wants said.

The prepared text is for a person, never sent by itself. What is not known is marked, not invented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from zoneinfo import ZoneInfo

from jinja2 import PackageLoader, StrictUndefined
from jinja2.sandbox import ImmutableSandboxedEnvironment

from incidents.errors import InvalidInput
from incidents.facts import Facts, OrganisationProfile, vocabulary
from incidents.facts.organisation import Contact
from incidents.record import Model
from playbooks.directory import Authority
from playbooks.duties.events import DutyOnRecord
from playbooks.filings.form import FormItem
from playbooks.filings.values import LANGUAGES, known_in_words, label, local
from playbooks.parties.contacts import ContactPoint


class Receiver(Model):
    """A confirmed contact of a contract party that it goes to. `value` is None for who may not see addresses."""

    party: str
    purpose: str
    channels: tuple[str, ...]
    confirmed_by: str
    confirmed_at: datetime | None
    value: ContactPoint | None = None


class PreparedFiling(Model):
    """The text."""

    language: str
    subject: str
    text: str


def prepare(
    duty: DutyOnRecord,
    items: Sequence[FormItem],
    facts: Facts,
    profile: OrganisationProfile,
    *,
    reference: str,
    title: str,
    prepared_at: datetime,
    language: str = "en",
    authority: Authority | None = None,
    receivers: Sequence[Receiver] = (),
    warnings: Sequence[str] = (),
) -> PreparedFiling:
    """Prepare the text of one filing, with times in the zone of the duty. InvalidInput for an unknown language.

    `authority` is who the recipient is by the directory; a recipient that it does not know is marked. `receivers` are
    the confirmed contacts of a contract party, and `warnings` what must be said about them.
    """
    if language not in LANGUAGES:
        raise InvalidInput(f"Filings are prepared in {', '.join(LANGUAGES)}.", field="language")
    zone = ZoneInfo(duty.time_zone)
    words = vocabulary()
    text = (
        _environment()
        .get_template(f"{language}.txt.j2")
        .render(
            duty=duty,
            items=items,
            complete=all(item.state not in {"missing", "not_yet_known"} for item in items),
            low=duty.confidence == "low",
            known={
                label(words[name], language): value for name, value in known_in_words(facts, language, zone).items()
            },
            organisation=profile.names.get(language, profile.name),
            legal_ids=profile.legal_ids,
            contact=_contact(profile, language),
            authority=_who(authority, language),
            reach=_reach(authority, language),
            receivers=[_receiver(one, language, zone) for one in receivers],
            warnings=warnings,
            reference=reference,
            title=title,
            prepared_at=local(prepared_at, zone),
            clock_at=local(duty.clock_at, zone),
            due=_due(duty, zone, language),
            recipient=_in(duty.recipient_names, language) or duty.recipient,
            instrument=_in(duty.instrument_titles, language) or duty.instrument,
            clock=_clock(duty.clock_event, language),
        )
    )
    subject, _, body = text.partition("\n")
    return PreparedFiling(language=language, subject=subject.strip(), text=body.strip() + "\n")


_DAY_ENDS = {"en": "the end of {day}", "zh-Hans": "{day} 终了"}


def _contact(profile: OrganisationProfile, language: str) -> Contact | None:
    contact = profile.dpo or profile.incident_contact
    return contact and contact.model_copy(update={"name": contact.called(language)})


def _due(duty: DutyOnRecord, zone: ZoneInfo, language: str) -> str | None:
    """The deadline; one that ends with a day names that day, and not 00:00 of the next."""
    if duty.strict_due is None or not duty.ends_with_day:
        return local(duty.strict_due, zone)
    last = (duty.strict_due.astimezone(UTC) - timedelta(microseconds=1)).astimezone(zone)
    return _DAY_ENDS[language].format(day=last.strftime("%Y-%m-%d %Z"))


def _clock(event: str, language: str) -> str:
    """The event that starts the clock, by the label of the fact that holds its time."""
    words = vocabulary()
    name = words.clocks.get(event)
    return label(words[name], language) if name is not None else event.replace("_", " ")


def _in(texts: Mapping[str, str], language: str) -> str:
    return texts.get(language) or texts.get(language.partition("-")[0]) or texts.get("en") or ""


_REACH = {
    "en": {
        "portal": "Portal",
        "hotline": "Hotline",
        "name": "Contact",
        "phone": "Telephone",
        "email": "E-mail",
        "fax": "Fax",
        "address": "Address",
        "channels": "Other ways",
        "sources": "Source",
        "unnamed": "[which office it is depends on the place: to be completed]",
        "low": "[low confidence: verify with counsel]",
        "confirmed": "Confirmed",
        "hidden": "[shown to those who handle incidents]",
    },
    "zh-Hans": {
        "portal": "门户",
        "hotline": "热线",
        "name": "联系人",
        "phone": "电话",
        "email": "电子邮件",
        "fax": "传真",
        "address": "地址",
        "channels": "其他渠道",
        "sources": "来源",
        "unnamed": "[具体机关依属地确定：待补充]",
        "low": "[可信度低：请与律师核实]",
        "confirmed": "确认",
        "hidden": "[仅对处理事件的人员显示]",
    },
}


def _receiver(one: Receiver, language: str, zone: ZoneInfo) -> tuple[str, Mapping[str, str]]:
    """Name of the party, and label to line of how it is reached and who made sure of that."""
    words = _REACH[language]
    if one.value is None:
        lines = dict.fromkeys((words[channel] for channel in one.channels), words["hidden"])
    else:
        shown = {name: getattr(one.value, name) for name in ("name", *one.channels)}
        lines = {words[name]: str(value) for name, value in shown.items() if value}
    lines[words["confirmed"]] = f"{one.confirmed_by}, {local(one.confirmed_at, zone)}"
    return f"{one.party} ({one.purpose})", lines


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


@cache
def _environment() -> ImmutableSandboxedEnvironment:
    return ImmutableSandboxedEnvironment(
        loader=PackageLoader("playbooks.filings"),
        undefined=StrictUndefined,
        autoescape=False,
        trim_blocks=True,
        lstrip_blocks=True,
    )
