"""Faults that stop a sending or a provider are explained in words."""

from __future__ import annotations

import pytest

from notifier.channels.fault_words import words_of_fault
from notifier.channels.outcome import Verdict, outcome_table


def test_every_code_that_holds_a_campaign_or_rests_a_provider_has_words() -> None:
    table = outcome_table()
    codes = {
        *(code for code, verdict in table.twilio_code.items() if verdict is Verdict.CAMPAIGN_FAULT),
        *(code for code, verdict in table.smtp_reply.items() if verdict is Verdict.CAMPAIGN_FAULT),
        *(code for code, verdict in table.smtp_enhanced.items() if verdict is Verdict.CAMPAIGN_FAULT),
        *table.throttle,
        *table.provider,
    }
    assert [code for code in sorted(codes) if words_of_fault(code) is None] == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("535 5.7.8", "the mail server refuses our credentials"),
        ("550 5.1.8", "the mail server refuses our sender's domain"),
        ("connect:ConnectionRefusedError", "the provider cannot be reached"),
        ("ConnectTimeout", "the provider did not answer in time"),
        ("certificate", "the mail server's certificate is not trusted"),
    ],
)
def test_the_more_exact_word_wins(code: str, words: str) -> None:
    found = words_of_fault(code)
    assert found is not None
    assert found.en == words
    assert found.zh


@pytest.mark.parametrize("code", [None, "", "99999"])
def test_what_nobody_explained_has_none(code: str | None) -> None:
    assert words_of_fault(code) is None
