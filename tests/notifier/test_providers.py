"""Several campaigns, several providers and a pace: fair shares, failover only where it is safe, waiting that loses
nobody. Everything is counted; no time decides."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update
from structlog.testing import capture_logs

from incidents.record.database import reading, writing
from notifier.channels.channel import AboutToWrite, Found, Outgoing, ProviderUnavailable
from notifier.channels.outcome import Outcome, Verdict, outcome_table
from notifier.deliveries.progress import progress_of
from notifier.deliveries.states import Phase
from notifier.deliveries.tables import deliveries, delivery_batches, sendings
from notifier.pacing.limits import Limits
from notifier.pacing.provider import Provider, Route, Routes
from notifier.pacing.quiet import Hours, QuietHours
from notifier.pacing.tables import provider_states
from notifier.standins.outcomes import ordinary_numbers
from tests.notifier.house import APPROVER, FAST, PATIENCE, House
from tests.notifier.test_lanes import Quiet, mails, run

pytestmark = pytest.mark.slow


class Answers(Quiet):
    """A channel that answers as it is told to; `answer` may change on the way."""

    def __init__(self, name: str = "email", *, answer: Outcome | None = None, concurrency: int = 2) -> None:
        super().__init__(name, concurrency=concurrency)
        self.answer = answer
        self.inside = 0
        """How many it is busy with."""

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        self.inside += 1
        try:
            await about_to_write()
            self.sent.append(message.address)
            await self.open.wait()
        finally:
            self.inside -= 1
        return self.answer or Outcome(Verdict.ACCEPTED, provider_id=str(message.message_key))


class Gated(Answers):
    """Answers as many messages as it has tickets."""

    def __init__(self, name: str = "email", *, concurrency: int = 3) -> None:
        super().__init__(name, concurrency=concurrency)
        self.tickets = asyncio.Semaphore(0)

    async def send(self, message: Outgoing, about_to_write: AboutToWrite) -> Outcome:
        outcome = await super().send(message, about_to_write)
        await self.tickets.acquire()
        return outcome

    def let(self, people: int) -> None:
        for _ in range(people):
            self.tickets.release()


def test_twenty_people_do_not_wait_behind_hundreds(tmp_path: Path) -> None:
    """An urgent notice that starts while a large one is going out: how many of the large one go out meanwhile."""
    channel = Gated(concurrency=2)

    async def story(house: House) -> None:
        large = house.started(mails(600))
        channel.let(20)
        await house.until(lambda: channel.tickets.locked() and len(channel.sent) >= 20)
        urgent = house.started([(f"U{i}", "", f"u{i}@example.com", "en", "GB") for i in range(20)])
        (lane,) = (one for one in house.notifier.engine._lanes if one.batches)
        before = len(channel.sent)

        def told() -> int:
            return sum(address.startswith("u") for address in channel.sent)

        while told() < 20:
            # The few are offered beside the many although nobody else of those has gone meanwhile.
            await house.until(lambda: told() == 20 or urgent.campaign_id in lane.shelf._campaigns)
            channel.let(1)
            await house.until(channel.tickets.locked)
        last = max(place for place, address in enumerate(channel.sent) if address.startswith("u"))
        between = sum(address.startswith("m") for address in channel.sent[before : last + 1])
        assert between <= 40, "each campaign in its turn, of the large one's 600"
        channel.let(1_000)
        for view in (large, urgent):
            assert (await house.finish(view.campaign_id)).status == "finished"
        assert set(Counter(channel.sent).values()) == {1}
        assert len(channel.sent) == 620

    run(tmp_path, story, channels={"email": channel}, batch_size=500)


def test_repeats_of_many_hold_up_no_repeat_of_a_few(tmp_path: Path) -> None:
    """Single deliveries are claimed from every campaign, the smallest first."""
    channel = Answers(answer=Outcome(Verdict.TEMPORARY, code="450"))

    async def story(house: House) -> None:
        large = house.started(mails(60))
        await house.until(lambda: len(set(channel.sent)) == 60)
        few = house.started([(f"U{i}", "", f"u{i}@example.com", "en", "GB") for i in range(3)])
        await house.until(lambda: len([a for a in set(channel.sent) if a.startswith("u")]) == 3)
        # Nothing is begun any more; what is under way ends and is entered, of the few as of the many.
        async with asyncio.timeout(PATIENCE):
            while [row.phase for row in house.deliveries()] != [Phase.READY.value] * 63:  # noqa: ASYNC110 - no event
                await asyncio.sleep(0.01)
        with writing(house.database) as connection:
            connection.execute(update(deliveries).values(due_at=house.clock.now() - timedelta(seconds=1)))
        claimed = await asyncio.to_thread(house.notifier.book.claim, 8)
        assert len(claimed) == 8, "all are due"
        assert len([claim for claim in claimed if claim.campaign_id == few.campaign_id]) == 3, "the few come first"
        await asyncio.to_thread(house.notifier.book.give_back, claimed)
        channel.answer = None
        for view in (large, few):
            await house.finish(view.campaign_id)

    run(tmp_path, story, channels={"email": channel}, timing=FAST.model_copy(update={"max_tries": 500}))


def test_what_one_provider_surely_did_not_take_another_does(tmp_path: Path) -> None:
    """The account of the first is refused: it rests, and nobody's campaign does."""
    first = Answers(answer=Outcome(Verdict.CAMPAIGN_FAULT, code="20003"))
    second = Answers()

    async def story(house: House) -> None:
        view = house.started(mails(30))
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 30
        assert Counter(second.sent) == {f"m{i}@example.com": 1 for i in range(30)}
        assert len(first.sent) <= 2 * first.concurrency, "after the first refusals it was left alone"
        assert {row.provider for row in house.deliveries()} == {"second"}
        with reading(house.database) as connection:
            (state,) = connection.execute(select(provider_states)).all()
            assert (state.name, state.code) == ("first", "20003")
            assert connection.execute(select(sendings.c.held_until)).scalar() is None

    rests = FAST.model_copy(update={"first_rest": timedelta(minutes=5), "most_rest": timedelta(minutes=5)})
    run(tmp_path, story, channels={"email": (Provider("first", first), Provider("second", second))}, timing=rests)


