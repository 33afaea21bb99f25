"""SIGKILL at random moments of the night: it always ends the same.

Promise 5. A night is killed ten times, at moments drawn between the start of the process and well into the sending,
and then left to end (TOCSIN_TEST_NIGHTS: so many such nights). Everybody who can be told is told, with one message; a
mail that was in flight at a kill may have gone out twice, then with the same Message-ID, and the record says so for
ever.
"""

from __future__ import annotations

import os
import random
import time
from collections import Counter
from pathlib import Path
from uuid import UUID

import pytest

from incidents.incident.incident import Incident
from incidents.record import Record
from notifier.campaigns.campaign import Campaign, CampaignStatus
from notifier.campaigns.events import CampaignDrafted, DeliveriesRecorded
from playbooks.duties.register import DutyRegister
from playbooks.runs.run import Run
from tests.world import Tocsin, Told, World, wait_for, world_and_tocsin
from tocsin.story.people import BAD_NUMBER, BOUNCING, people

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

NIGHTS = int(os.environ.get("TOCSIN_TEST_NIGHTS", "1"))
KILLS = 7
SEED = 20261122


def how_it_ended(record: Record) -> dict[str, object]:
    """All that an auditor would compare: the incident, each duty, each step, the outcomes."""
    (reported,) = record.read(0, 1, kinds=["incident.reported"])
    incident_id = reported.event.originator_id
    incident = record.load(Incident, incident_id)
    register = record.load(DutyRegister, DutyRegister.id_for(incident_id))
    run = record.load(Run, Run.id_for(incident_id, "personal-data-breach"))
    campaign = record.load(Campaign, campaign_of(record))
    return {
        "phase": incident.phase,
        "facts": sorted(incident.facts),
        "grades": {scheme: grade.level for scheme, grade in incident.grades.items()},
        "duties": {
            duty_id: (state.duty.status, state.is_open, state.missed, state.lifted)
            for duty_id, state in register.duties.items()
        },
        "steps": {step: (state.open, state.outcome) for step, state in run.steps.items()},
        "campaign": campaign.status,
        "people": sum(campaign.outcomes.values()),
    }


def campaign_of(record: Record) -> UUID:
    (drafted,) = record.read(0, 10, kinds=[CampaignDrafted.kind])
    return drafted.event.originator_id


def marked_ambiguous(record: Record) -> int:
    """How many deliveries the record marks as in flight at a kill."""
    marked = set()
    for recorded in record.read(0, 100_000, kinds=[DeliveriesRecorded.kind]):
        assert isinstance(recorded.event, DeliveriesRecorded)
        marked |= {move.delivery for move in recorded.event.moves if move.state == "ambiguous"}
    return len(marked)


def ended(tocsin: Tocsin) -> bool | None:
    assert tocsin.is_running(), tocsin.log()[-4000:]
    with tocsin.record() as record:
        incidents = record.read(0, 1, kinds=["incident.recovered"])
        if not incidents:
            return None
        campaign = record.load(Campaign, campaign_of(record))
        run = record.load(Run, Run.id_for(incidents[0].event.originator_id, "personal-data-breach"))
        recovered = run.steps.get("recover")
        over = campaign.status is CampaignStatus.FINISHED and recovered is not None and recovered.outcome == "done"
        return True if over else None


def one_night(folder: Path, kills: list[float]) -> tuple[dict[str, object], dict[str, Told], int]:
    with world_and_tocsin(folder) as (world, tocsin):
        for seconds in kills:
            tocsin.start()
            time.sleep(seconds)  # the moment of death, not a synchronisation
            tocsin.kill()
        tocsin.start()
        tocsin.announced()
        wait_for(lambda: ended(tocsin), "the night to end")
        settled = wait_for(lambda: all_settled(world), "the last receipts")
        assert settled
        with tocsin.record() as record:
            return how_it_ended(record), world.told(), marked_ambiguous(record)


def all_settled(world: World) -> bool | None:
    return True if all(m.status not in {"queued", "accepted", "sending", "sent"} for m in world.outbox()) else None


def test_killed_again_and_again_it_always_ends_the_same(tmp_path: Path) -> None:
    dice = random.Random(SEED)
    undisturbed, told, marked = one_night(tmp_path / "undisturbed", [])
    assert marked == 0
    assert_everybody_told_once(told, repeats_allowed=0)

    for night in range(NIGHTS):
        kills = [dice.uniform(0.3, 5.0) for _ in range(KILLS)]
        state, told, marked = one_night(tmp_path / f"night-{night}", kills)

        assert state == undisturbed, f"night {night}, killed after {kills}"
        assert_everybody_told_once(told, repeats_allowed=marked)


def assert_everybody_told_once(told: dict[str, Told], *, repeats_allowed: int) -> None:
    repeats = 0
    for person in people():
        by = [told[address] for address in (person.phone, person.email) if address in told]
        if person.email.startswith(BOUNCING):
            assert by == [], "nobody can reach this person"
            continue
        assert len(by) == 1, f"row of {person.language}: told by {len(by)} channels"
        assert by[0].messages == 1
        repeats += by[0].repeats
    assert repeats <= repeats_allowed
    assert Counter(bool(p.phone) for p in people())[True] > 0
    assert BAD_NUMBER
