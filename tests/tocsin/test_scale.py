"""The sizing model: it gives back what it was fitted to, never promises more than what all share allows, and foretells
what was measured. The page about scale says what the figures say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import scale
from bench.model import ALLOWED, Measured, Work, check, is_good, rate, work_of
from bench.sizing import FILE, FULL, Prices, Wanted, cost, plan, read_figures

WORKS = st.builds(Work, computing=st.floats(1e-5, 1e-1), shared=st.floats(1e-6, 1e-2))
FIGURES = {name: figure.value for name, figure in read_figures().items()}


@given(WORKS, st.integers(1, 16))
def test_one_worker_takes_the_sum_and_nobody_passes_the_lock_or_the_cores(work: Work, cores: int) -> None:
    assert rate(work, 1, cores) == pytest.approx(1 / (work.computing + work.shared))
    for workers in (2, 5, 40):
        most = min(1 / work.shared, cores / work.computing, workers * rate(work, 1, cores))
        assert rate(work, workers, cores) <= most * (1 + 1e-9)
        assert rate(work, workers, cores) >= rate(work, workers - 1, cores) * (1 - 1e-9)


@given(WORKS, st.integers(1, 16))
def test_one_worker_alone_tells_both_numbers(work: Work, cores: int) -> None:
    found = work_of(Measured(rate(work, 1, cores), work.computing))
    assert found.computing == pytest.approx(work.computing)
    assert found.shared == pytest.approx(work.shared, rel=1e-3, abs=1e-9)


def test_the_check_shows_measured_beside_model_and_finds_what_is_off() -> None:
    real = Work(computing=2e-3, shared=5e-4)
    found = {workers: Measured(rate(real, workers, 2), real.computing) for workers in (1, 2, 4, 8)}
    checked = check(found, 2)
    assert [one.workers for one in checked] == [1, 2, 4, 8]
    assert all(one.model == pytest.approx(one.measured, rel=1e-3) for one in checked)
    assert is_good(checked)
    found[8] = replace(found[8], rate=found[8].rate / (1 + ALLOWED + 0.05))
    assert not is_good(check(found, 2)), "it promises more than there is"


def test_the_model_foretells_what_was_measured() -> None:
    """What lies in figures.json from a quiet machine. One that was busy with other things proves nothing, and the page
    says so (below)."""
    found, cores, load = scale.saved_paths()
    assert {"commands", "mails"} == found.keys()
    for name, runs in found.items():
        assert {1, 2, 4} <= runs.keys()
        if load <= scale.QUIET:
            assert is_good(check(runs, cores)), (name, check(runs, cores))


def test_what_is_measured_and_taken_is_kept(tmp_path: Path) -> None:
    kept = tmp_path / "figures.json"
    kept.write_text(FILE.read_text("utf-8"), "utf-8")
    runs = scale.run_paths((1, 2), 100, {"mails": ("", lambda workers, size: Measured(workers * size, 0.001))})
    scale.save(runs, 0.4, kept)
    report = tmp_path / "report.json"
    one = {"name": "PostgreSQL: save, 1000 events a batch", "ours": {"median": 41_000}}
    report.write_text(json.dumps({"machine": {"load": "0.3"}, "figures": [one]}), "utf-8")
    assert scale.take(report, kept) == ["alert_events_a_database"]

    found, _, load = scale.saved_paths(kept)
    assert (found["mails"][2], load) == (Measured(200, 0.001), 0.4)
    figures = read_figures(kept)
    assert (figures["recipients_a_process"].value, figures["recipients_a_process"].load) == (100, 0.4)
    assert (figures["alert_events_a_database"].value, figures["alert_events_a_database"].load) == (41_000, 0.3)


def test_every_figure_that_is_taken_has_a_place_and_a_measurement() -> None:
    from bench.__main__ import MEASUREMENTS

    assert scale.TAKEN.keys() <= FIGURES.keys()
    modules = {measure.__module__ for measure, _, _ in MEASUREMENTS}
    assert {"bench.postgres", "bench.pages", "bench.lag", "bench.notifier", "bench.kafka_intake"} <= modules
    assert all(value > 0 for value in FIGURES.values())


def test_twice_the_load_needs_about_twice_of_everything() -> None:
    def sizes(times: int) -> dict[str, int]:
        # So much that it does not matter that nobody runs half a process.
        wanted = Wanted(recipients=times * 10**9, hours=10, alerts=times * 5e5, incidents_share=1e-3)
        return {size.part: size.needs for size in plan(wanted, FIGURES)}

    once, twice = sizes(1), sizes(2)
    assert once["intake"] == -(-500_000 // (FIGURES["alerts_a_process"] * FULL)) == once["alert topic"] / 2
    for part in ("intake", "notifier", "rows of sending", "record of sending", "alerts, a day", "Kafka, a day"):
        assert 1.8 < twice[part] / once[part] <= 2.2, part


def test_one_record_takes_no_more_than_it_commits_and_its_slowest_read_model_folds() -> None:
    wanted = Wanted(alerts=10_000)

    def databases(**figures: float) -> int:
        return next(size.needs for size in plan(wanted, {**FIGURES, **figures}) if size.part == "databases")

    assert databases(alert_events_a_database=1e6, folds_of_a_model=1e6) == 1
    assert databases(alert_events_a_database=2_000, folds_of_a_model=1e6) == 8
    assert databases(alert_events_a_database=1e6, folds_of_a_model=4_000) == 4


def test_what_it_costs_follows_the_sizes() -> None:
    wanted = Wanted()
    sizes = plan(wanted, FIGURES)
    found = {one.part: one.needs for one in cost(wanted, sizes, Prices(core_hour=0, thousand_mails=0.2))}
    assert found["alerts: cores"] == 0
    assert found["campaign: mails"] == 20_000
    assert found["alerts: storage"] > 0


def test_the_page_is_made_from_the_figures(tmp_path: Path) -> None:
    again = tmp_path / "scale.md"
    again.write_text(scale.DOCS.read_text("utf-8"), "utf-8")
    scale.write_docs(again)
    assert again.read_text("utf-8") == scale.DOCS.read_text("utf-8"), "run `python -m bench.scale --docs`"
    _, _, load = scale.saved_paths()
    assert ("says nothing about the model" in again.read_text("utf-8")) == (load > scale.QUIET)
