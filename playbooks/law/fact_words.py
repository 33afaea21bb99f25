"""Names of clock events, and values of facts, in Chinese words: what an explanation says instead of ids."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache

from incidents.facts.vocabulary import FactSpec, vocabulary
from incidents.grading.grade import GradeResult
from incidents.grading.scheme import load_schemes, scheme_named

_YES = {True: "是", False: "否"}
PROMPTNESS_ZH: Mapping[str, str] = {
    "immediate": "立即",
    "first_moment": "第一时间",
    "prompt": "及时",
    "without_undue_delay": "不得无故迟延",
    "as_soon_as_possible": "尽快",
    "expedient": "尽速",
    "at_latest": "最迟",
    "as_required": "按要求",
    "on_request": "应要求",
}


@lru_cache(maxsize=1_024)
def clock_zh(event: str) -> str:
    """A clock event by the label of the fact that holds its time; a submission or an end by the rule it is of."""
    kind, _, names = event.partition(":")
    if kind == "submitted":
        return f"已报送（{names.replace('|', '、')}）"
    if kind == "end_of":
        return f"期限届满（{names}）"
    fact = vocabulary().clocks.get(event)
    return vocabulary()[fact].zh if fact is not None else event


def value_zh(spec: FactSpec, value: object) -> str:
    """The value of a fact in words, where it has any."""
    if isinstance(value, bool):
        return _YES[value]
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Mapping):
        return "、".join(f"{name} {_plain(number)}" for name, number in value.items()) or "无"
    if isinstance(value, Iterable) and not isinstance(value, str):
        return "、".join(_word(spec, one) for one in value) or "无"
    return _word(spec, value)


def _word(spec: FactSpec, value: object) -> str:
    known = spec.values.get(str(value))
    return known.zh if known is not None else _plain(value)


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def scheme_title(scheme: str, language: str) -> str:
    """The title of a scheme by its id or key; what is given where it is none of ours."""
    if scheme not in _known():
        return scheme
    title = scheme_named(scheme).title
    return title.get(language) or title["en"]


def level_title(scheme: str, level: str, language: str) -> str:
    """The title of a level of a scheme; what is given where it is none of ours."""
    known = {one.id: one.title for one in scheme_named(scheme).levels} if scheme in _known() else {}
    return known[level].get(language) or known[level]["en"] if level in known else level


@lru_cache(maxsize=1)
def _known() -> frozenset[str]:
    return frozenset(name for scheme in load_schemes().values() for name in (scheme.id, scheme.key))


def grade_words(scheme: str, result: GradeResult, language: str) -> str:
    """Level, every criterion that is met, and what unknown facts could make of it."""
    met = [state.text.get(language) or state.text["en"] for state in result.met]
    level = result.title.get(language) or result.title["en"]
    highest = level_title(result.scheme, result.highest_possible, language)
    title = scheme_title(scheme, language)
    if language == "zh":
        more = "" if result.settled else f"；最高可能为{highest}"
        return f"{title}：{level}（{'；'.join(met) or '未满足任何标准'}{more}）。"
    more = "" if result.settled else f"; at most {highest}"
    return f"{title}: {level} ({'; '.join(met) or 'no criterion met'}{more})."