def test_a_rest_that_a_repeat_began_is_shown_as_any_other(tmp_path: Path) -> None:
    """Repeats are single deliveries; the first tries of a batch went another way."""
    first, second = Answers(answer=Outcome(Verdict.TEMPORARY, code="450")), Answers()

    async def story(house: House) -> None:
        view = house.started(mails(1))
        await house.until(lambda: len(first.sent) > 0)
        first.answer = Outcome(Verdict.CAMPAIGN_FAULT, code="20003")
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == len(second.sent) == 1

        def shown() -> list[tuple[str, str | None]]:
            with reading(house.database) as connection:
                return [(row.name, row.code) for row in connection.execute(select(provider_states))]

        await house.until(lambda: shown() == [("first", "20003")])

    rest = timedelta(hours=1)
    timing = FAST.model_copy(update={"max_tries": 500, "first_rest": rest, "most_rest": rest})
    providers = (Provider("first", first), Provider("second", second, standby=True))
    with capture_logs() as logs:
        run(tmp_path, story, channels={"email": providers}, timing=timing)
    assert [(one["provider"], one["code"]) for one in logs if one["event"] == "provider.rests"] == [("first", "20003")]


def test_what_a_provider_refused_for_good_is_not_tried_elsewhere(tmp_path: Path) -> None:
    first, second = Answers(answer=Outcome(Verdict.REJECTED, code="550 5.1.1")), Answers()

    async def story(house: House) -> None:
        view = house.started(mails(5))
        done = await house.finish(view.campaign_id)
        assert done.outcomes["failed"] == 5
        assert second.sent == [], "it stands by, and the first one is well"

    providers = (Provider("first", first), Provider("second", second, standby=True))
    run(tmp_path, story, channels={"email": providers})


