"""The schema of packs can hold every record of the research tables: clocks, units, caps, recurrences, exemptions."""

from __future__ import annotations

import re
from typing import Any

from playbooks.law.pack import Rule
from playbooks.law.period import Family
from tests.incidents.facts.test_reference_fields import TABLE, as_condition
from tests.reference import needs_reference, table

CHAINS = {"initial_submitted", "intermediate_submitted", "supplement_submitted"}
UNTIL_DAY = {
    "morning of the next working day": {"day": "next_working_day", "at": "12:00"},
    "end of the next working day": {"day": "next_working_day"},
    "start of the next workday": {"day": "next_working_day", "at": "08:00"},
    "end of the day of receipt": {"day": "same"},
}
UNTIL_EVENT = {
    "handling ends": "handled",
    "emergency ends": "handled",
    "investigation ends": "investigation_ended",
    "end of the special period": "contract_event",
}
PROMPTNESS = [
    ("immediate", "immediate"),
    ("promptly", "prompt"),
    ("without", "without_undue_delay"),
    ("possible", "as_soon_as_possible"),
    ("practicable", "as_soon_as_possible"),
    ("expedient", "expedient"),
    ("request", "on_request"),
]


def recurrence(words: str) -> dict[str, Any]:
    hours = re.match(r"every (\d+) hours", words)
    if hours:
        return {"amount": int(hours.group(1)), "unit": "hours"}
    every = {
        "daily": (1, "calendar_days"),
        "weekly": (1, "weeks"),
        "monthly": (1, "months"),
        "quarterly": (3, "months"),
    }
    if words in every:
        return dict(zip(("amount", "unit"), every[words], strict=True))
    return {"words": words}


def period(deadline: dict[str, Any], left: set[str]) -> dict[str, Any]:
    said: dict[str, Any] = {"amount": deadline["amount"], "unit": deadline["unit"]}
    if "keep" in deadline.get("qualifier", ""):
        said["retention"] = True
    if "cap" in deadline:
        cap = deadline["cap"]
        said["cap"] = {"amount": cap["amount"], "unit": cap["unit"], "event": TABLE["clocks"][cap["clock_start"]]}
        said["cap"]["dropped_if_start_after"] = "not_applied_if" in cap
    if "rollover" in deadline:
        said["family"] = Family.DORA_2025_301
        said["rollover"] = {"at": "12:00", "not_for": "facts.roles.exists(r, r in ['bank', 'central_counterparty'])"}
    if "yardstick" in deadline:
        said["yardstick"] = deadline["yardstick"]
    if "before" in deadline:
        said["before"] = "planned_event"
    if "recurrence" in deadline:
        said["recurrence"] = recurrence(deadline["recurrence"])
    if "fixed_date" in deadline:
        said["fixed_date"] = deadline["fixed_date"]
    if "until" in deadline:
        if deadline["until"] in UNTIL_DAY:
            said["until"] = UNTIL_DAY[deadline["until"]]
        else:
            said.setdefault("recurrence", {"words": "continuous"})["until_event"] = UNTIL_EVENT[deadline["until"]]
    left -= {"amount", "unit", "cap", "rollover", "yardstick", "before", "recurrence", "fixed_date", "until"}
    return said


def clock(deadline: dict[str, Any], left: set[str]) -> dict[str, Any]:
    start = deadline["clock_start"]
    left -= {"clock_start", "clock_start_legal", "clock_start_exact"}
    said: dict[str, Any]
    if "before" in deadline:
        said = {"event": "planned_event"}
    elif start in CHAINS:
        said = {"after": ["other-rule"], "fallbacks": [start]}
    elif start == "individual_deadline":
        said = {"end_of": "other-rule"}
    elif start == "year_end":
        said = {"event": "year_end"}
    elif "clock_start_legal" in deadline:
        said = {"event": TABLE["clocks"][deadline["clock_start_legal"]], "fallbacks": [TABLE["clocks"][start]]}
    else:
        said = {"event": TABLE["clocks"][start]}
    if "clock_start_exact" in deadline:
        said["exact"] = {"en": deadline["clock_start_exact"]}
    return said


def trigger(record: dict[str, Any]) -> str:
    thresholds = record["trigger"].get("thresholds", [])
    if isinstance(thresholds, dict):
        said = [TABLE["world"][key].replace("{v}", "1000") for key in thresholds]
        return " || ".join(f"({text})" for text in said) or "true"
    groups: list[str] = []
    for line in thresholds:
        text = f"({as_condition(line['field'], line['op'], line['value'])})"
        if line["field"].startswith("or_"):
            groups[-1] = f"({groups[-1]} || {text})"
        else:
            groups.append(text)
    return " && ".join(groups) or "true"


def promptness(deadline: dict[str, Any], left: set[str]) -> str:
    left -= {"promptness", "qualifier", "wording", "iso8601"}
    if "promptness" in deadline:
        return str(deadline["promptness"])
    words = deadline.get("qualifier", "").lower()
    return next((ours for theirs, ours in PROMPTNESS if theirs in words), "as_required")


def as_rule(record: dict[str, Any]) -> Rule:
    deadline = record["deadline"]
    left = set(deadline)
    contents = record["contents"]
    said = {
        "id": record["id"],
        "article": record["article"],
        "in_force_from": record["in_force_from"],
        "in_force_to": record.get("in_force_to"),
        "status": record["status"],
        "who": {"en": record["trigger"]["who"]},
        "incident": {"en": record["trigger"]["incident"]},
        "bound": "true",
        "trigger": trigger(record),
        "exemptions": [{"id": f"e{n}", "words": {"en": words}} for n, words in enumerate(record["exemptions"])],
        "recipients": [{"role": "zz.recipient", "kind": "authority", "name": {"en": record["recipient"]}}],
        "stage": record["stage"],
        "clock": clock(deadline, left),
        "period": period(deadline, left),
        "promptness": promptness(deadline, left),
        "wording": {"en": deadline.get("wording") or deadline.get("qualifier") or ""},
        "contents": {
            "basis": record.get("contents_basis", "listed"),
            "items": [{"id": f"c{n}", "text": {"en": text}} for n, text in enumerate(contents)],
        },
        "channels": record["channels"],
        "penalties": record.get("penalties", ""),
        "sources": record["source"] if isinstance(record["source"], list) else [record["source"]],
        "confidence": record["confidence"],
        "evidence": record.get("evidence"),
        "note": record["note"],
    }
    assert not left, f"{record['id']}: nothing in the schema takes {left}"
    return Rule.model_validate(said)


@needs_reference
def test_every_record_fits_the_schema() -> None:
    records = [*table("obligations-cn-vn.yaml"), *table("obligations-world.yaml")]
    assert len(records) > 400
    for record in records:
        rule = as_rule(record)
        assert rule.id == record["id"]
        assert rule.period.amount == record["deadline"]["amount"]
