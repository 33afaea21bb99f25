"""A run follows its frozen plan: what opens when, what completes by itself, what only people may decide."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest

from incidents.clock import ManualClock
from incidents.errors import IllegalTransition, NotFound
from incidents.facts.conditions import Outcome, Verdict
from playbooks.definitions.definition import load_library
from playbooks.duties.register import DutyState
from playbooks.runs.events import TimerCancelled, TimerFired, TimerSet
from playbooks.runs.run import Run, RunView
from tests.conftest import ContextMaker
from tests.playbooks.duties.test_register import duty

INCIDENT = UUID(int=7)
PLAYBOOK = load_library()["personal-data-breach"]
NOTHING = RunView(judge=lambda _: Verdict(Outcome.UNKNOWN), known_facts=frozenset(), happened=frozenset())
NEEDED = frozenset({"aware_at", "data_classes", "persons_affected"})


@pytest.fixture
def run(analyst: ContextMaker) -> Run:
    started = Run.start(INCIDENT, PLAYBOOK, analyst())
    started.advance(NOTHING, analyst())
    return started


def view(*happened: str, facts: frozenset[str] = frozenset(), **duties: DutyState) -> RunView:
    return replace(
        NOTHING, happened=frozenset(f"incident.{kind}" for kind in happened), known_facts=facts, duties=duties
    )


def open_steps(run: Run) -> set[str]:
    return set(run.open_steps())


def test_it_begins_with_the_first_step_and_a_reminder(run: Run) -> None:
    assert open_steps(run) == {"triage"}
    timers = [event for event in run.collect_events() if isinstance(event, TimerSet)]
    assert [timer.step for timer in timers] == ["triage"]


def test_advancing_without_news_records_nothing(run: Run, analyst: ContextMaker) -> None:
    run.collect_events()

    run.advance(NOTHING, analyst())

    assert run.collect_events() == []


def test_the_lifecycle_completes_tasks_and_opens_what_comes_after(run: Run, analyst: ContextMaker) -> None:
    run.advance(view("triaged"), analyst())
    assert open_steps(run) == {"contain", "facts"}

    run.advance(view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a"))), analyst())
    assert open_steps(run) == {"draft-notice", "file", "file:a"}


def test_the_whole_way_to_the_end(run: Run, analyst: ContextMaker) -> None:
    due = {"a": DutyState(duty("a"))}
    run.advance(view("triaged", "contained", facts=NEEDED, **due), analyst())
    run.campaign_moved("draft-notice", "approval-requested", analyst())
    run.advance(view("triaged", "contained", facts=NEEDED, **due), analyst())
    assert open_steps(run) == {"approve-notice", "file", "file:a"}

    run.campaign_moved("draft-notice", "approved", analyst())
    run.advance(view("triaged", "contained", facts=NEEDED, **due), analyst())
    assert "notify-people" in open_steps(run)

    run.campaign_moved("draft-notice", "finished", analyst())
    filed = {"a": replace(due["a"], fulfilled_at=duty().clock_at)}
    run.advance(view("triaged", "contained", "recovered", facts=NEEDED, **filed), analyst())

    assert open_steps(run) == set()
    assert run.finished == "completed"
    assert run.steps["file:a"].outcome == "filed"


def test_a_rejected_notice_is_drafted_and_asked_for_again(run: Run, analyst: ContextMaker) -> None:
    ready = view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a")))
    run.advance(ready, analyst())
    run.campaign_moved("draft-notice", "approval-requested", analyst())
    run.advance(ready, analyst())

    run.campaign_moved("draft-notice", "rejected", analyst(), comment="Say what people can do.")
    run.advance(ready, analyst())
    assert "draft-notice" in open_steps(run)
    assert "approve-notice" not in open_steps(run)

    run.campaign_moved("draft-notice", "approval-requested", analyst())
    run.advance(ready, analyst())
    assert "approve-notice" in open_steps(run)


def test_an_approval_faster_than_the_plan_still_counts(run: Run, analyst: ContextMaker) -> None:
    run.advance(view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a"))), analyst())
    run.campaign_moved("draft-notice", "approved", analyst())
    run.campaign_moved("draft-notice", "approval-requested", analyst())
    run.advance(view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a"))), analyst())

    assert run.steps["approve-notice"].outcome == "approved"
    assert "notify-people" in open_steps(run)


def test_an_approval_right_after_a_rejection_counts_before_its_step_is_open_again(
    run: Run, analyst: ContextMaker
) -> None:
    ready = view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a")))
    run.advance(ready, analyst())
    for what in ("approval-requested", "rejected", "approval-requested", "approved"):
        run.campaign_moved("draft-notice", what, analyst())
        if what == "approval-requested" and run.steps.get("approve-notice") is None:
            run.advance(ready, analyst())
    run.advance(ready, analyst())

    assert run.steps["approve-notice"].outcome == "approved"
    assert "notify-people" in open_steps(run)


@pytest.mark.parametrize("what", ["rejected", "voided"])
def test_an_approval_taken_back_or_voided_is_asked_for_again(run: Run, analyst: ContextMaker, what: str) -> None:
    ready = view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a")))
    run.advance(ready, analyst())
    for moved in ("approval-requested", "approved"):
        run.campaign_moved("draft-notice", moved, analyst())
        run.advance(ready, analyst())
    assert run.is_waiting_to_send("draft-notice")

    run.campaign_moved("draft-notice", what, analyst())
    run.advance(ready, analyst())
    assert "draft-notice" in open_steps(run)
    assert not run.is_waiting_to_send("draft-notice")

    for moved in ("approval-requested", "approved"):
        run.campaign_moved("draft-notice", moved, analyst())
        run.advance(ready, analyst())
    assert run.is_waiting_to_send("draft-notice")


def test_changing_a_draft_that_nobody_was_asked_about_moves_nothing(run: Run, analyst: ContextMaker) -> None:
    run.advance(view("triaged", "contained", facts=NEEDED, a=DutyState(duty("a"))), analyst())
    run.collect_events()

    run.campaign_moved("draft-notice", "voided", analyst())

    assert run.collect_events() == []


def test_a_duty_that_falls_due_after_the_filings_were_done_gets_its_task(run: Run, analyst: ContextMaker) -> None:
    done = {"a": DutyState(duty("a"), fulfilled_at=duty().clock_at)}
    run.advance(view("triaged", "contained", facts=NEEDED, **done), analyst())
    assert run.steps["file"].outcome == "done"

    run.advance(view("triaged", "contained", facts=NEEDED, **done, late=DutyState(duty("late"))), analyst())

    assert {"file", "file:late"} <= open_steps(run)


def test_a_finished_run_is_taken_up_again_by_a_new_duty(run: Run, analyst: ContextMaker) -> None:
    done = {"a": DutyState(duty("a"), fulfilled_at=duty().clock_at)}
    everything = view("triaged", "contained", "recovered", facts=NEEDED, **done)
    run.advance(everything, analyst())
    for moved in ("approval-requested", "approved"):
        run.campaign_moved("draft-notice", moved, analyst())
        run.advance(everything, analyst())
    run.campaign_moved("draft-notice", "finished", analyst())
    run.advance(everything, analyst())
    assert run.finished == "completed"

    run.advance(replace(everything, duties={**done, "late": DutyState(duty("late"))}), analyst())

    assert run.finished is None
    assert "file:late" in open_steps(run)


def test_an_abandoned_run_leaves_nothing_open(run: Run, analyst: ContextMaker) -> None:
    run.advance(view("triaged"), analyst())

    run.abandon(analyst(), "merged")
    run.advance(view("triaged", "contained", facts=NEEDED), analyst())

    assert open_steps(run) == set()
    assert run.finished == "merged"


def test_filings_wait_until_each_duty_is_settled_in_some_way(run: Run, analyst: ContextMaker) -> None:
    duties = {
        "due": DutyState(duty("due")),
        "later": DutyState(duty("later", status="waiting_for_clock", clock_at=None, strict_due=None)),
        "people": DutyState(duty("people", recipient_kind="individuals")),
    }
    run.advance(view("triaged", facts=NEEDED, **duties), analyst())
    assert {step for step in open_steps(run) if step.startswith("file")} == {"file", "file:due"}

    duties["due"] = replace(duties["due"], waived=True)
    run.advance(view("triaged", facts=NEEDED, **duties), analyst())
    assert run.steps["file:due"].outcome == "skipped"
    assert "file" in open_steps(run)

    duties["later"] = replace(duties["later"], lifted=True)
    run.advance(view("triaged", facts=NEEDED, **duties), analyst())
    assert run.steps["file"].outcome == "done"


def test_a_skipped_notice_takes_its_approval_and_sending_with_it(run: Run, analyst: ContextMaker) -> None:
    ready = view("triaged", "contained", facts=NEEDED)
    run.advance(ready, analyst())

    run.skip("draft-notice", analyst(), reason="Nobody was affected after all.")
    run.advance(ready, analyst())

    assert {run.steps[step].outcome for step in ("draft-notice", "approve-notice", "notify-people")} == {"skipped"}


def test_people_cannot_complete_what_the_system_watches(run: Run, analyst: ContextMaker) -> None:
    run.advance(view("triaged", "contained", facts=NEEDED), analyst())
    run.campaign_moved("draft-notice", "approval-requested", analyst())
    run.advance(view("triaged", "contained", facts=NEEDED), analyst())

    with pytest.raises(IllegalTransition, match="by itself"):
        run.complete("approve-notice", analyst())
    with pytest.raises(IllegalTransition, match="cannot be skipped"):
        run.skip("approve-notice", analyst(), reason="In a hurry.")
    with pytest.raises(NotFound, match="not open yet"):
        run.complete("recover", analyst())


def test_a_timer_fires_when_it_is_time_once_and_never_after_its_step(
    run: Run, analyst: ContextMaker, clock: ManualClock
) -> None:
    (timer,) = [event for event in run.collect_events() if isinstance(event, TimerSet)]
    assert timer.due_at - timer.recorded_at == timedelta(minutes=30)

    run.fire("triage", analyst())
    assert run.collect_events() == []

    clock.advance(timedelta(minutes=30))
    run.fire("triage", analyst())
    run.fire("triage", analyst())
    assert [event.kind for event in run.collect_events()] == [TimerFired.kind]

    run.advance(view("triaged"), analyst())
    run.collect_events()
    run.advance(view("triaged", "contained"), analyst())
    assert [e.step for e in run.collect_events() if isinstance(e, TimerCancelled)] == ["contain"]
    clock.advance(timedelta(days=1))
    run.fire("contain", analyst())
    assert run.collect_events() == []


def test_a_changed_playbook_does_not_change_a_run_under_way(run: Run, analyst: ContextMaker) -> None:
    first = run.collect_events()

    rebuilt = Run.project(None, first)

    assert rebuilt is not None
    assert rebuilt.playbook is not None
    assert rebuilt.playbook.digest == PLAYBOOK.digest
    assert set(rebuilt.open_steps()) == {"triage"}