def test_what_is_unclear_is_never_quietly_handed_to_another(tmp_path: Path) -> None:
    first, second = Answers(answer=Outcome(Verdict.AMBIGUOUS, code="timeout"), concurrency=1), Answers()

    async def story(house: House) -> None:
        view = house.started(mails(4), policy="at_most_once")
        done = await house.finish(view.campaign_id)
        unclear = done.outcomes["ambiguous"]
        assert unclear == len(first.sent) > 0
        assert set(first.sent) & set(second.sent) == set()
        assert done.outcomes["accepted"] == len(second.sent) == 4 - unclear

    rest = timedelta(minutes=5)
    timing = FAST.model_copy(update={"rest_after": 1, "first_rest": rest, "most_rest": rest})
    providers = (Provider("first", first), Provider("second", second, standby=True))
    run(tmp_path, story, channels={"email": providers}, timing=timing)


class Refuses(Answers):
    """Answers are lost, and whoever asks what became of a message is not let in."""

    reconciles = True

    def __init__(self, error: ProviderUnavailable) -> None:
        super().__init__("sms", answer=Outcome(Verdict.AMBIGUOUS, code="timeout"))
        self.error = error
        self.asked = 0

    async def find(self, address: str, marker: str, after: object) -> list[Found]:
        del address, marker, after
        self.asked += 1
        raise self.error


@pytest.mark.parametrize(
    ("error", "patience"),
    [(ProviderUnavailable("401", lasting=True), timedelta(days=1)), (ProviderUnavailable("503"), timedelta(0))],
)
def test_a_provider_that_never_says_does_not_keep_a_campaign_open(
    tmp_path: Path, error: ProviderUnavailable, patience: timedelta
) -> None:
    """Credentials that were taken away, or an outage without end: each question counts, and the reason is kept."""
    channel = Refuses(error)

    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        view = house.started([(f"P{i}", next(numbers), "", "en", "GB") for i in range(2)], policy="at_most_once")
        done = await house.finish(view.campaign_id)
        assert done.outcomes["ambiguous"] == 2
        assert {row.code for row in house.deliveries()} == {f"unanswered-{error}"}
        told = progress_of(house.database, view.campaign_id, house.clock.now(), 2)
        assert told is not None
        assert told.unanswered == str(error)
        first = 0 if error.lasting else 1  # a silence begins with a question that does not count
        assert (len(channel.sent), channel.asked) == (2, 2 * (len(FAST.check_delays) + first))

    run(tmp_path, story, channels={"sms": channel}, timing=FAST.model_copy(update={"patience": patience}))


def test_a_provider_alone_is_left_alone_too_and_nobody_fails_for_it(tmp_path: Path) -> None:
    """It is away for a while. Whoever it did not take waits; a rest burns nobody's tries."""
    only = Answers(answer=Outcome(Verdict.TEMPORARY, code="ConnectionRefusedError"))

    async def story(house: House) -> None:
        view = house.started(mails(40))
        engine = house.notifier.engine
        breaker = engine._routes[False]["email"].all[0].breaker
        await house.until(lambda: breaker.resting and not only.inside)  # what was under way ended
        tried = len(only.sent)
        for _ in range(5):
            await house.step()
        assert len(only.sent) == tried < 40, "it rests"
        only.answer = None
        breaker.fine()  # as after its rest and a message that went well
        for lane in engine._lanes:
            lane.wake_parked()
        with writing(house.database) as connection:
            connection.execute(update(deliveries).values(due_at=house.clock.now()))
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 40

    rests = FAST.model_copy(update={"first_rest": timedelta(minutes=5), "most_rest": timedelta(minutes=5)})
    run(tmp_path, story, channels={"email": only}, timing=rests)


def test_a_pace_is_kept_in_segments_and_pausing_leaves_the_rest_undrawn(tmp_path: Path) -> None:
    """By the database's count of what was drawn, not by the clock: as many segments as there were tokens."""
    channel = Answers("sms", concurrency=4)

    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        view = house.started([(f"P{i}", next(numbers), "", "en", "GB") for i in range(40)])
        await house.until(lambda: len(channel.sent) >= 1)
        campaigns = house.notifier.campaigns
        campaigns.pause(house.context(APPROVER), view.campaign_id, reason="wait")
        for _ in range(4):
            await house.step()
        assert len(channel.sent) == 1, "a bucket of one segment gave no more"
        campaigns.cancel(house.context(APPROVER), view.campaign_id, reason="enough")
        done = await house.finish(view.campaign_id)
        assert done.outcomes["cancelled"] == 39
        assert sum(done.outcomes.values()) == 40

    slow = Provider("slow", channel, Limits(per_second=0.001))
    run(tmp_path, story, channels={"sms": (slow,)})


