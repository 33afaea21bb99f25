"""The sizing model: it gives back what it was fitted to, and never promises more than what all share allows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scale import Measured, Work, compared, plan, rate, work_of

WORKS = st.builds(Work, computing=st.floats(1e-5, 1e-1), shared=st.floats(1e-6, 1e-2))


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


def test_the_comparison_shows_measured_beside_model() -> None:
    real = Work(computing=2e-3, shared=5e-4)
    rows = compared(lambda workers: Measured(rate(real, workers, 2), real.computing), 2)
    assert [workers for workers, _, _ in rows] == [1, 2, 4, 8]
    assert all(said == pytest.approx(seen, rel=1e-3) for _, seen, said in rows)


def test_twice_the_load_needs_about_twice_the_workers() -> None:
    figures = {"alerts": 1e3, "derivations": 20.0, "recipients": 2e3, "alerts_database": 1e4}
    figures |= {"bytes_per_recipient": 500.0, "recipients_per_event": 500.0}

    def sizes(times: int) -> dict[str, int]:
        found = plan(recipients=times * 10**9, hours=10, alerts=times * 5e3, incidents_share=1e-3, figures=figures)
        return {size.part: size.needs for size in found}

    once, twice = sizes(1), sizes(2)
    assert once["intake"] == 8
    for part in ("intake", "notifier", "deliveries"):
        assert 1.8 < twice[part] / once[part] <= 2.2, part
