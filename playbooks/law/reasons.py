"""The explanation of a duty: short sentences in English and Chinese, from the rule, the facts and the computation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from types import MappingProxyType

from incidents.facts.conditions import Verdict
from incidents.facts.vocabulary import vocabulary
from incidents.grading.grade import GradeResult
from playbooks.law.duty import DutyClock, DutyExemption, Reason, Retention
from playbooks.law.fact_words import PROMPTNESS_ZH, clock_zh, grade_words, level_title, scheme_title, value_zh
from playbooks.law.forum import Seat
from playbooks.law.pack import Pack, Rule
from playbooks.law.pausing import Paused
from playbooks.law.period import Deadline
from playbooks.law.words import end_en, end_zh, moment_en, moment_zh

VERIFY: Mapping[str, str] = MappingProxyType({"en": "verify with counsel", "zh": "请与律师核实"})
"""What a rule of low confidence says wherever it shows."""
_CONFIDENCE_ZH = {"high": "高", "medium": "中", "low": "低"}


@lru_cache(maxsize=8_192)
def _reason(kind: str, en: str, zh: str) -> Reason:
    return Reason(kind=kind, text={"en": en, "zh": zh})


def _local(texts: Mapping[str, str]) -> str:
    return texts.get("zh", texts["en"])


def of_rule(pack: Pack, rule: Rule) -> tuple[Reason, ...]:
    """What the rule says."""
    short = pack.instrument.short
    words = rule.wording.get("en") or rule.incident["en"]
    quote = rule.wording.get("zh") or words
    return (
        _reason(
            "rule",
            f"{short['en']}, article {rule.article}: {words}",
            f"{_local(short)}第 {rule.article} 条：{quote}",
        ),
    )


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)


class KnownFacts:
    """The known facts of one incident in words; rules ask for the same ones again and again."""

    def __init__(self, facts: Mapping[str, object]) -> None:
        self._facts = facts
        self._texts: dict[tuple[str, ...], tuple[str, str]] = {}

    def text(self, names: tuple[str, ...]) -> tuple[str, str]:
        """`name = value; ...` of those that are known, English and Chinese."""
        if names not in self._texts:
            words = vocabulary()
            known = [(name, _shown(self._facts[name])) for name in names if name in self._facts]
            en = "; ".join(f"{name} = {value}" for name, value in known)
            zh = "；".join(
                f"{words[name].zh}：{value_zh(words[name], self._facts[name])}" for name in names if name in self._facts
            )
            self._texts[names] = (en, zh)
        return self._texts[names]


def of_conditions(
    rule: Rule,
    schemes: Sequence[str],
    verdicts: tuple[Verdict, Verdict],
    known: KnownFacts,
    grades: Mapping[str, GradeResult | str],
    settle_by: Sequence[str],
) -> Iterator[Reason]:
    """Who is bound, what triggered it, the condition that was met, and the facts that say so."""
    for kind, texts, verdict in (("bound", rule.who, verdicts[0]), ("trigger", rule.incident, verdicts[1])):
        en, zh = known.text(verdict.used)
        yield _reason(
            kind,
            f"{texts['en']}.{f' Known: {en}.' if en else ''}",
            f"{_local(texts)}。{f'已知：{zh}。' if zh else ''}",
        )
    yield _of_condition(rule.trigger, met=verdicts[1].is_true)
    for scheme in schemes:
        yield from _of_grade(scheme, grades.get(scheme))
    if settle_by:
        labels = "、".join(vocabulary()[fact].zh for fact in settle_by)
        yield _reason("settle", f"Not certain until known: {', '.join(settle_by)}.", f"待明确：{labels}。")


@lru_cache(maxsize=4_096)
def _of_condition(text: str, *, met: bool) -> Reason:
    condition = " ".join(text.split())
    if met:
        return _reason("condition", f"Condition met: {condition}", f"满足的条件：{condition}")
    return _reason("condition", f"Condition still open: {condition}", f"尚待确定的条件：{condition}")


def _of_grade(scheme: str, result: GradeResult | str | None) -> Iterator[Reason]:
    if isinstance(result, str):
        en, zh = (level_title(scheme, result, language) for language in ("en", "zh"))
        yield _reason(
            "grade",
            f"{scheme_title(scheme, 'en')}: graded {en} by a person.",
            f"{scheme_title(scheme, 'zh')}：经人工定级为{zh}。",
        )
    elif result is not None:
        yield _reason("grade", grade_words(scheme, result, "en"), grade_words(scheme, result, "zh"))


def of_exemptions(exemptions: Sequence[DutyExemption], by_request: frozenset[str], held: Paused) -> Iterator[Reason]:
    """Which exemptions hold, and which could. Those `by_request` need a request on record, and say no more with one."""
    for exemption in exemptions:
        if exemption.holds is False or (exemption.id in by_request and held.delay is not None):
            continue
        if exemption.holds and exemption.id in by_request:
            en = "The clock runs on until the request is on record, with who asked, how and until when"
            zh = "须先登记该要求（提出机关、形式、期间），登记前期限继续计算"
        elif exemption.holds:
            en, zh = "An exemption holds", "适用例外"
        elif exemption.settle_by:
            en = f"Due unless an exemption holds (would be settled by {', '.join(exemption.settle_by)})"
            zh = f"除非适用例外（取决于{'、'.join(vocabulary()[f].zh for f in exemption.settle_by)}）"
        else:
            en, zh = "An exemption that a person judges", "由人判断的例外"
        yield _reason("exemption", f"{en}: {exemption.words['en']}.", f"{zh}：{_local(exemption.words)}。")


def of_clock(rule: Rule, clock: DutyClock, where: Seat) -> Iterator[Reason]:
    """What starts the clock and when it did."""
    exact_en, exact_zh = "", ""
    if rule.clock.exact:
        exact_en, exact_zh = f" ({rule.clock.exact['en']})", f"（{_local(rule.clock.exact)}）"
    en = f"The clock starts with “{clock.event}”{exact_en}"
    zh = f"起算：{clock_zh(clock.event)}{exact_zh}"
    if clock.at is None:
        yield _reason("clock", f"{en}, whose time is not known yet.", f"{zh}，时间尚不明确。")
        return
    when = clock.at.astimezone(where.zone)
    yield _reason(
        "clock",
        f"{en}: {moment_en(when)} ({where.zone.key}).",
        f"{zh}：{moment_zh(when)}（{where.zone.key}）。",
    )
    if clock.assumed is not None:
        yield _reason(
            "assumption",
            f"That time is not stated; the time of “{clock.assumed}” was taken in its place.",
            f"该时间未填报，暂以“{clock_zh(clock.assumed)}”代替。",
        )


def of_deadline(rule: Rule, own: Deadline | None, held: Paused, where: Seat) -> Iterator[Reason]:
    """How the deadline was counted, what requests to wait did to it, or why there is none."""
    if own is not None:
        for step in own.steps:
            yield _reason("period", step.en, step.zh)
    if own is not None and held.delay is not None:
        yield _of_ends(own, where, ("Without the waiting due", "如不暂缓，期限"))
    for step in held.steps:
        yield _reason("delay", step.en, step.zh)
    if held.waits:
        yield from _of_waiting(held, where)
    elif held.deadline is not None:
        yield _of_ends(held.deadline, where)
    elif not rule.period.has_end and not rule.period.retention:
        reminder = held.reminder
        word = rule.promptness.value.replace("_", " ") if rule.promptness else "no number"
        word_zh = PROMPTNESS_ZH[rule.promptness.value] if rule.promptness else "无数字"
        en, zh = "no date is set", "未设日期"
        if reminder is not None:
            local = reminder.astimezone(where.zone)
            en, zh = f"an internal reminder rings {moment_en(local)}", f"内部提醒：{moment_zh(local)}"
        yield _reason("period", f"The law gives no number ({word}); {en}.", f"法律未规定具体时限（{word_zh}）；{zh}。")


def _of_waiting(held: Paused, where: Seat) -> Iterator[Reason]:
    until, due = (held.delay.until, held.delay.resumes_due) if held.delay is not None else (None, None)
    if until is None:
        yield _reason("deadline", "Nothing runs out while the request stands.", "该要求有效期间，期限不届满。")
        return
    to = until.astimezone(where.zone)
    en, zh = f"Waits until {moment_en(to)}", f"暂缓至 {moment_zh(to)}"
    if due is not None:
        at = due.astimezone(where.zone)
        whole = (at.hour, at.minute) == (0, 0)
        en = f"{en}; then due {end_en(at, ends_with_day=whole)}"
        zh = f"{zh}；此后期限：{end_zh(at, ends_with_day=whole)}"
    yield _reason("deadline", f"{en} ({where.zone.key}).", f"{zh}（{where.zone.key}）。")


def of_retention(kept: Retention | None, where: Seat) -> Iterator[Reason]:
    """How long a record is kept, where that is what the rule says."""
    if kept is None:
        return
    unit = kept.unit.replace("_", " ")
    en, zh = f"The record is kept at least {kept.amount} {unit}", f"记录至少保存 {kept.amount} {_KEPT_ZH[kept.unit]}"
    if kept.until is not None:
        end = kept.until.astimezone(where.zone)
        whole = (end.hour, end.minute) == (0, 0)
        en = f"{en}, until {end_en(end, ends_with_day=whole)} ({where.zone.key})"
        zh = f"{zh}，至 {end_zh(end, ends_with_day=whole)}（{where.zone.key}）"
    yield _reason("retention", f"{en}.", f"{zh}。")


_KEPT_ZH = {"calendar_days": "日", "weeks": "周", "months": "个月", "years": "年", "business_days": "个工作日"}


def _of_ends(deadline: Deadline, where: Seat, words: tuple[str, str] = ("Due", "期限")) -> Reason:
    strict, legal = (moment.astimezone(where.zone) for moment in (deadline.strict_due, deadline.legal_end))
    whole = deadline.ends_with_day
    en, zh = f"{words[0]} {end_en(strict, ends_with_day=whole)}", f"{words[1]}：{end_zh(strict, ends_with_day=whole)}"
    if legal != strict:
        # A rollover until an hour of the day makes one end a day's end and the other not.
        whole = whole or (legal.hour, legal.minute) == (0, 0)
        en = f"{en}; the last moment under the rule's own counting is {end_en(legal, ends_with_day=whole)}"
        zh = f"{zh}；依该规则的计算方法最迟为 {end_zh(legal, ends_with_day=whole)}"
    return _reason("deadline", f"{en} ({where.zone.key}).", f"{zh}（{where.zone.key}）。")


def of_pack(pack: Pack, rule: Rule) -> tuple[Reason, ...]:
    """Where this comes from and how sure it is."""
    instrument = pack.instrument
    source = _reason(
        "source",
        f"Law pack {instrument.id} {instrument.version}, checked on {instrument.checked_on}; "
        f"confidence {rule.confidence}.{f' {rule.note}' if rule.note else ''}",
        f"规则包 {instrument.id} {instrument.version}，核对于 {instrument.checked_on}；"
        f"可信度：{_CONFIDENCE_ZH[rule.confidence]}。",
    )
    if rule.confidence != "low":
        return (source,)
    return source, _reason("counsel", f"Low confidence: {VERIFY['en']}.", f"可信度低：{VERIFY['zh']}。")
