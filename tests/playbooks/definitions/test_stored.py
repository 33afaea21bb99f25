"""Plans stored by any version of Tocsin stay readable, and runs that follow them go on."""

from __future__ import annotations

import copy
from typing import Any
from uuid import UUID

import pytest

from incidents.record import Record
from playbooks.definitions.definition import SCHEMA_VERSION, load_library
from playbooks.definitions.stored import UPCASTS, UnreadablePlan, read_stored
from playbooks.runs.events import RunStarted
from playbooks.runs.run import Run
from playbooks.runs.service import RunService
from tests.conftest import ContextMaker

OLD: dict[str, Any] = {
    "id": "lost-laptop",
    "version": 3,
    "title": {"en": "Lost laptop", "zh-Hans": "笔记本电脑遗失"},
    "owner": "helpdesk",
    "starts_when": "facts.a_fact_that_is_gone == 'yes'",
    "steps": [
        {"id": "find", "kind": "task", "title": {"en": "Look for it"}, "remind_after": "PT30M", "colour": "red"},
        {"id": "wipe", "kind": "task", "title": {"en": "Wipe it"}, "after": ["find"], "when": "facts.gone_too"},
        {"id": "told", "kind": "filings", "title": {"en": "Report it"}, "after": ["wipe"]},
    ],
}
"""As an early Tocsin may have stored it: no schema number, fields that are no more and others not yet there, facts
that left the vocabulary, and a step without what its kind needs today."""


def test_an_old_stored_plan_is_read_with_defaults_and_without_what_is_gone() -> None:
    before = copy.deepcopy(OLD)
    plan = read_stored(OLD)

    assert before == OLD, "the event is not changed by reading it"
    assert [step.id for step in plan.steps] == ["find", "wipe", "told"]
    assert (plan.id, plan.version, plan.schema_version) == ("lost-laptop", 3, SCHEMA_VERSION)
    assert plan.step("find").help == {}
    assert plan.step("wipe").when == "facts.gone_too"
    assert "colour" not in str(plan.model_dump())


def test_a_run_of_an_old_plan_loads_from_the_record(record: Record, analyst: ContextMaker) -> None:
    run_id = _stored(record, 7, OLD, analyst)

    loaded = record.load(Run, run_id)

    assert loaded.playbook is not None
    assert [step.id for step in loaded.playbook.steps] == ["find", "wipe", "told"]


def test_what_is_stored_today_names_its_schema_and_reads_back_as_the_same_plan(analyst: ContextMaker) -> None:
    for playbook in load_library().values():
        run = Run.start(UUID(int=7), playbook, analyst())
        (started,) = run.collect_events()
        assert isinstance(started, RunStarted)
        assert started.definition["schema_version"] == SCHEMA_VERSION
        assert run.playbook is not None
        assert run.playbook.model_dump() == playbook.model_dump()
        assert run.playbook.digest == started.definition_digest


def test_there_is_one_upcasting_function_for_each_schema_before_todays() -> None:
    assert len(UPCASTS) == SCHEMA_VERSION - 1


def test_a_plan_is_brought_up_from_its_own_schema_on() -> None:
    def to_two(plan: dict[str, Any]) -> dict[str, Any]:
        return {**plan, "title": {"en": plan["name"]}}

    def to_three(plan: dict[str, Any]) -> dict[str, Any]:
        return {**plan, "title": {language: text.upper() for language, text in plan["title"].items()}}

    first = {name: value for name, value in OLD.items() if name != "title"} | {"name": "Lost"}
    second = {**OLD, "title": {"en": "Lost"}, "schema_version": 2}
    third = {**OLD, "title": {"en": "Lost"}, "schema_version": 3}

    titles = [read_stored(plan, upcasts=(to_two, to_three)).title["en"] for plan in (first, second, third)]

    assert titles == ["LOST", "LOST", "Lost"]


def test_a_plan_of_a_later_schema_is_read_as_far_as_it_is_known() -> None:
    assert read_stored({**OLD, "schema_version": SCHEMA_VERSION + 4, "budget": 5}).id == "lost-laptop"


@pytest.mark.parametrize("broken", [{}, {**OLD, "steps": [{}]}, {**OLD, "schema_version": 0}, {**OLD, "steps": "none"}])
def test_what_is_no_plan_at_all_is_named(broken: dict[str, Any]) -> None:
    with pytest.raises(UnreadablePlan):
        read_stored(broken)


def _stored(record: Record, incident: int, definition: dict[str, Any], analyst: ContextMaker) -> UUID:
    run = Run(Run.id_for(UUID(int=incident), "lost-laptop"))
    run.emit(
        RunStarted,
        analyst(),
        incident_id=UUID(int=incident),
        playbook="lost-laptop",
        definition=definition,
        definition_digest="0" * 64,
    )
    record.commit(run)
    return run.id


def test_steps_are_called_as_in_the_plan_that_the_run_froze(record: Record, analyst: ContextMaker) -> None:
    service = RunService(record, load_library())

    titles = service.step_titles(_stored(record, 7, OLD, analyst))

    assert titles == {"find": {"en": "Look for it"}, "wipe": {"en": "Wipe it"}, "told": {"en": "Report it"}}
    assert service.step_titles(UUID(int=9)) == {}, "there is no such run"


def test_steps_of_a_plan_that_cannot_be_read_have_no_titles(
    record: Record, analyst: ContextMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as unchecked:  # a Tocsin that could still read it stored it
        unchecked.setattr("playbooks.runs.run.read_stored", lambda _definition: None)
        run_id = _stored(record, 7, {**OLD, "steps": "none"}, analyst)

    assert RunService(record, load_library()).step_titles(run_id) == {}
