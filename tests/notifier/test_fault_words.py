"""Faults that stop a sending or a provider are explained in words."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

import notifier
from incidents.errors import (
    Conflict,
    IllegalTransition,
    InvalidInput,
    Malformed,
    NotFound,
    TocsinError,
    TooLarge,
)
from notifier.bounces.meanings import Action, Meaning
from notifier.bounces.report import Finding
from notifier.campaigns.events import TAKEN_BACK
from notifier.channels.fault_words import words_of_fault
from notifier.channels.outcome import OutcomeTable, outcome_table
from notifier.deliveries.filtering import CODE as FILTERED
from notifier.deliveries.groups import CAMPAIGN_CANCELLED
from notifier.deliveries.moves import SUPERSEDED
from notifier.letters.desk import CODE as POSTED
from notifier.public.acknowledging import CODE as ACKNOWLEDGED
from notifier.receipts import twilio
from notifier.suppression.book import Reason
from notifier.vault.vault import VaultDamaged

NUMBER, WORD = words_of_fault("99999"), words_of_fault("FooError")
"""What is said of a number, and of a word, that nobody explained."""
NO_NOTICE = words_of_fault("no-notice")


def codes_of(table: OutcomeTable) -> set[str]:
    """Every code that the table names; `4xx` and the like are none."""
    known = (
        table.twilio_http,
        table.twilio_code,
        table.smtp_reply,
        table.smtp_enhanced,
        table.smtp_passing,
        table.throttle,
        table.provider,
        table.repeat_after,
        table.filter_alarm.codes,
        *table.suppress.values(),
    )
    return {code for codes in known for code in codes if not code.endswith("xx")}


def words_in_code() -> Iterator[str]:
    """The words that the code itself gives a delivery as its code, or a connection as the reason of its end."""
    last = {"given_up": 0, "_end": 0, "fail": 2, "Outcome": 1}
    for file in Path(notifier.__path__[0]).glob("*/*.py"):
        if file.parent.name not in {"channels", "deliveries"}:
            continue
        for call in ast.walk(ast.parse(file.read_text("utf-8"))):
            if isinstance(call, ast.Call):
                name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
                given = [word.value for word in call.keywords if word.arg == "code" and name == "Outcome"]
                given += call.args[last[name] : last[name] + 1] if name in last else []
                yield from (one.value for one in given if isinstance(one, ast.Constant) and isinstance(one.value, str))


def code_words_of(*rooms: str) -> Iterator[str]:
    """The words that modules of these rooms name as a code: constants with CODE in their name, what they give as
    `code=` and put under "code"."""
    for file in (file for room in rooms for file in (Path(notifier.__path__[0]) / room).glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text("utf-8"))):
            given: list[tuple[object, ast.AST]] = []
            match node:
                case ast.Assign(targets=[ast.Tuple(elts=names)], value=ast.Tuple(elts=values)):
                    given = [(getattr(name, "id", ""), value) for name, value in zip(names, values, strict=True)]
                case ast.Assign(targets=[ast.Name(id=name)], value=value):
                    given = [(name, value)]
                case ast.Call():
                    given = [(word.arg, word.value) for word in node.keywords]
                case ast.Dict():
                    keys = (getattr(key, "value", "") for key in node.keys)
                    given = list(zip(keys, node.values, strict=True))
            for key, value in given:
                if key in ("CODE", "code") and isinstance(value, ast.Constant) and isinstance(value.value, str):
                    yield value.value


def found_in_a_report(action: Action, reply: str | None, status: str | None) -> str:
    """The code that a report about a mail gives its delivery."""
    return Finding("a@x.example", "", action, status, reply, None, Meaning.NONE).code


def test_every_code_of_the_table_has_words() -> None:
    codes = codes_of(outcome_table())
    assert {"30007", "5.1.1", "busy"} <= codes
    assert [code for code in sorted(codes) if words_of_fault(code) in (None, NUMBER, WORD)] == []


def test_every_word_of_ours_has_words_for_people() -> None:
    found = set(words_in_code())
    assert {"no-sid", "no-voice", "no-channel", "address", "certificate", "malformed-reply"} <= found
    named = {TAKEN_BACK, FILTERED, CAMPAIGN_CANCELLED, SUPERSEDED, POSTED, VaultDamaged.code, *get_args(Reason)}
    others = {"complaint", "erased", "no-contact", "unknown", "failed", "canceled", "temporary", "unanswered-403"}
    every = found | named | others
    assert [code for code in sorted(every) if words_of_fault(code) in (None, WORD)] == []


def test_the_words_of_receipts_and_of_mail_that_came_back_have_words_for_people() -> None:
    found = {*code_words_of("receipts", "bounces", "public", "letters")} - {"STOP"}  # with a suppression, in no move
    assert {ACKNOWLEDGED, POSTED, "complaint"} <= found
    every = found | twilio._WITHOUT_ANSWER | {found_in_a_report("failed", None, None)}
    assert [code for code in sorted(every) if words_of_fault(code) in (None, NUMBER, WORD, NO_NOTICE)] == []


@pytest.mark.parametrize("replied", [False, True])
@pytest.mark.parametrize(("first", "action"), [("2", "delivered"), ("2", "relayed"), ("4", "failed"), ("5", "failed")])
def test_every_enhanced_code_has_words_and_a_good_one_good_words(first: str, action: Action, replied: bool) -> None:
    statuses = [f"{first}.{subject}.{detail}" for subject in range(10) for detail in range(40)]
    codes = [found_in_a_report(action, f"{first}50" if replied else None, status) for status in statuses]
    assert [code for code in codes if words_of_fault(code) in (None, NUMBER, WORD, NO_NOTICE)] == []
    if first == "2":
        assert {words.en for words in map(words_of_fault, codes) if words} == {"the mail server took it"}


def test_a_notice_that_was_read_is_no_fault() -> None:
    words = words_of_fault(ACKNOWLEDGED)
    assert words is not None
    assert "the person opened the notice's page" in words.en
    assert "收件人已打开通知页面" in words.zh


@pytest.mark.parametrize("error", [InvalidInput, Malformed, TooLarge, NotFound, Conflict, IllegalTransition])
def test_what_keeps_a_notice_from_being_made_says_so(error: type[TocsinError]) -> None:
    assert NO_NOTICE is not None
    assert NO_NOTICE.en == "the notice itself cannot be made"
    assert words_of_fault(error.code) == NO_NOTICE
    assert words_of_fault("TemplateRuntimeError") == words_of_fault("TemplateNotFound") == NO_NOTICE
    for other in ("notice-of-something", "a-template", "RuntimeError"):
        assert words_of_fault(other) == WORD


def test_what_is_taken_back_is_explained_in_both_languages() -> None:
    words = words_of_fault(TAKEN_BACK)
    assert words is not None
    assert "another delivery" in words.en
    assert "另一次投递" in words.zh


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("535 5.7.8", "the mail server refuses our credentials"),
        ("550 5.1.8", "the mail server refuses our sender's domain"),
        ("connect:ConnectionRefusedError", "the provider cannot be reached"),
        ("ConnectTimeout", "the provider did not answer in time"),
        ("certificate", "the mail server's certificate is not trusted"),
        ("550 5.1.1", "there is no such mailbox"),
        ("554 5.7.26", "the rules of the mail server refuse it"),
        ("552 5.2.3", "the mailbox cannot take it"),
        ("599", "it was refused"),
        ("250 2.0.0", "the mail server took it"),
        ("2.1.9", "the mail server took it"),
        ("5.0.0", "it was refused"),
        ("4.0.0", "it cannot be taken as it is or not now"),
        ("99999", "the provider gives a reason that has no words here"),
        ("FooError", "something went wrong that has no words here; the log says where"),
    ],
)
def test_the_more_exact_word_wins(code: str, words: str) -> None:
    found = words_of_fault(code)
    assert found is not None
    assert found.en == words
    assert found.zh


@pytest.mark.parametrize("code", [None, ""])
def test_no_code_has_no_words(code: str | None) -> None:
    assert words_of_fault(code) is None
