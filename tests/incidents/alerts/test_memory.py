"""What is remembered of alerts is small, whatever is in them."""

from __future__ import annotations

import gc
import json
import tracemalloc

import pytest

from incidents.alerts.decision import Decider, IntakeSettings
from incidents.alerts.dialects import parse


@pytest.mark.slow
def test_large_alerts_are_not_remembered() -> None:
    decider = Decider(IntakeSettings())
    size, alerts = 50_000, 20

    def take(number: int) -> None:
        large = f"{number} a@example.com " + "word " * (size // 20)
        rule = {"id": "5710", "level": 7, "description": large, "groups": [large]}
        alert = {
            "timestamp": "2026-11-22T10:00:00+00:00",
            "id": str(number),
            "rule": rule,
            "agent": {"id": "1", "name": large},
            "data": {"srcip": large, "dstuser": large},
        }
        raw = json.dumps(alert).encode()
        decider.understand("wazuh", raw, parse("wazuh", raw).finding)

    take(0)
    gc.collect()
    tracemalloc.start()
    try:
        for number in range(1, alerts):
            take(number)
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 10 * size, f"{kept:,} bytes are kept of {alerts} large alerts"
