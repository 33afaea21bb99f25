"""A step of a plan that waits until a second person has published the public notice."""

from __future__ import annotations

import pytest

from incidents.clock import ManualClock
from incidents.errors import IllegalTransition, InvalidInput
from incidents.facts.conditions import Outcome, Verdict
from incidents.record import stable_id
from playbooks.definitions.definition import parse_playbook
from playbooks.runs.run import Run, RunView
from tests.conftest import ContextMaker

PLAN = """
id: in-public
version: 1
title: {en: In public}
starts_when: "false"
steps:
  - {id: words, kind: draft_notice, title: {en: Words}, template: personal-data-breach}
  - {id: tell-all, kind: public_notice, title: {en: Tell everybody}, of: words, after: [words]}
"""


def view() -> RunView:
    return RunView(judge=lambda _text: Verdict(Outcome.TRUE), known_facts=frozenset(), happened=frozenset())


@pytest.fixture
def run(analyst: ContextMaker, clock: ManualClock) -> Run:
    found = Run.start(stable_id("incident", "1"), parse_playbook(PLAN), analyst())
    found.advance(view(), analyst())
    return found


def test_it_opens_after_the_words_and_ends_when_it_is_published(run: Run, analyst: ContextMaker) -> None:
    run.public_notice_published("tell-all", analyst())
    assert run.finished is None, "not open yet"
    run.campaign_moved("words", "approval-requested", analyst())
    run.advance(view(), analyst())
    assert set(run.open_steps()) == {"tell-all"}
    with pytest.raises(IllegalTransition):
        run.complete("tell-all", analyst())

    run.public_notice_published("tell-all", analyst())
    run.advance(view(), analyst())
    assert (run.steps["tell-all"].outcome, run.finished) == ("published", "completed")


def test_a_person_may_skip_it(run: Run, analyst: ContextMaker) -> None:
    run.campaign_moved("words", "approval-requested", analyst())
    run.advance(view(), analyst())
    run.skip("tell-all", analyst(), reason="everybody was reached")
    run.advance(view(), analyst())
    assert run.finished == "completed"


def test_it_needs_the_draft_whose_words_it_takes() -> None:
    with pytest.raises(InvalidInput):
        parse_playbook(PLAN.replace("of: words, ", ""))
