"""The explanation of a duty: short sentences in English and Chinese, from the rule, the facts and the computation."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from incidents.facts.conditions import ConditionContext, Verdict
from incidents.facts.vocabulary import vocabulary
from incidents.grading.grade import GradeResult
from playbooks.law.duty import DutyClock, DutyExemption, Reason
from playbooks.law.forum import Seat
from playbooks.law.pack import Pack, Rule
from playbooks.law.period import Deadline

_CONFIDENCE_ZH = {"high": "高", "medium": "中", "low": "低"}


def _reason(kind: str, en: str, zh: str) -> Reason:
    return Reason(kind=kind, text={"en": en, "zh": zh})


def _local(texts: Mapping[str, str]) -> str:
    return texts.get("zh", texts["en"])


def of_rule(pack: Pack, rule: Rule) -> Iterator[Reason]:
    """What the rule says."""
    short = pack.instrument.short
    words = rule.wording.get("en") or rule.incident["en"]
    quote = rule.wording.get("zh") or words
    yield _reason(
        "rule",
        f"{short['en']}, article {rule.article}: {words}",
        f"{_local(short)}第 {rule.article} 条：{quote}",
    )


def _shown(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else json.dumps(value, ensure_ascii=False)


def _facts(names: Sequence[str], context: ConditionContext) -> tuple[str, str]:
    words = vocabulary()
    known = [name for name in names if name in context.facts]
    en = "; ".join(f"{name} = {_shown(context.facts[name])}" for name in known)
    zh = "；".join(f"{words[name].zh} = {_shown(context.facts[name])}" for name in known)
    return en, zh


def of_conditions(
    rule: Rule,
    verdicts: tuple[Verdict, Verdict],
    context: ConditionContext,
    grades: Mapping[str, GradeResult | str],
    *,
    possible: bool,
) -> Iterator[Reason]:
    """Who is bound, what triggered it, and the facts that say so."""
    for kind, texts, verdict in (("bound", rule.who, verdicts[0]), ("trigger", rule.incident, verdicts[1])):
        en, zh = _facts(verdict.used, context)
        yield _reason(
            kind,
            f"{texts['en']}.{f' Known: {en}.' if en else ''}",
            f"{_local(texts)}。{f'已知：{zh}。' if zh else ''}",
        )
    for scheme in rule.trigger_condition.schemes:
        yield from _of_grade(scheme, grades.get(scheme))
    missing = tuple(dict.fromkeys(fact for verdict in verdicts for fact in verdict.open_facts))
    if possible and missing:
        labels = "、".join(vocabulary()[fact].zh for fact in missing)
        yield _reason("settle", f"Not certain until known: {', '.join(missing)}.", f"待明确：{labels}。")


def _of_grade(scheme: str, result: GradeResult | str | None) -> Iterator[Reason]:
    if isinstance(result, str):
        yield _reason("grade", f"{scheme}: graded {result} by a person.", f"{scheme}：经人工定级为 {result}。")
    elif result is not None:
        met = ", ".join(state.criterion for state in result.met) or "no criterion met"
        more = "" if result.settled else f"; at most {result.highest_possible}"
        yield _reason(
            "grade",
            f"{scheme}: {result.level} ({met}{more}).",
            f"{scheme}：{_local(result.title)}（{met}{more}）。",
        )


def of_exemptions(exemptions: Sequence[DutyExemption]) -> Iterator[Reason]:
    """Which exemptions hold, and which could."""
    for exemption in exemptions:
        if exemption.holds is False:
            continue
        if exemption.holds:
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
    zh = f"起算事件：{clock.event}{exact_zh}"
    if clock.at is None:
        yield _reason("clock", f"{en}, whose time is not known yet.", f"{zh}，时间尚不明确。")
        return
    when = clock.at.astimezone(where.zone).isoformat()
    yield _reason("clock", f"{en}: {when} ({where.zone.key}).", f"{zh}：{when}（{where.zone.key}）。")
    if clock.assumed is not None:
        yield _reason(
            "assumption",
            f"That time is not stated; the time of “{clock.assumed}” was taken in its place.",
            f"该时间未填报，暂以“{clock.assumed}”的时间代替。",
        )


def of_deadline(rule: Rule, deadline: Deadline | None, reminder: datetime | None) -> Iterator[Reason]:
    """How the deadline was counted, or why there is none."""
    if deadline is not None:
        for step in deadline.steps:
            yield _reason("period", step.en, step.zh)
    elif not rule.period.has_end:
        word = rule.promptness.value.replace("_", " ") if rule.promptness else "no number"
        yield _reason(
            "period",
            f"The law gives no number ({word}); {'an internal reminder is set' if reminder else 'no date is set'}.",
            f"法律未规定具体时限（{word}）{'，已设内部提醒' if reminder else ''}。",
        )


def of_pack(pack: Pack, rule: Rule) -> Iterator[Reason]:
    """Where this comes from and how sure it is."""
    instrument = pack.instrument
    yield _reason(
        "source",
        f"Law pack {instrument.id} {instrument.version}, checked on {instrument.checked_on}; "
        f"confidence {rule.confidence}.{f' {rule.note}' if rule.note else ''}",
        f"规则包 {instrument.id} {instrument.version}，核对于 {instrument.checked_on}；"
        f"可信度：{_CONFIDENCE_ZH[rule.confidence]}。",
    )
