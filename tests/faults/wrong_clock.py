"""A process whose wall clock is wrong: a small library put before the C library, so that nothing in it can know."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("wrong_clock.c")


def wrong_clock(seconds: int, folder: Path) -> dict[str, str]:
    """Variables under which a process's clock is so many seconds fast. Skipped by name without a C compiler."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        reason = "no C compiler to build a wrong clock with: install gcc"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    library = folder / "wrong_clock.so"
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(SOURCE), "-ldl"], check=True)
    return {"LD_PRELOAD": str(library), "WRONG_CLOCK_SECONDS": str(seconds)}
