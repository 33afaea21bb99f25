"""Requests to wait: which duties pause, until when at most, and where they end then, to the second."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from incidents.facts import Facts
from playbooks.law import load_law, standard_calendars
from playbooks.law.delays import DelayRequest, DelayTerms
from playbooks.law.derive import derive
from playbooks.law.duty import Duty
from playbooks.law.pausing import SILENCE, _called_out

LAW, CALENDARS = load_law(), standard_calendars()
HIPAA, SEC, MONTANA = "us-hipaa-404-individuals", "us-sec-8k-105", "us-mt-breach-individuals"
FBI = {"by": "law_enforcement", "authority": "FBI Dallas"}
ORAL = {**FBI, "form": "oral", "stated_at": "2026-02-20T10:00:00-05:00"}
WRITTEN = {**FBI, "form": "written", "stated_at": "2026-02-20T10:00:00-05:00", "until": "2026-02-27T17:00:00-05:00"}


def duty(rule: str, at: str, *requests: dict[str, Any], case: str = "", **facts: Any) -> Duty:
    """The duty of a rule from the facts of a worked case of its pack."""
    found = LAW.rule(rule)
    assert found is not None
    cases = {one.id: one for one in found[0].cases}
    stated = {**(cases[case] if case else found[0].cases[0]).facts, **facts}
    asked = [DelayRequest(id=f"request-{number}", **one) for number, one in enumerate(requests)]
    duties = derive(Facts.parse(stated), LAW, CALENDARS, at=datetime.fromisoformat(at), delays=asked)
    return next(one for one in duties if one.rule == rule)


def said(found: Duty, language: str = "en") -> str:
    return " ".join(reason.text[language] for reason in found.why if reason.kind in ("delay", "deadline"))


def test_an_oral_request_holds_for_thirty_days_to_the_last_second() -> None:
    before = duty(HIPAA, "2026-03-22T23:59:59-04:00", ORAL)
    assert (before.status, before.strict_due, before.delay and before.delay.running) == ("paused", None, True)
    after = duty(HIPAA, "2026-03-23T00:00:00-04:00", ORAL)
    assert after.status == "due"
    assert after.strict_due == datetime.fromisoformat("2026-03-23T00:00:00-04:00")
    assert after.delay is not None
    assert not after.delay.running


def test_nothing_waits_before_it_was_asked() -> None:
    assert duty(HIPAA, "2026-02-20T09:59:59-05:00", ORAL).delay is None
    assert duty(HIPAA, "2026-02-20T10:00:00-05:00", ORAL).status == "paused"


def test_a_second_call_does_not_give_thirty_days_more() -> None:
    again = {**ORAL, "stated_at": "2026-03-15T10:00:00-04:00"}
    assert duty(HIPAA, "2026-03-23T00:00:00-04:00", ORAL, again).status == "due"


def test_a_period_that_ends_after_the_waiting_stays_and_only_the_legal_end_moves() -> None:
    found = duty(HIPAA, "2026-02-27T17:00:00-05:00", WRITTEN)
    assert found.status == "due"
    assert found.strict_due == datetime.fromisoformat("2026-03-17T00:00:00-04:00")
    # Seven days and seven hours waited: the last day is the 24th, since a day that was begun counts in our favour.
    assert found.legal_end == datetime.fromisoformat("2026-03-25T00:00:00-04:00")
    assert "Its own period ends later and stands" in said(found)


def test_who_ends_a_request_starts_the_clock_again() -> None:
    ended = {**ORAL, "ended_at": "2026-02-25T12:00:00-05:00"}
    assert duty(HIPAA, "2026-02-25T11:59:59-05:00", ended).status == "paused"
    found = duty(HIPAA, "2026-02-25T12:00:00-05:00", ended)
    assert found.status == "due"
    assert found.strict_due == datetime.fromisoformat("2026-03-17T00:00:00-04:00")


def test_a_request_without_an_end_pauses_without_a_date_and_is_called_out_after_a_week() -> None:
    found = duty(MONTANA, "2026-02-21T09:00:00-07:00", {**ORAL, "form": "written"})
    assert (found.status, found.strict_due) == ("paused", None)
    assert found.delay is not None
    assert found.delay.until is None
    assert found.reminder_at == datetime.fromisoformat("2026-02-27T10:00:00-05:00")
    assert "Nothing runs out while the request stands." in said(found)


def test_a_duty_without_a_number_rings_anew_after_the_waiting() -> None:
    found = duty(MONTANA, "2026-02-28T09:00:00-07:00", WRITTEN)
    assert found.status == "due"
    assert found.reminder_at == datetime.fromisoformat("2026-02-28T17:00:00-05:00"), "24 hours, as after its clock"


def test_what_the_law_does_not_let_wait_runs_on_and_says_so() -> None:
    found = duty(
        "us-mt-breach-regulator",
        "2026-02-21T09:00:00-07:00",
        WRITTEN,
        individuals_notified_at="2026-02-20T09:00:00-05:00",
    )
    assert found.status == "due"
    assert "does not let this duty wait for law enforcement" in said(found)
    assert "法律不允许" in said(found, "zh")


def test_the_attorney_general_counts_from_the_day_on_which_it_was_due() -> None:
    letter = {
        "by": "us_attorney_general",
        "authority": "Department of Justice",
        "form": "written",
        "stated_at": "2026-11-25T10:00:00-05:00",
        "until": "2027-06-30T17:00:00-04:00",
    }
    before = duty(SEC, "2026-12-31T17:29:59-05:00", letter)
    assert before.status == "paused"
    assert before.delay is not None
    assert before.delay.resumes_due == datetime.fromisoformat("2026-12-31T17:30:00-05:00")
    after = duty(SEC, "2026-12-31T17:30:00-05:00", letter)
    assert (after.status, after.strict_due, after.legal_end) == ("due", before.delay.until, before.delay.until)


def test_the_explanation_names_who_asked_and_both_ends_in_both_languages() -> None:
    found = duty(HIPAA, "2026-02-25T10:00:00-05:00", ORAL)
    for part in (
        "FBI Dallas (law enforcement) asked orally on Fri 20 Feb 2026 10:00 to wait",
        "Without the waiting due the end of Mon 16 Mar 2026",
        "until the end of Sun 22 Mar 2026 at most",
        "then due the end of Sun 22 Mar 2026",
    ):
        assert part in said(found)
    for part in ("口头要求暂缓", "如不暂缓，期限：2026年3月16日", "最长暂缓至 2026年3月22日"):
        assert part in said(found, "zh")


def test_the_fact_alone_pauses_nothing_and_asks_for_the_record() -> None:
    found = duty(HIPAA, "2026-02-25T10:00:00-05:00", law_enforcement_delay=True)
    assert (found.status, found.delay) == ("due", None)
    assert any("until the request is on record" in reason.text["en"] for reason in found.why)


def test_a_possible_duty_does_not_wait() -> None:
    found = duty(HIPAA, "2026-02-25T10:00:00-05:00", ORAL, data_events="unknown")
    assert (found.status, found.delay) == ("possible", None)


@pytest.mark.parametrize(
    "terms",
    [
        {"by": []},
        {"by": ["police"]},
        {"by": ["regulator"], "form": "written", "oral_most": {"amount": 30, "unit": "calendar_days"}},
        {"by": ["regulator"], "afterwards": "at_once", "anew": {"amount": 30, "unit": "calendar_days"}},
        {"by": ["regulator"], "most": [{"amount": 0, "unit": "hours"}]},
        {"by": ["regulator"], "confidence": "low"},
    ],
)
def test_terms_that_make_no_sense_are_refused(terms: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        DelayTerms.model_validate(terms)


def test_a_request_ends_after_it_was_made() -> None:
    with pytest.raises(ValidationError, match="until must come after"):
        DelayRequest(id="x", **{**WRITTEN, "until": WRITTEN["stated_at"]})  # type: ignore[arg-type]


@given(
    minute=st.integers(0, 150_000),
    hours=st.integers(1, 2_000),
    look=st.integers(0, 4_000),
)
def test_waiting_never_makes_a_duty_due_earlier_and_always_ends(minute: int, hours: int, look: int) -> None:
    stated = datetime(2026, 1, 16, tzinfo=UTC) + timedelta(minutes=minute)
    request = {**FBI, "form": "written", "stated_at": stated, "until": stated + timedelta(hours=hours)}
    at = stated + timedelta(hours=look)
    found, plain = duty(HIPAA, at.isoformat(), request), duty(HIPAA, at.isoformat())
    assert plain.strict_due is not None
    assert plain.legal_end is not None
    if found.status == "paused":
        assert at < stated + timedelta(hours=hours)
        assert found.delay is not None
        assert found.delay.resumes_due is not None
        assert found.delay.resumes_due >= plain.strict_due
    else:
        assert found.strict_due is not None
        assert found.legal_end is not None
        assert plain.strict_due <= found.strict_due <= found.legal_end
        assert plain.legal_end <= found.legal_end


def test_a_waiting_of_years_is_called_out_long_before_it_ends() -> None:
    since = datetime.fromisoformat("2026-03-01T00:00:00+00:00")
    assert _called_out(since, since + timedelta(days=365 * 100)) == since + SILENCE
    assert _called_out(since, since + timedelta(days=30)) == since + timedelta(days=27)