def test_a_country_that_has_to_wait_holds_up_no_single_delivery_of_others(tmp_path: Path) -> None:
    """More wait for the pace to one country than are worked on at once, and an urgent notice has a repeat to make."""
    texts, letters = Answers("sms", concurrency=4), Answers("email", answer=Outcome(Verdict.TEMPORARY, code="450"))

    async def story(house: House) -> None:
        numbers, campaigns = ordinary_numbers("VN"), house.notifier.campaigns
        large = house.started([(f"V{i}", next(numbers), "", "vi", "VN") for i in range(60)])
        await house.until(lambda: len(texts.sent) == 1)
        await house.until(lambda: house.notifier.engine.in_flight >= 12)
        campaigns.pause(house.context(APPROVER), large.campaign_id, reason="wait")
        await house.until(lambda: len(house.deliveries()) >= 12)  # what was marked goes on one by one
        campaigns.resume(house.context(APPROVER), large.campaign_id, reason="go on")
        await house.until(lambda: len(house.notifier.engine._running) >= 8)
        urgent = house.started([("U", "", "u@example.com", "en", "GB")])
        await house.until(lambda: len(letters.sent) == 1)
        letters.answer = None
        assert (await house.finish(urgent.campaign_id)).outcomes["accepted"] == 1
        assert len(texts.sent) <= 2

    slow = Provider("slow", texts, Limits(by_country={"VN": 0.001}))
    run(tmp_path, story, channels={"sms": (slow,), "email": letters}, batch=12)


def test_people_whose_night_it_is_wait_as_one_batch_and_the_others_do_not(tmp_path: Path) -> None:
    channel = Answers("sms")

    async def story(house: House) -> None:
        here, there = ordinary_numbers("GB"), ordinary_numbers("VN")
        rows = [(f"G{i}", next(here), "", "en", "GB") for i in range(6)]
        rows += [(f"V{i}", next(there), "", "vi", "VN") for i in range(4)]
        view = house.started(rows)
        await house.until(lambda: len(channel.sent) == 4)
        for _ in range(4):
            await house.step()
        assert all(number.startswith("+84") for number in channel.sent)
        with reading(house.database) as connection:
            (asleep,) = connection.execute(select(delivery_batches).where(delivery_batches.c.zone == "GB")).all()
        assert (asleep.state, asleep.recipients) == ("ready", 6)
        assert asleep.due_at > house.clock.now()
        told = progress_of(house.database, view.campaign_id, house.clock.now(), 10)
        assert told is not None
        assert (told.asleep, told.awake_at) == (6, asleep.due_at)

    # Hours around now in London, which is seven hours behind Hanoi.
    run(tmp_path, story, channels={"sms": channel}, quiet=_night_in("GB"))


def test_a_deadline_that_the_night_would_miss_is_kept(tmp_path: Path) -> None:
    channel = Answers("sms")

    async def story(house: House) -> None:
        numbers = ordinary_numbers("GB")
        view = house.started([(f"G{i}", next(numbers), "", "en", "GB") for i in range(6)])
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 6

    from incidents.clock import SystemClock

    soon = SystemClock().now() + timedelta(minutes=30)
    run(tmp_path, story, channels={"sms": channel}, quiet=_night_in("GB"), deadline=lambda *_: soon)


def test_a_sending_that_stood_still_goes_on_and_says_when_it_ends(tmp_path: Path) -> None:
    """After a long rest next to no speed is measured: no reason to stop, and no end that a calendar could hold."""
    channel = Answers("sms", concurrency=1)

    async def story(house: House) -> None:
        numbers = ordinary_numbers("VN")
        view = house.started([(f"V{i}", next(numbers), "", "vi", "VN") for i in range(6)])
        await asyncio.to_thread(house.notifier.follower.run_once)
        now = house.clock.now()
        with writing(house.database) as connection:
            connection.execute(update(sendings).values(per_hour=1e-9, measured_at=now, measured_done=0))
        told = progress_of(house.database, view.campaign_id, now, 6)
        assert told is not None
        assert (told.left, told.ends_at) == (6, None)
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 6

    run(tmp_path, story, channels={"sms": channel}, quiet=_night_in("GB"))


