"""Pace, health and night: when a message may go, which providers are left alone, and hours of rest for people."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, time, timedelta

import pytest

from notifier.channels.outcome import Outcome, Verdict, outcome_table
from notifier.channels.sms import retry_after
from notifier.pacing.book import Drawn
from notifier.pacing.breaker import Breaker, Change, Rests
from notifier.pacing.limits import Limits, kind_of
from notifier.pacing.pace import Pace
from notifier.pacing.provider import Provider, Route
from notifier.pacing.quiet import Hours, QuietHours, zones_of
from tests.notifier.house import PATIENCE
from tests.notifier.test_lanes import Quiet

NIGHT = QuietHours({"sms": Hours(time(21), time(8))}, "Asia/Shanghai")


class Bank:
    """Draws for a pace, counted."""

    def __init__(self, *drawn: Drawn) -> None:
        self.drawn = list(drawn)
        self.asked: list[str] = []

    def draw(self, name: str, per_second: float, burst: float, least: float, most: float) -> Drawn:
        self.asked.append(name)
        return self.drawn.pop(0) if self.drawn else Drawn(0.0, 60.0)


def test_a_message_goes_when_its_sender_and_its_country_both_have_room() -> None:
    async def story() -> None:
        bank, now = Bank(Drawn(4, 0), Drawn(2, 0), Drawn(2, 0)), [0.0]
        pace = Pace("p", Limits(per_second=10, by_country={"CN": 5}), bank, uptime=lambda: now[0])
        more = asyncio.Event()
        pace.on_more(more.set)
        assert not pace.admits("CN", 2)
        async with asyncio.timeout(PATIENCE):
            await pace.admitted("CN", 2)
        assert set(bank.asked) == {"p", "p:CN"}
        assert pace.admits("GB", 2), "there is no limit to that country, and the sender has two left"
        assert not pace.admits("GB", 2)
        await pace.close()

    asyncio.run(story())


def test_a_service_that_hides_why_is_neither_well_nor_ill() -> None:
    """An instant message to somebody who is not there looks like one that was lost."""
    now = [0.0]
    route = Route(Provider("im", Quiet("im")), outcome_table(), None, Rests(2, 5, 60), uptime=lambda: now[0])
    no, lost = Outcome(Verdict.AMBIGUOUS, "not-confirmed"), Outcome(Verdict.AMBIGUOUS, "timeout")
    said: list[Change] = []
    route.on_change(said.append)
    for _ in range(10):
        route.heard(no, alone=True)
    assert route.breaker.works
    route.heard(lost, alone=True)
    assert said == []
    route.heard(lost, alone=True)
    assert said == [Change.RESTS]
    now[0] = 6.0
    route.breaker.given()
    assert not route.breaker.admits(), "one at a time"
    route.heard(no, alone=True)
    assert route.breaker.admits(), "it told nothing, so the next one does"
    assert not route.breaker.works


def test_what_was_drawn_and_not_used_is_not_used_later() -> None:
    async def story() -> None:
        now = [0.0]
        pace = Pace("p", Limits(per_second=10), Bank(Drawn(5, 0)), uptime=lambda: now[0])
        async with asyncio.timeout(PATIENCE):
            await pace.admitted("", 1)
        now[0] = 60.0
        assert not pace.admits("", 1)
        await pace.close()

    asyncio.run(story())


def test_without_limits_nothing_is_asked() -> None:
    pace = Pace("p", Limits(), Bank())
    assert pace.is_free
    assert all(pace.admits("CN", 3) for _ in range(1000))


@pytest.mark.parametrize(
    ("sender", "kind", "rate"),
    [
        ("12345", "short code", 100),
        ("+18005550100", "toll-free number", 3),
        ("+12025550100", "long code", 1),
        ("+447700900123", "number of another country", 10),
        ("HARBOUR", "sender name", 10),
        ("MG" + "a" * 32, "messaging service", 1),
    ],
)
def test_the_kind_of_a_sender_decides_its_rate(sender: str, kind: str, rate: float) -> None:
    found = kind_of(sender)
    assert (found.name, found.segments_per_second) == (kind, rate)


def test_a_provider_that_fails_again_and_again_is_left_alone_and_tried_with_one_message() -> None:
    now = [100.0]
    breaker = Breaker(Rests(failures=3, first=10, longest=30), uptime=lambda: now[0])
    assert [breaker.failed("x") for _ in range(3)] == [Change.NOTHING, Change.NOTHING, Change.RESTS]
    assert not breaker.admits()
    now[0] += 10
    assert breaker.admits()
    breaker.given()
    assert not breaker.admits(), "one message at a time"
    assert breaker.failed("x") is Change.RESTS
    now[0] += 19
    assert not breaker.admits(), "each rest is twice as long"
    now[0] += 1
    breaker.given()
    assert breaker.fine() is Change.WORKS
    assert breaker.works
    assert [breaker.failed("x") for _ in range(2)] == [Change.NOTHING] * 2
    assert breaker.fine() is Change.NOTHING
    assert breaker.failed("x") is Change.NOTHING, "only failures in a row count"


def test_a_provider_is_left_alone_for_as_long_as_it_asks() -> None:
    now = [0.0]
    breaker = Breaker(uptime=lambda: now[0])
    assert breaker.failed("429", at_least=7) is Change.RESTS
    now[0] = 6.9
    assert breaker.resting
    now[0] = 7.1
    assert breaker.admits()


@pytest.mark.parametrize(
    ("code", "ours"),
    [
        ("20003", True),
        ("30002", True),
        ("TimeoutError", True),
        ("421 4.3.2", True),
        ("535 5.7.8", True),
        ("21617", False),
        ("450 4.2.1", False),
        ("452 4.2.2", False),
        ("no-notice", False),
    ],
)
def test_which_faults_are_the_providers(code: str, ours: bool) -> None:
    assert outcome_table().is_of_provider(code) is ours


@pytest.mark.parametrize("code", ["421", "450", "451", "454"])
@pytest.mark.parametrize("command", ["connect", "mail", "rcpt", "data", "content"])
def test_such_replies_of_a_mail_server_are_never_final(code: str, command: str) -> None:
    assert outcome_table().of_smtp_reply(command, int(code), "4.7.0") is Verdict.TEMPORARY
    assert outcome_table().of_smtp_reply(command, int(code), "5.1.1") is Verdict.TEMPORARY


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
def test_an_answer_after_which_nobody_knows_is_ambiguous(status: int) -> None:
    assert outcome_table().of_twilio_error(status, 20500) is Verdict.AMBIGUOUS


def test_too_many_requests_is_safe_to_repeat() -> None:
    assert outcome_table().of_twilio_error(429, 20429) is Verdict.TEMPORARY
    assert outcome_table().throttles("20429") is not None


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.mark.parametrize(
    ("country", "now", "until"),
    [
        ("SG", "2026-11-22T22:00+08:00", "2026-11-23T08:00+08:00"),
        ("SG", "2026-11-22T20:59+08:00", None),
        ("SG", "2026-11-23T07:59+08:00", "2026-11-23T08:00+08:00"),
        ("CN", "2026-11-23T07:59+08:00", "2026-11-23T08:00+06:00"),
        ("VN", "2026-11-23T08:00+07:00", None),
        ("", "2026-11-22T23:00+08:00", "2026-11-23T08:00+08:00"),
        ("GB", "2026-03-28T22:00+00:00", "2026-03-29T08:00+01:00"),
    ],
)
def test_the_clock_of_the_country_decides(country: str, now: str, until: str | None) -> None:
    """In the west of China people live by a clock of their own. In the last night the clocks change."""
    found = NIGHT.until("sms", country, at(now))
    assert found == (None if until is None else at(until))
    assert NIGHT.until("email", country, at(now)) is None


def test_in_a_country_with_several_zones_the_strictest_counts() -> None:
    assert len(zones_of("US")) > 20
    # 20:30 in Los Angeles is 23:30 in New York; Honolulu wakes at 13:00 in New York.
    assert NIGHT.until("sms", "US", at("2026-11-22T20:30-08:00")) == at("2026-11-23T08:00-10:00")
    assert NIGHT.until("sms", "US", at("2026-11-22T14:00-05:00")) is None


@pytest.mark.parametrize(
    ("deadline", "needed", "waits"),
    [
        (None, None, True),
        ("2026-11-23T12:00+08:00", None, True),
        ("2026-11-23T08:30+08:00", None, False),
        ("2026-11-23T12:00+08:00", 5, False),
        ("2026-11-22T20:00+08:00", None, False),
    ],
)
def test_a_deadline_that_waiting_would_miss_is_not_waited_for(
    deadline: str | None, needed: int | None, waits: bool
) -> None:
    found = NIGHT.wait(
        "sms",
        "CN",
        at("2026-11-22T22:00+08:00"),
        deadline=at(deadline) if deadline else None,
        needed=timedelta(hours=needed) if needed else None,
    )
    assert (found is not None) is waits


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7.0),
        ({"Retry-After": "Wed, 25 Nov 2026 10:00:30 GMT", "Date": "Wed, 25 Nov 2026 10:00:00 GMT"}, 30.0),
        ({"Retry-After": "999999"}, 900.0),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Wed, 25 Nov 2026 10:00:30 GMT"}, None),
        ({"Retry-After": "-5"}, None),
        ({}, None),
        (None, None),
    ],
)
def test_how_long_an_answer_asks_to_be_left_alone(headers: dict[str, str] | None, seconds: float | None) -> None:
    assert retry_after(headers) == seconds
