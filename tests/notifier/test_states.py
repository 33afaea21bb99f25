"""What follows for a person, as a table; and that no order of news can move a delivery backwards."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from uuid import RFC_4122, UUID, uuid4, uuid5

import pytest

from incidents.record import stable_id
from notifier.audience.ids import ids_side_by_side
from notifier.deliveries.moves import delivery_id, first_ids, message_keys
from notifier.deliveries.references import reference_code, tidy_reference
from notifier.deliveries.states import Attempt, Next, Phase, what_next
from notifier.deliveries.timing import Timing

SPACE = UUID(int=0)


def attempt(text: str) -> Attempt:
    """`sms0 accepted waiting [code]` as an attempt."""
    name, state, phase, *code = text.split()
    return Attempt(uuid5(SPACE, name), name[:-1], int(name[-1]), state, Phase(phase), *code)  # type: ignore[arg-type]


BOTH = ("sms", "email")


@pytest.mark.parametrize(
    ("attempts", "channels", "policy", "expected"),
    [
        (["sms0 planned ready"], BOTH, "at_least_once", Next("open")),
        (["sms0 claimed writing"], BOTH, "at_least_once", Next("open")),
        (["sms0 accepted waiting"], BOTH, "at_least_once", Next("open")),
        (["sms0 accepted done"], BOTH, "at_least_once", Next("accepted")),
        (["sms0 delivered done"], BOTH, "at_least_once", Next("reached")),
        (["sms0 rejected done 21211"], BOTH, "at_least_once", Next("open", "email")),
        (["sms0 undelivered done 30003"], BOTH, "at_most_once", Next("open", "email")),
        (["sms0 undelivered done 30003"], ("sms",), "at_least_once", Next("failed")),
        (["sms0 failed done 30001"], BOTH, "at_least_once", Next("open", "email")),
        (["sms0 failed done 30001"], ("sms",), "at_most_once", Next("open", "sms", 1, delayed=True, code="30001")),
        (
            ["sms0 failed done 30001", "sms1 failed done 30001", "sms2 failed done 30001"],
            ("sms",),
            "at_least_once",
            Next("failed"),
        ),
        (["sms0 rejected done", "email0 rejected done"], BOTH, "at_least_once", Next("failed")),
        (["sms0 rejected done", "email0 accepted done"], BOTH, "at_least_once", Next("accepted")),
        (["sms0 ambiguous done"], BOTH, "at_least_once", Next("open", "sms", 1)),
        (["sms0 ambiguous done"], BOTH, "at_most_once", Next("ambiguous")),
        (["sms0 ambiguous done", "sms1 claimed claimed"], BOTH, "at_least_once", Next("open")),
        (["sms0 ambiguous done", "sms1 accepted done"], BOTH, "at_least_once", Next("accepted")),
        (["sms0 ambiguous done", "sms1 rejected done"], BOTH, "at_least_once", Next("open", "email")),
        (["sms0 ambiguous done", "sms1 rejected done"], ("sms",), "at_least_once", Next("ambiguous")),
        (
            ["sms0 ambiguous done", "sms1 ambiguous done", "sms2 ambiguous done"],
            BOTH,
            "at_least_once",
            Next("open", "email"),
        ),
        (
            ["email0 ambiguous done", "email1 ambiguous done", "email2 ambiguous done"],
            ("email",),
            "at_least_once",
            Next("ambiguous"),
        ),
        (["sms0 rejected done", "email0 ambiguous done"], BOTH, "at_most_once", Next("ambiguous")),
    ],
)
def test_what_next(attempts: list[str], channels: tuple[str, ...], policy: str, expected: Next) -> None:
    decided = what_next(
        [attempt(text) for text in attempts],
        channels,
        policy,  # type: ignore[arg-type]
        max_repeats=2,
        is_temporary=lambda code: code == "30001",
    )
    assert decided == expected


def test_news_that_a_person_is_told_calls_off_what_waits_to_be_tried() -> None:
    told, waiting = attempt("sms0 accepted waiting"), attempt("sms1 planned ready")
    decided = what_next([told, waiting], BOTH, "at_least_once", max_repeats=2, is_temporary=lambda _: False)
    assert decided == Next("open", call_off=(waiting.delivery_id,))


def test_backoff_doubles_within_its_bounds_and_listens_to_the_provider() -> None:
    timing = Timing(first_backoff=timedelta(seconds=4), most_backoff=timedelta(seconds=60))
    assert [timing.backoff(n, 1.0).total_seconds() for n in range(6)] == [4, 8, 16, 32, 60, 60]
    assert timing.backoff(0, 0.0) == timedelta(seconds=2)
    assert timing.backoff(0, 0.0, at_least=30) == timedelta(seconds=30)
    assert timing.backoff(0, 0.0, at_least=9999) == timedelta(seconds=60)
    assert timing.backoff(10_000, 1.0) == timedelta(seconds=60)


def test_ids_hashed_from_a_common_beginning_are_the_ids_of_every_other_way() -> None:
    campaign, recipient = UUID(int=7), UUID(int=8)
    assert first_ids(campaign, "sms")(recipient) == delivery_id(campaign, recipient, "sms", 0)


def test_ids_of_attempts_lie_as_those_of_the_recipients_and_are_never_the_same() -> None:
    campaigns = [uuid4() for _ in range(3)]
    people = sorted(ids_side_by_side(200, datetime(2026, 11, 22, tzinfo=UTC)))
    first = [first_ids(campaigns[0], "sms")(person) for person in people]

    assert first == sorted(first)
    assert {one.version for one in first} == {8}
    assert {one.variant for one in first} == {RFC_4122}
    every = {
        delivery_id(campaign, person, channel, repeat)
        for campaign in campaigns
        for person in people
        for channel in ("sms", "email")
        for repeat in range(2)
    }
    assert len(every) == 3 * 200 * 2 * 2
    assert set(first) <= every


def test_attempts_to_people_from_before_keep_their_ids() -> None:
    """Campaigns that were under way when ids of recipients began to ascend go on with the ids they have."""
    campaign = UUID("526e5400-93dd-5bd1-849f-ea9f151906e1")
    recipient = UUID("0b6d0a9e-5a3e-4c0e-9d6f-3b6a51f0a001")

    assert delivery_id(campaign, recipient, "sms", 0) == UUID("b1b0ca79-d456-55fa-ae0f-0321b8bfbe3e")
    assert message_keys(campaign)(recipient) == stable_id("message", str(campaign), str(recipient))


def test_reference_codes_are_stable_short_and_readable() -> None:
    rng = random.Random(1)
    ids = [UUID(int=rng.getrandbits(128)) for _ in range(2000)]
    codes = {reference_code(b"k" * 32, ids[0], recipient) for recipient in ids}
    assert len(codes) == 2000
    code = reference_code(b"k" * 32, ids[0], ids[1])
    assert code == reference_code(b"k" * 32, ids[0], ids[1]) != reference_code(b"x" * 32, ids[0], ids[1])
    assert not set("".join(codes)) & set("ILOU")
    # Codes that were printed must be found again by every later version.
    assert reference_code(b"k" * 32, UUID(int=1), UUID(int=2)) == "G2ARR-A587P"
    assert tidy_reference(f" {code.lower().replace('-', ' ')} ") == code
    assert tidy_reference(code.replace("0", "O").replace("1", "l")) == code


def test_what_was_taken_and_never_confirmed_goes_on_by_the_next_channel_where_that_is_wanted() -> None:
    taken = Attempt(uuid4(), "sms", 0, "sent", Phase.DONE)
    waiting = Attempt(uuid4(), "sms", 0, "sent", Phase.WAITING)
    mailed = Attempt(uuid4(), "email", 0, "accepted", Phase.DONE)
    failed = Attempt(uuid4(), "email", 0, "rejected", Phase.DONE, "5.1.1")
    ready = Attempt(uuid4(), "email", 0, "planned", Phase.READY)
    came = Attempt(taken.delivery_id, "sms", 0, "delivered", Phase.DONE)

    def step(*attempts: Attempt, unconfirmed: tuple[str, ...] = ("sms",), cancelled: bool = False) -> Next:
        return what_next(
            attempts,
            ("sms", "email"),
            "at_most_once",
            max_repeats=2,
            is_temporary=lambda _code: False,
            cancelled=cancelled,
            unconfirmed=unconfirmed,
        )

    assert step(taken, unconfirmed=()) == Next("accepted")
    assert step(waiting).outcome == "open"
    assert step(taken) == Next("open", "email")
    assert step(taken, ready) == Next("open"), "the next attempt is not called off by the one before"
    assert step(came, ready).call_off == (ready.delivery_id,), "but by its receipt, however late"
    assert step(taken, failed) == Next("accepted")
    assert step(taken, mailed) == Next("accepted")
    assert step(taken, cancelled=True) == Next("accepted")