def _night_in(country: str) -> QuietHours:
    """Quiet hours of two hours around the present time there."""
    from zoneinfo import ZoneInfo

    from incidents.clock import SystemClock
    from notifier.pacing.quiet import zones_of

    local = SystemClock().now().astimezone(ZoneInfo(zones_of(country)[0]))
    start, end = (local - timedelta(hours=1)).time(), (local + timedelta(hours=1)).time()
    hours: Any = Hours(time(start.hour, start.minute), time(end.hour, end.minute))
    return QuietHours({"sms": hours})


def test_a_fault_of_the_notice_stops_the_lane_and_says_why(tmp_path: Path) -> None:
    """Everybody's would be refused alike: a few are tried, nobody is failed, and the page can say what it is."""
    only = Answers(answer=Outcome(Verdict.CAMPAIGN_FAULT, code="21617"))

    async def story(house: House) -> None:
        view = house.started(mails(200))

        def told() -> Any:
            return progress_of(house.database, view.campaign_id, house.clock.now(), 200)

        await house.until(lambda: told() is not None and told().held_code == "21617")
        for _ in range(4):
            await house.step()
        assert len(only.sent) <= 8 * only.concurrency, "of two hundred"
        assert {row.state for row in house.deliveries()} <= {"claimed", "planned"}, "nobody is given up"
        with reading(house.database) as connection:
            first = connection.execute(select(sendings)).one()
        assert first.holds == 1
        with writing(house.database) as connection:  # the rest is over, and nothing was mended
            connection.execute(update(sendings).values(held_until=house.clock.now()))
            connection.execute(update(deliveries).values(due_at=house.clock.now()))
        await house.until(lambda: told().held_code is not None and told().held_until > first.held_until)
        only.answer = None

        def rest_is_over() -> bool:
            # Again and again: a refusal that was under way when the fault was mended may begin one more rest.
            with writing(house.database) as connection:
                now = house.clock.now()
                connection.execute(update(sendings).where(sendings.c.held_until > now).values(held_until=now))
                waiting = deliveries.c.due_at > now
                connection.execute(update(deliveries).where(waiting, deliveries.c.phase == "ready").values(due_at=now))
            return house.notifier.campaigns.view(view.campaign_id).status.value == "finished"

        await house.until(rest_is_over)
        done = await house.finish(view.campaign_id)
        assert done.outcomes["accepted"] == 200
        with reading(house.database) as connection:
            assert connection.execute(select(sendings.c.holds)).scalar() == 0, "forgotten once somebody was told"

    timing = FAST.model_copy(update={"hold": timedelta(minutes=5), "most_hold": timedelta(minutes=60)})
    run(tmp_path, story, channels={"email": only}, timing=timing, batch_size=200)


class Finds(Quiet):
    """A provider that finds this, or does not say."""

    def __init__(self, found: list[Found] | ProviderUnavailable) -> None:
        super().__init__("sms")
        self.found = found

    async def find(self, address: str, marker: str, after: object) -> list[Found]:
        del address, marker, after
        if isinstance(self.found, ProviderUnavailable):
            raise self.found
        return self.found


def test_what_one_provider_found_counts_though_another_does_not_say() -> None:
    refused, silent = ProviderUnavailable("401", lasting=True), ProviderUnavailable("503")

    def asked(*answers: list[Found] | ProviderUnavailable) -> list[Found]:
        providers = [Provider(f"p{n}", Finds(one)) for n, one in enumerate(answers)]

        async def ask() -> list[Found]:
            routes = Routes([Route(one, outcome_table(), None) for one in providers])
            return await routes.find(None, "+4930", "REF", datetime(2026, 11, 20, tzinfo=UTC))

        return asyncio.run(ask())

    assert [one.provider_id for one in asked(refused, [Found("SM1", "sent")], silent)] == ["SM1"]
    with pytest.raises(ProviderUnavailable, match="401"):
        asked([], refused)
    with pytest.raises(ProviderUnavailable, match="503"):  # it may still say, so it is asked again
        asked(refused, silent)
