"""The register records differences, decisions and lateness, and forgets nothing."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from incidents.clock import ManualClock
from incidents.errors import IllegalTransition, InvalidInput, NotFound
from incidents.record import Context, Record
from playbooks.duties.events import DutyMissed, DutyOnRecord, DutyRevised, DutyWarned
from playbooks.duties.register import DutyRegister, window_used
from playbooks.duties.service import DutyService
from tests.conftest import NIGHT, ContextMaker

INCIDENT = UUID(int=7)


def duty(duty_id: str = "gdpr-33", **changes: Any) -> DutyOnRecord:
    fields: dict[str, Any] = {
        "duty_id": duty_id,
        "rule": duty_id,
        "instrument": "Regulation (EU) 2016/679",
        "article": "33(1)",
        "jurisdiction": "EU",
        "recipient": "supervisory authority",
        "recipient_kind": "authority",
        "stage": "initial",
        "status": "due",
        "clock_event": "aware",
        "clock_at": NIGHT,
        "strict_due": NIGHT + timedelta(hours=72),
        "legal_end": NIGHT + timedelta(hours=73),
        "time_zone": "Europe/Berlin",
    }
    return DutyOnRecord(**(fields | changes))


@pytest.fixture
def register() -> DutyRegister:
    return DutyRegister(DutyRegister.id_for(INCIDENT))


def kinds(register: DutyRegister) -> list[str]:
    return [event.kind for event in register.collect_events()]


def test_only_differences_are_recorded(register: DutyRegister, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty("a"), duty("b")], analyst())
    assert kinds(register) == ["duty.identified", "duty.identified"]

    register.update(INCIDENT, [duty("a"), duty("b", strict_due=NIGHT + timedelta(hours=24))], analyst())
    (revised,) = register.collect_events()
    assert isinstance(revised, DutyRevised)
    assert revised.changed == ("strict_due",)

    register.update(INCIDENT, [duty("a")], analyst())
    assert kinds(register) == ["duty.lifted"]

    register.update(INCIDENT, [duty("a")], analyst())
    assert kinds(register) == []


def test_a_better_explanation_alone_is_no_revision(register: DutyRegister, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty()], analyst())
    register.collect_events()

    register.update(INCIDENT, [duty(why=("Said more clearly.",), pack_version="2")], analyst())

    assert kinds(register) == []


def test_a_waiver_needs_a_person_and_a_reason_and_can_be_overturned(
    register: DutyRegister, analyst: ContextMaker, clock: ManualClock
) -> None:
    register.update(INCIDENT, [duty()], analyst())
    with pytest.raises(InvalidInput, match="reason"):
        register.waive(INCIDENT, "gdpr-33", " ", analyst())
    with pytest.raises(InvalidInput, match="Only a person"):
        register.waive(INCIDENT, "gdpr-33", "No risk.", Context.of_command("system:tocsin", clock))

    register.waive(INCIDENT, "gdpr-33", "No risk: keys were safe.", analyst())
    assert not register.duties["gdpr-33"].is_open

    register.overturn_waiver(INCIDENT, "gdpr-33", "Keys were not safe.", analyst())
    assert register.duties["gdpr-33"].is_open


@pytest.mark.parametrize(("then", "still_waived"), [("due", False), ("possible", True)])
def test_a_waiver_does_not_outlive_the_situation_it_was_decided_for(
    register: DutyRegister, analyst: ContextMaker, then: str, still_waived: bool
) -> None:
    register.update(INCIDENT, [duty(status="exempt")], analyst())
    register.waive(INCIDENT, "gdpr-33", "Encrypted, and no risk.", analyst())

    register.update(INCIDENT, [duty(status=then)], analyst())

    assert register.duties["gdpr-33"].waived is still_waived


@pytest.mark.parametrize(
    ("hours", "late"),
    [(1, False), (72, False), (73, False), (73.5, True), (200, True)],
)
def test_lateness_is_judged_by_the_legal_end_and_frozen_at_the_filing(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker, hours: float, late: bool
) -> None:
    register.update(INCIDENT, [duty()], analyst())
    clock.advance(timedelta(hours=300))

    register.fulfil(INCIDENT, "gdpr-33", NIGHT + timedelta(hours=hours), "filing", analyst())
    register.update(INCIDENT, [duty(legal_end=NIGHT + timedelta(hours=500))], analyst())

    (fulfilled,) = [e for e in register.collect_events() if e.kind == "duty.fulfilled"]
    assert fulfilled.late is late  # type: ignore[attr-defined]


@pytest.mark.parametrize("offset", [timedelta(hours=-1), timedelta(hours=1)])
def test_a_filing_lies_between_the_clocks_start_and_now(
    register: DutyRegister, analyst: ContextMaker, offset: timedelta
) -> None:
    register.update(INCIDENT, [duty()], analyst())

    with pytest.raises(InvalidInput) as caught:
        register.fulfil(INCIDENT, "gdpr-33", NIGHT + offset, "filing", analyst())

    assert caught.value.errors[0].field == "submitted_at"


def test_a_deadline_is_loud_before_and_after_and_stays_on_record(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    register.update(INCIDENT, [duty()], analyst())
    register.collect_events()
    heard: list[tuple[float, object]] = []
    for hours in (10, 35.9, 36, 50, 57.6, 68.4, 71, 72, 72.1, 90):
        clock.move_to(NIGHT + timedelta(hours=hours))
        register.watch(INCIDENT, analyst())
        heard += [
            (hours, event.percent if isinstance(event, DutyWarned) else event.kind)
            for event in register.collect_events()
        ]

    assert heard == [(36, 50), (57.6, 80), (68.4, 95), (72.1, "duty.missed")]

    register.update(INCIDENT, [], analyst())
    register.update(INCIDENT, [duty()], analyst())
    assert register.duties["gdpr-33"].missed


def test_a_watch_that_slept_says_the_worst_at_once(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    register.update(INCIDENT, [duty()], analyst())
    register.collect_events()
    clock.advance(timedelta(hours=100))

    register.watch(INCIDENT, analyst())

    warned, missed = register.collect_events()
    assert isinstance(warned, DutyWarned)
    assert warned.percent == 95
    assert isinstance(missed, DutyMissed)


def test_a_duty_without_a_number_is_called_out_once_when_its_reminder_passes(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    promptly = duty(strict_due=None, legal_end=None, reminder_at=NIGHT + timedelta(hours=24), promptness="prompt")
    register.update(INCIDENT, [promptly], analyst())
    register.collect_events()
    for hours in (12, 23.9, 24, 30, 100):
        clock.move_to(NIGHT + timedelta(hours=hours))
        register.watch(INCIDENT, analyst())

    assert [(e.kind, getattr(e, "percent", None)) for e in register.collect_events()] == [("duty.warned", 100)]


@pytest.mark.parametrize("status", ["possible", "waiting_for_clock", "exempt"])
def test_only_due_duties_are_called_out(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker, status: str
) -> None:
    register.update(INCIDENT, [duty(status=status)], analyst())
    register.collect_events()
    clock.advance(timedelta(hours=100))

    register.watch(INCIDENT, analyst())

    assert kinds(register) == []


def test_what_is_settled_cannot_be_decided_again(register: DutyRegister, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty()], analyst())
    register.fulfil(INCIDENT, "gdpr-33", NIGHT, "filing", analyst())

    with pytest.raises(IllegalTransition, match="fulfilled"):
        register.waive(INCIDENT, "gdpr-33", "Too late.", analyst())
    with pytest.raises(NotFound, match="no duty x"):
        register.waive(INCIDENT, "x", "Which?", analyst())


def test_a_repeated_command_has_one_effect(record: Record, analyst: ContextMaker, clock: ManualClock) -> None:
    service = DutyService(record)
    register = DutyRegister(DutyRegister.id_for(INCIDENT))
    register.update(INCIDENT, [duty()], analyst())
    record.commit(register)
    command = uuid4()

    service.waive(INCIDENT, "gdpr-33", analyst(command), reason="No risk.")
    again = service.waive(INCIDENT, "gdpr-33", analyst(command), reason="No risk.")

    assert again.version == 2


@pytest.mark.parametrize(
    ("started", "due", "now", "percent"),
    [
        (NIGHT, NIGHT + timedelta(hours=4), NIGHT + timedelta(hours=1), 25),
        (NIGHT, NIGHT + timedelta(hours=4), NIGHT - timedelta(hours=1), 0),
        (NIGHT, NIGHT + timedelta(hours=4), NIGHT + timedelta(hours=8), 200),
        (NIGHT, NIGHT, NIGHT, 100),
    ],
)
def test_share_of_the_window_used(started: datetime, due: datetime, now: datetime, percent: float) -> None:
    assert window_used(started, due, now) == percent


LATER = {"clock_at": NIGHT + timedelta(hours=9), "strict_due": NIGHT + timedelta(hours=81)}


def missed(register: DutyRegister, clock: ManualClock, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty()], analyst())
    clock.advance(timedelta(hours=72, seconds=1))
    register.watch(INCIDENT, analyst())
    register.collect_events()


def test_a_missed_deadline_stays_judged_by_what_was_known(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    missed(register, clock, analyst)

    register.update(INCIDENT, [duty(**LATER, legal_end=NIGHT + timedelta(hours=82))], analyst())
    assert kinds(register) == [], "an awareness said later to have been later changes nothing"

    register.update(INCIDENT, [duty(**LATER, recipient="lead authority", status="possible")], analyst())
    (revised,) = register.collect_events()
    assert isinstance(revised, DutyRevised)
    assert set(revised.changed) == {"recipient", "status"}
    register.update(INCIDENT, [duty(clock_at=None, strict_due=None, legal_end=None)], analyst())
    judged = register.duties["gdpr-33"].duty
    assert (judged.clock_at, judged.strict_due) == (NIGHT, NIGHT + timedelta(hours=72))
    assert judged.legal_end == NIGHT + timedelta(hours=73)


def test_a_missed_deadline_may_turn_out_to_have_been_earlier(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    missed(register, clock, analyst)
    earlier = NIGHT - timedelta(hours=5)

    register.update(INCIDENT, [duty(clock_at=earlier, strict_due=earlier + timedelta(hours=72))], analyst())

    judged = register.duties["gdpr-33"]
    assert (judged.duty.clock_at, judged.duty.strict_due) == (earlier, earlier + timedelta(hours=72))
    assert judged.missed
    assert judged.warned == 95, "a missed duty is not warned of anew"


def test_a_missed_duty_that_is_lifted_and_comes_back_keeps_its_deadline(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    missed(register, clock, analyst)

    register.update(INCIDENT, [], analyst())
    assert register.duties["gdpr-33"].lifted
    assert register.duties["gdpr-33"].missed
    register.update(INCIDENT, [duty(**LATER)], analyst())

    assert register.duties["gdpr-33"].duty.strict_due == NIGHT + timedelta(hours=72)
    assert register.duties["gdpr-33"].missed


def test_an_open_deadline_moves_with_the_facts(register: DutyRegister, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty()], analyst())
    register.update(INCIDENT, [duty(**LATER)], analyst())
    assert register.duties["gdpr-33"].duty.strict_due == LATER["strict_due"]


def test_a_warning_is_acknowledged_by_a_person_once_for_each_step(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    register.update(INCIDENT, [duty()], analyst())
    with pytest.raises(IllegalTransition, match="nothing to acknowledge"):
        register.acknowledge(INCIDENT, "gdpr-33", analyst())
    clock.advance(timedelta(hours=40))
    register.watch(INCIDENT, analyst())
    assert register.duties["gdpr-33"].wants_acknowledgement
    assert register.duties["gdpr-33"].called_out_at == clock.now()
    with pytest.raises(InvalidInput, match="person"):
        register.acknowledge(INCIDENT, "gdpr-33", ContextMaker(clock, "system:clock")())

    register.acknowledge(INCIDENT, "gdpr-33", analyst())

    assert not register.duties["gdpr-33"].wants_acknowledgement
    with pytest.raises(IllegalTransition, match="before"):
        register.acknowledge(INCIDENT, "gdpr-33", analyst())
    clock.advance(timedelta(hours=33))
    register.watch(INCIDENT, analyst())
    assert register.duties["gdpr-33"].wants_acknowledgement, "missed: the next step warns anew"


def test_a_window_that_moved_warns_anew(register: DutyRegister, clock: ManualClock, analyst: ContextMaker) -> None:
    register.update(INCIDENT, [duty()], analyst())
    clock.advance(timedelta(hours=40))
    register.watch(INCIDENT, analyst())
    register.acknowledge(INCIDENT, "gdpr-33", analyst())

    register.update(
        INCIDENT, [duty(clock_at=NIGHT - timedelta(hours=2), strict_due=NIGHT + timedelta(hours=70))], analyst()
    )
    register.watch(INCIDENT, analyst())

    assert register.duties["gdpr-33"].wants_acknowledgement


TURN = "cn-nfra-69-pm-every-2h"


def turn(last: datetime | None = None, **changes: Any) -> DutyOnRecord:
    """A report due every two hours, before the first or after the last submission."""
    start = last or NIGHT
    fields: dict[str, Any] = {
        "rule": TURN,
        "clock_event": "occurred" if last is None else f"submitted:{TURN}",
        "clock_at": start,
        "strict_due": start + timedelta(hours=2),
        "legal_end": start + timedelta(hours=2),
    }
    return duty(f"{TURN}:nfra:update", **(fields | changes))


def test_a_report_that_is_due_again_and_again_is_a_duty_at_every_turn(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    first = turn().duty_id
    register.update(INCIDENT, [turn()], analyst())
    clock.move_to(NIGHT + timedelta(hours=1))
    register.fulfil(INCIDENT, first, clock.now(), "filing", analyst())
    register.update(INCIDENT, [turn(clock.now())], analyst())
    (second,) = register.open_duties()
    assert second != first
    assert register.duties[second].duty.strict_due == NIGHT + timedelta(hours=3)

    clock.move_to(NIGHT + timedelta(hours=3, minutes=1))
    register.watch(INCIDENT, analyst())
    assert register.duties[second].missed, "a turn that nobody reports is missed like any other duty"
    register.fulfil(INCIDENT, second, clock.now(), "filing", analyst())
    register.update(INCIDENT, [turn(clock.now())], analyst())
    register.collect_events()
    register.update(INCIDENT, [turn(clock.now())], analyst())
    assert not list(register.collect_events()), "the same turn is not begun twice"
    (third,) = register.open_duties()
    assert len({first, second, third}) == 3
    assert (register.duties[first].missed, register.duties[second].missed) == (False, True)

    register.update(INCIDENT, [], analyst())
    assert not register.open_duties(), "it ends with the event that it runs until"


def test_a_report_to_one_recipient_does_not_move_the_deadline_of_another(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    other = f"{TURN}:police:update"
    register.update(INCIDENT, [turn(), turn().model_copy(update={"duty_id": other})], analyst())
    clock.move_to(NIGHT + timedelta(hours=1))
    register.fulfil(INCIDENT, turn().duty_id, clock.now(), "filing", analyst())
    again = turn(clock.now())
    register.update(INCIDENT, [again, again.model_copy(update={"duty_id": other})], analyst())
    assert register.duties[other].duty.strict_due == NIGHT + timedelta(hours=2)


def test_a_deadline_that_passed_is_missed_though_the_filing_or_the_waiver_is_faster_than_the_watch(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    register.update(INCIDENT, [duty("a"), duty("b"), duty("c")], analyst())
    clock.move_to(NIGHT + timedelta(hours=72, seconds=1))
    register.fulfil(INCIDENT, "a", clock.now(), "filing", analyst())
    register.fulfil(INCIDENT, "b", NIGHT + timedelta(hours=71), "filing", analyst())
    register.waive(INCIDENT, "c", "Not a processor of ours.", analyst())
    assert [register.duties[name].missed for name in "abc"] == [True, False, True]


def test_a_reminder_that_rang_before_a_pause_rings_again_after_it(
    register: DutyRegister, clock: ManualClock, analyst: ContextMaker
) -> None:
    plain: dict[str, Any] = {"strict_due": None, "legal_end": None, "promptness": "prompt"}
    register.update(INCIDENT, [duty(**plain, reminder_at=NIGHT + timedelta(hours=24))], analyst())
    clock.move_to(NIGHT + timedelta(hours=25))
    register.watch(INCIDENT, analyst())
    paused = duty(**plain, status="paused", reminder_at=NIGHT + timedelta(days=7))
    register.update(INCIDENT, [paused], analyst())
    assert not register.duties["gdpr-33"].wants_acknowledgement
    clock.move_to(NIGHT + timedelta(days=9))
    register.update(INCIDENT, [duty(**plain, reminder_at=NIGHT + timedelta(days=8))], analyst())
    register.watch(INCIDENT, analyst())
    assert register.duties["gdpr-33"].wants_acknowledgement
