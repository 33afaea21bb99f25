"""The table that reads a report of failure: data, applied in order. Pure."""

from __future__ import annotations

import re
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import Field, PrivateAttr, model_validator

from incidents.record.event import Model

Action = Literal["failed", "delayed", "delivered", "relayed"]
Command = Literal["mail", "rcpt", "data"]


class Meaning(StrEnum):
    """What a report means for the address it is about."""

    PERMANENT = "permanent"
    FOR_NOW = "for_now"
    POLICY = "policy"
    DELAYED = "delayed"
    UNKNOWN = "unknown"
    NONE = "none"
    """It is no failure: it arrived, or was passed on."""


class Rule(Model):
    """One line of the table; see `meanings.yaml`."""

    status: tuple[str, ...] = ()
    reply: str | None = None
    command: Command | None = None
    wording: str | None = None
    anywhere: bool = False
    verdict: Meaning


class Meanings(Model):
    """`meanings.yaml` as read."""

    actions: dict[str, Action]
    rules: tuple[Rule, ...] = Field(min_length=1)
    wordings: dict[str, tuple[str, ...]]
    _words: dict[str, re.Pattern[str]] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _compile(self) -> Meanings:
        for rule in self.rules:
            if rule.wording is not None and rule.wording not in self.wordings:
                raise ValueError(f"there is no wording {rule.wording}")
        for name, patterns in self.wordings.items():
            self._words[name] = re.compile("|".join(f"(?:{pattern})" for pattern in patterns), re.IGNORECASE)
        return self

    def action(self, word: str) -> Action | None:
        """The action behind the word of an Action field; None for a word that nobody knows."""
        return self.actions.get(word.strip().lower())

    def of(
        self,
        *,
        action: Action,
        status: str | None,
        reply: str | None,
        command: Command | None,
        answer: str,
        prose: str = "",
    ) -> Meaning:
        """The meaning of one recipient's part of a report. `answer` is what the server said, `prose` what the report
        says to people besides."""
        if action == "delayed":
            return Meaning.DELAYED
        if action != "failed":
            return Meaning.NONE
        for rule in self.rules:
            if self._fits(rule, status, reply, command, answer, prose):
                return rule.verdict
        return Meaning.UNKNOWN

    def _fits(
        self, rule: Rule, status: str | None, reply: str | None, command: Command | None, answer: str, prose: str
    ) -> bool:
        if rule.status and not any(_is_like(status, pattern) for pattern in rule.status):
            return False
        if rule.reply is not None and not (reply or "").startswith(rule.reply):
            return False
        if rule.command is not None and command != rule.command:
            return False
        if rule.wording is None:
            return True
        words = self._words[rule.wording]
        return bool(words.search(answer) or (rule.anywhere and words.search(prose)))


def _is_like(status: str | None, pattern: str) -> bool:
    if status is None:
        return False
    return all(want in ("*", have) for want, have in zip(pattern.split("."), status.split("."), strict=True))


@cache
def meanings() -> Meanings:
    """The table that comes with the code."""
    text = (Path(__file__).parent / "meanings.yaml").read_text(encoding="utf-8")
    return Meanings.model_validate(yaml.safe_load(text))
