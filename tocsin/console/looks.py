"""How values look on a page: instants in a zone, shares, names by language. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from incidents.errors import NotFound
from incidents.facts import UNKNOWN, Facts, FactSpec, vocabulary
from incidents.facts.vocabulary import FactType
from incidents.grading import scheme_named
from notifier.channels.fault_words import FaultWords, words_of_fault
from projections.deadlines.deadlines import Deadline
from projections.tasks.tasks import Task
from tocsin.console.durations import in_words
from tocsin.console.languages import Language
from tocsin.console.words import Words

_TAGS: Mapping[Language, tuple[str, ...]] = {"en": ("en",), "zh": ("zh-Hans", "zh", "zh-CN")}


def by_language(texts: Mapping[str, str], language: Language, otherwise: str = "") -> str:
    """The text of a language, else the English one, else what is given."""
    for tag in (*_TAGS[language], "en"):
        if texts.get(tag):
            return texts[tag]
    return otherwise or next(iter(texts.values()), "")


@cache
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


class Looks:
    """The looks of one reader: language, and the zone times are shown in unless a duty has its own."""

    def __init__(self, words: Words, zone: str, now: datetime) -> None:
        self.words = words
        self.language = words.language
        self.zone = zone
        self.now = now

    def instant(self, at: datetime | None, zone: str | None = None) -> str:
        """`2026-11-20 09:30`, in the zone."""
        return at.astimezone(_zone(zone or self.zone)).strftime("%Y-%m-%d %H:%M") if at else ""

    def clock_time(self, at: datetime | None) -> str:
        """`09:30` today, else `11-20 09:30`."""
        if at is None:
            return ""
        local, today = at.astimezone(_zone(self.zone)), self.now.astimezone(_zone(self.zone))
        return local.strftime("%H:%M" if local.date() == today.date() else "%m-%d %H:%M")

    def deadline(self, at: datetime | None, zone: str, *, ends_with_day: bool = False) -> str:
        """A deadline in the zone it is lived in; one that ends with a day names that day."""
        if at is None:
            return ""
        if ends_with_day:
            day = (at.astimezone(_zone(zone)) - timedelta(microseconds=1)).strftime("%Y-%m-%d")
            return f"{self.words('end_of', day=day)} ({zone})"
        return f"{self.instant(at, zone)} ({zone})"

    def zoned(self, at: str | None, zone: str) -> str:
        """An instant as text, in the zone it is lived in."""
        return f"{self.instant(datetime.fromisoformat(at), zone)} ({zone})" if at else ""

    def kept(self, until: str, zone: str) -> str:
        """The end of a retention time, which ends with a day."""
        return self.deadline(datetime.fromisoformat(until), zone, ends_with_day=True)

    def resumes(self, at: str, zone: str) -> str:
        """A deadline to come after a waiting; 00:00 is the end of the day before."""
        due = datetime.fromisoformat(at).astimezone(_zone(zone))
        return self.deadline(due, zone, ends_with_day=(due.hour, due.minute) == (0, 0))

    def duty_names(self, duties: Iterable[Deadline]) -> dict[str, str]:
        """By id, what a duty is called in a sentence: whom to tell, and under what."""
        return {duty.duty_id: self._duty_name(duty) for duty in duties}

    def item_names(self, duties: Iterable[Deadline]) -> dict[str, str]:
        """By id, what each item that the law wants said is called."""
        return {item: self.text(texts, item) for duty in duties for item, texts in duty.content_texts.items()}

    def listed(self, ids: Iterable[str], names: Mapping[str, str]) -> str:
        """What ids stand for, one after the other; an id nobody named as it is."""
        return ("；" if self.language == "zh" else "; ").join(names.get(one, one) for one in ids)

    def _duty_name(self, duty: Deadline) -> str:
        recipient = self.text(duty.recipient_names, duty.recipient)
        instrument = self.text(duty.instrument_titles, duty.instrument)
        return f"“{recipient}（{instrument}）”" if self.language == "zh" else f"“{recipient} ({instrument})”"

    def left(self, due: datetime) -> str:
        """`2 h 14 min left`, `over by 3 min`."""
        seconds = (due - self.now).total_seconds()
        return self.words("left" if seconds >= 0 else "over", time=in_words(seconds, self.language))

    def minutes(self, seconds: float) -> str:
        """A length in minutes, rounded up."""
        return f"{math.ceil(seconds / 60):,}"

    def ago(self, at: datetime) -> str:
        """How long since."""
        return in_words(max(0.0, (self.now - at).total_seconds()), self.language)

    def colour(self, duty: Deadline) -> str:
        """The colour of a duty. One that is due without a number in the law is never calm: it is owed now."""
        if duty.status != "due" or duty.strict_due is not None:
            return duty.colour
        return "warn" if duty.reminder_at is not None and duty.reminder_at < self.now else "watch"

    def urgency(self, duty: Deadline) -> str:
        """The word beside a clock: how loud it is, or the law's own word where it sets no number."""
        if duty.status == "due" and duty.strict_due is None:
            return self.words(f"word_{duty.promptness}") if duty.promptness else self.words("no_number")
        return self.words(f"colour_{duty.colour}")

    def clock_event(self, event: str) -> str:
        """The event a clock counts from, by the label of the fact that holds its time."""
        name = vocabulary().clocks.get(event)
        return self.fact_label(name) if name else event.replace("_", " ")

    def task(self, task: Task, names: Mapping[str, Mapping[str, str]]) -> str:
        """A task's title, with the recipient where it is about one duty. `names`: of recipients, by duty."""
        title = self.text(task.title, task.step)
        duty = str(task.details.get("duty_id", ""))
        recipient = self.text(names.get(duty, {}), str(task.details.get("recipient", "")))
        return f"{title}{'：' if self.language == 'zh' else ': '}{recipient}" if recipient else title

    def text(self, texts: Mapping[str, str], otherwise: str = "") -> str:
        """The text in the reader's language."""
        return by_language(texts, self.language, otherwise)

    def level(self, scheme: str, level: str | None) -> str:
        """The level of a scheme in words."""
        if level is None:
            return ""
        try:
            return by_language(scheme_named(scheme).level(level).title, self.language, level)
        except NotFound:
            return level

    def scheme(self, scheme: str) -> str:
        """A scheme in words."""
        try:
            return by_language(scheme_named(scheme).title, self.language, scheme)
        except NotFound:
            return scheme

    def criterion(self, scheme: str, criterion: str) -> str:
        """A criterion of a scheme in words."""
        try:
            found = next((c for c in scheme_named(scheme).criteria if c.id == criterion), None)
        except NotFound:
            found = None
        return by_language(found.text, self.language, criterion) if found else criterion

    def fault(self, code: str | None) -> FaultWords | None:
        """What a provider's code means, or a word of ours in its place; None where there is none."""
        return words_of_fault(code)

    def fact_label(self, name: str) -> str:
        """The label of a fact."""
        spec = vocabulary().get(name)
        return _label(spec, self.language) if spec else name

    def fact(self, name: str, value: Any) -> str:
        """A fact's value in words."""
        spec = vocabulary().get(name)
        if spec is None or value == UNKNOWN:
            return str(value)
        if spec.type is FactType.INSTANT:
            return self.instant(Facts.parse({name: value}).instant(name))
        if spec.type is FactType.BOOL:
            return self.words("yes" if value else "no")
        if isinstance(value, list):
            return ("、" if self.language == "zh" else ", ").join(self._word(spec, item) for item in value)
        if isinstance(value, Mapping):
            return ("、" if self.language == "zh" else ", ").join(f"{key} {_number(one)}" for key, one in value.items())
        return self._word(spec, value)

    def _word(self, spec: FactSpec, value: Any) -> str:
        known = spec.values.get(str(value))
        if known is not None:
            return known.zh if self.language == "zh" else known.en
        return _number(value)


def _label(spec: FactSpec, language: Language) -> str:
    return spec.zh if language == "zh" else spec.en


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def share(part: int, whole: int) -> float:
    """Percent, one decimal; 0 of nothing is 0."""
    return round(100 * part / whole, 1) if whole else 0.0
