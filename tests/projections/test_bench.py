"""The measurements run and say what they must; how fast they are is not a test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_measurements_run() -> None:
    command = [sys.executable, "-m", "bench", "--quick", "--runs", "1", "--json", "-"]
    # Those that need neither brokers nor a crowd; these take minutes on two cores, however few the events.
    for word in ("bench.record", "bench.rebuild", "bench.law.judging", "bench.postgres.save"):
        command += ["--only", word]
    found = json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)
    assert {"cores", "python", "sqlite", "synchronous", "journal_mode"} <= set(found["machine"])
    names = [figure["name"] for figure in found["figures"]]
    assert names[:4] == [
        "save, one event per transaction",
        "save, 1000 events per transaction",
        "read, in order",
        "rebuild of two read models",
    ]
    assert [name for name in names if name.startswith("law: ")]
    told = [*names, *found["skipped"]]
    wanted = "PostgreSQL: save, 1000 events a batch"
    assert wanted in names or any("no PostgreSQL" in line for line in told), "measured, or skipped with the reason"
    for figure in found["figures"]:
        assert figure["ratio"] > 0
        assert len(figure["ours"]["runs"]) == len(figure["bare"]["runs"]) == 1
