"""How long something is, in words for a glance: two units at most."""

from __future__ import annotations

from collections.abc import Mapping

from tocsin.console.languages import Language

_UNITS: Mapping[Language, tuple[str, str, str, str]] = {
    "en": (" d", " h", " min", " s"),
    "zh": (" 天", " 小时", " 分", " 秒"),
}


def in_words(seconds: float, language: Language) -> str:
    """`3 d 4 h`, `2 h 14 min`, `9 min`, `42 s`; never negative, rounded down."""
    days, rest = divmod(int(abs(seconds)), 86_400)
    hours, rest = divmod(rest, 3_600)
    minutes, left = divmod(rest, 60)
    unit = _UNITS[language]
    if days:
        return f"{days}{unit[0]} {hours}{unit[1]}" if hours else f"{days}{unit[0]}"
    if hours:
        return f"{hours}{unit[1]} {minutes:02d}{unit[2]}"
    if minutes:
        return f"{minutes}{unit[2]}"
    return f"{left}{unit[3]}"
