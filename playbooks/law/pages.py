"""The pages under docs/law: one per instrument and a table of them all, made from the packs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from playbooks.law.describe import both, clock_words, confidence_words, describe, period_words, status_words
from playbooks.law.law import Law
from playbooks.law.pack import Pack, Rule, Status

NOT_ADVICE = (
    "Facts for software, not legal advice: have counsel read what matters to you. "
    "供软件使用的事实，不是法律意见；请律师核实。"
)
_MADE = "Made from the law packs by `make docs`."


def pages(law: Law) -> dict[str, str]:
    """File name (`law/...md`) to text."""
    made = {f"law/{pack.instrument.id}.md": instrument_page(pack) for pack in law.packs}
    return made | {"law/README.md": overview_page(law)}


def overview_page(law: Law) -> str:
    """The table of jurisdictions and instruments."""
    rules = list(law.rules())
    lines = [
        "# The law packs",
        "",
        f"{_MADE} {NOT_ADVICE}",
        "How packs work: [law.md](../law.md). How to add one: [law-adding.md](../law-adding.md). "
        "What is in force on a given day: `tocsin law coverage`.",
        "",
        f"{len({pack.instrument.jurisdiction for pack in law.packs})} jurisdictions, {len(law.packs)} instruments, "
        f"{len(rules)} rules, {sum(len(pack.cases) for pack in law.packs)} worked cases; "
        f"{sum(rule.confidence == 'low' for _, rule in rules)} rules are of low confidence (verify with counsel).",
        "",
        "| jurisdiction | instrument | status | rules | in force or dated | cases | high / medium / low |",
        "| --- | --- | --- | ---: | ---: | ---: | --- |",
    ]
    packs = sorted(law.packs, key=lambda pack: (pack.instrument.jurisdiction, pack.instrument.id))
    for place, group in groupby(packs, key=lambda pack: pack.instrument.jurisdiction):
        lines += [_overview_row(place, pack) for pack in group]
    return "\n".join(lines) + "\n"


def _overview_row(place: str, pack: Pack) -> str:
    instrument = pack.instrument
    binding = sum(
        (rule.status or instrument.status) in (Status.IN_FORCE, Status.NOT_YET_IN_FORCE) for rule in pack.rules
    )
    levels = [sum(rule.confidence == level for rule in pack.rules) for level in ("high", "medium", "low")]
    name = _cell(both(dict(instrument.title)))
    return (
        f"| {place} | [{name}]({instrument.id}.md) | {status_words(pack)} | {len(pack.rules)} | {binding} | "
        f"{len(pack.cases)} | {' / '.join(map(str, levels))} |"
    )


def instrument_page(pack: Pack) -> str:
    """One instrument: what it is, its rules at a glance, then each rule part by part, then the worked cases."""
    instrument = pack.instrument
    lines = [f"# {both(dict(instrument.title))}", "", f"{_MADE} {NOT_ADVICE}", ""]
    lines += [
        f"- Jurisdiction: {instrument.jurisdiction}",
        *([f"- Citation: {instrument.citation}"] if instrument.citation else []),
        f"- Status: {status_words(pack)}",
        f"- Pack: `{instrument.id}` {instrument.version}, checked on {instrument.checked_on}, "
        f"confidence {instrument.confidence}",
        f"- Seat of the authority: {instrument.forum.time_zone}, calendar {instrument.forum.calendar}"
        + (f"; within the region {instrument.forum.region}" if instrument.forum.region else ""),
        *[f"- Source: {source}" for source in instrument.sources],
        *([f"- Note: {instrument.note}"] if instrument.note else []),
        "",
        "| article | tell | stage | clock | by when | confidence |",
        "| --- | --- | --- | --- | --- | --- |",
        *[_row(rule) for rule in pack.rules],
    ]
    for rule in pack.rules:
        lines += ["", f"## {rule.id}", "", f"Article {rule.article}.", ""]
        lines += [f"- {label}: {_code(label, text)}" for label, text in describe(pack, rule)]
    if pack.cases:
        lines += ["", "## Worked cases", "", "| case | about | expected |", "| --- | --- | --- |", *_cases(pack)]
    return "\n".join(lines) + "\n"


def _row(rule: Rule) -> str:
    tell = ", ".join(recipient.name["en"] for recipient in rule.recipients)
    when = "; ".join(
        part
        for part in (rule.promptness.value.replace("_", " ") if rule.promptness else "", period_words(rule.period))
        if part
    )
    cells = (
        f"[{rule.article}](#{rule.id})",
        tell,
        rule.stage.value.replace("_", " "),
        clock_words(rule.clock),
        when,
        confidence_words(rule),
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cases(pack: Pack) -> Iterator[str]:
    for case in pack.cases:
        expected = "; ".join(
            f"{name}: {one.status.replace('_', ' ')}{f' {one.strict_due}' if one.strict_due else ''}"
            for name, one in case.expect.items()
        )
        yield f"| {case.id} | {_cell(case.about)} | {_cell(expected)} |"


def _code(label: str, text: str) -> str:
    return f"`{text}`" if label in ("bound if", "triggered if") else text


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
