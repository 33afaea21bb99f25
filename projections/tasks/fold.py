"""The tasks' fold: runs, and each opening of each of their steps."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import Connection

from incidents.record import Event, Recorded
from playbooks.runs import events as runs
from projections.projection import Projection, incident_of
from projections.rows import Key, Row, Rows
from projections.tasks.tables import NAME, task_runs, task_steps


class Tasks(Projection):
    """What waits for a person, and what people did."""

    name = NAME
    version = 1
    events = runs.EVENTS
    tables: ClassVar = (task_runs, task_steps)

    def fold(self, connection: Connection, generation: int, batch: Sequence[Recorded]) -> None:
        touched = {(recorded.event.originator_id,) for recorded in batch}
        run_rows = Rows(connection, task_runs, generation)
        run_rows.load(touched)
        steps = Rows(connection, task_steps, generation)
        steps.load(touched)
        newest: dict[tuple[UUID, str], int] = {}
        for row in steps:
            name = (row["run_id"], row["step"])
            newest[name] = max(newest.get(name, 0), row["opened_position"])
        for recorded in batch:
            event = recorded.event
            run_id = event.originator_id
            if run_rows.get(run_id) is None:
                run_rows.put(run_id, incident_id=incident_of(event), started_at=event.recorded_at)
            run_rows.put(run_id, **_run_values(event))
            _fold_step(run_rows, steps, newest, recorded)
        run_rows.flush()
        steps.flush()


def _run_values(event: Event) -> Row:
    match event:
        case runs.RunStarted():
            title: Any = event.definition.get("title")
            return {
                "playbook": event.playbook,
                "playbook_title": title if isinstance(title, dict) else {},
                "definition_digest": event.definition_digest,
                "drill": event.drill,
                "started_at": event.recorded_at,
                "started_by": event.actor,
            }
        case runs.RunFinished():
            return {"finished_at": event.recorded_at, "outcome": event.outcome}
    return {}


def _fold_step(run_rows: Rows, steps: Rows, newest: dict[tuple[UUID, str], int], recorded: Recorded) -> None:
    event = recorded.event
    if isinstance(event, runs.StepStarted):
        newest[event.originator_id, event.step] = recorded.position
        steps.put(
            event.originator_id,
            event.step,
            recorded.position,
            incident_id=event.incident_id,
            step_kind=event.step_kind,
            title=event.title,
            details=event.model_dump(mode="json", include={"details"})["details"],
            since=event.recorded_at,
        )
        _count(run_rows, event.originator_id, opened=1, done=0)
    elif isinstance(event, runs.StepCompleted | runs.TimerSet | runs.TimerFired | runs.TimerCancelled):
        # A step that was skipped before it opened has no row: nobody ever had to do anything.
        opened = newest.get((event.originator_id, event.step))
        if opened is not None:
            _change(run_rows, steps, (event.originator_id, event.step, opened), event)


def _change(run_rows: Rows, steps: Rows, key: Key, event: Event) -> None:
    match event:
        case runs.StepCompleted():
            row = steps.get(*key)
            if row is not None and row["open"]:
                _count(run_rows, event.originator_id, opened=-1, done=1)
            steps.put(
                *key,
                open=False,
                done_at=event.recorded_at,
                done_by=event.actor,
                outcome=event.outcome,
                comment=event.comment,
            )
        case runs.TimerSet():
            steps.put(*key, remind_at=event.due_at)
        case runs.TimerFired():
            steps.put(*key, reminded_at=event.recorded_at)
        case runs.TimerCancelled():
            steps.put(*key, remind_at=None)


def _count(run_rows: Rows, run_id: UUID, *, opened: int, done: int) -> None:
    row = run_rows.get(run_id)
    if row is not None:
        run_rows.put(run_id, steps_open=row["steps_open"] + opened, steps_done=row["steps_done"] + done)
