"""The shipped playbooks are sound, and a broken one is refused with the place of the fault."""

from __future__ import annotations

import pytest

from incidents.errors import InvalidInput
from playbooks.definitions.definition import Playbook, load_library, parse_playbook

GOOD = """
id: lost-laptop
version: 1
title: {en: Lost laptop}
starts_when: "'personal_data_breach' in facts.event_kinds"
steps:
  - {id: find, kind: task, title: {en: Look for it}}
  - {id: draft, kind: draft_notice, template: personal-data-breach, title: {en: Draft}, after: [find]}
  - {id: approve, kind: approval, of: draft, title: {en: Approve}, after: [draft]}
"""


def test_every_shipped_playbook_loads_and_speaks_both_languages() -> None:
    library = load_library()

    assert "personal-data-breach" in library
    for playbook in library.values():
        for titled in (playbook, *playbook.steps):
            assert set(titled.title) >= {"en", "zh-Hans"}, titled


def test_the_digest_tells_two_plans_apart_and_nothing_else() -> None:
    plan = parse_playbook(GOOD)

    assert plan.digest == parse_playbook(GOOD + "\n# a comment\n").digest
    assert plan.digest != parse_playbook(GOOD.replace("Look for it", "Search")).digest
    assert Playbook.model_validate(plan.model_dump(mode="json")).digest == plan.digest


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("kind: task", "kind: dance", "kind"),
        ("after: [find]", "after: [lose]", "names lose"),
        ("of: draft", "of: find", "drafts no notice"),
        ("template: personal-data-breach, ", "", "needs template"),
        ("id: approve", "id: draft", "two steps"),
        ("facts.event_kinds", "facts.weather", "weather"),
        ("starts_when:", "starts_whenever:", "starts_whenever"),
        ("steps:", "steps: [", "not YAML"),
        ("{id: find, kind: task", "{id: find, remind_after: PT0S, kind: task", "remind_after"),
    ],
)
def test_a_broken_playbook_is_refused_where_it_is_broken(old: str, new: str, says: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_playbook(GOOD.replace(old, new, 1), name="lost-laptop.yaml")

    said = caught.value.detail + " ".join(f"{fault.field}: {fault.reason}" for fault in caught.value.errors)
    assert says in said
