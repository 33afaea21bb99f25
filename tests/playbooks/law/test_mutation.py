"""The worked cases are sharp: change one number or one operator of a rule, and a case of its pack fails."""

from __future__ import annotations

import random

import pytest

from playbooks.law import load_law
from tests.playbooks.law.mutations import Mutation, is_caught, mutations, raw_pack

SEED = 20261122
RULES = 30
MUST_CATCH = 28


@pytest.mark.slow
def test_cases_catch_a_changed_number_or_operator() -> None:
    law = load_law()
    chance = random.Random(SEED)
    ids = sorted(rule.id for _, rule in law.rules())
    chance.shuffle(ids)
    tried: list[tuple[Mutation, bool]] = []
    for name in ids:
        found = law.rule(name)
        assert found is not None
        pack, _ = found
        every = [m for rule in raw_pack(pack)["rules"] if rule["id"] == name for m in mutations(rule)]
        chance.shuffle(every)
        outcome = next(((m, caught) for m in every if (caught := is_caught(pack, m)) is not None), None)
        if outcome is not None:
            tried.append(outcome)
        if len(tried) == RULES:
            break
    survived = [str(mutation) for mutation, caught in tried if not caught]
    assert len(tried) == RULES
    assert RULES - len(survived) >= MUST_CATCH, "\n".join(survived)
