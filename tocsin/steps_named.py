"""Titles of the steps that a timeline speaks of, so that readers meet them by name."""

from __future__ import annotations

from collections.abc import Iterable

from projections.timeline.timeline import StepTitles, TimelineEntry
from tocsin.services import Services


def steps_named(services: Services, entries: Iterable[TimelineEntry]) -> StepTitles:
    """For each run that the entries name a step of, its titles, as the run's own copy of the playbook has them."""
    spoken_of = dict.fromkeys(entry.originator_id for entry in entries if entry.step is not None)
    return {run_id: services.runs.step_titles(run_id) for run_id in spoken_of}
